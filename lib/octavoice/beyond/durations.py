"""Stage three: for how many steps each struck key is held (the thesis has no such stage: §2.2 ends every note at the
next onset).

    q_{t,k} = what is struck, what still sounds and how long, and what was held lately, seen from key k
    p(d_t | x_{≤t}, d_{<t}) = Π_{k struck} p(d_t[k] | q_{t,k}, durations of the lower keys of step t)

A duration is 1 to 32 steps by a distribution of its own, or longer: from there on each further step ends the note
with one probability, so all durations together sum to one. One small net serves all 88 keys; beside it a recurrent
net remembers the texture.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.beyond.classes import HIDDEN_PAST, piece_clock, size
from octavoice.beyond.keys import pick
from octavoice.model import DURATIONS, HISTORY, Network, Step, Tensors, precise, uniforms
from octavoice.music.durations import LONGEST
from octavoice.music.roll import CLOCK_BITS, KEYS, STEPS_PER_BAR

SINGLE = 32
"""Durations up to this many steps have a probability each."""
AROUND = 24
"""Semitones on either side that a key sees."""
WINDOW = 2 * AROUND + 1
CHORDS = 2
"""Newest struck steps whose durations are remembered whole."""
AGES = (1, 2, 4, 8, 16, 32)
"""How long ago each of them was is told as which of these, in steps, it exceeds."""
LAGS = (STEPS_PER_BAR, 2 * STEPS_PER_BAR)
"""Steps before whose durations are read: one bar, two bars."""
BANDS = ((0, 31), (31, 51), (51, KEYS))
"""Low, middle and high keys, whose durations are averaged apart: below E3, from there to B4, above."""
RATES = (1 / 8, 1 / 32)
MEAN_RATES = torch.tensor([rate for rate in RATES for _ in range(2 * len(BANDS))], dtype=torch.double)
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

    recent: Tensor
    chords: Tensor
    ages: Tensor
    latest: Tensor
    left: Tensor
    means: Tensor


class State(NamedTuple):
    """The number of the newest step heard, the memory after it and the recurrent state."""

    position: int
    memory: Memory
    texture: Tensor


def blank(x: Tensor) -> Memory:
    """The memory before a piece, of the dtype and batch size of ``x`` ``(…, batch, key)``."""
    batch = x.shape[-2]
    return Memory(x.new_zeros(LAGS[-1], batch, KEYS), x.new_zeros(batch, CHORDS, KEYS),
                  x.new_full((batch, CHORDS), HISTORY), x.new_zeros(batch, KEYS), x.new_zeros(batch, KEYS),
                  x.new_zeros(batch, 2 * len(BANDS) * len(RATES)))


def banded(x: Tensor) -> Tensor:
    """Sums over the three bands of keys: ``(…, key)`` to ``(…, band)``."""
    return torch.stack([x[..., low:high].sum(dim=-1) for low, high in BANDS], dim=-1)


def hear(memory: Memory, steps: Tensor, sizes: Tensor, now: Tensor) -> Memory:
    """Take in one step: durations ``steps`` ``(batch, key)``, their ``sizes``, and ``now`` ``(batch, 6)``, how many
    notes begin in each band and the sum of their sizes.

    ``recent`` is left as it is: who hears many steps moves it once.
    """
    begun = steps > 0
    struck = begun.any(dim=-1)[:, None]
    chords = torch.where(struck[..., None], torch.cat([sizes[:, None], memory.chords[:, :-1]], dim=1), memory.chords)
    ages = torch.where(struck, torch.cat([torch.zeros_like(memory.ages[:, :1]), memory.ages[:, :-1]], dim=1),
                       memory.ages)
    return memory._replace(chords=chords, ages=(ages + 1).clamp_max(HISTORY),
                           latest=torch.where(begun, sizes, memory.latest),
                           left=(torch.where(begun, steps, memory.left) - 1).clamp_min(0),
                           means=torch.lerp(memory.means, now.repeat(1, len(RATES)), MEAN_RATES.to(now)))


def remember(memory: Memory, steps: Tensor) -> list[Memory]:
    """Take in durations ``steps`` ``(time, batch, key)``: the memory after each step, ``recent`` up to date in the
    last only."""
    sizes = size(steps)
    now, series = torch.cat([banded((steps > 0).to(steps.dtype)), banded(sizes)], dim=-1), []
    for t, step in enumerate(steps):
        memory = hear(memory, step, sizes[t], now[t])
        series.append(memory)
    return [*series[:-1], memory._replace(recent=torch.cat([memory.recent, sizes])[-LAGS[-1]:])]


def around(x: Tensor, key: Tensor) -> Tensor:
    """What lies within two octaves of a key: ``(row, view, key)`` to ``(row, view, 49)``, the key in the middle."""
    padded = functional.pad(x, (AROUND, AROUND))
    places = torch.arange(WINDOW, device=x.device) + key[:, None]
    return padded.gather(-1, places[:, None].expand(-1, x.shape[1], -1))


class DurationChain(Network):
    """A net over what is remembered, applied to each struck key from low to high. ``(durations given keys, exact)``

    A note that outlasts the batch counts as longer than what is left of it, as for one who hears no more; with
    ``whole`` its duration counts, though it ends beyond.
    """

    space, draw_size, hears_durations = DURATIONS, KEYS, True
    whole = False

    def __init__(self, hidden: int = 72, texture: int = 48):
        super().__init__()
        self.texture = nn.GRU(SUMMARY, texture)
        self.views = nn.Linear(VIEWS * WINDOW + GENERAL + texture, hidden)
        self.lower = nn.Linear(WINDOW, hidden, bias=False)
        self.hidden = nn.Linear(hidden, hidden)
        self.lasting = nn.Linear(hidden, SINGLE + 2)

    def look(self, views: Tensor, general: Tensor, x: Tensor, key: Tensor) -> Tensor:
        """What is remembered and struck, seen from a key: ``(row, hidden)``.

        ``views`` ``(row, 7, key)``, the last of them what is struck; ``general`` ``(row, 78)``, texture included; ``x``
        ``(row, key)`` what is struck.
        """
        place = torch.arange(KEYS, device=key.device)
        below, above = ((x * side).sum(dim=-1, keepdim=True) for side in (place < key[:, None], place > key[:, None]))
        own = functional.one_hot(key // 12, OCTAVES).to(views.dtype)
        rank = torch.cat([below == 0, above == 0], dim=-1).to(views.dtype)
        return self.views(torch.cat([around(views, key).flatten(1), general, own, rank, (below + above) / 8], dim=-1))

    def logits(self, seen: Tensor, lower: Tensor, key: Tensor) -> Tensor:
        """``(row, 34)``: scores of 1 … 32 steps and of longer, and the logit of ending at each step after.

        ``lower`` ``(row, key)`` are the sizes of the step's notes below the key.
        """
        hidden = torch.relu(seen + self.lower(around(lower[:, None], key)[:, 0]))
        return precise(self.lasting(hidden + torch.relu(self.hidden(hidden))))

    def log_likelihood(self, batch: Tensors, rng: torch.Generator | None = None) -> Tensor:
        """Exact; no draw is needed. The keys are those that are struck. ``(time - 1, batch)``."""
        steps = batch.durations[HISTORY + 1:]
        time, piece, key = torch.nonzero((steps > 0) & (batch.weight > 0)[..., None], as_tuple=True)
        views, general = self._sequence(batch)
        struck, sizes = (steps > 0).to(steps.dtype)[time, piece], size(steps)[time, piece]
        below = sizes * (torch.arange(KEYS, device=key.device) < key[:, None])
        with self.lowered(steps.device):
            rows = torch.cat([views[time, piece], struck[:, None]], dim=1)
            logits = self.logits(self.look(rows, general[time, piece], struck, key), below, key)
        seen = torch.full_like(key, LONGEST + 1) if self.whole else len(steps) - time
        nats = nats_of(logits, steps[time, piece, key], seen)
        return nats.new_zeros(steps.shape).index_put((time, piece, key), nats).sum(dim=-1)

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, some fragments without a past, like a short prime."""
        kept = (uniforms(rng, batch.x.shape[1], device=batch.x.device) >= HIDDEN_PAST).to(batch.x.dtype)
        position = torch.where(kept > 0, batch.position, torch.zeros_like(batch.position))
        durations = torch.cat([batch.durations[:HISTORY] * kept[:, None], batch.durations[HISTORY:]])
        return -self.log_likelihood(batch._replace(durations=durations, position=position))

    def _sequence(self, batch: Tensors) -> tuple[Tensor, Tensor]:
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

    def _hear(self, state: State, steps: Tensor) -> tuple[State, list[Memory], Tensor]:
        """Take in durations ``steps`` ``(time, batch, key)``: the state after them, and after each the memory and the
        texture ``(time, batch, 48)``."""
        series = remember(state.memory, steps)
        left = torch.stack([state.memory.left, *(memory.left for memory in series[:-1])])
        time = torch.arange(1, len(steps) + 1, device=steps.device)[:, None]
        ticks = piece_clock(state.position + time, steps).expand(-1, steps.shape[1], -1)
        textures, last = self.texture(self._told(left, steps, ticks), state.texture.to(steps.dtype))
        return State(state.position + len(steps), series[-1], last), series, textures

    @staticmethod
    def _told(left: Tensor, steps: Tensor, ticks: Tensor) -> Tensor:
        """What the recurrent net hears of each step ``(…, batch, 27)``: what begins and how long, what sounded on."""
        begun = (steps > 0).to(steps.dtype)
        classes = functional.pad(begun, (0, OCTAVES * 12 - KEYS)).unflatten(-1, (OCTAVES, 12)).amax(dim=-2)
        sounding = (left > 0).to(steps.dtype)
        return torch.cat([ticks, classes, banded(begun), banded(size(steps)), banded(sounding)], dim=-1)

    @staticmethod
    def _facts(memory: Memory, ticks: Tensor) -> tuple[Tensor, Tensor]:
        """Views and general facts from memories ``(…, batch, …)`` whose ``recent`` holds the lagged steps alone."""
        views = torch.cat([memory.chords, torch.stack([memory.latest, size(memory.left)], dim=-2), memory.recent], -2)
        ages = (memory.ages[..., None] > memory.ages.new_tensor(AGES)).to(views.dtype).flatten(-2)
        return views, torch.cat([ticks, ages, memory.means], dim=-1)

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`; ``first`` and ``past`` are durations."""
        past = first.new_zeros(HISTORY, *first.shape) if past is None else past
        return self._hear(self._new(past, position - HISTORY), torch.cat([past, first[None]]))[0]

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; ``given`` ``(batch, key)`` are the step's keys."""
        steps = heard if heard is not None else self._draw(state, draws, given)
        return Step(self._hear(state, steps[None])[0], steps, {})

    def _draw(self, state: State, draws: Tensor, given: Tensor) -> Tensor:
        """Durations of the struck keys, the lowest of all pieces at once, then the next."""
        steps = given.new_zeros(given.shape)
        piece, key = torch.nonzero(given > 0, as_tuple=True)
        if not len(key):
            return steps
        seen = self.look(*self._now(state, given, piece), key)
        rank = (given.cumsum(dim=-1)[piece, key] - 1).long()
        for r in range(int(rank.max()) + 1):
            rows = rank == r
            here, own = piece[rows], key[rows]
            logits = self.logits(seen[rows], size(steps)[here], own) / self.temperature
            steps[here, own] = lasting(logits, draws[here, own]).to(steps.dtype)
        return steps

    def _now(self, state: State, given: Tensor, piece: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What :meth:`look` wants for some notes of some pieces in the step after a state."""
        lagged = torch.stack([state.memory.recent[-h] for h in LAGS], dim=1)
        ticks = piece_clock(torch.full((1, 1), state.position + 1), given)[0].expand(len(given), -1)
        views, general = self._facts(state.memory._replace(recent=lagged), ticks)
        views = torch.cat([views, given[:, None]], dim=1)
        return views[piece], torch.cat([general, state.texture[0]], dim=-1)[piece], given[piece]


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


def lasting(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Draw durations ``(row,)`` by inversion of ``uniforms`` ``(row,)``; see :func:`nats_of`."""
    p = torch.softmax(logits[:, :-1], dim=-1)
    chosen = pick(logits[:, :-1], uniforms)
    rest = ((uniforms - (1 - p[:, -1])) / p[:, -1]).clamp(0, 1 - 1e-12)
    more = torch.floor(torch.log1p(-rest) / functional.logsigmoid(-logits[:, -1]))
    return torch.where(chosen == SINGLE, chosen + more.long(), chosen).clamp_max(LONGEST - 1) + 1
