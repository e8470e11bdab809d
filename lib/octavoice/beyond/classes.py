"""Stage one: pitch classes by an exact chain (the thesis's main module carried on; §6.3, and §5.6's remark).

    s_t = what is remembered: x'_t, the reads x'_{t+1-h} for h ∈ H, how often each class sounded lately, how well
          each period has repeated, how long it has been silent, the clock, and what is still held if that is told
    u_t = LSTM([s_t]);   a_t = softmax(W u_t + b) ∈ R^8;   r_t = Σ_h a_t[h] x'_{t+1-h};   v_t = LSTM([u_t ; r_t])
    p(x'_{t+1} | x'_{≤t}) = Π_p p(x'_{t+1}[p] | u_t, v_t, x'_{t+1}[<p])

The thesis's five voices decide about some classes in an order of their own, and its objective is a surrogate; here
all twelve are decided from A to G♯, each given those before it, so the likelihood is a product of twelve numbers.

One network has two likelihoods: of onsets alone, and, where a batch tells durations, of onsets given how long earlier
notes are held. The second goes with the third stage's, the first on the axis of onsets.

What is told of the past has no weights. One code works it out, of tensors for sequences, on any device, and of numpy's
arrays when a step is made, whose calls take a fifth of the time: functions of an :data:`Array` take either.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

from octavoice.model import CLASSES as IN_CLASSES
from octavoice.model import HISTORY, KEEP, Batch, Drop, Network, Step, dropper, precise, uniforms
from octavoice.music.roll import CLASSES, CLOCK_BITS, KEYS, clock
from octavoice.representations.steps import STEPS_WITH_DURATIONS
from octavoice.representations.tensors import left_of
from octavoice.thesis.attention import PERIODS, LSTMState

RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 512)
"""Shares by which the running means of every class move at each step: half a bar, two, eight and 32 bars."""
MATCH_RATE = 1 / 8
SILENCES = np.array([0, 1, 3, 7, 15, 31, 63])
"""The length of a silence is told as which of these, in steps, it exceeds."""
HIDDEN_PAST = 0.1
"""Share of training fragments that begin as if nothing had been before them, like a short prime."""
UNTOLD = 0.5
"""Share of training fragments whose durations are not told."""
MISTAKES = 0.2
"""Share of sounding classes that training moves to another class before they are heard, with what is held of them, in
half of the fragments: a sampled piece has wrong notes, and the network should learn to go on in key after one."""
ASTRAY, STRETCH = 1.0, (8, 64)
"""Share of training fragments of which a stretch, so many steps long, is heard in another key: a sampled piece strays
from its key without one wrong note, and the network should learn to come back."""
DROPOUT, PASSES = 0.3, 4.0
"""Share of the activations of both LSTMs, and of the net over keys, that training leaves out where it goes through the
music more often than so many times: a small collection is learnt by heart otherwise."""
RELATIVE = 1 + len(PERIODS) + len(RATES)
GENERAL = CLOCK_BITS + len(SILENCES) + 2 * len(PERIODS)
HELD = 2 * CLASSES + 1
MEAN_RATES = np.array([r for r in RATES for _ in range(CLASSES)] + [*RATES] + [MATCH_RATE] * 2 * len(PERIODS))
MEANS = len(MEAN_RATES)
ENDS = np.cumsum([0, CLASSES * len(RATES), len(RATES), len(PERIODS), len(PERIODS)])
"""Where in the means those of classes, of what is known, of repetition and of what could have been repeated lie."""
TICKS = clock(np.arange(2**CLOCK_BITS)).astype(float)
AGO = np.array(PERIODS)
Array = Tensor | np.ndarray


def library(x: Array):
    """torch or numpy, whichever ``x`` is of."""
    return np if isinstance(x, np.ndarray) else torch


def like(constant: np.ndarray, x: Array) -> Array:
    """A constant as ``x`` is: an array, or a tensor of its dtype on its device."""
    return constant if isinstance(x, np.ndarray) else torch.from_numpy(constant).to(x)


def toward(x: Array, end: Array, rate: Array) -> Array:
    """Means moved towards ``end`` by the shares ``rate``."""
    return x + rate * (end - x) if isinstance(x, np.ndarray) else torch.lerp(x, end, rate)


def padded(x: Array, low: int, high: int) -> Array:
    """``x`` with so many zeros before and after it along its last axis."""
    if not isinstance(x, np.ndarray):
        return functional.pad(x, (low, high))
    wide = np.zeros((*x.shape[:-1], low + x.shape[-1] + high), x.dtype)
    wide[..., low:low + x.shape[-1]] = x
    return wide


def octaves(x: Array) -> Array:
    """Keys by octave and class, ``(…, key)`` to ``(…, octave, pitch_class)``; zeros where the keyboard has none."""
    return padded(x, 0, -x.shape[-1] % CLASSES).reshape(*x.shape[:-1], -1, CLASSES)


def window(x: Array, first: Array, width: int) -> Array:
    """Places of each row from its ``first`` ``(row,)`` on: ``(row, view, place)`` to ``(row, view, width)``."""
    if isinstance(x, np.ndarray):
        return np.stack([row[:, start:start + width] for row, start in zip(x, first.tolist(), strict=True)])
    places = torch.arange(width, device=x.device) + first[:, None]
    return x.gather(-1, places[:, None].expand(-1, x.shape[1], -1))


class Memory(NamedTuple):
    """What is kept of the steps so far, besides the recurrent states.

    ``line`` ``(129, batch, 13)``: the newest steps, oldest first, the classes of each and a 1, or 0 before the piece;
    ``means`` ``(batch, 68)``: running means; ``silence`` ``(batch,)``: steps since an onset.
    """

    line: Array
    means: Array
    silence: Array


class State(NamedTuple):
    """After a step was heard: the step itself, its number, the memory before it, what is ``held`` ``(batch, 25)`` (see
    :func:`still_held`), all of them arrays, and the recurrent states."""

    x: np.ndarray
    position: int
    memory: Memory
    held: np.ndarray
    lower: LSTMState | None = None
    upper: LSTMState | None = None


def blank(x: Tensor) -> Memory:
    """The memory before a piece, of the dtype and batch size of ``x`` ``(…, batch, pitch_class)``."""
    batch = x.shape[-2]
    return Memory(x.new_zeros(HISTORY + 1, batch, CLASSES + 1), x.new_zeros(batch, MEANS), x.new_zeros(batch))


def before(line: Array, first: int, count: int) -> tuple[Array, Array]:
    """What lies each period before ``count`` steps of a ``line`` ``(…, batch, 13)``, numbered from ``first``.

    Its classes ``(time, batch, period, pitch_class)``, and 0 where it is before the piece ``(time, batch, period)``.
    """
    found = line[np.arange(first, first + count)[:, None] - AGO].swapaxes(1, 2)
    return found[..., :CLASSES], found[..., CLASSES]


def remember(memory: Memory, x: Array, known: Array) -> tuple[Memory, Array, Array, Array]:
    """Take in ``x`` ``(time, batch, pitch_class)``, of which ``known`` ``(time, batch, 1)`` is 0 before the piece.

    Returns the memory after it, the line of all steps ``(129 + time, batch, 13)``, and after each step the running
    means ``(time, batch, 68)`` and the silences ``(time, batch)``. Any number of steps at once gives the same as one
    at a time.
    """
    xp = library(x)
    line = xp.concatenate([memory.line, xp.concatenate([x, known], axis=-1)])
    earlier, comparable = before(line, HISTORY + 1, len(x))
    both = (x[:, :, None] * earlier).sum(axis=-1) * comparable
    either = xp.maximum(x[:, :, None], earlier).sum(axis=-1) * comparable
    now = xp.concatenate([*[x] * len(RATES), *[known] * len(RATES), both, either], axis=-1)
    means, silence, series, rate = memory.means, memory.silence, [], like(MEAN_RATES, x)
    for step, quiet in zip(now, 1 - xp.amax(x, axis=-1), strict=True):
        means, silence = toward(means, step, rate), (silence + 1) * quiet
        series.append((means, silence))
    return Memory(line[-HISTORY - 1:], means, silence), line, *map(xp.stack, zip(*series, strict=True))


def describe(x: Array, line: Array, means: Array, silence: Array, ticks: Array, held: Array) -> tuple[Array, Array]:
    """s_t of every step: the input of the first LSTM ``(time, batch, 210)``, and the reads in it.

    ``line``, ``means`` and ``silence`` as :func:`remember` gives them; ``ticks`` ``(time, batch, 6)``, ``held``
    ``(time, batch, 25)``. Reads are ``(time, batch, period, pitch_class)``.
    """
    xp, (reads, told) = library(x), before(line, HISTORY + 2, len(x))
    often, weight, both, either = (means[..., a:b] for a, b in pairwise(ENDS))
    often = 2 * often.reshape(*weight.shape, CLASSES) / weight.clip(1e-3)[..., None]
    match = (both / MATCH_RATE + 0.1) / (either / MATCH_RATE + 0.5)
    lengths = xp.asarray(silence[..., None] > like(SILENCES, x), dtype=x.dtype)
    parts = [x, reads.reshape(*x.shape[:2], -1), often.reshape(*x.shape[:2], -1), ticks, lengths, match, told, held]
    return xp.concatenate(parts, axis=-1), reads


def piece_clock(position: Array, x: Array) -> Array:
    """The clock of the steps numbered ``position`` ``(…,)`` from the piece's start, ``(…, 6)``, as ``x`` is."""
    return like(TICKS, x)[position % 2**CLOCK_BITS]


def size(steps: Array) -> Array:
    """A duration in steps as nets see it: 1/7 for one step, 6/7 for 32, 1 from 64 on; 0 where nothing is."""
    return library(steps).log2(2 * steps.clip(0.5, 64)) / 7


def still_held(left: Array) -> Array:
    """What a step leaves of ``left`` ``(…, key)``, the steps for which each key sounds from it on: ``(…, 25)``.

    Of every class the size of the longest rest, whether a note of it ends with the step, and a 1, for told.
    """
    xp = library(left)
    both = xp.stack([size(left - 1), xp.asarray(left == 1, dtype=left.dtype)], axis=-2)
    classes = xp.amax(octaves(both), axis=-2).reshape(*left.shape[:-1], 2 * CLASSES)
    return xp.concatenate([classes, xp.ones_like(classes[..., :1])], axis=-1)


def mistaken(classes: Tensor, wrong: Tensor, away: Tensor) -> Tensor:
    """What begins at each step ``(time, batch, n · 12)``, octaves of classes, those that are ``wrong``
    ``(time, batch, pitch_class)`` moved ``away`` ``(time, batch, 1)`` classes up, round the end."""
    moved = classes * wrong.tile(classes.shape[-1] // CLASSES)
    places = (torch.arange(classes.shape[-1], device=classes.device) - away) % classes.shape[-1]
    return torch.maximum(classes - moved, moved.gather(-1, places))


def rolled(x12: Tensor, shift: Tensor) -> Tensor:
    """Classes of each piece rolled by a shift of its own: ``(time, batch, pitch_class)``, ``shift`` ``(batch,)``."""
    order = (torch.arange(CLASSES, device=shift.device) + shift[:, None]) % CLASSES
    return x12.gather(-1, order.expand(len(x12), -1, -1))


def onsets_alone(batch: Batch) -> Batch:
    """The same batch without durations."""
    return batch._replace(durations=batch.durations[:0])


class Hearing(Network):
    """A network that is told what is still held, or not: one likelihood of onsets alone, one given durations."""

    representation, dropout = STEPS_WITH_DURATIONS, 0.0

    def prepare(self, passes: float) -> None:
        """Activations are left out in training if the music is small for its length."""
        self.dropout = DROPOUT if passes > PASSES else 0.0

    def log_likelihood(self, batch: Batch, rng: torch.Generator | None = None) -> Tensor:
        """Exact, without draws; given how long earlier notes are held where the batch tells. ``(time - 1, batch)``."""
        return self._nats(batch, self._held(batch))

    def held_out(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood of onsets alone, whatever the batch tells."""
        return -self.log_likelihood(onsets_alone(batch))

    def on_panel(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Beside it that of onsets given how long earlier notes are held."""
        return {"held_out_told": -self.log_likelihood(batch)}

    def _held(self, batch: Batch) -> Tensor:
        """What every step that predicts one leaves held ``(time - 1, batch, …)``; zeros if the batch does not tell."""
        raise NotImplementedError

    def _nats(self, batch: Batch, held: Tensor) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``, given what is ``held``."""
        raise NotImplementedError


class ClassChain(Hearing):
    """Two LSTMs under an exact chain over the twelve classes. ``(pitch classes, exact)``"""

    space, draw_size = IN_CLASSES, CLASSES
    mistakes, astray = MISTAKES, ASTRAY

    def __init__(self, lower: int = 152, upper: int = 132, chain: int = 120):
        super().__init__()
        self.lower = nn.LSTM(RELATIVE * CLASSES + GENERAL + HELD, lower)
        self.attention = nn.Linear(lower, len(PERIODS))
        self.upper = nn.LSTM(lower + CLASSES, upper)
        self.features = nn.Linear(lower + upper, chain)
        self.sounds = nn.Parameter(torch.randn(CLASSES, chain) / 5)
        self.silent = nn.Parameter(torch.randn(CLASSES, chain) / 5)
        self.weight = nn.Parameter(torch.randn(CLASSES, chain) / chain**0.5)
        self.direct = nn.Linear(lower + upper, CLASSES)
        nn.init.constant_(self.direct.bias, -2.0)

    def forward(self, x: Array, ticks: Array, memory: Memory, held: Array, lower=None, upper=None, drop: Drop = KEEP):
        """Run over any number of steps; one step at a time gives the same as all at once.

        ``x`` ``(time, batch, pitch_class)``, ``ticks`` ``(time, batch, 6)``, ``held`` ``(time, batch, 25)``; returns
        the chain's input at every step (see :meth:`chain`), the attention ``(time, batch, period)``, the memory and
        both recurrent states.
        """
        after, *found = remember(memory, x, library(x).ones_like(x[..., :1]))
        told, reads = map(torch.as_tensor, describe(x, *found, ticks, held))
        u, lower = self.lower(told, lower)
        u = drop(u)
        attention = torch.softmax(precise(self.attention(u)), dim=-1)
        read = (attention[..., None, :] @ reads)[..., 0, :]
        v, upper = self.upper(torch.cat([u, read.to(u.dtype)], dim=-1), upper)
        both = torch.cat([u, drop(v)], dim=-1)
        return (self.features(both), precise(self.direct(both))), attention, after, lower, upper

    def chain(self, given: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        """Logits of "class p sounds" given the classes before it, teacher-forced: ``(…, pitch_class)`` both."""
        features, direct = given
        earlier = torch.ones(CLASSES, CLASSES, dtype=x.dtype, device=x.device).tril(-1)
        decided = torch.cat([x[..., None, :] * earlier, (1 - x[..., None, :]) * earlier], dim=-1)
        hidden = torch.relu(features[..., None, :] + decided @ torch.cat([self.sounds, self.silent]))
        return precise((hidden * self.weight.to(hidden.dtype)).sum(dim=-1)) + direct

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, each fragment rolled by a shift of its own, some of them without a past, some
        without durations, and some heard with wrong notes."""
        heard, held, shift = self._disturbed(batch, rng)
        return -self._nats(heard, held, rolled(batch.x12[1:], shift), dropper(self.dropout, rng))

    def _disturbed(self, batch: Batch, rng: torch.Generator) -> tuple[Batch, Tensor, Tensor]:
        """A batch as training hears it, what every step leaves held ``(time - 1, batch, 25)``, and the shifts
        ``(batch,)`` by which classes are rolled."""
        u = uniforms(rng, 3, batch.x12.shape[1], device=batch.x12.device)
        shift = (CLASSES * u[0]).long()
        kept = (u[1] >= HIDDEN_PAST).to(batch.x12.dtype)[:, None]
        told = (u[2] >= UNTOLD).to(batch.x12.dtype)[:, None]
        line = torch.cat([batch.history * kept, batch.x12])
        durations = torch.cat([batch.durations[:HISTORY] * kept, batch.durations[HISTORY:]])
        wrong, away = self._mistakes(line, rng)
        line = rolled(mistaken(line, wrong, away), shift)
        if len(durations):
            durations = mistaken(functional.pad(durations, (0, -KEYS % CLASSES)), wrong, away)
        heard = batch._replace(x12=line[HISTORY:], history=line[:HISTORY], durations=durations,
                               position=torch.where(kept[:, 0] > 0, batch.position, 0))
        return heard, self._held(heard, shift) * told, shift

    def _mistakes(self, line: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which classes of ``line`` ``(time, batch, pitch_class)`` training makes wrong, and how far ``(…, 1)``: single
        ones, and all of a stretch, which begins some steps into the fragment."""
        u = uniforms(rng, *line.shape[:2], CLASSES + 1, device=line.device)
        half = uniforms(rng, line.shape[1], device=line.device) < 0.5
        wrong = (u[..., :CLASSES] < self.mistakes * half[:, None]).to(line.dtype)
        away = (1 + (CLASSES - 1) * u[..., CLASSES:]).long()
        where, (least, most) = uniforms(rng, 4, line.shape[1], device=line.device), STRETCH
        first = HISTORY + least + (len(line) - HISTORY) * where[1]
        time = torch.arange(len(line), device=line.device)[:, None]
        stretch = (time >= first) & (time < first + least + (most - least) * where[2]) & (where[0] < self.astray)
        shift = (1 + (CLASSES - 1) * where[3]).long()
        return (torch.where(stretch[..., None], 1.0, wrong),
                torch.where(stretch, shift, away[..., 0])[..., None])

    def _nats(self, batch: Batch, held: Tensor, target: Tensor | None = None, drop: Drop = KEEP) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``, or of a ``target`` in their place.

        ``held`` ``(time - 1, batch, 25)``; ``target`` ``(time - 1, batch, pitch_class)``.
        """
        (ticks, memory), target = self._before(batch), batch.x12[1:] if target is None else target
        with self.lowered(batch.x12.device):
            given, *_ = self(batch.x12[:-1], ticks, memory, held, drop=drop)
            logits = self.chain(given, target)
        return -functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=-1)

    def _before(self, batch: Batch) -> tuple[Tensor, Memory]:
        """Clock of every step that predicts one, and the memory before the fragment."""
        known = batch.position + torch.arange(-HISTORY, 0, device=batch.position.device)[:, None] >= 0
        memory, *_ = remember(blank(batch.x12), batch.history, known[..., None].to(batch.x12.dtype))
        time = torch.arange(len(batch.x12) - 1, device=batch.position.device)[:, None]
        return piece_clock(batch.position + time, batch.x12), memory

    def _held(self, batch: Batch, shift: Tensor | None = None) -> Tensor:
        """What every step that predicts one leaves held, its classes rolled by ``shift`` ``(batch,)``:
        ``(time - 1, batch, 25)``, zeros where the batch does not tell."""
        if not len(batch.durations):
            return batch.x12.new_zeros(*batch.x12[1:].shape[:2], HELD)
        held = still_held(left_of(batch.durations)[HISTORY:-1])
        if shift is None:
            return held
        classes = [rolled(part, shift) for part in held[..., :-1].split(CLASSES, dim=-1)]
        return torch.cat([*classes, held[..., -1:]], dim=-1)

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`."""
        memory = blank(first)
        if past is not None:
            known = (torch.arange(position - len(past), position) >= 0).to(first.dtype)
            memory, *_ = remember(memory, past, known[:, None, None].expand(-1, len(first), -1))
        memory = Memory(*(part.numpy() for part in memory))
        return State(first.numpy(), position, memory, np.zeros((len(first), HELD)))

    def told(self, state: State, left: Tensor) -> State:
        """See :meth:`octavoice.model.Network.told`."""
        return state._replace(held=still_held(left.numpy()))

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`."""
        ticks = piece_clock(np.full((1, len(state.x)), state.position), state.x)
        chain, attention, memory, lower, upper = self(
            state.x[None], ticks, state.memory, state.held[None], state.lower, state.upper)
        x, p = self._draw(tuple(part[0] for part in chain), draws, heard)
        after = State(x, state.position + 1, memory, np.zeros_like(state.held), lower, upper)
        return Step(after, torch.from_numpy(x), {"attention": attention[0], "sounds": torch.from_numpy(p)})

    def _draw(self, given: tuple[Tensor, Tensor], draws: Tensor,
              heard: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """The twelve decisions in turn, and the probability of "sounds" that each was made with."""
        hidden, direct, weight = (part.numpy() for part in (*given, self.weight))
        adds = np.stack([self.silent.numpy(), self.sounds.numpy()], axis=1)
        values, probabilities = np.empty_like(direct), np.empty_like(direct)
        hidden, draws = hidden.copy(), draws.numpy()
        for p in range(CLASSES):
            probability = expit((np.maximum(hidden, 0) @ weight[p] + direct[:, p]) / self.temperature)
            struck = draws[:, p] < probability if heard is None else heard[:, p].numpy() > 0.5
            values[:, p], probabilities[:, p] = struck, probability
            hidden += adds[p, struck.view(np.int8)]
        return values, probabilities
