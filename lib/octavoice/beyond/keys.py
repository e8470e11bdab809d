"""Stage two: keys given classes, exactly, each class's octaves in turn (the thesis's decoder carried on; §6.2).

    q_{t,p} = what is remembered of the keys, and what is still held if that is told, seen from class p: the keyboard
              moved so that p comes first
    p(x_{t+1} | x'_{t+1}, x_{≤t}) = Π_{p sounds} p(octaves of p | q_{t,p}, x'_{t+1}, octaves of the classes before p)

Octaves of a class are any of its 255 patterns but the empty one (127 where it has seven keys): a class that sounds
gets a key for certain, and none is forced at the end of the keyboard. One small net serves all twelve classes. As of
stage one, there is a likelihood of onsets alone and one given how long earlier notes are held.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.beyond.classes import DROPOUT, HIDDEN_PAST, UNTOLD, Hearing, left_of, piece_clock, size
from octavoice.model import GIVEN, HISTORY, KEEP, Drop, Step, Tensors, dropper, precise, uniforms
from octavoice.music.roll import CLASSES, CLOCK_BITS, KEYS
from octavoice.thesis.attention import PERIODS

OCTAVES = -(-KEYS // CLASSES)
PATTERNS = 2**OCTAVES - 1
SPAN = KEYS + 2 * CLASSES - 4
"""Keys of the moved keyboard: from an octave below the lowest key to an octave above the highest."""
CHORDS = 4
"""Newest struck steps that are remembered whole."""
AGES = (1, 2, 4, 8, 16, 32)
"""How long ago each of them was is told as which of these, in steps, it exceeds."""
RATES = (1 / 8, 1 / 32)
MATCH_RATE = 1 / 8
LAGS = (16, 32, 64, 128)
"""Steps before the one that is predicted whose keys are read: one, two, four, eight bars."""
VIEWS = CHORDS + 1 + len(RATES) + len(LAGS) + 1
GENERAL = 2 * CLASSES + CHORDS * len(AGES) + CLOCK_BITS + len(PERIODS) + 1
MEAN_RATES = torch.tensor([r for r in RATES for _ in range(KEYS)] + [MATCH_RATE] * 2 * len(PERIODS), dtype=torch.double)
MEANS = len(MEAN_RATES)


class Memory(NamedTuple):
    """What is kept of the keys so far.

    ``past`` ``(128, batch, key)``, uint8: the newest steps, oldest first; ``chords`` ``(batch, 4, key)``: the newest
    struck steps, newest first, and ``ages`` ``(batch, 4)``: how many steps ago; ``octaves`` ``(batch, key)``: the keys
    with which each class sounded last; ``means`` ``(batch, 192)``: running means of keys and of repetition.
    """

    past: Tensor
    chords: Tensor
    ages: Tensor
    octaves: Tensor
    means: Tensor


class State(NamedTuple):
    """The number of the newest step heard, the memory after it, and what it leaves held (see :func:`still_held`)."""

    position: int
    memory: Memory
    held: Tensor


def blank(x: Tensor) -> Memory:
    """The memory before a piece, of the dtype and batch size of ``x`` ``(…, batch, key)``."""
    batch = x.shape[-2]
    return Memory(x.new_zeros(HISTORY, batch, KEYS, dtype=torch.uint8), x.new_zeros(batch, CHORDS, KEYS),
                  x.new_full((batch, CHORDS), HISTORY), x.new_zeros(batch, KEYS), x.new_zeros(batch, MEANS))


def hear(memory: Memory, x: Tensor, before: Tensor, rate: Tensor) -> Memory:
    """Take in one step ``x`` ``(batch, key)``; ``before`` ``(batch, period, key)`` are the steps h before it.

    ``past`` is left as it is: who hears many steps moves it once.
    """
    struck = x.any(dim=-1)[:, None]
    chords = torch.where(struck[..., None], torch.cat([x[:, None], memory.chords[:, :-1]], dim=1), memory.chords)
    ages = torch.where(struck, torch.cat([torch.zeros_like(memory.ages[:, :1]), memory.ages[:, :-1]], dim=1),
                       memory.ages)
    sounding = functional.pad(x, (0, 8)).unflatten(-1, (OCTAVES, CLASSES)).any(dim=-2).tile(OCTAVES)[..., :KEYS]
    both = (x[:, None] * before).sum(dim=-1)
    either = x.sum(dim=-1, keepdim=True) + before.sum(dim=-1) - both
    means = torch.lerp(memory.means, torch.cat([x] * len(RATES) + [both, either], dim=-1), rate)
    return memory._replace(chords=chords, ages=(ages + 1).clamp_max(HISTORY),
                           octaves=torch.where(sounding, x, memory.octaves), means=means)


def remember(memory: Memory, x: Tensor) -> list[Memory]:
    """Take in ``x`` ``(time, batch, key)``: the memory after each step, ``past`` up to date in the last only."""
    line, series, rate = torch.cat([memory.past, x.byte()]), [], MEAN_RATES.to(x)
    for t, step in enumerate(x):
        before = torch.stack([line[HISTORY + t - h] for h in PERIODS], dim=1).to(x)
        memory = hear(memory, step, before, rate)
        series.append(memory)
    return [*series[:-1], memory._replace(past=line[-HISTORY:])]


def moved(x: Tensor, pitch_class: Tensor) -> Tensor:
    """Keyboards seen from a class: ``(row, view, key)`` to ``(row, view, 108)``; place 12 is the class's lowest key."""
    padded = functional.pad(x, (CLASSES, SPAN - KEYS))
    places = torch.arange(SPAN, device=x.device) + pitch_class[:, None]
    return padded.gather(-1, places[:, None].expand(-1, x.shape[1], -1))


def still_held(left: Tensor) -> Tensor:
    """What a step leaves of ``left`` ``(…, key)``, the steps for which each key sounds from it on: sizes, and a 1 for
    told, ``(…, 89)``."""
    return torch.cat([size((left - 1).clamp_min(0)), torch.ones_like(left[..., :1])], dim=-1)


def rolled(x12: Tensor, pitch_class: Tensor) -> Tensor:
    """Classes seen from one of them: ``(row, pitch_class)``, place 0 is the class itself."""
    return x12.gather(-1, (torch.arange(CLASSES, device=x12.device) + pitch_class[:, None]) % CLASSES)


def pattern_of(x: Tensor, pitch_class: Tensor) -> Tensor:
    """Which octaves of a class are struck, ``(row, key)`` to ``(row,)``: octave o counts 2^o, less one."""
    octaves = functional.pad(x, (0, 8)).unflatten(-1, (OCTAVES, CLASSES))
    octaves = octaves.gather(-1, pitch_class[:, None, None].expand(-1, OCTAVES, 1))[..., 0]
    return (octaves.long() << torch.arange(OCTAVES, device=x.device)).sum(dim=-1) - 1


class KeyChain(Hearing):
    """A net over what is remembered, applied to each class that sounds. ``(keys given classes, exact)``"""

    space, draw_size = GIVEN, CLASSES
    dropout = DROPOUT

    def __init__(self, hidden: int = 192):
        super().__init__()
        self.views = nn.Linear(VIEWS * SPAN + GENERAL, hidden)
        self.decided = nn.Linear(SPAN + CLASSES, hidden, bias=False)
        self.hidden = nn.Linear(hidden, hidden)
        self.patterns = nn.Linear(hidden, PATTERNS)
        lacking = torch.where(torch.arange(1, PATTERNS + 1) >= 2 ** (OCTAVES - 1), -torch.inf, 0.0)
        self.register_buffer("lacking", lacking, persistent=False)

    def logits(self, seen: Tensor, pitch_class: Tensor, decided: Tensor, drop: Drop = KEEP) -> Tensor:
        """``(row, 255)`` logits of a class's patterns; ``seen`` and ``decided`` as their layers gave them."""
        hidden = drop(torch.relu(seen + decided))
        hidden = hidden + drop(torch.relu(self.hidden(hidden)))
        short = (pitch_class >= KEYS % CLASSES)[:, None]
        scores = precise(self.patterns(hidden))
        return torch.where(short, scores + self.lacking.to(scores.dtype), scores)

    def look(self, views: Tensor, general: Tensor, x12: Tensor, pitch_class: Tensor) -> Tensor:
        """What is remembered and asked for, seen from a class: ``(row, hidden)``.

        ``views`` ``(row, 12, key)``, ``general`` ``(row, 39)``, ``x12`` ``(row, pitch_class)`` the step's classes.
        """
        own = functional.one_hot(pitch_class, CLASSES).to(views.dtype)
        return self.views(torch.cat([moved(views, pitch_class).flatten(1), rolled(x12, pitch_class), general, own], -1))

    def settled(self, x: Tensor, x12: Tensor, pitch_class: Tensor) -> Tensor:
        """What the classes before this one got: ``x`` ``(row, key)`` so far, ``x12`` those of them that sound."""
        return self.decided(torch.cat([moved(x[:, None], pitch_class)[:, 0], rolled(x12, pitch_class)], dim=-1))

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, some fragments without a past, like a short prime, some without durations."""
        u = uniforms(rng, 2, batch.x.shape[1], device=batch.x.device)
        kept, told = ((u[i] >= share).to(batch.x.dtype)[:, None] for i, share in ((0, HIDDEN_PAST), (1, UNTOLD)))
        durations = torch.cat([batch.durations[:HISTORY] * kept, batch.durations[HISTORY:]])
        batch = batch._replace(past=batch.past * kept, position=torch.where(kept[:, 0] > 0, batch.position, 0),
                               durations=durations)
        return -self._nats(batch, self._held(batch) * told, dropper(self.dropout, rng))

    @staticmethod
    def _held(batch: Tensors) -> Tensor:
        """What every step that predicts one leaves held ``(time - 1, batch, 89)``; zeros if the batch does not tell."""
        if not len(batch.durations):
            return batch.x.new_zeros(*batch.x[1:].shape[:2], KEYS + 1)
        return still_held(left_of(batch.durations)[HISTORY:-1])

    def _nats(self, batch: Tensors, held: Tensor, drop: Drop = KEEP) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``; the classes are those of the keys. ``held``
        ``(time - 1, batch, 89)``."""
        x12 = functional.pad(batch.x, (0, 8)).unflatten(-1, (OCTAVES, CLASSES)).amax(dim=-2)
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
    def _sequence(self, batch: Tensors, held: Tensor) -> tuple[Tensor, Tensor]:
        """Views ``(time - 1, batch, 12, key)`` and general facts for every predicted step of a batch."""
        before = remember(blank(batch.x), batch.past)[-1]
        series = remember(before, batch.x[:-1])
        line = torch.cat([batch.past, batch.x[:-1]])
        lagged = torch.stack([line[HISTORY + 1 - h:][:len(series)] for h in LAGS], dim=2)
        memories = Memory(lagged, *(torch.stack(field) for field in list(zip(*series, strict=True))[1:]))
        time = torch.arange(1, len(batch.x), device=batch.x.device)[:, None]
        return self._facts(memories, piece_clock(batch.position + time, batch.x), held)

    def _facts(self, memory: Memory, ticks: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        """Views and general facts from memories ``(…, batch, …)`` whose ``past`` holds the lagged steps alone."""
        *activity, both, either = memory.means.split([KEYS] * len(RATES) + [len(PERIODS)] * 2, dim=-1)
        activity = torch.stack([mean / rate**0.5 for mean, rate in zip(activity, RATES, strict=True)], dim=-2)
        views = torch.cat([memory.chords, memory.octaves[..., None, :], activity, memory.past,
                           held[..., None, :-1]], dim=-2)
        ages = (memory.ages[..., None] > memory.ages.new_tensor(AGES)).to(views.dtype).flatten(-2)
        match = (both / MATCH_RATE + 0.1) / (either / MATCH_RATE + 0.5)
        return views, torch.cat([ages, ticks, match, held[..., -1:]], dim=-1)

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`."""
        memory = blank(first) if past is None else remember(blank(first), past)[-1]
        return State(position, remember(memory, first[None])[-1], first.new_zeros(len(first), KEYS + 1))

    def told(self, state: State, left: Tensor) -> State:
        """See :meth:`octavoice.model.Network.told`."""
        return state._replace(held=still_held(left))

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; ``given`` are the step's classes."""
        keys = heard if heard is not None else self._draw(state, draws, given)
        memory = remember(state.memory, keys[None])[-1]
        return Step(State(state.position + 1, memory, torch.zeros_like(state.held)), keys, {})

    def _draw(self, state: State, draws: Tensor, given: Tensor) -> Tensor:
        """The classes that sound get their octaves in turn, those of one class in all pieces at once."""
        keys = given.new_zeros(len(given), KEYS)
        piece, p = torch.nonzero(given > 0, as_tuple=True)
        seen = self._seen(state, given, piece, p)
        for pitch_class in p.unique().tolist():
            rows = p == pitch_class
            here, own = piece[rows], p[rows]
            logits = self._logits(seen[rows], keys[here], given[here], own) / self.temperature
            struck = ((pick(logits, draws[here, pitch_class])[:, None] + 1) >> torch.arange(OCTAVES)) & 1
            places = torch.arange(pitch_class, KEYS, CLASSES)
            keys[here[:, None], places] = struck[:, :len(places)].to(keys.dtype)
        return keys

    def scores(self, state: State, given: Tensor, x: Tensor, pitch_class: int) -> Tensor:
        """Logits of one class's patterns ``(batch, 255)`` in the next step, the classes before it struck as in ``x``.

        ``given`` ``(batch, pitch_class)``, of which ``pitch_class`` sounds; ``x`` ``(batch, key)``.
        """
        own = torch.full((len(given),), pitch_class)
        earlier = (torch.arange(CLASSES) < pitch_class).to(x.dtype).tile(OCTAVES)[:KEYS]
        return self._logits(self._seen(state, given, torch.arange(len(given)), own), x * earlier, given, own)

    def _seen(self, state: State, given: Tensor, piece: Tensor, pitch_class: Tensor) -> Tensor:
        """:meth:`look` for some classes of some pieces in the step after a state."""
        lagged = torch.stack([state.memory.past[HISTORY - h] for h in LAGS], dim=1).to(given)
        ticks = piece_clock(torch.full((1, 1), state.position + 1), given)[0].expand(len(given), -1)
        views, general = self._facts(state.memory._replace(past=lagged), ticks, state.held)
        return self.look(views[piece], general[piece], given[piece], pitch_class)

    def _logits(self, seen: Tensor, keys: Tensor, given: Tensor, pitch_class: Tensor) -> Tensor:
        """:meth:`logits` where ``keys`` ``(row, key)`` hold what the classes before got."""
        earlier = given * (torch.arange(CLASSES) < pitch_class[:, None])
        return self.logits(seen, pitch_class, self.settled(keys, earlier, pitch_class))


def pick(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Draw from categorical distributions ``(row, choice)`` by inversion of ``uniforms`` ``(row,)``."""
    mass = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    return (mass <= uniforms[:, None] * mass[:, -1:]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
