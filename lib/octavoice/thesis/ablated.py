"""The thesis's networks with one choice made otherwise, behind the one interface (§6.2–6.4, §4.1)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.model import BOUND, CLASSES, HISTORY, Network, Step, Tensors, precise, uniforms
from octavoice.model import KEYS as IN_KEYS
from octavoice.music.roll import CLASSES as COUNT
from octavoice.music.roll import CLOCK_BITS, KEYS, mask
from octavoice.rbm import contrast
from octavoice.representations.steps import compressed, left_of, piece_clock
from octavoice.survey.chords import Head
from octavoice.thesis.attention import MainModule, MainState, read_past
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.rivals import FirstScheme, JointSoftmax, first_scheme_objective
from octavoice.thesis.voices import VOICES, choose


class ConstantReader(nn.Module):
    """Weights of the periods that are the same at every step: learned ones, or none, so that nothing is read."""

    def __init__(self, periods: int, learned: bool):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(periods), requires_grad=learned)

    def forward(self, inputs: Tensor, state=None) -> tuple[Tensor, None]:
        """As :class:`octavoice.thesis.attention.HistoryReader`: weights ``(time, batch, period)``, no state."""
        weights = torch.softmax(self.scores, dim=-1) if self.scores.requires_grad else torch.zeros_like(self.scores)
        return weights.to(inputs.dtype).expand(*inputs.shape[:2], -1), None


def unattended(learned: bool) -> OctaveGenerator:
    """The generator with constant weights in place of attention, or reading nothing."""
    network = OctaveGenerator()
    network.history_reader = ConstantReader(len(network.periods), learned)
    return network


class Rewired(OctaveGenerator):
    """The generator whose reads go another way.

    ``whole``: all eight side by side, no attention; ``early``: into the local LSTM, not the aggregating one.
    """

    def __init__(self, whole: bool = False, early: bool = False, local: int = 100):
        super().__init__(local=local)
        self.whole, self.early = whole, early
        read = self.classes * (len(self.periods) if whole else 1)
        if whole:
            self.history_reader = ConstantReader(len(self.periods), learned=False)
        self.local_lstm = nn.LSTM(self.classes + CLOCK_BITS + read * early, local)
        self.aggregation_lstm = nn.LSTM(local + read * (not early), self.features)

    def forward(self, x: Tensor, clock: Tensor, state: MainState) -> tuple[Tensor, Tensor, MainState]:
        """See :meth:`octavoice.thesis.attention.MainModule.forward`."""
        inputs = torch.cat([x, clock], dim=-1)
        attention, controller = self.history_reader(inputs, state.controller)
        reads = read_past(x, state.past, self.periods)
        read = reads.transpose(1, 2).flatten(2) if self.whole else torch.einsum("tbh,thbp->tbp", attention, reads)
        below, above = (read, read[..., :0]) if self.early else (read[..., :0], read)
        local_features, local = self.local_lstm(torch.cat([inputs, below], dim=-1), state.local)
        features, aggregate = self.aggregation_lstm(torch.cat([local_features, above], dim=-1), state.aggregate)
        past = torch.cat([state.past, x])[-len(state.past):]
        return features, attention, MainState(past, controller, local, aggregate)


class Clockless(OctaveGenerator):
    """The generator that is not told the clock."""

    def forward(self, x: Tensor, clock: Tensor, state: MainState) -> tuple[Tensor, Tensor, MainState]:
        """See :meth:`octavoice.thesis.attention.MainModule.forward`."""
        return super().forward(x, torch.zeros_like(clock), state)


class Holding(OctaveGenerator):
    """The generator that is told, beside the clock, which classes sound on after a step (§2.2: the thesis tells onsets
    alone). It still predicts onsets; a batch without durations tells nothing."""

    hears_durations = True

    def __init__(self):
        super().__init__(clock_bits=CLOCK_BITS + COUNT)

    def forward(self, x: Tensor, clock: Tensor, state: MainState) -> tuple[Tensor, Tensor, MainState]:
        """See :meth:`octavoice.thesis.attention.MainModule.forward`; ``clock`` ``(time, batch, 18)``, or 6 if nothing
        is told."""
        return super().forward(x, functional.pad(clock, (0, CLOCK_BITS + COUNT - clock.shape[-1])), state)

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """See :meth:`octavoice.thesis.generator.OctaveGenerator.loss`."""
        return super().loss(holding(batch), rng)

    def log_likelihood(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """See :meth:`octavoice.thesis.generator.OctaveGenerator.log_likelihood`."""
        return super().log_likelihood(holding(batch), rng)


def holding(batch: Tensors) -> Tensors:
    """The batch with the classes that sound on after each step beside its clock: ``(time, batch, 18)``."""
    if not len(batch.durations):
        return batch
    on = compressed((left_of(batch.durations)[HISTORY:] > 1).to(batch.clock.dtype))
    return batch._replace(clock=torch.cat([batch.clock, on], dim=-1))


class State(NamedTuple):
    """After a step ``x`` ``(batch, width)``, the piece's step number ``position``: recurrent states."""

    x: Tensor
    position: int
    main: MainState
    voices: list | None = None


class Featured(MainModule, Network):
    """The thesis's main module under another sampler: over 12 classes, or over the 88 keys themselves."""

    def __init__(self, space: str = CLASSES, **sizes):
        super().__init__(classes=KEYS if space == IN_KEYS else 12, **sizes)
        self.space = space

    def conditions(self, batch: Tensors) -> tuple[Tensor, Tensor]:
        """F of every step but the last ``(time - 1, batch, 130)``, and the steps that they predict."""
        x, past = (batch.x, batch.past) if self.space == IN_KEYS else (batch.x12, batch.history)
        with self.lowered(x.device):
            features, _, _ = self(x[:-1], batch.clock[:-1], MainState(past))
        return precise(features), x[1:]

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """See :meth:`octavoice.model.Network.start`."""
        return State(first, position, self.initial_state(len(first)) if past is None else MainState(past))

    def heard(self, state: State) -> tuple[Tensor, MainState]:
        """F after a state's step ``(1, batch, 130)``, and the main module's state then."""
        ticks = piece_clock(torch.full((1, len(state.x)), state.position, device=state.x.device), state.x)
        features, _, main = self(state.x[None], ticks, state.main)
        return features, main


class Headed(Featured):
    """The main module under a head that decides about a step by itself, given F alone (§4.1)."""

    def __init__(self, head: Head, space: str = CLASSES, **sizes):
        super().__init__(space, **sizes)
        self.head, self.kind = head, head.kind

    @property
    def draw_size(self) -> int:
        """As many uniforms as the head takes."""
        return self.head.draw_size

    def log_likelihood(self, batch: Tensors, rng: torch.Generator | None = None) -> Tensor:
        """See :meth:`octavoice.model.Network.log_likelihood`."""
        return self.head.nats(*self.conditions(batch), rng)

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`."""
        features, main = self.heard(state)
        value = heard if heard is not None else self.head.sample(features[0], draws, state.x, self.temperature)
        return Step(State(value, state.position + 1, main), value, {})


class Joint(Head):
    """The softmax over all 2^12 step vectors, rejected in §6.4."""

    draw_size = 1

    def __init__(self, size: int, classes: int = 12):
        super().__init__()
        self.softmax = JointSoftmax(size, classes)

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`."""
        return -self.softmax.objective(h, x)

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`."""
        index = choose(self.softmax.linear(h) / temperature, draws[:, 0])
        return ((index[:, None] >> torch.arange(self.softmax.classes, device=h.device)) & 1).to(h.dtype)


class SchemeOne(Featured):
    """The main module under the first scheme of §6.4, trained by its cross-entropy, with a pause ``penalty`` (C6, C7).

    Its likelihood is a bound by particle filter, as that of the second scheme: a voice names a class or pauses, and a
    step comes about by any choices whose union it is.
    """

    kind, particles = BOUND, 64

    def __init__(self, shared: bool = False, penalty: float = 0.0, voices: int = VOICES):
        super().__init__()
        self.scheme, self.penalty = FirstScheme(self.features, self.classes, voices=voices, shared=shared), penalty

    @property
    def draw_size(self) -> int:
        """A uniform for each voice."""
        return self.scheme.voices

    def _objective(self, batch: Tensors, rng: torch.Generator, penalty: float) -> Tensor:
        features, target = self.conditions(batch)
        u = uniforms(rng, self.scheme.voices, *features.shape[:2], device=features.device)
        with self.lowered(features.device):
            log_q, _ = self.scheme(features, u)
        return first_scheme_objective(log_q.float(), target, penalty)

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The cross-entropy of §6.4 with the penalty, ``(time - 1, batch)``."""
        return self._objective(batch, rng, self.penalty)

    def held_out(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """The cross-entropy without it."""
        return self._objective(batch, rng, 0.0)

    def voice(self, v: int, features: Tensor, union: Tensor, state=None) -> tuple[Tensor, tuple]:
        """Voice ``v`` at one step: ``log_q`` ``(batch, pitch_class + 1)`` and its recurrent state."""
        net = v % len(self.scheme.lstms)
        output, state = self.scheme.lstms[net](torch.cat([features, union], dim=-1)[None], state)
        return torch.log_softmax(self.scheme.linears[net](output[0]), dim=-1), state

    def joined(self, union: Tensor, choice: Tensor) -> Tensor:
        """The classes named so far and one more choice; the last choice is the pause."""
        return torch.maximum(union, functional.one_hot(choice, self.classes + 1)[..., :-1].to(union.dtype))

    @torch.no_grad()
    def log_likelihood(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """A bound, ``(time - 1, batch)``; minus infinity where more classes sound than there are voices."""
        features, target = self.conditions(batch)
        states, increments = [None] * self.scheme.voices, []
        for t in range(len(features)):
            wide = [a[t].repeat_interleave(self.particles, dim=0) for a in (features, target)]
            log_weight, states = self._explain(*wide, states, rng)
            log_weight = log_weight.view(-1, self.particles)
            increments.append(torch.logsumexp(log_weight, dim=1) - math.log(self.particles))
            alive = torch.isfinite(log_weight).any(dim=1, keepdim=True)
            chosen = choose(torch.where(alive, log_weight, 0.0)[:, None].expand(-1, self.particles, -1),
                            uniforms(rng, *log_weight.shape, device=log_weight.device))
            rows = (chosen + self.particles * torch.arange(len(chosen), device=chosen.device)[:, None]).flatten()
            states = [(h[:, rows], c[:, rows]) for h, c in states]
        return torch.stack(increments)

    def _explain(self, features: Tensor, target: Tensor, states: list, rng: torch.Generator):
        """Choices whose union is ``target``, proposed in proportion to q: log weights ``(particle,)`` and states."""
        union, log_weight, ends = torch.zeros_like(target), 0.0, []
        for v in range(self.scheme.voices):
            log_q, end = self.voice(v, features, union, states[v])
            missing = target - union
            hurry = missing.sum(dim=-1, keepdim=True) >= self.scheme.voices - v
            may = torch.cat([torch.where(hurry, missing, target) > 0.5, ~hurry], dim=-1)
            log_q = log_q.masked_fill(~may, -torch.inf)
            log_weight = log_weight + torch.logsumexp(log_q, dim=-1)
            union = self.joined(union, choose(log_q, uniforms(rng, len(target), device=target.device)))
            ends.append(end)
        return torch.where((target > union).any(dim=-1), -torch.inf, log_weight), ends

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; a prime is read by the voices' own choices."""
        features, main = self.heard(state)
        union, choices, ends = torch.zeros_like(state.x), [], []
        for v in range(self.scheme.voices):
            log_q, end = self.voice(v, features[0], union, state.voices[v] if state.voices else None)
            choices.append(choose(log_q / self.temperature, draws[:, v]))
            union, ends = self.joined(union, choices[-1]), [*ends, end]
        value = union if heard is None else heard
        return Step(State(value, state.position + 1, main, ends), value, {"choices": torch.stack(choices, dim=-1)})


class ManySteps(Decoder):
    """The decoder trained by CD-k: ``contrasted`` Gibbs steps from the data, each masked (§4.4)."""

    contrasted = 10

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """CD-k (5), ``(time - 1, batch)``: a difference of free energies, no likelihood."""
        with self.lowered(batch.x.device):
            b, c, _ = self(batch.x12[1:], batch.x[:-1])
        return contrast(batch.x[1:], b, c, self.W, self.contrasted, rng, mask(batch.x12[1:]))
