"""Tied parallel networks: one net for every key, with the same weights (Johnson 2017; §5.6 of the thesis).

    i_{t,k} = [x_t[k-12 … k+12] ; how many keys sound in each class, counted from k's ; beat]
    u_{t,k} = LSTM(i_{t,k}, u_{t-1,k})                                        along time, each key its own state
    TP-LSTM-NADE:  p(x_{t+1}[k] | x_{t+1}[<k], …) = σ(w u_{t,k} + b + v · σ(C u_{t,k} + c + Σ_{d≥1} W_d x_{t+1}[k-d]))
    BALSTM:        g_k = LSTM([u_{t,k} ; x_{t+1}[k-1]], g_{k-1});  r_k = tanh(A g_k + R r_{k-1});  p = σ(w r_k + b)

Everything is told relative to the key, so that moving the music moves the features with it (инвариантность вдоль
нотной оси). The keys of a step are decided from the lowest to the highest, which makes the likelihood exact.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.model import KEEP, Drop, Model, Stage
from octavoice.music.roll import CLASSES, CLOCK_BITS, KEYS
from octavoice.survey.chords import BENCHMARKS, SPARSE, Chords, Head, SurveyCard, Trunk, bernoulli, recipe_of

NEAR = 12
"""Keys to either side that a key's net hears."""
BEAT = 4
"""Bits of the clock that are heard: the place within sixteen steps."""
BELOW = 24
"""Keys below that the NADE hears of."""
INPUTS = 2 * NEAR + 1 + CLASSES + BEAT


def seen_from_each(x: Tensor, ticks: Tensor) -> Tensor:
    """What every key's net hears: ``(time, batch, key, 41)`` from ``x`` ``(time, batch, key)`` and the clock."""
    keys = x.shape[-1]
    near = functional.pad(x, (NEAR, NEAR)).unfold(-1, 2 * NEAR + 1, 1)
    sounding = functional.pad(x, (0, -keys % CLASSES)).unflatten(-1, (-1, CLASSES)).sum(dim=-2)
    places = (torch.arange(keys, device=x.device)[:, None] + torch.arange(CLASSES, device=x.device)) % CLASSES
    beat = ticks[..., None, CLOCK_BITS - BEAT:].expand(*x.shape, BEAT)
    return torch.cat([near, sounding[..., places], beat], dim=-1)


class TiedLSTM(Trunk):
    """One LSTM along time for every key, all with the same weights."""

    def __init__(self, size: int):
        super().__init__()
        self.size, self.net = size, nn.LSTM(INPUTS, size)

    def forward(self, x: Tensor, ticks: Tensor, memory: Any = None, drop: Drop = KEEP) -> tuple[Tensor, Any]:
        """See :class:`octavoice.survey.chords.Trunk`; features ``(time, batch, key, size)``."""
        told = seen_from_each(x, ticks)
        h, memory = self.net(told.flatten(1, 2), memory)
        return drop(h.unflatten(1, x.shape[1:])), memory


class TiedNADE(Head):
    """A NADE whose weights depend on how far below a key lies, not on which it is."""

    def __init__(self, size: int, keys: int, units: int):
        super().__init__()
        self.draw_size = keys
        self.hidden, self.below = nn.Linear(size, units), nn.Linear(BELOW, units, bias=False)
        self.direct, self.output = nn.Linear(size, 1), nn.Linear(units, 1, bias=False)
        nn.init.constant_(self.direct.bias, SPARSE)

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`."""
        below = functional.pad(x, (BELOW, -1)).unfold(-1, BELOW, 1)
        return bernoulli(self._logit(self.hidden(h), self.direct(h), below), x)

    def _logit(self, hidden: Tensor, direct: Tensor, below: Tensor) -> Tensor:
        """Of a key given the 24 below it, the nearest last: ``(…, key, units)``, ``(…, key, 1)``, ``(…, key, 24)``."""
        return (self.output(torch.sigmoid(hidden + self.below(below))) + direct)[..., 0]

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`."""
        hidden, direct, value = self.hidden(h), self.direct(h), h.new_zeros(len(h), BELOW)
        for k in range(h.shape[1]):
            logit = self._logit(hidden[:, k], direct[:, k], value[:, -BELOW:])
            value = torch.cat([value, (draws[:, k] < torch.sigmoid(logit / temperature)).to(h.dtype)[:, None]], dim=1)
        return value[:, BELOW:]


class NoteAxis(Head):
    """The second axis of the biaxial LSTM: recurrent links from each key to the next higher one."""

    def __init__(self, size: int, keys: int, lower: int, upper: int):
        super().__init__()
        self.draw_size = keys
        self.lower, self.upper, self.output = nn.LSTM(size + 1, lower), nn.RNN(lower, upper), nn.Linear(upper, 1)
        nn.init.constant_(self.output.bias, SPARSE)

    def forward(self, h: Tensor, below: Tensor, memory: Any = (None, None)) -> tuple[Tensor, Any]:
        """Logits ``(key, row)`` of some keys in a row, from features ``(key, row, size)`` and the keys one below."""
        g, lower = self.lower(torch.cat([h, below[..., None]], dim=-1), memory[0])
        r, upper = self.upper(g, memory[1])
        return self.output(r)[..., 0], (lower, upper)

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`."""
        rows, below = h.flatten(0, 1).transpose(0, 1), functional.pad(x, (1, -1)).flatten(0, 1).T
        logits, _ = self(rows, below)
        return bernoulli(logits.T.reshape(x.shape), x)

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`."""
        value, memory, values = h.new_zeros(1, len(h)), (None, None), []
        for k in range(h.shape[1]):
            logit, memory = self(h[None, :, k], value, memory)
            value = (draws[None, :, k] < torch.sigmoid(logit / temperature)).to(h.dtype)
            values.append(value[0])
        return torch.stack(values, dim=-1)


def tp_lstm_nade(keys: int = KEYS, size: int = 64, units: int = 48) -> Chords:
    """A tied LSTM and a tied NADE."""
    return Chords(TiedLSTM(size), TiedNADE(size, keys, units))


def balstm(keys: int = KEYS, size: int = 64, lower: int = 32, upper: int = 16) -> Chords:
    """A tied LSTM along time, and LSTM and plain recurrent units along the keys."""
    return Chords(TiedLSTM(size), NoteAxis(size, keys, lower, upper))


PAPER = "D. D. Johnson: Generating polyphonic music using tied parallel networks, EvoMUSART 2017"
DEVIATIONS = ("smaller layers, for one core", "the beat is the place within sixteen steps of the piece",
              "Adam with warm-up, a cosine schedule and clipped gradients",
              "the paper's own figures are left out here: none was at hand to check them against")
INPUT = "i_{t,k} = [x_t[k-12 … k+12] ; classes counted from k ; beat];  u_{t,k} = LSTM(i_{t,k}, u_{t-1,k})"
NADE_MODEL = Model("tp-lstm-nade", SurveyCard(
    title="TP-LSTM-NADE: a tied net for every key, keys in turn by a tied NADE", source=PAPER, section="§5.6",
    equations=(INPUT, "p(x_{t+1}[k] | …) = σ(w u_{t,k} + b + v · σ(C u_{t,k} + c + Σ_d W_d x_{t+1}[k-d]))"),
    deviations=(*DEVIATIONS, "a NADE that hears of the 24 keys below"),
    size="not told by the thesis", data=BENCHMARKS),
    (Stage("tp_lstm_nade", "keys", tp_lstm_nade, recipe_of(5e-3, 0.5, 0.25)),))
BALSTM_MODEL = Model("balstm", SurveyCard(
    title="Biaxial LSTM: a tied net for every key, keys in turn by a net along the keys", source=PAPER, section="§5.6",
    equations=(INPUT, "g_k = LSTM([u_{t,k} ; x_{t+1}[k-1]], g_{k-1});  r_k = tanh(A g_k + R r_{k-1})",
               "p(x_{t+1}[k] | …) = σ(w r_k + b)"),
    deviations=DEVIATIONS,
    size="one LSTM along time; one LSTM and one layer of plain recurrent units along the keys (thesis)",
    data=BENCHMARKS),
    (Stage("balstm", "keys", balstm, recipe_of(5e-3, 0.5, 0.25)),))
