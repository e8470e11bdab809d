"""Recurrent nets with independent keys: the simplest model of chords in time (§4.1-§4.3).

    h_t = LSTM(x_t, h_{t-1}) or GRU(x_t, h_{t-1});    p(x_{t+1} | x_≤t) = Π_k Bernoulli(x_{t+1}[k]; σ(w_k h_t + b_k))

§4.1 says that such independent outputs (независимые вероятности) give unsatisfying music; their likelihood is exact,
so how much independence costs can be read off the axis.
"""

from typing import Any

from torch import Tensor, nn

from octavoice.model import KEEP, Drop, Model, Stage
from octavoice.music.roll import KEYS
from octavoice.survey.chords import BENCHMARKS, Bernoulli, Chords, Published, SurveyCard, Trunk, recipe_of

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Recurrent(Trunk):
    """One recurrent layer over the rolls; states begin at zero, the clock is not heard."""

    def __init__(self, keys: int, size: int, cell: str = "lstm"):
        super().__init__()
        self.size, self.net = size, CELLS[cell](keys, size)

    def forward(self, x: Tensor, ticks: Tensor, memory: Any = None, drop: Drop = KEEP) -> tuple[Tensor, Any]:
        """See :class:`octavoice.survey.chords.Trunk`."""
        h, memory = self.net(x, memory)
        return drop(h), memory


def lstm(keys: int = KEYS, size: int = 200) -> Chords:
    """LSTM and independent keys."""
    return Chords(Recurrent(keys, size, "lstm"), Bernoulli(size, keys))


def gru(keys: int = KEYS, size: int = 200) -> Chords:
    """GRU and independent keys."""
    return Chords(Recurrent(keys, size, "gru"), Bernoulli(size, keys))


BAI, RRU = "Bai, Kolter and Koltun 2018", "the RRU paper 2021, tuned"
DEVIATIONS = ("one layer of 200, trained on fragments from a zero state", "dropout on the features alone",
              "Adam with warm-up, a cosine schedule and clipped gradients")


def _published(**figures: tuple[float, str]) -> tuple[Published, ...]:
    return tuple(Published(f"benchmarks/{name.split('__')[0].replace('_', '-')}", *figure)
                 for name, figure in figures.items())


LSTM = Model("lstm", SurveyCard(
    title="LSTM, keys independent",
    source="no paper of its own: §4.1 and §4.3 describe it; figures by Bai and others 2018 and the RRU paper 2021",
    section="§4.1, §4.3",
    equations=("c_t = f_t ∘ c_{t-1} + i_t ∘ c'_t;  h_t = o_t ∘ tanh(c_t)", "p(x_{t+1} | x_≤t) = Π_k σ(w_k h_t + b_k)…"),
    deviations=DEVIATIONS, size="one layer, tuned by each paper", data=BENCHMARKS,
    published=_published(nottingham=(3.29, BAI), jsb=(8.45, BAI), nottingham__2=(3.25, RRU), jsb__2=(8.33, RRU),
                         musedata=(7.24, RRU), piano_midi=(7.54, RRU))),
    (Stage("lstm", "keys", lstm, recipe_of()),))
GRU = Model("gru", SurveyCard(
    title="GRU, keys independent",
    source="no paper of its own: §4.1 with another cell; figures by Bai and others 2018 and the RRU paper 2021",
    section="§4.1, §4.2",
    equations=("h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}", "p(x_{t+1} | x_≤t) = Π_k σ(w_k h_t + b_k)…"),
    deviations=DEVIATIONS, size="one layer, tuned by each paper", data=BENCHMARKS,
    published=_published(nottingham=(3.46, BAI), jsb=(8.43, BAI), nottingham__2=(3.22, RRU), jsb__2=(8.20, RRU),
                         musedata=(7.31, RRU), piano_midi=(7.58, RRU))),
    (Stage("gru", "keys", gru, recipe_of()),))
