"""What is stored, read into tables, claims and verdicts: what is concluded."""
