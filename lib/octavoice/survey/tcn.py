"""TCN: causal convolutions with growing holes (Bai, Kolter and Koltun 2018).

    conv_d(x)_t = Σ_{i<k} W_i x_{t-d i} + b,  d = 1, 2, 4, …
    block d: z = relu(x + drop(relu(conv_d(drop(relu(conv_d(x)))))))
    p(x_{t+1} | x_≤t) = Π_k Bernoulli(x_{t+1}[k]; σ(w_k z_t + b_k))

The thesis has no convolutions through time; §3.3 only weighs convolutions over a roll as a picture. The step form
keeps a window of the past as long as what the net can see, so that both forms are the same sum.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from octavoice.model import HISTORY, KEEP, Drop, Model, Stage
from octavoice.music.roll import KEYS
from octavoice.survey.chords import BENCHMARKS, Bernoulli, Chords, Published, SurveyCard, Trunk, recipe_of


class Block(nn.Module):
    """Two causal convolutions of width ``kernel`` with holes of ``hole`` steps, and a way past both."""

    def __init__(self, inputs: int, size: int, kernel: int, hole: int):
        super().__init__()
        self.first = weight_norm(nn.Conv1d(inputs, size, kernel, dilation=hole))
        self.second = weight_norm(nn.Conv1d(size, size, kernel, dilation=hole))
        self.past = nn.Conv1d(inputs, size, 1) if inputs != size else nn.Identity()

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        """``(batch, inputs, time)`` to ``(batch, size, time - 2 (kernel - 1) hole)``: no padding."""
        z = drop(torch.relu(self.first(x)))
        z = drop(torch.relu(self.second(z)))
        return torch.relu(z + self.past(x)[..., -z.shape[-1]:])


class Convolutions(Trunk):
    """Blocks with holes 1, 2, 4, …; before a piece lies silence. The clock is not heard."""

    def __init__(self, keys: int, size: int, kernel: int, levels: int):
        super().__init__()
        self.size, self.reach = size, 2 * (kernel - 1) * (2**levels - 1)
        if self.reach > HISTORY:
            raise ValueError(f"the net sees {self.reach} steps back, and a fragment comes with {HISTORY}")
        self.blocks = nn.ModuleList(Block(size if n else keys, size, kernel, 2**n) for n in range(levels))

    def forward(self, x: Tensor, ticks: Tensor, memory: Any = None, drop: Drop = KEEP) -> tuple[Tensor, Any]:
        """See :class:`octavoice.survey.chords.Trunk`; ``memory`` ``(reach, batch, key)`` is a window of the past."""
        line = torch.cat([memory, x])
        z = line.permute(1, 2, 0)
        for block in self.blocks:
            z = block(z, drop)
        return z.permute(2, 0, 1), line[len(line) - self.reach:]

    def before(self, past: Tensor) -> Tensor:
        """The newest steps of the past, as far as the net sees."""
        return past[len(past) - self.reach:]


def tcn(keys: int = KEYS, size: int = 150, kernel: int = 3, levels: int = 4) -> Chords:
    """Convolutions and independent keys."""
    return Chords(Convolutions(keys, size, kernel, levels), Bernoulli(size, keys))


SOURCE = "Bai, Kolter and Koltun 2018"
MODEL = Model("tcn", SurveyCard(
    title="TCN: dilated causal convolutions, keys independent",
    source="S. Bai, J. Z. Kolter, V. Koltun: An empirical evaluation of generic convolutional and recurrent networks "
           "for sequence modeling, 2018; not in the thesis",
    section="§3.3 mentions convolutions over rolls, §4.1 independent keys",
    equations=("conv_d(x)_t = Σ_i W_i x_{t-d i} + b", "z = relu(x + drop(relu(conv_d(drop(relu(conv_d(x)))))))",
               "p(x_{t+1} | x_≤t) = Π_k σ(w_k z_t + b_k)…"),
    deviations=("silence before a piece, not zeros before every layer", "dropout of single activations, not channels",
                "kernel 3, for one core; one setting for all sets"),
    size="four levels of 150, kernel 5 (the program's defaults)", data=BENCHMARKS,
    published=(Published("benchmarks/nottingham", 3.07, SOURCE), Published("benchmarks/jsb", 8.10, SOURCE))),
    (Stage("tcn", "keys", tcn, recipe_of(1e-3)),))
