"""What a piece is here: the 88-key onset roll, its 12-class compression, the clock, score, sound; its file formats."""
