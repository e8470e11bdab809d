"""Stage three of version 2: durations by the chain of version 1, or copied from an earlier step of the same keys.

    f_{t,l} as in stage one, but of steps whose keys and durations are equal, and whether the step l before has
              these keys
    (e_l, a_l) = net(f_{t,l}, general facts, texture);   z_t = l, of those with just these keys, or free, as there
    c_t[k] = how often, by softmax(a), key k was struck and how long it was held on average: two views more to see
    p(d_{t+1} | x_{≤t+1}, d_{≤t}) = p(z_t free) p_free(d_{t+1}) + Σ_l p(z_t = l) [d_{t+1} = d_{t+1-l}]

Where a fragment ends before a note does, all that counts is that it outlasts it, in a copy too.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from octavoice.beyond import durations, sources
from octavoice.beyond.classes import size
from octavoice.beyond.copying import FREE, NEVER, choose, mixed
from octavoice.beyond.durations import (
    BANDS,
    GENERAL,
    OCTAVES,
    SINGLE,
    SUMMARY,
    VIEWS,
    WINDOW,
    DurationChain,
    around,
    nats_of,
)
from octavoice.model import HISTORY, Batch, Network, Step, precise
from octavoice.music.durations import LONGEST
from octavoice.music.roll import KEYS, compress
from octavoice.representations.steps import DURATIONS_ALL_BEFORE

COPIED = 2
"""Views of what could be copied."""
OWN = OCTAVES + 3
"""General facts that are of one key, and not of the step."""


class State(NamedTuple):
    """The state of the chain as in version 1; all that may be copied; and all durations ``(time, batch, key)``."""

    chain: durations.State
    past: sources.Past
    grid: np.ndarray


class Copies(NamedTuple):
    """What may be copied: ``facts`` ``(…, source, fact)``, the last whether the keys are those asked for; which sources
    are ``there``; which are ``fit``, having just these; which ``hit``, being equal to the step; and the ``sizes`` of
    their durations ``(…, source, key)``."""

    facts: Tensor
    there: Tensor
    fit: Tensor
    hit: Tensor
    sizes: Tensor


def sizes_of(grid: np.ndarray, dtype: type) -> np.ndarray:
    """Durations as nets see them, 0 where no note begins."""
    return size(grid.astype(dtype)).astype(dtype)


def copies_of(batch: Batch, whole: bool = False) -> Copies:
    """What every predicted step of a batch may copy, axes ``(time - 1, batch, source, …)``; with ``whole`` durations
    count beyond the batch's end."""
    pieces = [_of_piece(batch, i, whole) for i in range(batch.durations.shape[1])]
    return Copies(*(torch.stack(parts, dim=1) for parts in zip(*pieces, strict=True)))


def _of_piece(batch: Batch, piece: int, whole: bool) -> Copies:
    """The same of one piece, ``(time - 1, source, …)``."""
    told = batch.whole if len(batch.whole) else batch.durations[:HISTORY]
    before = min(int(batch.position[0, piece]), len(told))
    parts = told[len(told) - before:, piece], batch.durations[HISTORY:, piece]
    grid = torch.cat([part.to(torch.int16) for part in parts]).cpu().numpy()
    struck = (grid > 0).astype(np.uint8)
    line, keys = sources.codes(compress(struck)), sources.names(struck)
    dtype = np.float64 if batch.durations.dtype == torch.float64 else np.float32
    found = sources.sequence(line, before, dtype, sources.names(grid))
    step = np.arange(before + 1, len(line))[:, None]
    there = found.content >= 0
    place = np.where(there, step - found.lag, 0)
    fit = there & (keys[place] == keys[step])
    facts = np.concatenate([found.facts, fit[..., None]], axis=-1, dtype=dtype)
    arrays = (facts, there, fit, _hits(grid, place, fit, whole), sizes_of(grid, dtype)[place] * there[..., None])
    return Copies(*(torch.from_numpy(array).to(batch.durations.device) for array in arrays))


def _hits(grid: np.ndarray, place: np.ndarray, fit: np.ndarray, whole: bool) -> np.ndarray:
    """Which sources ``(row, source)`` are the step, as far as the grid tells: the last of its rows are predicted."""
    row, source = np.nonzero(fit)
    seen = np.full(len(row), LONGEST + 1) if whole else len(fit) - row
    first = len(grid) - len(fit)
    then, now = (np.minimum(part, seen[:, None] + 1) for part in (grid[place[row, source]], grid[first + row]))
    hit = np.zeros_like(fit)
    hit[row, source] = (then == now).all(axis=-1)
    return hit


class DurationCopies(DurationChain):
    """The net over struck keys of version 1 beside copies of whole steps. ``(durations given keys, exact)``"""

    draw_size, representation = KEYS + 1, DURATIONS_ALL_BEFORE

    def __init__(self, hidden: int = 96, texture: int = 48, match: int = 24):
        Network.__init__(self)
        told = GENERAL - OWN + texture
        self.texture = nn.GRU(SUMMARY, texture)
        self.views = nn.Linear((VIEWS + COPIED) * WINDOW + GENERAL + texture, hidden)
        self.lower = nn.Linear(WINDOW, hidden, bias=False)
        self.hidden = nn.Linear(hidden, hidden)
        self.lasting = nn.Linear(hidden, SINGLE + 2)
        self.match = nn.Linear(sources.FACTS + 1, match)
        self.asked = nn.Linear(told + len(BANDS), match, bias=False)
        self.worth = nn.Linear(match, 2)
        self.free = nn.Linear(told + len(BANDS), 1)

    def consider(self, general: Tensor, struck: Tensor, copies: Copies) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of the sources ``(…, source)`` and of a free step ``(…,)``, and what could be copied, two views
        ``(…, 2, key)``. ``general`` ``(…, 78)``, ``struck`` ``(…, key)`` the step's keys."""
        told = torch.cat([general, durations.banded(struck)], dim=-1)
        scores = precise(self.worth(torch.relu(self.match(copies.facts) + self.asked(told)[..., None, :])))
        likely = scores[..., 1].masked_fill(~copies.there, NEVER)
        shares = torch.softmax(torch.cat([likely, torch.zeros_like(likely[..., :1])], dim=-1), dim=-1)[..., None, :-1]
        shares = shares.to(general.dtype)
        often = (shares @ (copies.sizes > 0).to(general.dtype))[..., 0, :]
        long = (shares @ copies.sizes.to(general.dtype))[..., 0, :]
        seen = torch.stack([often, long / (often + 0.01)], dim=-2)
        return scores[..., 0].masked_fill(~copies.fit, NEVER), precise(self.free(told))[..., 0], seen

    def log_likelihood(self, batch: Batch, rng: torch.Generator | None = None) -> Tensor:
        """Exact; no draw is needed. The keys are those that are struck. ``(time - 1, batch)``."""
        steps = batch.durations[HISTORY + 1:]
        time, piece, key = torch.nonzero((steps > 0) & (batch.weight > 0)[..., None], as_tuple=True)
        views, general = self._sequence(batch)
        copies, begun = copies_of(batch, self.whole), (steps > 0).to(steps.dtype)
        struck, sizes = begun[time, piece], size(steps)[time, piece]
        below = sizes * (torch.arange(KEYS, device=key.device) < key[:, None])
        with self.lowered(steps.device):
            strict, free, copied = self.consider(general, begun, copies)
            rows = torch.cat([torch.cat([views, copied], dim=-2)[time, piece], struck[:, None]], dim=1)
            logits = self.logits(self.look(rows, general[time, piece], struck, key), around(below[:, None], key)[:, 0])
        seen = torch.full_like(key, LONGEST + 1) if self.whole else len(steps) - time
        nats = nats_of(logits, steps[time, piece, key], seen)
        made = nats.new_zeros(steps.shape).index_put((time, piece, key), nats).sum(dim=-1)
        some = begun.any(dim=-1) & (batch.weight > 0)
        return torch.where(some, mixed(strict, free, copies.hit, made), torch.zeros_like(made))

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`; ``first`` and ``past`` are durations, to be copied too."""
        past = first.new_zeros(0, *first.shape) if past is None else past
        newest = nn.functional.pad(past, (0, 0, 0, 0, max(0, HISTORY - len(past)), 0))[-HISTORY:]
        chain = super().start(first, newest, position)
        grid = torch.cat([past[max(0, len(past) - position):], first[None]]).numpy().astype(np.int16)
        line = sources.codes(compress((grid > 0).astype(np.uint8)))
        return State(chain, sources.remembered(line.T, sources.names(grid).T), grid)

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; ``given`` ``(batch, key)`` are the step's keys; the first draw is
        the state's. The trace tells the lag that was copied, in steps, 0 of other steps."""
        lag = np.zeros(state.grid.shape[1])
        if heard is not None:
            steps = heard.numpy()
        else:
            steps, lag = self._copied(state, draws.numpy(), given.numpy())
        grid = steps.astype(np.int16)
        code = sources.codes(compress((grid > 0).astype(np.uint8)))
        after = State(self._hear(state.chain, steps[None])[0], sources.hear(state.past, code, sources.names(grid)),
                      np.concatenate([state.grid, grid[None]]))
        return Step(after, torch.from_numpy(steps), {"copied durations": torch.from_numpy(lag)})

    def _copied(self, state: State, draws: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Durations of every piece's step, copied or made, and the lag of each copy ``(batch,)``."""
        if not given.any():
            return np.zeros_like(given), np.zeros(len(given))
        found, place, copies = self._copies(state, given)
        strict, free, views, general = self._considered(state, given, copies)
        chosen = choose(strict.numpy(), free.numpy(), draws[:, 0], self.temperature)
        chosen[~given.any(axis=-1)] = FREE
        made, copied = np.flatnonzero(chosen == FREE), np.flatnonzero(chosen != FREE)
        steps, lag = np.zeros_like(given), np.zeros(len(given))
        steps[made] = self._make(views[made], general[made], draws[made, 1:], given[made])
        steps[copied] = state.grid[place[copied, chosen[copied]], copied]
        lag[copied] = found.lag[copied, chosen[copied]]
        return steps, lag

    def nats(self, state: State, steps: Tensor) -> Tensor:
        """log p of the next step's durations being ``steps`` ``(batch, key)``, given its keys: ``(batch,)``."""
        grid = steps.numpy()
        given = (grid > 0).astype(grid.dtype)
        if not given.any():
            return steps.new_zeros(len(grid))
        _, place, copies = self._copies(state, given)
        strict, free, views, general = self._considered(state, given, copies)
        piece, key = np.nonzero(given)
        below = size(grid)[piece] * (np.arange(KEYS) < key[:, None])
        seen = self.look(views[piece], general[piece], given[piece], key)
        logits = self.logits(seen, around(below[:, None], key)[:, 0])
        nats = nats_of(logits, steps[piece, key], torch.full((len(key),), LONGEST + 1))
        made = nats.new_zeros(len(grid)).index_put((torch.from_numpy(piece),), nats, accumulate=True)
        same = (state.grid[place, np.arange(len(grid))[:, None]] == grid[:, None]).all(axis=-1)
        hit = copies.fit & torch.from_numpy(same)
        return torch.where(torch.from_numpy(given.any(axis=-1)), mixed(strict, free, hit, made), 0.0)

    def _copies(self, state: State, given: np.ndarray) -> tuple[sources.Sources, np.ndarray, Copies]:
        """What the next step may copy ``(batch, source, …)``, and where in the grid it lies; which sources are equal to
        it is not known."""
        found = sources.following(state.past, np.float64, sources.codes(compress(given.astype(np.uint8))))
        there, piece = found.content >= 0, np.arange(len(given))[:, None]
        place = np.where(there, len(state.grid) - found.lag, 0)
        grid = state.grid[place, piece]
        fit = there & ((grid > 0) == (given > 0)[:, None]).all(axis=-1)
        facts = np.concatenate([found.facts, fit[..., None]], axis=-1)
        sizes = sizes_of(grid, np.float64) * there[..., None]
        return found, place, Copies(*map(torch.from_numpy, (facts, there, fit, np.zeros(0, bool), sizes)))

    def _considered(self, state: State, given: np.ndarray, copies: Copies) -> tuple:
        """:meth:`consider` for one step; what could be copied among the views, the last of which is what is struck
        ``(batch, 9, key)``; and general facts ``(batch, 78)``, both arrays."""
        chain = state.chain
        lagged = chain.memory.recent[-durations.LAGS].swapaxes(0, 1)
        ticks = durations.piece_clock(np.full(len(given), chain.position + 1), given)
        views, general = self._facts(chain.memory._replace(recent=lagged), ticks)
        general = np.concatenate([general, chain.texture[0].numpy()], axis=-1)
        strict, free, seen = self.consider(torch.from_numpy(general), torch.from_numpy(given), copies)
        return strict, free, np.concatenate([views, seen.numpy(), given[:, None]], axis=-2), general

    def _make(self, views: np.ndarray, general: np.ndarray, draws: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Durations of the struck keys from low to high, of steps that are not copied ``(row, key)``."""
        piece, key = np.nonzero(given)
        if not len(key):
            return np.zeros_like(given)
        return self._in_turn(self.look(views[piece], general[piece], given[piece], key), draws, given)

