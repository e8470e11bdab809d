"""What every model offers, whatever it is made of: to be trained, judged, sampled and described.

A :class:`Model` is some networks in stages: pitch classes and then keys given classes, or keys at once; then perhaps
how long the keys are held. Each :class:`Network` says in which ``space`` it works and gives

    loss(batch, rng)             what training minimises, nats per step  (time - 1, batch)
    log_likelihood(batch, rng)   log p(step | all before), nats per step (time - 1, batch), and its ``kind``
    start(first, past, position) the state after one step was heard
    step(state, draws, …)        the next step, sampled or heard, and the state after it

Training, evaluation, statistics, composing and weights know models through this file alone. To add one, write its
network in one file, its card, and a line in :mod:`octavoice.training.models`.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavoice.representation import HISTORY as HISTORY
from octavoice.representation import Batch as Batch
from octavoice.representation import Representation
from octavoice.representations.steps import STEPS

CLASSES, GIVEN, KEYS, DURATIONS = "classes", "keys given classes", "keys", "durations given keys"
"""The spaces: p(x'_t | past), p(x_t | x'_t, past), p(x_t | past), p(d_t | x_t, past). The first two added are one of
the third; with the last it is one of all that is written, p(x_t, d_t | past)."""
EVENTS = "events"
"""The space of models of events: p(e_t | past), one event of a representation that is not made of steps of 88 keys."""
EXACT, BOUND, ESTIMATE, PSEUDO, NONE = "exact", "bound", "estimate", "pseudo", "none"
"""What a log-likelihood is: the number itself, on average below it, near it with an error to either side, the sum of
conditionals that are no joint's, or that there is none."""


class Step(NamedTuple):
    """One step made: the ``state`` after it, its ``value`` ``(batch, width)``, and what a figure may want to know."""

    state: Any
    value: Tensor
    trace: dict[str, Tensor]


@dataclass(frozen=True)
class Streams:
    """A generator for every piece of a batch, so that what a piece draws does not depend on the others."""

    each: tuple[torch.Generator, ...]

    def rand(self, steps: int, batch: int, *shape: int) -> Tensor:
        """Uniforms in [0, 1) ``(steps, batch, …)``; ValueError unless ``batch`` is the number of generators."""
        if batch != len(self.each):
            raise ValueError(f"{batch} pieces draw from {len(self.each)} streams")
        return torch.stack([torch.rand(steps, *shape, generator=rng, device=rng.device) for rng in self.each], dim=1)


Draws = torch.Generator | Streams
"""Where random numbers come from: one generator for a whole batch, or one for each of its pieces."""


class Network(nn.Module):
    """A model's network of one stage. ``width`` is 12 in the space of classes, else 88; of durations a value is steps.

    ``draw_size`` is how many uniforms one step takes; ``representation`` is how music is told to it. The attributes
    below may be set on a network: a ``temperature`` above 1 makes samples more even, ``precision`` "bf16"
    lowers the matrix products of training.
    """

    space: str
    kind: str = EXACT
    draw_size: int
    representation: Representation = STEPS
    temperature: float = 1.0
    precision: str = "fp32"

    def prepare(self, passes: float) -> None:
        """Told before training how often it will go through the music; nothing, unless a network makes use of it."""

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """What training minimises, ``(time - 1, batch)``; the negative log-likelihood, unless a model differs."""
        return -self.log_likelihood(batch, rng)

    def log_likelihood(self, batch: Batch, rng: Draws) -> Tensor:
        """log p(step | all before it), nats, ``(time - 1, batch)``; minus infinity where a step is impossible.

        A bound takes its draws by :func:`uniforms`, the batch on the second axis, so that a piece's is its own.
        """
        raise NotImplementedError

    def held_out(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """What the held-out curve shows, lower is better: an exact likelihood's negative, else the loss."""
        return -self.log_likelihood(batch, rng) if self.kind == EXACT else self.loss(batch, rng)

    def on_panel(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Numbers beside it for the held-out curve, each ``(time - 1, batch)``."""
        return {}

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> Any:
        """The state after the step ``first`` ``(batch, width)``, the piece's step number ``position``.

        ``past`` ``(128, batch, width)`` lies before it, silence if not given; to a network that is told the whole it is
        all ``position`` steps before.
        """
        raise NotImplementedError

    def step(self, state: Any, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """The next step, ``(batch, width)``, drawn with ``draws`` ``(batch, draw_size)`` in [0, 1), or as ``heard``.

        ``given`` are the step's classes ``(batch, pitch_class)`` for keys given classes, its keys ``(batch, key)`` for
        durations. Piece i depends on row i alone, whatever else is in the batch.
        """
        raise NotImplementedError

    def told(self, state: Any, left: Tensor) -> Any:
        """The state after a step when its durations are known too: ``left`` ``(batch, key)`` are the steps for which
        each key sounds from this step on. The same state, unless a network makes use of it."""
        return state

    def lowered(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """Matrix products in bfloat16 inside this context if ``precision`` is "bf16"; weights stay float32.

        On a CPU only: on a GPU lower precision is untried.
        """
        lower = self.precision == "bf16" and device.type == "cpu"
        return torch.autocast("cpu", torch.bfloat16) if lower else contextlib.nullcontext()


def uniforms(rng: Draws, *shape: int, device: torch.device | str = "cpu") -> Tensor:
    """Uniforms in [0, 1) drawn where ``rng`` lives and moved to ``device``; a CPU's generator gives every device
    the same draws. From :class:`Streams` the second axis is the batch."""
    if isinstance(rng, Streams):
        return rng.rand(*shape).to(device)
    return torch.rand(*shape, generator=rng, device=rng.device).to(device)


Drop = Callable[[Tensor], Tensor]
"""What training does to activations: some become 0."""
KEEP: Drop = nn.Identity()


def dropper(share: float, rng: torch.Generator) -> Drop:
    """Leaves out a ``share`` of activations, drawn from ``rng``, and enlarges the others."""
    if not 0 <= share < 1:
        raise ValueError(f"a share of activations lies in [0, 1), not {share}")

    def drop(x: Tensor) -> Tensor:
        return x * (uniforms(rng, *x.shape, device=x.device) >= share).to(x.dtype) / (1 - share)
    return drop if share else KEEP


def precise(x: Tensor) -> Tensor:
    """At least float32: logits that a lower precision computed are not rounded again in what follows."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True)
class Recipe:
    """How a network is trained by Adam: ``iterations`` of ``batch`` fragments at ``learning_rate`` and ``epsilon``.

    ``warm_up`` iterations raise the rate from zero; with ``cosine`` it falls to zero along a half cosine; gradients
    longer than ``clip`` are shortened to it (0: never).
    """

    iterations: int
    batch: int
    learning_rate: float
    epsilon: float = 1e-8
    warm_up: int = 0
    cosine: bool = False
    clip: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One network of a model: the ``name`` of its files, what it is ``called`` on a page, how to ``build`` it.

    ``recipe`` gives its :class:`Recipe` at a preset. Its ``version`` is raised by hand when the numbers that it gives
    change, trained or sampled: what an earlier one gave no longer counts as its own.
    """

    name: str
    called: str
    build: Callable[[], Network]
    recipe: Callable[[Any], Recipe]
    version: int = 1


@dataclass(frozen=True)
class Card:
    """A model in words: its ``source`` and ``section`` there, its ``equations``, and ``deviations`` from the source."""

    title: str
    source: str
    section: str
    equations: tuple[str, ...]
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A named model: its card, and its stages in the order in which a step is made."""

    name: str
    card: Card
    stages: tuple[Stage, ...]

    def build(self) -> tuple[Network, ...]:
        """Its networks, untrained."""
        return tuple(stage.build() for stage in self.stages)
