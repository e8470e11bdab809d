"""File formats of music, each read into a piece; MIDI is written too."""
