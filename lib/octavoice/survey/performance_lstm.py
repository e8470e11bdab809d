"""A performance by an LSTM: Performance RNN, small (Simon and Oore 2017; thesis §5, source [30])."""

from octavoice.model import Model, Stage
from octavoice.representations.performance import PERFORMANCE
from octavoice.survey.chords import SurveyCard
from octavoice.survey.events import EventLSTM, recipe


def performance_lstm(hidden: int = 256, layers: int = 1) -> EventLSTM:
    """One layer of 256 where the source has three of 512."""
    return EventLSTM(PERFORMANCE, hidden, layers)


MODEL = Model("performance-lstm", SurveyCard(
    title="Performance by an LSTM",
    source="Performance RNN, Simon and Oore 2017: an article on the web; the thesis's source [30]",
    section="[30], model without conditions",
    equations=("h_t = LSTM(e_t, h_{t-1})", "p(e_{t+1} | e_≤t) = softmax(W h_t + b), 388 events"),
    deviations=("one layer of 256 in place of three of 512", "events are embedded in 64 numbers",
                "transposed by up to 3 semitones, never stretched in time",
                "batches of 16 fragments; Adam with warm-up and a cosine schedule, gradients clipped at 1"),
    size="3 layers of 512",
    data="Piano-e-Competition, about 1400 performances; here MIDI with velocities: piano-midi.de has edited tempi and "
         "loudness, but was not performed",
    published=()),
    (Stage("performance_lstm", "performance", performance_lstm, recipe),))
