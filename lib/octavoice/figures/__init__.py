"""Drawing only: every function takes data and returns a matplotlib Figure."""
