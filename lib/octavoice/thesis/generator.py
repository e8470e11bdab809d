"""The generator and the composer (thesis §6.1, §7.3): all modules as one, step by step.

The generator (main module and sampler) continues x' in 12 classes; the decoder puts every new
step on 88 keys. The generator goes on from its own x', never from recompressed keys.
"""

from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from octavoice.music.roll import KEYS, clock, compress
from octavoice.thesis.attention import HISTORY, MainModule, MainState
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.lstm import StepLSTM
from octavoice.thesis.voices import VOICES, VoiceSampler, objective

CONTEXT = 256
"""Steps of a prime that are read, at most: the fragment length the networks are trained on."""


class OctaveGenerator(MainModule):
    """Main module and polyphonic sampler: the network that composes in 12 classes (§6.1)."""

    def __init__(self, voices: int = VOICES, sampler_hidden: int = 100, **sizes):
        super().__init__(**sizes)
        self.sampler = VoiceSampler(self.features, self.classes, sampler_hidden, voices)

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


@dataclass(frozen=True)
class ComposerState:
    """Everything a composer carries from step to step; nothing is hidden in the modules.

    ``step`` counts from the start of the piece (the clock); ``x12`` ``(batch, pitch_class)`` and
    ``keys`` ``(batch, key)`` are the current step.
    """

    step: int
    x12: Tensor
    keys: Tensor
    main: MainState
    voices: list | None = None
    decoder: tuple | None = None


@dataclass(frozen=True)
class Trace:
    """How one step came about, for the figures of §7.4.

    ``log_q`` ``(voice, batch, 2, pitch_class)``, ``choices`` ``(voice, batch)``, ``attention``
    ``(batch, period)``, ``probability`` ``(batch, key)`` after the mask.
    """

    log_q: Tensor
    choices: Tensor
    attention: Tensor
    probability: Tensor


@dataclass(frozen=True)
class Composition:
    """A batch of continuations. ``roll`` ``(time, batch, key)`` holds the prime and the new steps.

    ``x12`` ``(time, batch, pitch_class)`` is what the generator decided; ``start`` is the first
    new step; ``choices`` ``(new, batch, voice)``, ``log_q`` ``(new, batch, voice, 2, pitch_class)``,
    ``attention`` ``(new, batch, period)`` and ``probability`` ``(new, batch, key)`` tell how;
    ``lost`` counts decided classes that the decoder gave no key, of ``decided`` in all.
    """

    roll: np.ndarray
    x12: np.ndarray
    start: int
    choices: np.ndarray
    log_q: np.ndarray
    attention: np.ndarray
    probability: np.ndarray
    lost: int
    decided: int


class Composer:
    """Continues a prime with explicit state, one piece or many at once.

    Both networks are copied to float64, in which the sampled notes do not depend on how many
    pieces are composed together. Temperatures above 1 make the voices, or the decoder, more adventurous.
    """

    def __init__(self, generator: OctaveGenerator, decoder: Decoder, gibbs_steps: int = 1,
                 temperature: float = 1.0, decoder_temperature: float = 1.0):
        self.temperature, self.decoder_temperature = temperature, decoder_temperature
        self.generator = _frozen_copy(generator)
        self.decoder = _frozen_copy(decoder)
        self.gibbs_steps = gibbs_steps
        self.voices = generator.sampler.voices
        self.draw_size = self.voices + gibbs_steps * (decoder.hidden + KEYS)

    def start(self, x12: Tensor, keys: Tensor, step: int = 0, past: Tensor | None = None) -> ComposerState:
        """The state before anything was heard but one step ``x12 (batch, pitch_class)``, ``keys (batch, key)``.

        ``past`` ``(128, batch, pitch_class)`` is what lies before it, silence if not given.
        """
        main = self.generator.initial_state(len(x12))
        return ComposerState(step, x12, keys, main if past is None else MainState(past))

    @torch.no_grad()
    def step(self, state: ComposerState, uniforms: Tensor, truth: tuple[Tensor, Tensor] | None = None):
        """One step: the new state and a :class:`Trace`.

        ``uniforms`` ``(batch, draw_size)`` decide every draw. With ``truth`` (the next step's
        ``x12`` and ``keys``, while a prime is read) the voices are fed as in training: each
        samples a class and passes on the true decision for it.
        """
        ticks = torch.from_numpy(clock([state.step])).double().expand(1, len(state.x12), -1)
        features, attention, main = self.generator(state.x12[None], ticks, state.main)
        u_voices, u_decoder = uniforms.split([self.voices, self.draw_size - self.voices], dim=-1)
        target = None if truth is None else truth[0][None]
        log_q, choices, sounds, voices = self.generator.sampler(
            features, u_voices.T[:, None], target, states=state.voices, temperature=self.temperature)
        x12 = sounds[0] if truth is None else truth[0]
        u_decoder = u_decoder.unflatten(-1, (self.gibbs_steps, -1)).transpose(0, 1)
        keys, probability, decoder = self.decoder.step(x12, state.keys, u_decoder, state.decoder,
                                                        self.decoder_temperature)
        keys = keys if truth is None else truth[1]
        new = ComposerState(state.step + 1, x12, keys, main, voices, decoder)
        return new, Trace(log_q[:, 0], choices[:, 0], attention[0], probability)

    def listen(self, prime: np.ndarray, draws: Tensor, truthful: bool = True) -> ComposerState:
        """Read a prime ``(time, batch, key)`` of at least one step; ``draws`` ``(time - 1, batch, draw_size)``.

        At most the last 256 steps are read, with the 128 before them as the past; the clock keeps
        counting from the prime's own first step. ``truthful=False`` feeds later voices their own
        samples, as the published program does.
        """
        x = torch.from_numpy(np.ascontiguousarray(prime)).double()
        x12 = torch.from_numpy(compress(np.ascontiguousarray(prime))).double()
        first = max(0, len(x) - CONTEXT)
        past = torch.cat([x12.new_zeros(HISTORY, *x12.shape[1:]), x12[:first]])[-HISTORY:]
        state = self.start(x12[first], x[first], first, past)
        for t in range(first + 1, len(x)):
            truth = (x12[t], x[t])
            new, _ = self.step(state, draws[t - 1], truth if truthful else None)
            state = replace(new, x12=truth[0], keys=truth[1])
        return state

    def compose(self, prime: np.ndarray, steps: int, seed: int, first_index: int = 0,
                truthful: bool = True, progress=iter) -> Composition:
        """Continue ``prime`` ``(time, batch, key)`` by ``steps`` new steps.

        Piece i of the batch draws from its own random stream (``seed``, ``first_index + i``), so it
        gets the same notes whatever else is composed with it. ``progress`` wraps the loop (tqdm).
        """
        heard = max(len(prime), 1) - 1
        draws = self.draws(seed, first_index, prime.shape[1], heard + steps)
        state = self.listen(prime, draws[:heard], truthful)
        made, traces = [], []
        for t in progress(range(heard, heard + steps)):
            state, trace = self.step(state, draws[t])
            made.append((state.keys, state.x12))
            traces.append(trace)
        return _composition(prime, made, traces)

    def draws(self, seed: int, first_index: int, batch: int, steps: int) -> Tensor:
        """Uniforms ``(steps, batch, draw_size)``, each piece from its own Philox stream."""
        streams = [np.random.Generator(np.random.Philox(key=[seed, first_index + i])) for i in range(batch)]
        return torch.from_numpy(np.stack([rng.random((steps, self.draw_size)) for rng in streams], axis=1))


def _frozen_copy(module):
    """A float64 copy on the CPU, quick at single steps."""
    copy = deepcopy(module).cpu().double().eval().requires_grad_(False)
    for part in copy.modules():
        if isinstance(part, torch.nn.LSTM):
            part.__class__ = StepLSTM
    return copy


def _composition(prime: np.ndarray, made: list[tuple[Tensor, Tensor]], traces: list[Trace]) -> Composition:
    keys, x12 = (torch.stack(part).numpy().astype(np.uint8) for part in zip(*made, strict=True))

    def gathered(name: str, axis: int) -> np.ndarray:
        return np.moveaxis(torch.stack([getattr(trace, name) for trace in traces]).numpy(), 1, axis)

    return Composition(
        np.concatenate([prime.astype(np.uint8), keys]), np.concatenate([compress(prime.astype(np.uint8)), x12]),
        len(prime), gathered("choices", 2), gathered("log_q", 2), gathered("attention", 1),
        gathered("probability", 1), int((x12 > compress(keys)).sum()), int(x12.sum()))
