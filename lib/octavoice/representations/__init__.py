"""How music is told as arrays: one file each, encode beside decode, and what is lost on the way."""
