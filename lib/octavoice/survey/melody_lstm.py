"""A melody by a plain LSTM: the basic one of Magenta's melody models (thesis §5.2, source [26])."""

from octavoice.model import Model, Stage
from octavoice.representations.melody import MELODY
from octavoice.survey.chords import SurveyCard
from octavoice.survey.events import EventLSTM, recipe


def melody_lstm(hidden: int = 128, layers: int = 2) -> EventLSTM:
    """Two layers of 128, as published; half of the features left out in training."""
    return EventLSTM(MELODY, hidden, layers, dropout=0.5)


MODEL = Model("melody-lstm", SurveyCard(
    title="Melody by a plain LSTM",
    source="Magenta's melody models, basic configuration, 2016: no paper; the thesis's source [26]",
    section="[26], basic",
    equations=("h_t = LSTM(e_t, h_{t-1})", "p(e_{t+1} | e_≤t) = softmax(W h_t + b), 38 events"),
    deviations=("events are embedded in 64 numbers", "dropout on the last layer's features alone",
                "batches of 16 fragments, transposed at random and not all to C",
                "Adam with warm-up and a cosine schedule, gradients clipped at 1 in place of 5"),
    size="2 layers of 128", data="not published; here Ryan's Mammoth Collection or any corpus", published=()),
    (Stage("melody_lstm", "melody", melody_lstm, recipe),))
