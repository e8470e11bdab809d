"""Stage three: for how many steps each struck key is held (the thesis has no such stage: §2.2 ends every note at the
next onset).

    q_{t,k} = what is struck, what still sounds and how long, and what was held lately, seen from key k
    p(d_t | x_{≤t}, d_{<t}) = Π_{k struck} p(d_t[k] | q_{t,k}, durations of the lower keys of step t)

A duration is 1 to 32 steps by a distribution of its own, or longer: from there on each further step ends the note
with one probability, so all durations together sum to one. One small net serves all 88 keys; beside it a recurrent
net remembers the texture.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.beyond.classes import (
    HIDDEN_PAST,
    Array,
    library,
    like,
    octaves,
    padded,
    piece_clock,
    size,
    toward,
    window,
)
from octavoice.beyond.keys import pick
from octavoice.model import DURATIONS, HISTORY, Batch, Network, Step, precise, uniforms
from octavoice.music.durations import LONGEST
from octavoice.music.roll import CLOCK_BITS, KEYS, STEPS_PER_BAR
from octavoice.representations.steps import DURATIONS as TOLD

SINGLE = 32
"""Durations up to this many steps have a probability each."""
AROUND = 24
"""Semitones on either side that a key sees."""
WINDOW = 2 * AROUND + 1
CHORDS = 2
"""Newest struck steps whose durations are remembered whole."""
AGES = np.array([1, 2, 4, 8, 16, 32])
"""How long ago each of them was is told as which of these, in steps, it exceeds."""
LAGS = np.array([1, 2]) * STEPS_PER_BAR
"""Steps before whose durations are read: one bar, two bars."""
BANDS = ((0, 31), (31, 51), (51, KEYS))
"""Low, middle and high keys, whose durations are averaged apart: below E3, from there to B4, above."""
RATES = (1 / 8, 1 / 32)
MEAN_RATES = np.array([rate for rate in RATES for _ in range(2 * len(BANDS))])
VIEWS = 3 + CHORDS + len(LAGS)
OCTAVES = -(-KEYS // 12)
GENERAL = CLOCK_BITS + CHORDS * len(AGES) + 2 * len(BANDS) * len(RATES) + OCTAVES + 3
SUMMARY = CLOCK_BITS + 3 * len(BANDS) + 12


class Memory(NamedTuple):
    """What is kept of the notes so far, durations as :func:`size` tells them.

    ``recent`` ``(32, batch, key)``: the newest steps, oldest first; ``chords`` ``(batch, 2, key)``: the newest struck
    steps, newest first, and ``ages`` ``(batch, 2)``: how many steps ago; ``latest`` ``(batch, key)``: each key's last
    note; ``left`` ``(batch, key)``: steps for which it still sounds; ``means`` ``(batch, 12)``: running means, over
    each band, of how many notes begin and of their sizes.
    """

    recent: Array
    chords: Array
    ages: Array
    latest: Array
    left: Array
    means: Array


class State(NamedTuple):
    """The number of the newest step heard, the memory after it, of arrays between steps, and the recurrent state."""

    position: int
    memory: Memory
    texture: Tensor


def blank(x: Tensor) -> Memory:
    """The memory before a piece, of the dtype and batch size of ``x`` ``(…, batch, key)``."""
    batch = x.shape[-2]
    return Memory(x.new_zeros(LAGS[-1], batch, KEYS), x.new_zeros(batch, CHORDS, KEYS),
                  x.new_full((batch, CHORDS), HISTORY), x.new_zeros(batch, KEYS), x.new_zeros(batch, KEYS),
                  x.new_zeros(batch, 2 * len(BANDS) * len(RATES)))


def banded(x: Array) -> Array:
    """Sums over the three bands of keys: ``(…, key)`` to ``(…, band)``."""
    if isinstance(x, np.ndarray):
        return np.add.reduceat(x, [low for low, _ in BANDS], axis=-1)
    return torch.stack([x[..., low:high].sum(dim=-1) for low, high in BANDS], dim=-1)


def hear(memory: Memory, steps: Array, sizes: Array, now: Array) -> Memory:
    """Take in one step: durations ``steps`` ``(batch, key)``, their ``sizes``, and ``now`` ``(batch, 6)``, how many
    notes begin in each band and the sum of their sizes.

    ``recent`` is left as it is: who hears many steps moves it once.
    """
    xp, begun, rate = library(steps), steps > 0, like(MEAN_RATES, steps)
    struck = begun.any(axis=-1)[:, None]
    chords = xp.where(struck[..., None], xp.concatenate([sizes[:, None], memory.chords[:, :-1]], axis=1), memory.chords)
    ages = xp.where(struck, padded(memory.ages[:, :-1], 1, 0), memory.ages)
    return memory._replace(chords=chords, ages=(ages + 1).clip(max=HISTORY),
                           latest=xp.where(begun, sizes, memory.latest),
                           left=(xp.where(begun, steps, memory.left) - 1).clip(0),
                           means=toward(memory.means, xp.concatenate([now] * len(RATES), axis=-1), rate))


def remember(memory: Memory, steps: Array, sizes: Array, now: Array) -> list[Memory]:
    """Take in durations ``steps`` ``(time, batch, key)``: the memory after each step, ``recent`` up to date in the
    last only. ``sizes`` and ``now`` as for :func:`hear`, of every step."""
    series = []
    for step in zip(steps, sizes, now, strict=True):
        memory = hear(memory, *step)
        series.append(memory)
    return [*series[:-1], memory._replace(recent=library(steps).concatenate([memory.recent, sizes])[-LAGS[-1]:])]


def around(x: Array, key: Array) -> Array:
    """What lies within two octaves of a key: ``(row, view, key)`` to ``(row, view, 49)``, the key in the middle."""
    return window(padded(x, AROUND, AROUND), key, WINDOW)


class DurationChain(Network):
    """A net over what is remembered, applied to each struck key from low to high. ``(durations given keys, exact)``

    A note that outlasts the batch counts as longer than what is left of it, as for one who hears no more; with
    ``whole`` its duration counts, though it ends beyond.
    """

    space, draw_size, representation = DURATIONS, KEYS, TOLD
    whole = False

    def __init__(self, hidden: int = 72, texture: int = 48):
        super().__init__()
        self.texture = nn.GRU(SUMMARY, texture)
        self.views = nn.Linear(VIEWS * WINDOW + GENERAL + texture, hidden)
        self.lower = nn.Linear(WINDOW, hidden, bias=False)
        self.hidden = nn.Linear(hidden, hidden)
        self.lasting = nn.Linear(hidden, SINGLE + 2)

    def look(self, views: Array, general: Array, x: Array, key: Array) -> Tensor:
        """What is remembered and struck, seen from a key: ``(row, hidden)``.

        ``views`` ``(row, 7, key)``, the last of them what is struck; ``general`` ``(row, 78)``, texture included; ``x``
        ``(row, key)`` what is struck.
        """
        xp, row = library(x), np.arange(len(x))
        below = x.cumsum(axis=-1)[row, key][:, None] - 1
        above = x.sum(axis=-1)[:, None] - below - 1
        own = like(np.eye(OCTAVES), x)[key // 12]
        told = [around(views, key).reshape(len(x), -1), general, own, below == 0, above == 0, (below + above) / 8]
        return self.views(torch.as_tensor(xp.concatenate(told, axis=-1)))

    def logits(self, seen: Tensor, lower: Array) -> Tensor:
        """``(row, 34)``: scores of 1 … 32 steps and of longer, and the logit of ending at each step after.

        ``lower`` ``(row, 49)`` are the sizes of the step's notes below a key, :func:`around` it.
        """
        hidden = torch.relu(seen + self.lower(torch.as_tensor(lower)))
        return precise(self.lasting(hidden + torch.relu(self.hidden(hidden))))

    def log_likelihood(self, batch: Batch, rng: torch.Generator | None = None) -> Tensor:
        """Exact; no draw is needed. The keys are those that are struck. ``(time - 1, batch)``."""
        steps = batch.durations[HISTORY + 1:]
        time, piece, key = torch.nonzero((steps > 0) & (batch.weight > 0)[..., None], as_tuple=True)
        views, general = self._sequence(batch)
        struck, sizes = (steps > 0).to(steps.dtype)[time, piece], size(steps)[time, piece]
        below = sizes * (torch.arange(KEYS, device=key.device) < key[:, None])
        with self.lowered(steps.device):
            rows = torch.cat([views[time, piece], struck[:, None]], dim=1)
            logits = self.logits(self.look(rows, general[time, piece], struck, key), around(below[:, None], key)[:, 0])
        seen = torch.full_like(key, LONGEST + 1) if self.whole else len(steps) - time
        nats = nats_of(logits, steps[time, piece, key], seen)
        return nats.new_zeros(steps.shape).index_put((time, piece, key), nats).sum(dim=-1)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, some fragments without a past, like a short prime."""
        kept = (uniforms(rng, batch.x.shape[1], device=batch.x.device) >= HIDDEN_PAST).to(batch.x.dtype)
        position = torch.where(kept > 0, batch.position, torch.zeros_like(batch.position))
        durations = torch.cat([batch.durations[:HISTORY] * kept[:, None], batch.durations[HISTORY:]])
        return -self.log_likelihood(batch._replace(durations=durations, position=position))

    def _sequence(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Views ``(time - 1, batch, 6, key)`` and general facts for every predicted step of a batch."""
        past, steps = batch.durations[:HISTORY], batch.durations[HISTORY:-1]
        with self.lowered(steps.device):
            before, _, _ = self._hear(self._new(past, batch.position - HISTORY), past)
            _, series, texture = self._hear(before, steps)
        line = size(torch.cat([past[-LAGS[-1]:], steps]))
        lagged = torch.stack([line[LAGS[-1] + 1 - h:][:len(steps)] for h in LAGS], dim=2)
        memories = Memory(lagged, *(torch.stack(field) for field in list(zip(*series, strict=True))[1:]))
        time = torch.arange(1, len(batch.x), device=steps.device)[:, None]
        views, general = self._facts(memories, piece_clock(batch.position + time, steps))
        return views, torch.cat([general, precise(texture)], dim=-1)

    def _new(self, like: Tensor, position: Tensor | int) -> State:
        """The state before anything was heard, the next step's number being ``position``."""
        return State(position - 1, blank(like), like.new_zeros(1, like.shape[-2], self.texture.hidden_size))

    def _hear(self, state: State, steps: Array) -> tuple[State, list[Memory], Tensor]:
        """Take in durations ``steps`` ``(time, batch, key)``: the state after them, and after each the memory and the
        texture ``(time, batch, 48)``."""
        xp, sizes = library(steps), size(steps)
        begun = xp.asarray(steps > 0, dtype=steps.dtype)
        now = xp.concatenate([banded(begun), banded(sizes)], axis=-1)
        series = remember(state.memory, steps, sizes, now)
        left = xp.stack([state.memory.left, *(memory.left for memory in series[:-1])])
        sounding = xp.asarray(left > 0, dtype=steps.dtype)
        time = xp.arange(1, len(steps) + 1, device=steps.device)[:, None] + xp.zeros_like(steps[..., 0], dtype=int)
        ticks = piece_clock(state.position + time, steps)
        classes = xp.amax(octaves(begun), axis=-2)
        told = torch.as_tensor(xp.concatenate([ticks, classes, now, banded(sounding)], axis=-1))
        textures, last = self.texture(told, state.texture.to(told.dtype))
        return State(state.position + len(steps), series[-1], last), series, textures

    @staticmethod
    def _facts(memory: Memory, ticks: Array) -> tuple[Array, Array]:
        """Views and general facts from memories ``(…, batch, …)`` whose ``recent`` holds the lagged steps alone."""
        xp, ages = library(ticks), memory.ages
        latest = xp.stack([memory.latest, size(memory.left)], axis=-2)
        ages = xp.asarray(ages[..., None] > like(AGES, ages), dtype=ages.dtype).reshape(*ages.shape[:-1], -1)
        return (xp.concatenate([memory.chords, latest, memory.recent], axis=-2),
                xp.concatenate([ticks, ages, memory.means], axis=-1))

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`; ``first`` and ``past`` are durations."""
        past = first.new_zeros(HISTORY, *first.shape) if past is None else past
        state, *_ = self._hear(self._new(past, position - HISTORY), torch.cat([past, first[None]]))
        return state._replace(memory=Memory(*(part.numpy() for part in state.memory)))

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; ``given`` ``(batch, key)`` are the step's keys."""
        steps = heard.numpy() if heard is not None else self._draw(state, draws.numpy(), given.numpy())
        return Step(self._hear(state, steps[None])[0], torch.from_numpy(steps), {})

    def _draw(self, state: State, draws: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Durations of the struck keys, the lowest of all pieces at once, then the next."""
        piece, key = np.nonzero(given)
        if not len(key):
            return np.zeros_like(given)
        return self._in_turn(self.look(*self._now(state, given, piece), key), draws, given)

    def _in_turn(self, seen: np.ndarray, draws: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Durations ``(row, key)`` of the struck keys from low to high, of what :meth:`look` saw of each."""
        steps, sizes = np.zeros_like(given), padded(np.zeros_like(given), AROUND, AROUND)
        piece, key = np.nonzero(given)
        rank = given.cumsum(axis=-1)[piece, key]
        for r in range(1, int(rank.max()) + 1):
            rows = np.flatnonzero(rank == r)
            here, own = piece[rows], key[rows]
            logits = self.logits(seen[rows], sizes[here[:, None], own[:, None] + np.arange(WINDOW)]) / self.temperature
            steps[here, own] = lasted = lasting(logits, draws[here, own])
            sizes[here, own + AROUND] = size(lasted)
        return steps

    def _now(self, state: State, given: np.ndarray, piece: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What :meth:`look` wants for some notes of some pieces in the step after a state."""
        lagged = state.memory.recent[-LAGS].swapaxes(0, 1)
        ticks = piece_clock(np.full(len(given), state.position + 1), given)
        views, general = self._facts(state.memory._replace(recent=lagged), ticks)
        views = np.concatenate([views, given[:, None]], axis=1)
        return views[piece], np.concatenate([general, state.texture[0].numpy()], axis=-1)[piece], given[piece]


def nats_of(logits: Tensor, steps: Tensor, seen: Tensor) -> Tensor:
    """log p of durations ``steps`` ``(row,)`` given ``logits`` ``(row, 34)``.

    Where a duration is longer than ``seen`` ``(row,)``, the log-probability that it is.
    """
    log_p, going = torch.log_softmax(logits[:, :-1], dim=-1), functional.logsigmoid(-logits[:, -1])
    ending, steps = functional.logsigmoid(logits[:, -1]), steps.long()
    beyond = (torch.minimum(steps, seen + 1) - SINGLE - 1).clamp_min(0) * going + log_p[:, -1]
    single = log_p.gather(-1, (steps - 1).clamp(0, SINGLE)[:, None])[:, 0]
    known = torch.where(steps > SINGLE, beyond + ending, single)
    longer = torch.arange(SINGLE + 1, device=steps.device) >= seen.clamp_max(SINGLE)[:, None]
    survived = torch.logsumexp(torch.where(longer, log_p, -torch.inf), dim=-1)
    return torch.where(steps <= seen, known, torch.where(seen < SINGLE, survived, beyond))


def lasting(logits: Tensor, uniforms: np.ndarray) -> np.ndarray:
    """Draw durations ``(row,)`` by inversion of ``uniforms`` ``(row,)``; see :func:`nats_of`."""
    chosen = pick(logits[:, :-1], uniforms)
    longer = np.flatnonzero(chosen == SINGLE)
    if len(longer):
        p = torch.softmax(logits[longer, :-1], dim=-1)[:, -1].numpy()
        rest = ((uniforms[longer] - (1 - p)) / p).clip(0, 1 - 1e-12)
        more = np.floor(np.log1p(-rest) / functional.logsigmoid(-logits[longer, -1]).numpy())
        chosen[longer] += np.minimum(more, LONGEST).astype(int)
    return np.minimum(chosen, LONGEST - 1) + 1
