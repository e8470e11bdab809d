"""Stage one of version 2: pitch classes by a chain that may copy what the piece has played before.

    s_t = what is remembered, as in version 1;   u_t = LSTM([s_t])
    f_{t,l} = how well what led to the step l before agrees with what has led to now (:mod:`octavoice.beyond.sources`)
    (e_l, a_l) = net(f_{t,l}, u_t);   z_t = l with weight exp(e_l), or free with weight exp(w·u_t + b)
    c_t = Σ_l softmax(a)_l x'_{t+1-l}, in three ways, and one more with the weights of z_t
    p_free(x'_{t+1}) = Π_p p(x'_{t+1}[p] | u_t, what is remembered and c_t seen from p, x'_{t+1}[<p])
    p(x'_{t+1} | x'_{≤t}) = p(z_t free) p_free(x'_{t+1}) + Σ_l p(z_t = l) [x'_{t+1} = x'_{t+1-l}]

The state z_t is summed out, so the likelihood is exact, and it is drawn when a step is made: a copied step *is* the
earlier one. That a copy goes on for bars is no rule but follows from f, which tells how long it has gone on. Copying is
strict; what returns with a change is for the chain, which sees in c_t what would be copied (loose copies). One net
serves all twelve classes, each seeing the others from itself, so that music is the same to it in every key.

The LSTM hears wrong notes in training, as in version 1. Sources are what was written.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

from octavoice.beyond import sources
from octavoice.beyond.classes import (
    GENERAL,
    HELD,
    RELATIVE,
    ClassChain,
    Hearing,
    Memory,
    blank,
    describe,
    piece_clock,
    remember,
    rolled,
)
from octavoice.model import HISTORY, KEEP, Batch, Drop, Step, dropper, precise
from octavoice.music.roll import CLASSES, compress
from octavoice.representations.steps import ALL_BEFORE
from octavoice.thesis.attention import LSTMState

FREE = -1
"""What :func:`choose` gives for a step that is not copied."""
WAYS = 3
"""Ways of weighing what could be copied, for the chain to see."""
SEEN = RELATIVE + 2 + WAYS + 1
"""Rows of twelve classes that are seen from each of them: what is remembered, what is held, what could be copied."""
FROM = (np.arange(CLASSES)[:, None] - np.arange(CLASSES)) % CLASSES
"""Where class q lies seen from class p ``(q, p)``."""
NEVER = -1e9


class State(NamedTuple):
    """After a step was heard: the step itself, its number, the memory before it and what is ``held``, as in version 1;
    all that may be copied; the ``weights`` of what is seen from every class, worked out once; the recurrent state."""

    x: np.ndarray
    position: int
    memory: Memory
    held: np.ndarray
    past: sources.Past
    weights: Tensor
    lower: LSTMState | None = None


class Considered(NamedTuple):
    """What is known before a step is decided: the chain's ``hidden`` input ``(…, pitch_class, D)``, the scores of every
    source ``(…, source)``, and that of a ``free`` step ``(…,)``."""

    hidden: Tensor
    strict: Tensor
    free: Tensor


def bits(content: Tensor, dtype: torch.dtype) -> Tensor:
    """The classes of codes ``(…)``: ``(…, pitch_class)``, none of a code that is not there."""
    return ((content.clamp_min(0)[..., None] >> torch.arange(CLASSES, device=content.device)) & 1).to(dtype)


def choose(strict: np.ndarray, free: np.ndarray, uniforms: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Draw the state of every piece ``(batch,)``, a source's place or :data:`FREE`, from the scores of its sources
    ``(batch, source)`` and of a free step ``(batch,)``."""
    scores = np.concatenate([free[:, None], strict], axis=1) / temperature
    mass = np.exp(scores - scores.max(axis=1, keepdims=True)).cumsum(axis=1)
    return np.minimum((mass <= uniforms[:, None] * mass[:, -1:]).sum(axis=1), strict.shape[1]) + FREE


def mixed(strict: Tensor, free: Tensor, hit: Tensor, made: Tensor) -> Tensor:
    """log p of steps, the state summed out ``(…,)``.

    ``strict`` ``(…, source)`` and ``free`` ``(…,)`` are scores; ``hit`` ``(…, source)`` says which sources are equal to
    the step, and ``made`` ``(…,)`` is its log p where it is not copied.
    """
    terms = torch.cat([(free + made)[..., None], strict.masked_fill(~hit, -torch.inf)], dim=-1)
    return torch.logsumexp(terms, dim=-1) - torch.logsumexp(torch.cat([free[..., None], strict], dim=-1), dim=-1)


def line_of(batch: Batch, piece: int) -> tuple[np.ndarray, int]:
    """The codes of one fragment's steps and of all that is told before them ``(time,)``, and how many those are."""
    whole = batch.whole if len(batch.whole) else batch.past
    before = min(int(batch.position[0, piece]), len(whole))
    past = compress((whole[len(whole) - before:, piece] > 0).cpu().numpy())
    steps = np.concatenate([past, batch.x12[:, piece].cpu().numpy()])
    return sources.codes(steps), before


def found(batch: Batch) -> tuple[Tensor, Tensor]:
    """The sources of every predicted step: facts ``(time - 1, batch, source, fact)`` and content
    ``(time - 1, batch, source)``."""
    dtype = np.float64 if batch.x12.dtype == torch.float64 else np.float32
    kept = [sources.sequence(*line_of(batch, i), dtype) for i in range(batch.x12.shape[1])]
    facts, content = (np.stack([getattr(one, name) for one in kept], axis=1) for name in ("facts", "content"))
    return (torch.from_numpy(facts).to(batch.x12), torch.from_numpy(content.astype(np.int64)).to(batch.x12.device))


class CopyChain(ClassChain):
    """An LSTM, a net over what could be copied, and a chain over the twelve classes. ``(pitch classes, exact)``"""

    draw_size, representation = CLASSES + 1, ALL_BEFORE

    def __init__(self, lower: int = 200, chain: int = 128, match: int = 24):
        Hearing.__init__(self)
        self.lower = nn.LSTM(RELATIVE * CLASSES + GENERAL + HELD, lower)
        self.match = nn.Linear(sources.FACTS, match)
        self.asked = nn.Linear(lower, match, bias=False)
        self.worth = nn.Linear(match, 1 + WAYS)
        self.free = nn.Linear(lower, 1)
        self.views = nn.Parameter(torch.randn(SEEN, CLASSES, chain) / (SEEN * CLASSES) ** 0.5)
        self.decided = nn.Parameter(torch.randn(2, CLASSES, chain) / 5)
        self.general = nn.Linear(lower, chain)
        self.place = nn.Parameter(torch.zeros(CLASSES, chain))
        self.hidden = nn.Linear(chain, chain)
        self.sounds = nn.Linear(chain, 1)
        nn.init.constant_(self.sounds.bias, -2.0)

    def consider(self, told: Tensor, facts: Tensor, content: Tensor, classes: Tensor, weights: Tensor,
                 lower: LSTMState | None = None, drop: Drop = KEEP) -> tuple[Considered, LSTMState]:
        """What is known before each step, and the recurrent state after.

        ``told`` ``(time, batch, 210)`` is s_t; ``facts`` and ``content`` as :func:`found` gives them, ``classes``
        ``(time, batch, source, pitch_class)`` those that each source would strike; ``weights`` as :meth:`spread` gives
        them.
        """
        u, lower = self.lower(told, lower)
        u = drop(u)
        scores = precise(self.worth(torch.relu(self.match(facts) + self.asked(u)[..., None, :])))
        scores, free = scores.masked_fill((content < 0)[..., None], NEVER), precise(self.free(u))
        nothing = torch.zeros_like(scores[..., :1, 1:])
        ways = torch.softmax(torch.cat([scores[..., 1:], nothing], dim=-2), dim=-2)
        state = torch.softmax(torch.cat([scores[..., 0], free], dim=-1), dim=-1)[..., None]
        shares = torch.cat([ways, state], dim=-1)[..., :-1, :].to(classes.dtype)
        copies = (shares.transpose(-1, -2) @ classes).flatten(-2)
        seen = torch.cat([told[..., :RELATIVE * CLASSES], told[..., -HELD:-1], 2 * copies], dim=-1)
        hidden = (seen @ weights).unflatten(-1, (CLASSES, -1))
        hidden = hidden + self.general(u)[..., None, :] + self.place
        return Considered(hidden, scores[..., 0], free[..., 0]), lower

    def spread(self) -> Tensor:
        """The weights of what is seen from one class, as those from all twelve: ``(row · 12, 12 · D)``."""
        return self.views[:, FROM].flatten(0, 1).flatten(1)

    def chain(self, hidden: Tensor, x: Tensor, drop: Drop = KEEP) -> Tensor:
        """log p_free of steps ``x`` ``(…, pitch_class)``, teacher-forced: each class given those before it. ``(…,)``"""
        earlier = torch.ones(CLASSES, CLASSES, dtype=x.dtype, device=x.device).triu(1)[..., None]
        weights = (self.decided[:, FROM] * earlier).flatten(0, 1).flatten(1)
        decided = (torch.cat([x, 1 - x], dim=-1) @ weights).unflatten(-1, (CLASSES, -1))
        logits = precise(self.logits(hidden + decided, drop))
        return -functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=-1)

    def logits(self, hidden: Tensor, drop: Drop = KEEP) -> Tensor:
        """Logits of "this class sounds", of all that its net is given ``(…, D)``: ``(…,)``."""
        hidden = drop(torch.relu(hidden))
        return self.sounds(hidden + torch.relu(self.hidden(hidden)))[..., 0]

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, as of :class:`~octavoice.beyond.classes.ClassChain`: each fragment rolled by a
        shift of its own, some without a past, some without durations, some heard with wrong notes. Copies are of what
        was written."""
        heard, held, shift = self._disturbed(batch, rng)
        written = batch._replace(position=heard.position)
        return -self._nats(written, held, heard, shift, dropper(self.dropout, rng))

    def _nats(self, batch: Batch, held: Tensor, heard: Batch | None = None, shift: Tensor | None = None,
              drop: Drop = KEEP) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``; what is ``heard``, and ``held`` ``(time - 1, batch,
        25)``, has its classes rolled by a ``shift`` ``(batch,)``, what was written has not."""
        heard = batch if heard is None else heard
        shift = torch.zeros_like(batch.position[0]) if shift is None else shift
        facts, content = found(batch)
        now = (batch.x12[1:].long() << torch.arange(CLASSES, device=shift.device)).sum(dim=-1)
        order = (torch.arange(CLASSES, device=shift.device) + shift[:, None]) % CLASSES
        classes = bits(content, facts.dtype).gather(-1, order[:, None].expand(*content.shape, -1))
        told = self._told(heard, held)
        with self.lowered(batch.x12.device):
            known, _ = self.consider(told, facts, content, classes, self.spread(), drop=drop)
            made = self.chain(known.hidden, rolled(batch.x12[1:], shift), drop)
            return mixed(known.strict, known.free, content == now[..., None], made)

    def _told(self, batch: Batch, held: Tensor) -> Tensor:
        """s_t of every step that predicts one ``(time - 1, batch, 210)``."""
        ticks, memory = self._before(batch)
        x = batch.x12[:-1]
        _, *remembered = remember(memory, x, torch.ones_like(x[..., :1]))
        return describe(x, *remembered, ticks, held)[0]

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`; all of the ``past`` that is given may be copied."""
        past = first.new_zeros(0, *first.shape) if past is None else past
        newest = functional.pad(past, (0, 0, 0, 0, max(0, HISTORY - len(past)), 0))[-HISTORY:]
        known = (torch.arange(position - HISTORY, position) >= 0).to(first.dtype)
        memory, *_ = remember(blank(first), newest, known[:, None, None].expand(-1, len(first), -1))
        line = torch.cat([past[max(0, len(past) - position):], first[None]])
        return State(first.numpy(), position, Memory(*(part.numpy() for part in memory)),
                     np.zeros((len(first), HELD)), sources.remembered(sources.codes(line.numpy()).T),
                     self.spread().detach())

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; the first draw is the state's.

        The trace tells the lag that was copied, in steps, 0 of a step that was not, and is 0 of one that was heard.
        """
        memory, told, found = self._now(state)
        lag = np.zeros(len(state.x))
        if heard is None:
            known, lower = self._considered(state, told, found)
            x, lag = self._draw(known, found, draws.numpy())
        else:
            x, (_, lower) = heard.numpy(), self.lower(torch.from_numpy(told), state.lower)
        after = State(x, state.position + 1, memory, np.zeros_like(state.held),
                      sources.hear(state.past, sources.codes(x)), state.weights, lower)
        return Step(after, torch.from_numpy(x), {"copied": torch.from_numpy(lag)})

    def nats(self, state: State, x: Tensor) -> Tensor:
        """log p of the next step being ``x`` ``(batch, pitch_class)``: ``(batch,)``."""
        _, told, found = self._now(state)
        known, _ = self._considered(state, told, found)
        hit = torch.from_numpy(found.content == sources.codes(x.numpy())[:, None])
        hidden, strict, free = (part[0] for part in known)
        return mixed(strict, free, hit, self.chain(hidden, x))

    def _now(self, state: State) -> tuple[Memory, np.ndarray, sources.Sources]:
        """The memory after the step just heard, s_t ``(1, batch, 210)``, and what the next step may copy."""
        x, held = state.x[None], state.held[None]
        ticks = piece_clock(np.full(x.shape[:2], state.position), x)
        memory, *remembered = remember(state.memory, x, np.ones_like(x[..., :1]))
        return memory, describe(x, *remembered, ticks, held)[0], sources.following(state.past, state.x.dtype.type)

    def _considered(self, state: State, told: np.ndarray, found: sources.Sources) -> tuple[Considered, LSTMState]:
        """:meth:`consider` for one step."""
        content = torch.from_numpy(found.content.astype(np.int64))[None]
        told, facts = torch.from_numpy(told), torch.from_numpy(found.facts)[None]
        return self.consider(told, facts, content, bits(content, facts.dtype), state.weights, state.lower)

    def _draw(self, known: Considered, found: sources.Sources, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The steps ``(batch, pitch_class)``, and the lag of each that was copied, 0 of the others ``(batch,)``."""
        chosen = choose(known.strict[0].numpy(), known.free[0].numpy(), draws[:, 0], self.temperature)
        copied = np.flatnonzero(chosen != FREE)
        x = np.zeros((len(draws), CLASSES), draws.dtype)
        made = np.flatnonzero(chosen == FREE)
        if len(made):
            x[made] = self._make(known.hidden[0].numpy()[made], draws[made, 1:])
        content = found.content[copied, chosen[copied]]
        x[copied] = (content[:, None] >> np.arange(CLASSES)) & 1
        lag = np.zeros(len(draws), draws.dtype)
        lag[copied] = found.lag[copied, chosen[copied]]
        return x, lag

    def _make(self, hidden: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """The twelve decisions in turn, of steps that are not copied ``(row, pitch_class)``."""
        adds = self.decided.numpy()[::-1]
        weight, bias = self.hidden.weight.numpy().T, self.hidden.bias.numpy()
        out, level = self.sounds.weight.numpy()[0], self.sounds.bias.numpy()
        hidden, values = hidden.copy(), np.empty_like(draws)
        for p in range(CLASSES):
            seen = np.maximum(hidden[:, p], 0)
            seen = seen + np.maximum(seen @ weight + bias, 0)
            struck = draws[:, p] < expit((seen @ out + level) / self.temperature)
            values[:, p] = struck
            later = FROM[p, p + 1:]
            hidden[:, p + 1:] += adds[struck.astype(int)[:, None], later]
        return values
