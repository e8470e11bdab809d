"""Stage two of version 2: the keys of a step's classes by a chain that may copy them from an earlier step.

    f_{t,l} as in stage one, but of steps whose keys are equal, and whether the step l before strikes these classes
    (e_l, a_l) = net(f_{t,l}, general facts);   z_t = l, of those that strike just these classes, or free, as there
    c_t = Σ_l softmax(a)_l x_{t+1-l}, in two ways: two keyboards more for the chain of version 1 to see
    p(x_{t+1} | x'_{t+1}, x_{≤t}) = p(z_t free) p_free(x_{t+1}) + Σ_l p(z_t = l) [x_{t+1} = x_{t+1-l}]
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from octavoice.beyond import sources
from octavoice.beyond.classes import Hearing, octaves, padded, piece_clock
from octavoice.beyond.copying import FREE, NEVER, choose, mixed
from octavoice.beyond.keys import (
    GENERAL,
    LAGS,
    OCTAVES,
    PATTERNS,
    SPAN,
    STRUCK,
    VIEWS,
    KeyChain,
    Memory,
    blank,
    pattern_of,
    remember,
)
from octavoice.model import HISTORY, KEEP, Batch, Drop, Step, precise
from octavoice.music.roll import CLASSES, KEYS, compress
from octavoice.representations.steps import ALL_BEFORE

WAYS = 2
"""Ways of weighing what could be copied, for the chain to see."""


class State(NamedTuple):
    """The number of the newest step heard, the memory after it and what it leaves held, as in version 1; all that may
    be copied; and all keys so far ``(time, batch, key)``, of bytes."""

    position: int
    memory: Memory
    held: np.ndarray
    past: sources.Past
    roll: np.ndarray


class Copies(NamedTuple):
    """What may be copied: ``facts`` ``(…, source, fact)``, the last whether the classes are those asked for; which
    sources are ``there``; which are ``fit``, having just these; which ``hit``, being equal to the step; and their
    ``keys`` ``(…, source, key)``."""

    facts: Tensor
    there: Tensor
    fit: Tensor
    hit: Tensor
    keys: Tensor


def copies_of(batch: Batch) -> Copies:
    """What every predicted step of a batch may copy, axes ``(time - 1, batch, source, …)``."""
    pieces = [_of_piece(batch, i) for i in range(batch.x.shape[1])]
    return Copies(*(torch.stack(parts, dim=1) for parts in zip(*pieces, strict=True)))


def _of_piece(batch: Batch, piece: int) -> Copies:
    """The same of one piece, ``(time - 1, source, …)``."""
    whole = batch.whole if len(batch.whole) else batch.past
    before = min(int(batch.position[0, piece]), len(whole))
    parts = whole[len(whole) - before:, piece], batch.x[:, piece]
    roll = torch.cat([(part > 0).to(torch.uint8) for part in parts]).cpu().numpy()
    line, named = sources.codes(compress(roll)), sources.names(roll)
    dtype = np.float64 if batch.x.dtype == torch.float64 else np.float32
    found = sources.sequence(line, before, dtype, named)
    step = np.arange(before + 1, len(line))[:, None]
    there = found.content >= 0
    place = np.where(there, step - found.lag, 0)
    fit = there & (found.content == line[step])
    facts = np.concatenate([found.facts, fit[..., None]], axis=-1, dtype=dtype)
    arrays = (facts, there, fit, fit & (named[place] == named[step]), roll[place] * there[..., None])
    return Copies(*(torch.from_numpy(array).to(batch.x.device) for array in arrays))


class KeyCopies(KeyChain):
    """The chain of octaves of version 1 beside copies of whole steps. ``(keys given classes, exact)``"""

    draw_size, representation = CLASSES + 1, ALL_BEFORE

    def __init__(self, hidden: int = 184, match: int = 24):
        Hearing.__init__(self)
        self.views = nn.Linear((VIEWS + WAYS) * SPAN + GENERAL, hidden)
        self.decided = nn.Linear(SPAN + CLASSES, hidden, bias=False)
        self.hidden = nn.Linear(hidden, hidden)
        self.patterns = nn.Linear(hidden, PATTERNS)
        self.match = nn.Linear(sources.FACTS + 1, match)
        self.asked = nn.Linear(GENERAL - CLASSES, match, bias=False)
        self.worth = nn.Linear(match, 1 + WAYS)
        self.free = nn.Linear(GENERAL - CLASSES, 1)
        lacking = STRUCK[:, -1] > (np.arange(CLASSES) < KEYS % CLASSES)[:, None]
        self.register_buffer("lacking", torch.where(torch.from_numpy(lacking), -torch.inf, 0.0), persistent=False)

    def consider(self, general: Tensor, asked: Tensor, copies: Copies) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of the sources ``(…, source)`` and of a free step ``(…,)``, and what could be copied, two keyboards
        ``(…, 2, key)``. ``general`` ``(…, 39)``, ``asked`` ``(…, pitch_class)`` the step's classes."""
        told = torch.cat([general, asked], dim=-1)
        scores = precise(self.worth(torch.relu(self.match(copies.facts) + self.asked(told)[..., None, :])))
        ways = scores[..., 1:].masked_fill(~copies.there[..., None], NEVER)
        shares = torch.softmax(torch.cat([ways, torch.zeros_like(ways[..., :1, :])], dim=-2), dim=-2)[..., :-1, :]
        seen = shares.to(general.dtype).transpose(-1, -2) @ copies.keys.to(general.dtype)
        return scores[..., 0].masked_fill(~copies.fit, NEVER), precise(self.free(told))[..., 0], seen

    def _nats(self, batch: Batch, held: Tensor, drop: Drop = KEEP) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``; the classes are those of the keys. ``held``
        ``(time - 1, batch, 89)``."""
        x12 = octaves(batch.x).amax(dim=-2)
        time, piece, p = torch.nonzero((x12[1:] > 0) & (batch.weight > 0)[..., None], as_tuple=True)
        views, general = self._sequence(batch, held)
        copies = copies_of(batch)
        with self.lowered(batch.x.device):
            strict, free, seen = self.consider(general, x12[1:], copies)
            views = torch.cat([views, seen], dim=-2)
            x, asked = batch.x[1:][time, piece], x12[1:][time, piece]
            earlier = (torch.arange(CLASSES, device=p.device) < p[:, None]).to(x.dtype)
            looked = self.look(views[time, piece], general[time, piece], asked, p)
            decided = self.settled(x * earlier.tile(OCTAVES)[:, :KEYS], asked * earlier, p)
            logits = self.logits(looked, p, decided, drop)
        nats = torch.log_softmax(logits, dim=-1).gather(-1, pattern_of(x, p)[:, None])[:, 0]
        made = nats.new_zeros(x12[1:].shape).index_put((time, piece, p), nats).sum(dim=-1)
        struck = (x12[1:].sum(dim=-1) > 0) & (batch.weight > 0)
        return torch.where(struck, mixed(strict, free, copies.hit, made), torch.zeros_like(made))

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`; all of the ``past`` that is given may be copied."""
        past = first.new_zeros(0, *first.shape) if past is None else past
        newest = nn.functional.pad(past, (0, 0, 0, 0, max(0, HISTORY - len(past)), 0))[-HISTORY:]
        memory = remember(remember(blank(first), newest)[-1], first[None])[-1]
        roll = torch.cat([past[max(0, len(past) - position):], first[None]]).numpy().astype(np.uint8)
        remembered = sources.remembered(sources.codes(compress(roll)).T, sources.names(roll).T)
        return State(position, Memory(*(part.numpy() for part in memory)), np.zeros((len(first), KEYS + 1)), remembered,
                     roll)

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; ``given`` are the step's classes, and the first draw is the
        state's. The trace tells the lag that was copied, in steps, 0 of other steps."""
        lag = np.zeros(len(state.held))
        if heard is not None:
            keys = heard.numpy()
        else:
            keys, lag = self._copied(state, draws.numpy(), given.numpy())
        memory, bytes_ = remember(state.memory, keys[None])[-1], keys.astype(np.uint8)
        past = sources.hear(state.past, sources.codes(compress(bytes_)), sources.names(bytes_))
        roll = np.concatenate([state.roll, bytes_[None]])
        after = State(state.position + 1, memory, np.zeros_like(state.held), past, roll)
        return Step(after, torch.from_numpy(keys), {"copied keys": torch.from_numpy(lag)})

    def _copied(self, state: State, draws: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The keys of every piece's step, copied or made, and the lag of each copy ``(batch,)``."""
        if not given.any():
            return np.zeros((len(given), KEYS)), np.zeros(len(given))
        found, copies = self._copies(state, given)
        strict, free, views, general = self._considered(state, given, copies)
        chosen = choose(strict.numpy(), free.numpy(), draws[:, 0], self.temperature)
        chosen[~given.any(axis=-1)] = FREE
        made, copied = np.flatnonzero(chosen == FREE), np.flatnonzero(chosen != FREE)
        keys, lag = np.zeros((len(given), KEYS)), np.zeros(len(given))
        keys[made] = self._make(views[made], general[made], draws[made, 1:], given[made])
        keys[copied] = copies.keys.numpy()[copied, chosen[copied]]
        lag[copied] = found.lag[copied, chosen[copied]]
        return keys, lag

    def nats(self, state: State, x: Tensor) -> Tensor:
        """log p of the next step being ``x`` ``(batch, key)``, given its classes: ``(batch,)``."""
        keys = x.numpy()
        given = octaves(keys).max(axis=-2)
        _, copies = self._copies(state, given)
        strict, free, views, general = self._considered(state, given, copies)
        made = torch.zeros_like(free)
        for piece, p in zip(*np.nonzero(given), strict=True):
            rows = slice(piece, piece + 1)
            earlier = keys[rows] * (np.arange(KEYS) % CLASSES < p)
            seen = self.look(views[rows], general[rows], given[rows], np.array([p]))
            logits = self._logits(seen, padded(earlier, CLASSES, SPAN - KEYS), padded(given[rows], CLASSES, 0), p)
            made[piece] += torch.log_softmax(logits, dim=-1)[0, pattern_of(x[rows], torch.tensor([p]))[0]]
        hit = copies.fit & (copies.keys == x[:, None]).all(dim=-1)
        return torch.where(torch.from_numpy(given.any(axis=-1)), mixed(strict, free, hit, made), 0.0)

    def _copies(self, state: State, given: np.ndarray) -> tuple[sources.Sources, Copies]:
        """What the next step may copy, ``(batch, source, …)``; which sources are equal to it is not known."""
        asked = sources.codes(given)
        found = sources.following(state.past, np.float64, asked)
        there = found.content >= 0
        fit = there & (found.content == asked[:, None])
        place = np.where(there, len(state.roll) - found.lag, 0)
        keys = state.roll[place, np.arange(len(given))[:, None]] * there[..., None]
        facts = np.concatenate([found.facts, fit[..., None]], axis=-1)
        return found, Copies(*map(torch.from_numpy, (facts, there, fit, np.zeros(0, bool), keys)))

    def _considered(self, state: State, given: np.ndarray, copies: Copies) -> tuple:
        """:meth:`consider` for one step, what could be copied among the views ``(batch, 14, key)``; and general facts
        ``(batch, 39)``, both arrays."""
        lagged = state.memory.past[HISTORY - LAGS].swapaxes(0, 1)
        ticks = piece_clock(np.full(len(given), state.position + 1), given)
        views, general = self._facts(state.memory._replace(past=lagged), ticks, state.held)
        strict, free, seen = self.consider(torch.from_numpy(general), torch.from_numpy(given), copies)
        return strict, free, np.concatenate([views, seen.numpy()], axis=-2), general

    def _make(self, views: np.ndarray, general: np.ndarray, draws: np.ndarray, given: np.ndarray) -> np.ndarray:
        """The classes that sound get their octaves in turn, of steps that are not copied ``(row, key)``."""
        sounding, piece = np.nonzero(given.T)
        seen = self.look(views[piece], general[piece], given[piece], sounding) if len(piece) else None
        return self._in_turn(seen, draws, given)
