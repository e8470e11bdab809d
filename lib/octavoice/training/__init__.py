"""Any model trained at a preset: settings, runs, the loop of §7.2, weights, the table of models."""
