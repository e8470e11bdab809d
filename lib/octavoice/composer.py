"""Any model as a composer: it continues a prime step by step, one piece or many at once (thesis §6.1, §7.3).

A model of classes and of keys goes on from its own classes, never from recompressed keys.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from octavoice.model import GIVEN, HISTORY, Network
from octavoice.model import KEYS as IN_KEYS
from octavoice.music.roll import compress

CONTEXT = 256
"""Steps of a prime that are read, at most: the fragment length the networks are trained on."""


@dataclass(frozen=True)
class ComposerState:
    """Everything a composer carries from step to step; nothing is hidden in the networks.

    ``step`` counts from the start of the piece (the clock); ``x12`` ``(batch, pitch_class)`` and
    ``keys`` ``(batch, key)`` are the current step; ``stages`` the state of each network.
    """

    step: int
    x12: Tensor
    keys: Tensor
    stages: tuple[Any, ...]


@dataclass(frozen=True)
class Composition:
    """A batch of continuations. ``roll`` ``(time, batch, key)`` holds the prime and the new steps.

    ``x12`` ``(time, batch, pitch_class)`` is what was decided; ``start`` is the first new step; ``trace`` tells by
    name how, as the model's networks do, ``(new, batch, …)``; ``lost`` counts decided classes that got no key, of
    ``decided`` in all.
    """

    roll: np.ndarray
    x12: np.ndarray
    start: int
    trace: dict[str, np.ndarray]
    lost: int
    decided: int
    durations: np.ndarray | None = None


class Composer:
    """Continues a prime with explicit state. ``networks`` are a model's, classes before keys.

    They are copied to float64, in which the sampled notes do not depend on how many pieces are composed together.
    Temperatures above 1 make the classes, or their keys, more adventurous. ``settings`` are set on every network
    that has them (the thesis's ``gibbs_steps`` and ``truthful``); ValueError for one that none has.
    """

    def __init__(self, *networks: Network, temperature: float = 1.0, decoder_temperature: float = 1.0, **settings):
        self.networks = tuple(_frozen_copy(network) for network in networks)
        for network in self.networks:
            network.temperature = decoder_temperature if network.space == GIVEN else temperature
        for name, value in settings.items():
            owners = [network for network in self.networks if hasattr(network, name)]
            if not owners:
                raise ValueError(f"no network of this model has a setting {name}")
            for network in owners:
                setattr(network, name, value)
        self.sizes = [network.draw_size for network in self.networks]
        self.draw_size = sum(self.sizes)

    def start(self, keys: Tensor, step: int = 0, past: Tensor | None = None) -> ComposerState:
        """The state when one step ``keys (batch, key)`` was heard, the piece's step number ``step``.

        ``past`` ``(128, batch, key)`` is what lies before it, silence if not given.
        """
        x12, past12 = _compress(keys), None if past is None else _compress(past)
        stages = tuple(network.start(*((x12, past12) if network.space == "classes" else (keys, past)), step)
                       for network in self.networks)
        return ComposerState(step, x12, keys, stages)

    @torch.no_grad()
    def step(self, state: ComposerState, uniforms: Tensor, truth: tuple[Tensor, Tensor] | None = None):
        """One step: the new state, and by name how it came about, each ``(batch, …)``.

        ``uniforms`` ``(batch, draw_size)`` decide every draw. With ``truth``, the next step's ``x12`` and ``keys``
        while a prime is read, that is heard.
        """
        x12, keys = truth or (None, None)
        stages, trace = [], {}
        for network, past, draws in zip(self.networks, state.stages, uniforms.split(self.sizes, dim=-1), strict=True):
            heard = x12 if network.space == "classes" else keys
            after, value, told = network.step(past, draws, heard if truth else None, x12)
            x12, keys = (value, keys) if network.space == "classes" else (x12, value)
            if network.space == IN_KEYS:
                x12 = _compress(value)
            stages.append(after)
            trace |= told
        return ComposerState(state.step + 1, x12, keys, tuple(stages)), trace

    def listen(self, prime: np.ndarray, draws: Tensor) -> ComposerState:
        """Read a prime ``(time, batch, key)`` of at least one step; ``draws`` ``(time - 1, batch, draw_size)``.

        At most the last 256 steps are read, with the 128 before them as the past; the clock keeps
        counting from the prime's own first step.
        """
        x = torch.from_numpy(np.ascontiguousarray(prime)).double()
        first = max(0, len(x) - CONTEXT)
        past = torch.cat([x.new_zeros(HISTORY, *x.shape[1:]), x[:first]])[-HISTORY:]
        state = self.start(x[first], first, past)
        for t in range(first + 1, len(x)):
            state, _ = self.step(state, draws[t - 1], (_compress(x[t]), x[t]))
        return state

    def compose(self, prime: np.ndarray, steps: int, seed: int, first_index: int = 0,
                progress: Callable = iter) -> Composition:
        """Continue ``prime`` ``(time, batch, key)`` by ``steps`` new steps.

        Piece i of the batch draws from its own random stream (``seed``, ``first_index + i``), so it
        gets the same notes whatever else is composed with it. ``progress`` wraps the loop (tqdm).
        """
        heard = max(len(prime), 1) - 1
        draws = self.draws(seed, first_index, prime.shape[1], heard + steps)
        state = self.listen(prime, draws[:heard])
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


class StepLSTM(nn.LSTM):
    """A one-layer ``nn.LSTM`` that takes a single step with less ado: same weights, same axes, same numbers."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None):
        """As ``nn.LSTM``: ``x`` ``(time, batch, input)`` and ``(h, c)``, each ``(1, batch, hidden)``."""
        if len(x) > 1:
            return super().forward(x, state)
        if state is None:
            state = (x.new_zeros(1, x.shape[1], self.hidden_size),) * 2
        h, c = torch.lstm_cell(x[0], (state[0][0], state[1][0]), self.weight_ih_l0, self.weight_hh_l0,
                               self.bias_ih_l0, self.bias_hh_l0)
        return h[None], (h[None], c[None])


def _compress(x: Tensor) -> Tensor:
    """Octave compression (§6.2) of ``(…, key)``."""
    return torch.from_numpy(compress(x.numpy()))


def _frozen_copy(network: Network) -> Network:
    """A float64 copy on the CPU, quick at single steps."""
    copy = deepcopy(network).cpu().double().eval().requires_grad_(False)
    for part in copy.modules():
        if type(part) is nn.LSTM:
            part.__class__ = StepLSTM
    return copy


def _composition(prime: np.ndarray, made: list[tuple[Tensor, Tensor]], traces: list[dict]) -> Composition:
    keys, x12 = (torch.stack(part).numpy().astype(np.uint8) for part in zip(*made, strict=True))
    trace = {name: torch.stack([step[name] for step in traces]).numpy() for name in traces[0]}
    prime = prime.astype(np.uint8)
    return Composition(np.concatenate([prime, keys]), np.concatenate([compress(prime), x12]), len(prime), trace,
                       int((x12 > compress(keys)).sum()), int(x12.sum()))
