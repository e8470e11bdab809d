"""The thesis's survey (§5), running: models of chords in time behind one interface, one file each."""

from octavoice.survey import melody_lstm, performance_lstm, recurrent, rnn_dbn, rnn_nade, rnn_rbm, tcn, tied_parallel

MODELS = (recurrent.LSTM, recurrent.GRU, tcn.MODEL, rnn_nade.MODEL, rnn_rbm.MODEL, rnn_dbn.MODEL,
          tied_parallel.NADE_MODEL, tied_parallel.BALSTM_MODEL)
"""The models that decide about all keys at once."""
CLASSES_MODELS = (rnn_nade.CLASSES_MODEL,)
"""The models of pitch classes alone; a second stage gives them keys."""
EVENT_MODELS = (melody_lstm.MODEL, performance_lstm.MODEL)
"""The models of events: a melody's, a performance's."""
