"""Stage one: pitch classes by an exact chain (the thesis's main module carried on; §6.3, and §5.6's remark).

    s_t = what is remembered: x'_t, the reads x'_{t+1-h} for h ∈ H, how often each class sounded lately, how well
          each period has repeated, how long it has been silent, the clock
    u_t = LSTM([s_t]);   a_t = softmax(W u_t + b) ∈ R^8;   r_t = Σ_h a_t[h] x'_{t+1-h};   v_t = LSTM([u_t ; r_t])
    p(x'_{t+1} | x'_{≤t}) = Π_p p(x'_{t+1}[p] | u_t, v_t, x'_{t+1}[<p])

The thesis's five voices decide about some classes in an order of their own, and its objective is a surrogate; here
all twelve are decided from A to G♯, each given those before it, so the likelihood is a product of twelve numbers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.model import CLASSES as IN_CLASSES
from octavoice.model import HISTORY, Network, Step, Tensors, precise, uniforms
from octavoice.music.roll import CLASSES, CLOCK_BITS
from octavoice.thesis.attention import PERIODS, LSTMState, read_past

RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 512)
"""Shares by which the running means of every class move at each step: half a bar, two, eight and 32 bars."""
MATCH_RATE = 1 / 8
SILENCES = (0, 1, 3, 7, 15, 31, 63)
"""The length of a silence is told as which of these, in steps, it exceeds."""
MISTAKES = 0.03
"""Share of sounding classes that training moves to another class before they are heard, in half of the fragments: a
sampled piece has wrong notes, and the network should learn to go on in key after one."""
HIDDEN_PAST = 0.1
"""Share of training fragments that begin as if nothing had been before them, like a short prime."""
RELATIVE = 1 + len(PERIODS) + len(RATES)
GENERAL = CLOCK_BITS + len(SILENCES) + 2 * len(PERIODS)
MEANS = (CLASSES + 1) * len(RATES) + 2 * len(PERIODS)


class Memory(NamedTuple):
    """What is kept of the steps so far, besides the recurrent states.

    ``past`` ``(129, batch, pitch_class)``: the newest steps, oldest first, and ``known`` ``(129, batch, 1)``, 0
    before the piece; ``means`` ``(batch, 68)``: running means; ``silence`` ``(batch,)``: steps since an onset.
    """

    past: Tensor
    known: Tensor
    means: Tensor
    silence: Tensor


class State(NamedTuple):
    """After a step was heard: the step itself, its number, the memory before it and the recurrent states."""

    x: Tensor
    position: int
    memory: Memory
    lower: LSTMState | None = None
    upper: LSTMState | None = None


def blank(x: Tensor) -> Memory:
    """The memory before a piece, of the dtype and batch size of ``x`` ``(…, batch, pitch_class)``."""
    batch = x.shape[-2]
    return Memory(x.new_zeros(HISTORY + 1, batch, CLASSES), x.new_zeros(HISTORY + 1, batch, 1),
                  x.new_zeros(batch, MEANS), x.new_zeros(batch))


def remember(memory: Memory, x: Tensor, known: Tensor) -> tuple[Memory, Tensor, Tensor]:
    """Take in ``x`` ``(time, batch, pitch_class)``, of which ``known`` ``(time, batch, 1)`` is 0 before the piece.

    Returns the memory after it, and after each step the running means ``(time, batch, 68)`` and the silences
    ``(time, batch)``. Any number of steps at once gives the same as one at a time.
    """
    line, told = torch.cat([memory.past, x]), torch.cat([memory.known, known])
    before = torch.stack([line[HISTORY + 1 - h:][:len(x)] for h in PERIODS], dim=2)
    comparable = torch.cat([told[HISTORY + 1 - h:][:len(x)] for h in PERIODS], dim=2)
    both = (x[:, :, None] * before).sum(dim=-1) * comparable
    either = torch.maximum(x[:, :, None], before).sum(dim=-1) * comparable
    now = torch.cat([x.repeat(1, 1, len(RATES)), known.expand(-1, -1, len(RATES)), both, either], dim=-1)
    rate = x.new_tensor([r for r in RATES for _ in range(CLASSES)] + [*RATES] + [MATCH_RATE] * 2 * len(PERIODS))
    means, series = memory.means, []
    for step in now:
        means = torch.lerp(means, step, rate)
        series.append(means)
    time = torch.arange(len(x), device=x.device)[:, None]
    last = torch.where(x.any(dim=-1), time, -1).cummax(dim=0).values
    silence = torch.where(last >= 0, time - last, memory.silence + time + 1).to(x.dtype)
    return (Memory(line[-HISTORY - 1:], told[-HISTORY - 1:], means, silence[-1]), torch.stack(series), silence)


def describe(x: Tensor, memory: Memory, means: Tensor, silence: Tensor, ticks: Tensor) -> tuple[Tensor, Tensor]:
    """s_t of every step: the input of the first LSTM ``(time, batch, 185)``, and the reads in it.

    ``memory`` is that *before* ``x``, ``means`` and ``silence`` those after each step; ``ticks``
    ``(time, batch, 6)``. Reads are ``(time, batch, period, pitch_class)``.
    """
    known = torch.cat([memory.known, torch.ones_like(x[..., :1])])
    reads = read_past(x, memory.past, PERIODS).transpose(1, 2)
    told = torch.cat([known[HISTORY + 2 - h:][:len(x)] for h in PERIODS], dim=-1)
    often, weight, both, either = means.split([CLASSES * len(RATES), len(RATES), len(PERIODS), len(PERIODS)], dim=-1)
    often = 2 * often.unflatten(-1, (len(RATES), CLASSES)) / weight.clamp_min(1e-3)[..., None]
    match = (both / MATCH_RATE + 0.1) / (either / MATCH_RATE + 0.5)
    lengths = (silence[..., None] > x.new_tensor(SILENCES)).to(x.dtype)
    return torch.cat([x, reads.flatten(2), often.flatten(2), ticks, lengths, match, told], dim=-1), reads


def piece_clock(position: Tensor, like: Tensor) -> Tensor:
    """The clock of the steps numbered ``position`` ``(time, batch)`` from the piece's start: ``(time, batch, 6)``."""
    bits = torch.arange(CLOCK_BITS - 1, -1, -1, device=position.device)
    return ((position.long()[..., None] >> bits) & 1).to(like.dtype)


def mistaken(x: Tensor, share: Tensor, rng: torch.Generator) -> Tensor:
    """Steps ``(time, batch, pitch_class)`` in which a ``share`` ``(batch,)`` of the sounding classes is another one.

    The wrong classes of one step are all the same distance away.
    """
    u = uniforms(rng, *x.shape[:2], CLASSES + 1, device=x.device)
    wrong = x * (u[..., :CLASSES] < share[:, None])
    away = (1 + (CLASSES - 1) * u[..., -1:]).long()
    places = (torch.arange(CLASSES, device=x.device) - away) % CLASSES
    return torch.maximum(x - wrong, wrong.gather(-1, places))


class ClassChain(Network):
    """Two LSTMs under an exact chain over the twelve classes. ``(pitch classes, exact)``"""

    space, draw_size = IN_CLASSES, CLASSES
    mistakes = MISTAKES

    def __init__(self, lower: int = 160, upper: int = 130, chain: int = 120):
        super().__init__()
        self.lower = nn.LSTM(RELATIVE * CLASSES + GENERAL, lower)
        self.attention = nn.Linear(lower, len(PERIODS))
        self.upper = nn.LSTM(lower + CLASSES, upper)
        self.features = nn.Linear(lower + upper, chain)
        self.sounds = nn.Parameter(torch.randn(CLASSES, chain) / 5)
        self.silent = nn.Parameter(torch.randn(CLASSES, chain) / 5)
        self.weight = nn.Parameter(torch.randn(CLASSES, chain) / chain**0.5)
        self.direct = nn.Linear(lower + upper, CLASSES)
        nn.init.constant_(self.direct.bias, -2.0)

    def forward(self, x: Tensor, ticks: Tensor, memory: Memory, lower=None, upper=None):
        """Run over any number of steps; one step at a time gives the same as all at once.

        ``x`` ``(time, batch, pitch_class)``, ``ticks`` ``(time, batch, 6)``; returns the chain's input at every
        step (see :meth:`chain`), the attention ``(time, batch, period)``, the memory and both recurrent states.
        """
        after, means, silence = remember(memory, x, torch.ones_like(x[..., :1]))
        told, reads = describe(x, memory, means, silence, ticks)
        u, lower = self.lower(told, lower)
        attention = torch.softmax(precise(self.attention(u)), dim=-1)
        read = torch.einsum("tbh,tbhp->tbp", attention, reads)
        v, upper = self.upper(torch.cat([u, read.to(u.dtype)], dim=-1), upper)
        both = torch.cat([u, v], dim=-1)
        return (self.features(both), precise(self.direct(both))), attention, after, lower, upper

    def chain(self, given: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        """Logits of "class p sounds" given the classes before it, teacher-forced: ``(…, pitch_class)`` both."""
        features, direct = given
        earlier = torch.ones(CLASSES, CLASSES, dtype=x.dtype, device=x.device).tril(-1)
        decided = torch.cat([x[..., None, :] * earlier, (1 - x[..., None, :]) * earlier], dim=-1)
        hidden = torch.relu(features[..., None, :] + decided @ torch.cat([self.sounds, self.silent]))
        return precise((hidden * self.weight.to(hidden.dtype)).sum(dim=-1)) + direct

    def log_likelihood(self, batch: Tensors, rng: torch.Generator | None = None) -> Tensor:
        """Exact; no draw is needed. ``(time - 1, batch)``."""
        return self._nats(batch, batch.x12[1:])

    def _nats(self, heard: Tensors, target: Tensor) -> Tensor:
        """log p of each ``target`` ``(time - 1, batch, pitch_class)`` after the steps heard before it."""
        with self.lowered(target.device):
            given, *_ = self(heard.x12[:-1], *self._before(heard))
            logits = self.chain(given, target)
        return -functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=-1)

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, each fragment rolled by a shift of its own, some of them without a past, and
        some heard with wrong notes."""
        u = uniforms(rng, 3, batch.x12.shape[1], device=batch.x12.device)
        order = (torch.arange(CLASSES, device=u.device) + (CLASSES * u[0]).long()[:, None]) % CLASSES
        kept = (u[1] >= HIDDEN_PAST).to(batch.x12.dtype)
        x12, history = (a.gather(-1, order.expand(len(a), -1, -1)) for a in (batch.x12, batch.history))
        position = torch.where(kept > 0, batch.position, torch.zeros_like(batch.position))
        line = mistaken(torch.cat([history * kept[:, None], x12]), self.mistakes * (u[2] < 0.5), rng)
        heard = batch._replace(x12=line[HISTORY:], history=line[:HISTORY], position=position)
        return -self._nats(heard, x12[1:])

    def _before(self, batch: Tensors) -> tuple[Tensor, Memory]:
        """Clock of every step that predicts one, and the memory before the fragment."""
        known = batch.position + torch.arange(-HISTORY, 0, device=batch.position.device)[:, None] >= 0
        memory, *_ = remember(blank(batch.x12), batch.history, known[..., None].to(batch.x12.dtype))
        time = torch.arange(len(batch.x12) - 1, device=batch.position.device)[:, None]
        return piece_clock(batch.position + time, batch.x12), memory

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`."""
        memory = blank(first)
        if past is not None:
            known = (torch.arange(position - len(past), position) >= 0).to(first.dtype)
            memory, *_ = remember(memory, past, known[:, None, None].expand(-1, len(first), -1))
        return State(first, position, memory)

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`."""
        ticks = piece_clock(torch.full((1, 1), state.position), state.x).expand(-1, len(state.x), -1)
        chain, attention, *after = self(state.x[None], ticks, state.memory, state.lower, state.upper)
        x, p = self._draw(tuple(part[0] for part in chain), draws, heard)
        return Step(State(x, state.position + 1, *after), x, {"attention": attention[0], "sounds": p})

    def _draw(self, given: tuple[Tensor, Tensor], draws: Tensor, heard: Tensor | None) -> tuple[Tensor, Tensor]:
        """The twelve decisions in turn, and the probability of "sounds" that each was made with."""
        hidden, direct = given
        values, probabilities = [], []
        for p in range(CLASSES):
            logit = torch.relu(hidden) @ self.weight[p] + direct[:, p]
            probability = torch.sigmoid(logit / self.temperature)
            x = (draws[:, p] < probability).to(hidden.dtype) if heard is None else heard[:, p]
            hidden = hidden + torch.where(x[:, None] > 0.5, self.sounds[p], self.silent[p])
            values.append(x)
            probabilities.append(probability)
        return torch.stack(values, dim=-1), torch.stack(probabilities, dim=-1)
