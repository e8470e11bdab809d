"""Both networks trained at a preset: settings, runs, the loop of §7.2, weights."""
