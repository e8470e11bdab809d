"""The generator: main module and polyphonic sampler as one network that continues x' (thesis §6.1)."""

from typing import NamedTuple

import torch
from torch import Tensor

from octavoice.model import BOUND, CLASSES, Batch, Network, Step, uniforms
from octavoice.music.roll import clock
from octavoice.thesis.attention import MainModule, MainState
from octavoice.thesis.particles import particle_log_likelihood
from octavoice.thesis.voices import VOICES, VoiceSampler, objective


class GeneratorState(NamedTuple):
    """After a step was heard: the step ``x`` ``(batch, pitch_class)``, its number, one for all or one
    each, and all recurrent states."""

    x: Tensor
    position: int
    main: MainState
    voices: list | None = None


class OctaveGenerator(MainModule, Network):
    """Main module and polyphonic sampler: the network that composes in 12 classes (§6.1).

    Settings: ``forcing`` is what later voices are fed in training (claim C8); with ``truthful`` a prime is read as in
    training, each voice passing on the true decision, without it by its own decisions [published program];
    ``particles`` of the likelihood.
    """

    space, kind = CLASSES, BOUND
    forcing, truthful, particles = "truth", True, 64

    def __init__(self, voices: int = VOICES, sampler_hidden: int = 100, **sizes):
        super().__init__(**sizes)
        self.sampler = VoiceSampler(self.features, self.classes, sampler_hidden, voices)

    @property
    def draw_size(self) -> int:
        """A uniform for each voice."""
        return self.sampler.voices

    def log_q(self, x12: Tensor, clock: Tensor, history: Tensor, uniforms: Tensor, forcing: str = "truth") -> Tensor:
        """Every voice's distribution over a fragment, teacher-forced.

        ``x12`` ``(time, batch, pitch_class)``, ``clock`` ``(time, batch, 6)``, ``history``
        ``(128, batch, pitch_class)``, ``uniforms`` ``(voice, time - 1, batch)``; returns
        ``(voice, time - 1, batch, 2, pitch_class)``: a fragment of 256 steps gives 255 predictions.
        """
        features, _, _ = self(x12[:-1], clock[:-1], MainState(history))
        return self.sampler(features, uniforms, x12[1:], forcing)[0]

    def objective(self, x12: Tensor, clock: Tensor, history: Tensor, uniforms: Tensor, forcing="truth") -> Tensor:
        """The training loss per step in nats, ``(time - 1, batch)``; arguments as :meth:`log_q`."""
        return objective(self.log_q(x12, clock, history, uniforms, forcing), x12[1:])

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The objective of §6.4, ``(time - 1, batch)``: a surrogate, no likelihood."""
        u = uniforms(rng, self.sampler.voices, len(batch.x12) - 1, batch.x12.shape[1], device=batch.x12.device)
        with self.lowered(batch.x12.device):
            log_q = self.log_q(batch.x12, batch.clock, batch.history, u, self.forcing)
        return objective(log_q, batch.x12[1:])

    @torch.no_grad()
    def log_likelihood(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """A bound by particle filter, see :mod:`octavoice.thesis.particles`."""
        features, _, _ = self(batch.x12[:-1], batch.clock[:-1], MainState(batch.history))
        return particle_log_likelihood(self.sampler, features, batch.x12[1:], self.particles, rng)

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> GeneratorState:
        """See :meth:`octavoice.model.Network.start`."""
        main = self.initial_state(len(first)) if past is None else MainState(past)
        return GeneratorState(first, position, main)

    def step(self, state: GeneratorState, draws: Tensor, heard: Tensor | None = None,
             given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; the trace has ``log_q`` ``(batch, voice, 2, pitch_class)``,
        ``choices`` ``(batch, voice)`` and ``attention`` ``(batch, period)``."""
        ticks = torch.from_numpy(clock([state.position])).to(state.x).expand(1, len(state.x), -1)
        features, attention, main = self(state.x[None], ticks, state.main)
        target = heard[None] if heard is not None and self.truthful else None
        log_q, choices, sounds, voices = self.sampler(features, draws.T[:, None], target, states=state.voices,
                                                      temperature=self.temperature)
        x = sounds[0] if heard is None else heard
        trace = {"log_q": log_q[:, 0].movedim(0, 1), "choices": choices[:, 0].T, "attention": attention[0]}
        return Step(GeneratorState(x, state.position + 1, main, voices), x, trace)
