"""Statistics of music and of samples: rolls in, plain numbers out (§6.3, §7.3, §7.4)."""
