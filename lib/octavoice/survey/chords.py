"""What the models of chords in time share: a trunk through time, a head over the keys, one network around both.

    h_t = trunk(x_≤t)                 whatever remembers: LSTM, GRU, convolutions, an LSTM per key
    p(x_{t+1} | x_≤t) = head(h_t)     whatever decides about a step: Bernoulli, NADE, RBM, DBN, the keys in turn

The thesis's survey (обзор, §5) varies both; here each is a small module, and a model is a pair of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavoice.model import CLASSES as IN_CLASSES
from octavoice.model import EXACT, HISTORY, KEEP, Card, Drop, Network, Recipe, Step, Tensors, dropper, precise
from octavoice.model import KEYS as IN_KEYS
from octavoice.representations.steps import piece_clock

RATE, WARM_UP, CLIP = 2e-3, 50, 1.0
SPARSE = -3.0
"""Bias with which a head begins: a key sounds in one step of twenty."""


@dataclass(frozen=True)
class Published:
    """A figure of a paper: test negative log-likelihood, nats per frame, on a ``corpus``; a fact with its source."""

    corpus: str
    nats: float
    source: str


@dataclass(frozen=True)
class SurveyCard(Card):
    """A card that says too how large the paper's model was, on which ``data`` it was tried, with which figures."""

    size: str = ""
    data: str = ""
    published: tuple[Published, ...] = ()


BENCHMARKS = "Nottingham, JSB Chorales, MuseData, Piano-midi.de: rolls of sounding notes (Boulanger-Lewandowski 2012)"


class State(NamedTuple):
    """After a step ``x`` ``(batch, key)``, the piece's number ``position``, was heard: ``memory`` lies before it."""

    x: Tensor
    position: int
    memory: Any = None


class Trunk(nn.Module):
    """What remembers. ``size`` is the width of its features; ``reach`` how many steps before a fragment it reads."""

    size: int
    reach = 0

    def forward(self, x: Tensor, ticks: Tensor, memory: Any = None, drop: Drop = KEEP) -> tuple[Tensor, Any]:
        """Features ``(time, batch, …, size)`` after each step, and the memory after the last.

        ``x`` ``(time, batch, key)``, ``ticks`` ``(time, batch, 6)``; any number of steps gives the same as one by one.
        """
        raise NotImplementedError

    def before(self, past: Tensor) -> Any:
        """The memory that ``past`` ``(128, batch, key)`` leaves; nothing, if states begin at zero (§4.2)."""
        return None


class Head(nn.Module):
    """What decides about a step, given features. ``draw_size`` is how many uniforms one decision takes."""

    draw_size: int
    kind = EXACT

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """log p of steps ``x`` ``(time, batch, key)`` given features ``(time, batch, …, size)``: ``(time, batch)``."""
        raise NotImplementedError

    def loss(self, h: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """What training minimises, ``(time, batch)``."""
        return -self.nats(h, x, rng)

    def held_out(self, h: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """What chooses between stages of a training, ``(time, batch)``, lower is better."""
        return -self.nats(h, x, rng)

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """A step ``(batch, key)`` from features ``(batch, …, size)``; ``x`` is the step before it."""
        raise NotImplementedError


class Chords(Network):
    """A trunk and a head as a model's network. ``dropout`` is the share of activations that training leaves out."""

    dropout = 0.0

    def __init__(self, trunk: Trunk, head: Head, space: str = IN_KEYS):
        super().__init__()
        self.trunk, self.head, self.space, self.kind = trunk, head, space, head.kind

    @property
    def draw_size(self) -> int:
        """As many uniforms as the head takes."""
        return self.head.draw_size

    def features(self, batch: Tensors, drop: Drop = KEEP) -> tuple[Tensor, Tensor]:
        """Features after every step but the last ``(time - 1, batch, …, size)``, and the steps they predict."""
        x, past = (batch.x12, batch.history) if self.space == IN_CLASSES else (batch.x, batch.past)
        time = torch.arange(len(x) - 1, device=x.device)[:, None]
        with self.lowered(x.device):
            h, _ = self.trunk(x[:-1], piece_clock(batch.position + time, x), self.trunk.before(past), drop)
        return precise(h), x[1:]

    def log_likelihood(self, batch: Tensors, rng: torch.Generator | None = None) -> Tensor:
        """See :meth:`octavoice.model.Network.log_likelihood`; an exact one needs no draws."""
        return self.head.nats(*self.features(batch), rng)

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The head's, with dropout in the trunk."""
        return self.head.loss(*self.features(batch, dropper(self.dropout, rng)), rng)

    def held_out(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """See :meth:`Head.held_out`."""
        return self.head.held_out(*self.features(batch), rng)

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`."""
        past = first.new_zeros(HISTORY, *first.shape) if past is None else past
        return State(first, position, self.trunk.before(past))

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`."""
        h, memory = self.after(state)
        value = heard if heard is not None else self.head.sample(h[0], draws, state.x, self.temperature)
        return Step(State(value, state.position + 1, memory), value, {})

    def after(self, state: State) -> tuple[Tensor, Any]:
        """Features ``(1, batch, …, size)`` from which the next step is decided, and the memory with this one in it."""
        ticks = piece_clock(torch.full((1, len(state.x)), state.position), state.x)
        return self.trunk(state.x[None], ticks, state.memory)


class Bernoulli(Head):
    """Every key on its own given the past (§4.1): p(x | h) = Π_k σ(w_k h + b_k)^{x_k} (1 - σ(…))^{1 - x_k}."""

    def __init__(self, size: int, keys: int):
        super().__init__()
        self.draw_size = keys
        self.output = nn.Linear(size, keys)
        nn.init.constant_(self.output.bias, SPARSE)

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See :class:`Head`."""
        return bernoulli(self.output(h), x)

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """See :class:`Head`."""
        return (draws < torch.sigmoid(self.output(h) / temperature)).to(h.dtype)


def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log p of independent keys, ``(…, key)`` twice, to ``(…)``; float32 at least."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=-1)


def recipe_of(rate: float = RATE, iterations: float = 1.0, batch: float = 1.0) -> Callable[[Any], Recipe]:
    """Adam with warm-up, a half cosine and clipped gradients, at shares of a preset's ``iterations`` and ``batch``."""
    def recipe(preset) -> Recipe:
        count = max(2, round(preset.iterations * iterations))
        return Recipe(count, max(1, round(preset.batch * batch)), rate, warm_up=min(WARM_UP, count // 4), cosine=True,
                      clip=CLIP)
    return recipe
