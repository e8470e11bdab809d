"""The thesis's survey (§5), running: models of chords in time behind one interface, one file each."""

from octavoice.survey import recurrent, tcn

MODELS = (recurrent.LSTM, recurrent.GRU, tcn.MODEL)
