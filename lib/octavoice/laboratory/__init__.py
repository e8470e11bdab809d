"""What the notebooks are driven by: their runs, what finished ones hand on, what is committed."""
