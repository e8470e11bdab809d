"""Stage one: pitch classes by an exact chain (the thesis's main module carried on; §6.3, and §5.6's remark).

    s_t = what is remembered: x'_t, the reads x'_{t+1-h} for h ∈ H, how often each class sounded lately, how well
          each period has repeated, how long it has been silent, the clock, and what is still held if that is told
    u_t = LSTM([s_t]);   a_t = softmax(W u_t + b) ∈ R^8;   r_t = Σ_h a_t[h] x'_{t+1-h};   v_t = LSTM([u_t ; r_t])
    p(x'_{t+1} | x'_{≤t}) = Π_p p(x'_{t+1}[p] | u_t, v_t, x'_{t+1}[<p])

The thesis's five voices decide about some classes in an order of their own, and its objective is a surrogate; here
all twelve are decided from A to G♯, each given those before it, so the likelihood is a product of twelve numbers.

One network has two likelihoods: of onsets alone, and, where a batch tells durations, of onsets given how long earlier
notes are held. The second goes with the third stage's, the first on the axis of onsets.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

from octavoice.model import CLASSES as IN_CLASSES
from octavoice.model import HISTORY, KEEP, Drop, Network, Step, Tensors, dropper, precise, uniforms
from octavoice.music.roll import CLASSES, CLOCK_BITS, KEYS
from octavoice.thesis.attention import PERIODS, LSTMState, read_past

RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 512)
"""Shares by which the running means of every class move at each step: half a bar, two, eight and 32 bars."""
MATCH_RATE = 1 / 8
SILENCES = (0, 1, 3, 7, 15, 31, 63)
"""The length of a silence is told as which of these, in steps, it exceeds."""
HIDDEN_PAST = 0.1
"""Share of training fragments that begin as if nothing had been before them, like a short prime."""
UNTOLD = 0.5
"""Share of training fragments whose durations are not told."""
MISTAKES = 0.2
"""Share of sounding classes that training moves to another class before they are heard, with what is held of them, in
half of the fragments: a sampled piece has wrong notes, and the network should learn to go on in key after one."""
DROPOUT = 0.0
"""Share of the activations of both LSTMs, and of the nets of the later stages, that training leaves out."""
RELATIVE = 1 + len(PERIODS) + len(RATES)
GENERAL = CLOCK_BITS + len(SILENCES) + 2 * len(PERIODS)
HELD = 2 * CLASSES + 1
MEAN_RATES = torch.tensor([r for r in RATES for _ in range(CLASSES)] + [*RATES] + [MATCH_RATE] * 2 * len(PERIODS),
                          dtype=torch.double)
MEANS = len(MEAN_RATES)
TICKS = (torch.arange(2**CLOCK_BITS)[:, None] >> torch.arange(CLOCK_BITS - 1, -1, -1)) & 1


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
    """After a step was heard: the step itself, its number, the memory before it, what is ``held`` ``(batch, 25)`` (see
    :func:`still_held`) and the recurrent states."""

    x: Tensor
    position: int
    memory: Memory
    held: Tensor
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
    means, series, rate = memory.means, [], MEAN_RATES.to(x)
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
    return TICKS.to(like)[position.long() % 2**CLOCK_BITS]


def size(steps: Tensor) -> Tensor:
    """A duration in steps as nets see it: 1/7 for one step, 6/7 for 32, 1 from 64 on; 0 where nothing is."""
    return torch.where(steps > 0, torch.log2(2 * steps.clamp(1, 64)) / 7, torch.zeros_like(steps))


def still_held(left: Tensor) -> Tensor:
    """What a step leaves of ``left`` ``(…, key)``, the steps for which each key sounds from it on: ``(…, 25)``.

    Of every class the size of the longest rest, whether a note of it ends with the step, and a 1, for told.
    """
    both = torch.stack([size((left - 1).clamp_min(0)), (left == 1).to(left.dtype)], dim=-2)
    classes = functional.pad(both, (0, -both.shape[-1] % CLASSES)).unflatten(-1, (-1, CLASSES)).amax(dim=-2).flatten(-2)
    return torch.cat([classes, torch.ones_like(classes[..., :1])], dim=-1)


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


def onsets_alone(batch: Tensors) -> Tensors:
    """The same batch without durations."""
    return batch._replace(durations=batch.durations[:0])


def left_of(durations: Tensor) -> Tensor:
    """Steps for which each key still sounds from every step on, of ``durations`` ``(time, batch, key)``."""
    time = torch.arange(len(durations), device=durations.device)[:, None, None]
    return (torch.where(durations > 0, time + durations, 0.0).cummax(dim=0).values - time).clamp_min(0)


class Hearing(Network):
    """A network that is told what is still held, or not: one likelihood of onsets alone, one given durations."""

    hears_durations = True

    def log_likelihood(self, batch: Tensors, rng: torch.Generator | None = None) -> Tensor:
        """Exact, without draws; given how long earlier notes are held where the batch tells. ``(time - 1, batch)``."""
        return self._nats(batch, self._held(batch))

    def held_out(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood of onsets alone, whatever the batch tells."""
        return -self.log_likelihood(onsets_alone(batch))

    def on_panel(self, batch: Tensors, rng: torch.Generator) -> dict[str, Tensor]:
        """Beside it that of onsets given how long earlier notes are held."""
        return {"held_out_told": -self.log_likelihood(batch)}

    def _held(self, batch: Tensors) -> Tensor:
        """What every step that predicts one leaves held ``(time - 1, batch, …)``; zeros if the batch does not tell."""
        raise NotImplementedError

    def _nats(self, batch: Tensors, held: Tensor) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``, given what is ``held``."""
        raise NotImplementedError


class ClassChain(Hearing):
    """Two LSTMs under an exact chain over the twelve classes. ``(pitch classes, exact)``"""

    space, draw_size = IN_CLASSES, CLASSES
    mistakes, dropout = MISTAKES, DROPOUT

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

    def forward(self, x: Tensor, ticks: Tensor, memory: Memory, held: Tensor, lower=None, upper=None,
                drop: Drop = KEEP):
        """Run over any number of steps; one step at a time gives the same as all at once.

        ``x`` ``(time, batch, pitch_class)``, ``ticks`` ``(time, batch, 6)``, ``held`` ``(time, batch, 25)``; returns
        the chain's input at every step (see :meth:`chain`), the attention ``(time, batch, period)``, the memory and
        both recurrent states.
        """
        after, means, silence = remember(memory, x, torch.ones_like(x[..., :1]))
        told, reads = describe(x, memory, means, silence, ticks)
        u, lower = self.lower(torch.cat([told, held], dim=-1), lower)
        u = drop(u)
        attention = torch.softmax(precise(self.attention(u)), dim=-1)
        read = torch.einsum("tbh,tbhp->tbp", attention, reads)
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

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood, each fragment rolled by a shift of its own, some of them without a past, some
        without durations, and some heard with wrong notes."""
        u = uniforms(rng, 3, batch.x12.shape[1], device=batch.x12.device)
        shift = (CLASSES * u[0]).long()
        kept, told = ((u[i] >= share).to(batch.x12.dtype)[:, None] for i, share in ((1, HIDDEN_PAST), (2, UNTOLD)))
        line = torch.cat([batch.history * kept, batch.x12])
        durations = torch.cat([batch.durations[:HISTORY] * kept, batch.durations[HISTORY:]])
        wrong, away = self._mistakes(line, rng)
        heard = rolled(mistaken(line, wrong, away), shift)
        if len(durations):
            durations = mistaken(functional.pad(durations, (0, -KEYS % CLASSES)), wrong, away)
        batch = batch._replace(x12=heard[HISTORY:], history=heard[:HISTORY], durations=durations,
                               position=torch.where(kept[:, 0] > 0, batch.position, 0))
        return -self._nats(batch, self._held(batch, shift) * told, rolled(line[HISTORY + 1:], shift),
                           dropper(self.dropout, rng))

    def _mistakes(self, line: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which classes of ``line`` ``(time, batch, pitch_class)`` training makes wrong, and how far ``(…, 1)``."""
        u = uniforms(rng, *line.shape[:2], CLASSES + 1, device=line.device)
        half = uniforms(rng, line.shape[1], device=line.device) < 0.5
        wrong = (u[..., :CLASSES] < self.mistakes * half[:, None]).to(line.dtype)
        return wrong, (1 + (CLASSES - 1) * u[..., CLASSES:]).long()

    def _nats(self, batch: Tensors, held: Tensor, target: Tensor | None = None, drop: Drop = KEEP) -> Tensor:
        """log p of every step but the first ``(time - 1, batch)``, or of a ``target`` in their place.

        ``held`` ``(time - 1, batch, 25)``; ``target`` ``(time - 1, batch, pitch_class)``.
        """
        (ticks, memory), target = self._before(batch), batch.x12[1:] if target is None else target
        with self.lowered(batch.x12.device):
            given, *_ = self(batch.x12[:-1], ticks, memory, held, drop=drop)
            logits = self.chain(given, target)
        return -functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=-1)

    def _before(self, batch: Tensors) -> tuple[Tensor, Memory]:
        """Clock of every step that predicts one, and the memory before the fragment."""
        known = batch.position + torch.arange(-HISTORY, 0, device=batch.position.device)[:, None] >= 0
        memory, *_ = remember(blank(batch.x12), batch.history, known[..., None].to(batch.x12.dtype))
        time = torch.arange(len(batch.x12) - 1, device=batch.position.device)[:, None]
        return piece_clock(batch.position + time, batch.x12), memory

    def _held(self, batch: Tensors, shift: Tensor | None = None) -> Tensor:
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
        return State(first, position, memory, first.new_zeros(len(first), HELD))

    def told(self, state: State, left: Tensor) -> State:
        """See :meth:`octavoice.model.Network.told`."""
        return state._replace(held=still_held(left))

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`."""
        ticks = piece_clock(torch.full((1, 1), state.position), state.x).expand(-1, len(state.x), -1)
        chain, attention, memory, lower, upper = self(state.x[None], ticks, state.memory, state.held[None], state.lower,
                                                      state.upper)
        x, p = self._draw(tuple(part[0] for part in chain), draws, heard)
        after = State(x, state.position + 1, memory, torch.zeros_like(state.held), lower, upper)
        return Step(after, x, {"attention": attention[0], "sounds": p})

    def _draw(self, given: tuple[Tensor, Tensor], draws: Tensor, heard: Tensor | None) -> tuple[Tensor, Tensor]:
        """The twelve decisions in turn, and the probability of "sounds" that each was made with.

        In numpy: at a step's size torch's own time for a call is ten times that of its arithmetic.
        """
        hidden, direct, sounds, silent, weight = (part.numpy() for part in (
            *given, self.sounds, self.silent, self.weight))
        hidden, draws = hidden.copy(), draws.numpy()
        values, probabilities = np.empty_like(direct), np.empty_like(direct)
        for p in range(CLASSES):
            logit = np.maximum(hidden, 0) @ weight[p] + direct[:, p]
            probabilities[:, p] = expit(logit / self.temperature)
            values[:, p] = draws[:, p] < probabilities[:, p] if heard is None else heard[:, p]
            hidden += np.where(values[:, p, None] > 0.5, sounds[p], silent[p])
        return torch.from_numpy(values), torch.from_numpy(probabilities)
