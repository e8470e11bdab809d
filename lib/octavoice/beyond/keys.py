"""Stage two: keys given classes, exactly, each class's octaves in turn (the thesis's decoder carried on; §6.2).

    q_{t,p} = what is remembered of the keys, and what is still held if that is told, seen from class p: the keyboard
              moved so that p comes first
    p(x_{t+1} | x'_{t+1}, x_{≤t}) = Π_{p sounds} p(octaves of p | q_{t,p}, x'_{t+1}, octaves of the classes before p)

Octaves of a class are any of its 255 patterns but the empty one (127 where it has seven keys): a class that sounds
gets a key for certain, and none is forced at the end of the keyboard. One small net serves all twelve classes. As of
stage one, there is a likelihood of onsets alone and one given how long earlier notes are held.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from octavoice.beyond.classes import (
    AGO,
    HIDDEN_PAST,
    UNTOLD,
    Array,
    Hearing,
    library,
    like,
    octaves,
    padded,
    piece_clock,
    size,
    toward,
    window,
)
from octavoice.model import GIVEN, HISTORY, KEEP, Batch, Drop, Step, dropper, precise, uniforms
from octavoice.music.roll import CLASSES, CLOCK_BITS, KEYS
from octavoice.representations.tensors import left_of
from octavoice.thesis.attention import PERIODS

OCTAVES = -(-KEYS // CLASSES)
PATTERNS = 2**OCTAVES - 1
SPAN = KEYS + 2 * CLASSES - 4
"""Keys of the moved keyboard: from an octave below the lowest key to an octave above the highest."""
CHORDS = 4
"""Newest struck steps that are remembered whole."""
AGES = np.array([1, 2, 4, 8, 16, 32])
"""How long ago each of them was is told as which of these, in steps, it exceeds."""
RATES = (1 / 8, 1 / 32)
MATCH_RATE = 1 / 8
LAGS = np.array([16, 32, 64, 128])
"""Steps before the one that is predicted whose keys are read: one, two, four, eight bars."""
VIEWS = CHORDS + 1 + len(RATES) + len(LAGS) + 1
GENERAL = 2 * CLASSES + CHORDS * len(AGES) + CLOCK_BITS + len(PERIODS) + 1
MEAN_RATES = np.array([r for r in RATES for _ in range(KEYS)] + [MATCH_RATE] * 2 * len(PERIODS))
MEANS = len(MEAN_RATES)
SPREAD = np.array(RATES)[:, None] ** 0.5
STRUCK = (np.arange(1, PATTERNS + 1)[:, None] >> np.arange(OCTAVES)) & 1
"""Which octaves are struck in every pattern ``(255, 8)``."""


class Memory(NamedTuple):
    """What is kept of the keys so far.

    ``past`` ``(128, batch, key)``, uint8: the newest steps, oldest first; ``chords`` ``(batch, 4, key)``: the newest
    struck steps, newest first, and ``ages`` ``(batch, 4)``: how many steps ago; ``octaves`` ``(batch, key)``: the keys
    with which each class sounded last; ``means`` ``(batch, 192)``: running means of keys and of repetition.
    """

    past: Array
    chords: Array
    ages: Array
    octaves: Array
    means: Array


class State(NamedTuple):
    """The number of the newest step heard, the memory after it, and what it leaves held (see :func:`still_held`): both
    of arrays."""

    position: int
    memory: Memory
    held: np.ndarray


def blank(x: Tensor) -> Memory:
    """The memory before a piece, of the dtype and batch size of ``x`` ``(…, batch, key)``."""
    batch = x.shape[-2]
    return Memory(x.new_zeros(HISTORY, batch, KEYS, dtype=torch.uint8), x.new_zeros(batch, CHORDS, KEYS),
                  x.new_full((batch, CHORDS), HISTORY), x.new_zeros(batch, KEYS), x.new_zeros(batch, MEANS))


def hear(memory: Memory, x: Array, before: Array, rate: Array) -> Memory:
    """Take in one step ``x`` ``(batch, key)``; ``before`` ``(batch, period, key)`` are the steps h before it.

    ``past`` is left as it is: who hears many steps moves it once.
    """
    xp, struck = library(x), x.any(axis=-1)[:, None]
    chords = xp.where(struck[..., None], xp.concatenate([x[:, None], memory.chords[:, :-1]], axis=1), memory.chords)
    ages = xp.where(struck, padded(memory.ages[:, :-1], 1, 0), memory.ages)
    sounding = octaves(x).any(axis=-2)[..., np.arange(KEYS) % CLASSES]
    both = (x[:, None] * before).sum(axis=-1)
    either = x.sum(axis=-1)[:, None] + before.sum(axis=-1) - both
    means = toward(memory.means, xp.concatenate([*[x] * len(RATES), both, either], axis=-1), rate)
    return memory._replace(chords=chords, ages=(ages + 1).clip(max=HISTORY),
                           octaves=xp.where(sounding, x, memory.octaves), means=means)


def remember(memory: Memory, x: Array) -> list[Memory]:
    """Take in ``x`` ``(time, batch, key)``: the memory after each step, ``past`` up to date in the last only."""
    xp, series, rate = library(x), [], like(MEAN_RATES, x)
    line = xp.concatenate([memory.past, xp.asarray(x, dtype=xp.uint8)])
    for t, step in enumerate(x):
        memory = hear(memory, step, line[HISTORY + t - AGO].swapaxes(0, 1), rate)
        series.append(memory)
    return [*series[:-1], memory._replace(past=line[-HISTORY:])]


def moved(x: Array, pitch_class: Array) -> Array:
    """Keyboards seen from a class: ``(row, view, key)`` to ``(row, view, 108)``; place 12 is the class's lowest key."""
    return window(padded(x, CLASSES, SPAN - KEYS), pitch_class, SPAN)


def still_held(left: Array) -> Array:
    """What a step leaves of ``left`` ``(…, key)``, the steps for which each key sounds from it on: sizes, and a 1 for
    told, ``(…, 89)``."""
    xp = library(left)
    return xp.concatenate([size(left - 1), xp.ones_like(left[..., :1])], axis=-1)


def rolled(x12: Array, pitch_class: Array) -> Array:
    """Classes seen from one of them: ``(row, pitch_class)``, place 0 is the class itself."""
    xp = library(x12)
    return window(xp.concatenate([x12, x12], axis=-1)[:, None], pitch_class, CLASSES)[:, 0]


def pattern_of(x: Tensor, pitch_class: Tensor) -> Tensor:
    """Which octaves of a class are struck, ``(row, key)`` to ``(row,)``: octave o counts 2^o, less one."""
    struck = octaves(x).gather(-1, pitch_class[:, None, None].expand(-1, OCTAVES, 1))[..., 0]
    return (struck.long() << torch.arange(OCTAVES, device=x.device)).sum(dim=-1) - 1


class KeyChain(Hearing):
    """A net over what is remembered, applied to each class that sounds. ``(keys given classes, exact)``"""

    space, draw_size = GIVEN, CLASSES

    def __init__(self, hidden: int = 192):
        super().__init__()
        self.views = nn.Linear(VIEWS * SPAN + GENERAL, hidden)
        self.decided = nn.Linear(SPAN + CLASSES, hidden, bias=False)
        self.hidden = nn.Linear(hidden, hidden)
        self.patterns = nn.Linear(hidden, PATTERNS)
        lacking = STRUCK[:, -1] > (np.arange(CLASSES) < KEYS % CLASSES)[:, None]
        self.register_buffer("lacking", torch.where(torch.from_numpy(lacking), -torch.inf, 0.0), persistent=False)

    def logits(self, seen: Tensor, pitch_class: Tensor | int, decided: Tensor, drop: Drop = KEEP) -> Tensor:
        """``(row, 255)`` logits of a class's patterns; ``seen`` and ``decided`` as their layers gave them."""
        hidden = drop(torch.relu(seen + decided))
        hidden = hidden + drop(torch.relu(self.hidden(hidden)))
        scores = precise(self.patterns(hidden))
        return scores + self.lacking[pitch_class].to(scores.dtype)

    def look(self, views: Array, general: Array, x12: Array, pitch_class: Array) -> Tensor:
        """What is remembered and asked for, seen from a class: ``(row, hidden)``.

        ``views`` ``(row, 12, key)``, ``general`` ``(row, 39)``, ``x12`` ``(row, pitch_class)`` the step's classes.
        """
        views, own = moved(views, pitch_class), like(np.eye(CLASSES), views)[pitch_class]
        told = [views.reshape(len(views), -1), rolled(x12, pitch_class), general, own]
        return self.views(torch.as_tensor(library(x12).concatenate(told, axis=-1)))

    def settled(self, x: Tensor, x12: Tensor, pitch_class: Tensor) -> Tensor:
        """What the classes before this one got: ``x`` ``(row, key)`` so far, ``x12`` those of them that sound."""
        return self.decided(torch.cat([moved(x[:, None], pitch_class)[:, 0], rolled(x12, pitch_class)], dim=-1))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, some fragments without a past, like a short prime, some without durations."""
        u = uniforms(rng, 2, batch.x.shape[1], device=batch.x.device)
        kept, told = ((u[i] >= share).to(batch.x.dtype)[:, None] for i, share in ((0, HIDDEN_PAST), (1, UNTOLD)))
        durations = torch.cat([batch.durations[:HISTORY] * kept, batch.durations[HISTORY:]])
        batch = batch._replace(past=batch.past * kept, position=torch.where(kept[:, 0] > 0, batch.position, 0),
                               durations=durations)
        return -self._nats(batch, self._held(batch) * told, dropper(self.dropout, rng))

    @staticmethod
    def _held(batch: Batch) -> Tensor:
        """What every step that predicts one leaves held ``(time - 1, batch, 89)``; zeros if the batch does not tell."""
        if not len(batch.durations):
            return batch.x.new_zeros(*batch.x[1:].shape[:2], KEYS + 1)
        return still_held(left_of(batch.durations)[HISTORY:-1])

    def _nats(self, batch: Batch, held: Tensor, drop: Drop = KEEP) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``; the classes are those of the keys. ``held``
        ``(time - 1, batch, 89)``."""
        x12 = octaves(batch.x).amax(dim=-2)
        time, piece, p = torch.nonzero((x12[1:] > 0) & (batch.weight > 0)[..., None], as_tuple=True)
        views, general = self._sequence(batch, held)
        x, asked = batch.x[1:][time, piece], x12[1:][time, piece]
        earlier = (torch.arange(CLASSES, device=p.device) < p[:, None]).to(x.dtype)
        with self.lowered(batch.x.device):
            seen = self.look(views[time, piece], general[time, piece], asked, p)
            decided = self.settled(x * earlier.tile(OCTAVES)[:, :KEYS], asked * earlier, p)
            logits = self.logits(seen, p, decided, drop)
        nats = torch.log_softmax(logits, dim=-1).gather(-1, pattern_of(x, p)[:, None])[:, 0]
        return nats.new_zeros(x12[1:].shape).index_put((time, piece, p), nats).sum(dim=-1)

    @torch.no_grad()
    def _sequence(self, batch: Batch, held: Tensor) -> tuple[Tensor, Tensor]:
        """Views ``(time - 1, batch, 12, key)`` and general facts for every predicted step of a batch."""
        before = remember(blank(batch.x), batch.past)[-1]
        series = remember(before, batch.x[:-1])
        line = torch.cat([batch.past, batch.x[:-1]])
        lagged = torch.stack([line[HISTORY + 1 - h:][:len(series)] for h in LAGS], dim=2)
        memories = Memory(lagged, *(torch.stack(field) for field in list(zip(*series, strict=True))[1:]))
        time = torch.arange(1, len(batch.x), device=batch.x.device)[:, None]
        return self._facts(memories, piece_clock(batch.position + time, batch.x), held)

    def _facts(self, memory: Memory, ticks: Array, held: Array) -> tuple[Array, Array]:
        """Views and general facts from memories ``(…, batch, …)`` whose ``past`` holds the lagged steps alone."""
        xp, means, ages, ends = library(held), memory.means, memory.ages, len(RATES) * KEYS + len(PERIODS)
        activity = means[..., :len(RATES) * KEYS].reshape(*means.shape[:-1], len(RATES), KEYS) / like(SPREAD, means)
        both, either = means[..., len(RATES) * KEYS:ends], means[..., ends:]
        views = xp.concatenate([memory.chords, memory.octaves[..., None, :], activity, memory.past,
                                held[..., None, :-1]], axis=-2)
        ages = xp.asarray(ages[..., None] > like(AGES, ages), dtype=held.dtype).reshape(*ages.shape[:-1], -1)
        match = (both / MATCH_RATE + 0.1) / (either / MATCH_RATE + 0.5)
        return views, xp.concatenate([ages, ticks, match, held[..., -1:]], axis=-1)

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`."""
        memory = blank(first) if past is None else remember(blank(first), past)[-1]
        memory = Memory(*(part.numpy() for part in remember(memory, first[None])[-1]))
        return State(position, memory, np.zeros((len(first), KEYS + 1)))

    def told(self, state: State, left: Tensor) -> State:
        """See :meth:`octavoice.model.Network.told`."""
        return state._replace(held=still_held(left.numpy()))

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; ``given`` are the step's classes."""
        keys = heard.numpy() if heard is not None else self._draw(state, draws.numpy(), given.numpy())
        memory = remember(state.memory, keys[None])[-1]
        return Step(State(state.position + 1, memory, np.zeros_like(state.held)), torch.from_numpy(keys), {})

    def _draw(self, state: State, draws: np.ndarray, given: np.ndarray) -> np.ndarray:
        """The classes that sound get their octaves in turn, those of one class in all pieces at once."""
        sounding, piece = np.nonzero(given.T)
        return self._in_turn(self._seen(state, given, piece, sounding) if len(piece) else None, draws, given)

    def _in_turn(self, seen: np.ndarray | None, draws: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Keys ``(row, key)``: the classes that sound get their octaves in turn, of what was ``seen`` of each."""
        keys, classes = padded(np.zeros((len(given), KEYS)), CLASSES, SPAN - KEYS), padded(given, CLASSES, 0)
        sounding, piece = np.nonzero(given.T)
        for p in np.unique(sounding):
            rows = slice(*np.searchsorted(sounding, (p, p + 1)))
            here = piece[rows]
            logits = self._logits(seen[rows], keys[here], classes[here], p) / self.temperature
            keys[here, CLASSES + p:CLASSES * (OCTAVES + 1):CLASSES] = STRUCK[pick(logits, draws[here, p])]
        return keys[:, CLASSES:CLASSES + KEYS]

    def scores(self, state: State, given: Tensor, x: Tensor, pitch_class: int) -> Tensor:
        """Logits of one class's patterns ``(batch, 255)`` in the next step, the classes before it struck as in ``x``.

        ``given`` ``(batch, pitch_class)``, of which ``pitch_class`` sounds; ``x`` ``(batch, key)``.
        """
        given, earlier = given.numpy(), np.arange(KEYS) % CLASSES < pitch_class
        seen = self._seen(state, given, np.arange(len(given)), np.full(len(given), pitch_class))
        keys = padded(x.numpy() * earlier, CLASSES, SPAN - KEYS)
        return self._logits(seen, keys, padded(given, CLASSES, 0), pitch_class)

    def _seen(self, state: State, given: np.ndarray, piece: np.ndarray, pitch_class: np.ndarray) -> Tensor:
        """:meth:`look` for some classes of some pieces in the step after a state."""
        lagged = state.memory.past[HISTORY - LAGS].swapaxes(0, 1)
        ticks = piece_clock(np.full(len(given), state.position + 1), given)
        views, general = self._facts(state.memory._replace(past=lagged), ticks, state.held)
        return self.look(views[piece], general[piece], given[piece], pitch_class)

    def _logits(self, seen: Tensor, keys: np.ndarray, classes: np.ndarray, p: int) -> Tensor:
        """:meth:`logits` of class ``p`` in some pieces, and :meth:`settled`: what the ``keys`` of classes before hold.

        They are padded as :func:`moved` does ``(row, 120)``, and the step's ``classes`` by an octave ``(row, 24)``, so
        that what a class sees of either is a slice.
        """
        before = np.concatenate([keys[:, p:p + SPAN], classes[:, p:p + CLASSES]], axis=1)
        return self.logits(seen, p, self.decided(torch.from_numpy(before)))


def pick(logits: Tensor, uniforms: np.ndarray) -> np.ndarray:
    """Draw from categorical distributions ``(row, choice)`` by inversion of ``uniforms`` ``(row,)``."""
    mass = torch.softmax(logits, dim=-1).cumsum(dim=-1).numpy()
    return np.minimum((mass <= uniforms[:, None] * mass[:, -1:]).sum(axis=-1), mass.shape[-1] - 1)
