"""RNN-NADE: the keys of a step one after the other, with biases from a recurrent net (Boulanger-Lewandowski 2012).

    u_t = LSTM(x_t, u_{t-1});    b_t = b + W_b u_t,  c_t = c + W_c u_t
    a_1 = c_t,  a_{k+1} = a_k + W[k] x_{t+1}[k]
    p(x_{t+1}[k] = 1 | x_{t+1}[<k], x_≤t) = σ(b_t[k] + V[k] · σ(a_k))

§3.3 of the thesis names the idea without a paper: some order of the notes, each given those before it (порядок на
нотах). Only biases depend on time, as in the RNN-RBM (§5.3), but the likelihood is exact.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from octavoice.model import CLASSES as IN_CLASSES
from octavoice.model import Model, Stage, precise
from octavoice.music.roll import CLASSES, KEYS
from octavoice.survey.chords import BENCHMARKS, RATE, SPARSE, Chords, Head, Published, SurveyCard, recipe_of
from octavoice.survey.recurrent import Recurrent

ROWS = 512
"""Steps whose hidden units, one set for every key, are held in memory at once."""


class NADE(Head):
    """A NADE whose biases are a linear function of the features. ``units`` hidden units, shared by all keys."""

    def __init__(self, size: int, keys: int, units: int):
        super().__init__()
        self.draw_size = keys
        self.visible, self.hidden = nn.Linear(size, keys), nn.Linear(size, units)
        self.W = nn.Parameter(torch.randn(keys, units) * 0.05)
        self.V = nn.Parameter(torch.randn(keys, units) * 0.05)
        nn.init.constant_(self.visible.bias, SPARSE)

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`: the product of all keys' probabilities."""
        b, c = precise(self.visible(h)).flatten(0, 1), precise(self.hidden(h)).flatten(0, 1)
        parts = zip(*(part.split(ROWS) for part in (b, c, x.flatten(0, 1))), strict=True)
        return torch.cat([checkpoint(self._rows, *part, use_reentrant=False) for part in parts]).view(x.shape[:2])

    def _rows(self, b: Tensor, c: Tensor, x: Tensor) -> Tensor:
        """log p of some steps ``(row, key)`` with their biases."""
        return -functional.binary_cross_entropy_with_logits(self.logits(b, c, x), x, reduction="none").sum(dim=-1)

    def logits(self, b: Tensor, c: Tensor, x: Tensor) -> Tensor:
        """Of "key k sounds" given the keys below it, teacher-forced: ``b``, ``x`` (row, key), ``c`` (row, units)."""
        told = (x[..., None] * self.W).cumsum(dim=-2).roll(1, dims=-2)
        told = torch.cat([torch.zeros_like(told[:, :1]), told[:, 1:]], dim=-2)
        return b + torch.einsum("rku,ku->rk", torch.sigmoid(c[:, None] + told), self.V)

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`: from the lowest key to the highest."""
        b, a, values = self.visible(h), self.hidden(h), []
        for k in range(b.shape[-1]):
            logit = b[:, k] + torch.sigmoid(a) @ self.V[k]
            value = (draws[:, k] < torch.sigmoid(logit / temperature)).to(h.dtype)
            a = a + value[:, None] * self.W[k]
            values.append(value)
        return torch.stack(values, dim=-1)


def rnn_nade(keys: int = KEYS, size: int = 200, units: int = 100) -> Chords:
    """LSTM and NADE over the keys."""
    return Chords(Recurrent(keys, size), NADE(size, keys, units))


def rnn_nade_classes(keys: int = CLASSES, size: int = 200, units: int = 100) -> Chords:
    """The same over the twelve pitch classes (§6.2)."""
    return Chords(Recurrent(keys, size), NADE(size, keys, units), IN_CLASSES)


PAPER = ("N. Boulanger-Lewandowski, Y. Bengio, P. Vincent: Modeling temporal dependencies in high-dimensional "
         "sequences, ICML 2012; §3.3 has the idea without a paper")
EQUATIONS = ("b_t = b + W_b u_t;  c_t = c + W_c u_t", "a_{k+1} = a_k + W[k] x_{t+1}[k]",
             "p(x_{t+1}[k] | x_{t+1}[<k], x_≤t) = σ(b_t[k] + V[k] · σ(a_k))")
SOURCE = "Boulanger-Lewandowski and others 2012"
MODEL = Model("rnn-nade", SurveyCard(
    title="RNN-NADE over the keys", source=PAPER, section="§3.3, §5.3", equations=EQUATIONS,
    deviations=("an LSTM where the paper has plain recurrent units",
                "Adam with clipped gradients where the paper has Hessian-free optimisation"),
    size="tuned for each set", data=BENCHMARKS,
    published=(Published("benchmarks/nottingham", 2.31, SOURCE), Published("benchmarks/musedata", 5.60, SOURCE),
               Published("benchmarks/piano-midi", 7.05, SOURCE))),
    (Stage("rnn_nade", "keys", rnn_nade, recipe_of(RATE, 0.5, 0.5)),))
CLASSES_MODEL = Model("rnn-nade-classes", SurveyCard(
    title="RNN-NADE over the pitch classes", source=PAPER, section="§3.3, §6.2", equations=EQUATIONS,
    deviations=("twelve pitch classes in place of 88 keys: the thesis's compression, not the paper's",
                "an LSTM where the paper has plain recurrent units",
                "the keys of a step by the second stage of the model beyond"),
    size="of this project", data="none in this form"),
    (Stage("rnn_nade_classes", "pitch classes", rnn_nade_classes, recipe_of()),))
