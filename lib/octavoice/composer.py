"""Any model as a composer: it continues a prime step by step, one piece or many at once (thesis §6.1, §7.3).

A model of classes and of keys goes on from its own classes, never from recompressed keys. A model that knows how long
notes are held hears the prime's durations too, and after every step its networks are told what still sounds.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from octavoice.model import CLASSES, DURATIONS, GIVEN, HISTORY, Network
from octavoice.model import KEYS as IN_KEYS
from octavoice.music.durations import clipped, until_next
from octavoice.music.roll import compress

Progress = Callable[[Iterable[int]], Iterable[int]]
"""Goes through some numbers and may show how far it has come: ``iter``, or tqdm."""
CONTEXT = 256
"""Steps of a prime that are read, at most: the fragment length the networks are trained on."""


@dataclass(frozen=True)
class ComposerState:
    """Everything a composer carries from step to step; nothing is hidden in the networks.

    ``step`` counts from the start of the piece (the clock); ``x12`` ``(batch, pitch_class)`` and
    ``keys`` ``(batch, key)`` are the current step; if the model knows, ``durations`` ``(batch, key)`` are those of its
    notes and ``left`` ``(batch, key)`` the steps for which each key sounds from it on. ``stages`` are the states of the
    networks.
    """

    step: int
    x12: Tensor
    keys: Tensor
    durations: Tensor | None
    left: Tensor | None
    stages: tuple[Any, ...]


@dataclass(frozen=True)
class Composition:
    """A batch of continuations. ``roll`` ``(time, batch, key)`` holds the prime and the new steps.

    ``x12`` ``(time, batch, pitch_class)`` is what was decided; ``start`` is the first new step; ``trace`` tells by
    name how, as the model's networks do, ``(new, batch, …)``; ``lost`` counts decided classes that got no key, of
    ``decided`` in all. ``durations`` ``(time, batch, key)`` holds the steps for which each note is held, 0 where none
    begins; None if the model does not know.
    """

    roll: np.ndarray
    x12: np.ndarray
    start: int
    trace: dict[str, np.ndarray]
    lost: int
    decided: int
    durations: np.ndarray | None = None


class Composer:
    """Continues a prime with explicit state. ``networks`` are a model's, classes before keys before durations.

    They are copied to float64, in which the sampled notes do not depend on how many pieces are composed together.
    Temperatures above 1 make the classes, or their keys, more adventurous. ``settings`` are set on every network
    that has them (the thesis's ``gibbs_steps`` and ``truthful``); ValueError for one that none has.
    """

    def __init__(self, *networks: Network, temperature: float = 1.0, decoder_temperature: float = 1.0,
                 **settings: Any):
        self.networks = tuple(_frozen_copy(network) for network in networks)
        for network in self.networks:
            network.temperature = {GIVEN: decoder_temperature, DURATIONS: 1.0}.get(network.space, temperature)
        for name, value in settings.items():
            owners = [network for network in self.networks if hasattr(network, name)]
            if not owners:
                raise ValueError(f"no network of this model has a setting {name}")
            for network in owners:
                setattr(network, name, value)
        self.sizes = [network.draw_size for network in self.networks]
        self.draw_size = sum(self.sizes)
        self.holds = self.networks[-1].space == DURATIONS

    def start(self, keys: Tensor, step: int = 0, past: Tensor | None = None, durations: Tensor | None = None,
              past_durations: Tensor | None = None) -> ComposerState:
        """The state when one step ``keys (batch, key)`` was heard, the piece's step number ``step``.

        ``past`` ``(128 or more, batch, key)`` is what lies before it, silence if not given; ``durations``
        ``(batch, key)`` and ``past_durations`` say how long these notes are held. A network gets the newest 128
        steps of it, one that remembers all of them the whole.
        """
        x12, past12 = _compress(keys), None if past is None else _compress(past)
        heard: dict[str, tuple[Any, Tensor | None]] = {CLASSES: (x12, past12), DURATIONS: (durations, past_durations)}
        stages = tuple(_started(network, *heard.get(network.space, (keys, past)), step) for network in self.networks)
        left = None
        if self.holds and durations is not None:
            before = _newest(past_durations)
            left = durations if before is None else _left(torch.cat([before, durations[None]]))
        return ComposerState(step, x12, keys, durations, left, self._told(stages, left))

    @torch.inference_mode()
    def step(self, state: ComposerState, uniforms: Tensor,
             truth: tuple[Tensor, ...] | None = None) -> tuple[ComposerState, dict[str, Tensor]]:
        """One step: the new state, and by name how it came about, each ``(batch, …)``.

        ``uniforms`` ``(batch, draw_size)`` decide every draw. With ``truth``, the next step's ``x12`` and ``keys``
        (and ``durations``) while a prime is read, that is heard.
        """
        x12, keys, durations = None, None, None
        if truth:
            x12, keys = truth[:2]
            durations = truth[2] if len(truth) > 2 else None
        stages: list[Any] = []
        trace: dict[str, Tensor] = {}
        for network, past, draws in zip(self.networks, state.stages, uniforms.split(self.sizes, dim=-1), strict=True):
            heard = {CLASSES: x12, DURATIONS: durations}.get(network.space, keys) if truth else None
            after, value, told = network.step(past, draws, heard, keys if network.space == DURATIONS else x12)
            if network.space == CLASSES:
                x12 = value
            elif network.space == DURATIONS:
                durations = value
            else:
                keys = value
            if network.space == IN_KEYS:
                x12 = _compress(value)
            stages.append(after)
            trace |= told
        if x12 is None or keys is None:
            raise ValueError("a model without a stage that decides keys composes nothing")
        left = None
        if durations is not None and state.left is not None:
            left = torch.where(durations > 0, durations, (state.left - 1).clamp_min(0))
        return ComposerState(state.step + 1, x12, keys, durations, left, self._told(stages, left)), trace

    def _told(self, stages: Sequence[Any], left: Tensor | None) -> tuple[Any, ...]:
        """The states of the networks once they know what sounds, if the model does."""
        if left is None:
            return tuple(stages)
        return tuple(network.told(stage, left) for network, stage in zip(self.networks, stages, strict=True))

    def listen(self, prime: np.ndarray, draws: Tensor, durations: np.ndarray | None = None) -> ComposerState:
        """Read a prime ``(time, batch, key)`` of at least one step; ``draws`` ``(time - 1, batch, draw_size)``.

        At most the last 256 steps are read, with what lies before them as the past; the clock keeps
        counting from the prime's own first step. ``durations`` ``(time, batch, key)`` say how long its notes are held,
        until the next onset if not given.
        """
        first = max(0, len(prime) - CONTEXT)
        durations = _by_rule(prime) if durations is None else durations
        x, past = _end_of(prime, first)
        held, past_held = _end_of(durations, first) if self.holds else (None, None)
        state = self.start(x[0], first, past, None if held is None else held[0], past_held)
        for t in range(1, len(x)):
            truth: tuple[Tensor, ...] = (_compress(x[t]), x[t])
            if held is not None:
                truth = (*truth, held[t])
            state, _ = self.step(state, draws[first + t - 1], truth)
        return state

    def compose(self, prime: np.ndarray, steps: int, seed: int, first_index: int = 0,
                progress: Progress = iter, durations: np.ndarray | None = None) -> Composition:
        """Continue ``prime`` ``(time, batch, key)`` by ``steps`` new steps.

        Piece i of the batch draws from its own random stream (``seed``, ``first_index + i``), so it
        gets the same notes whatever else is composed with it. ``progress`` wraps the loop (tqdm). ``durations``
        ``(time, batch, key)`` are the prime's; without them each of its notes is held until the next onset.
        """
        durations = _by_rule(prime) if durations is None else durations
        heard = max(len(prime), 1) - 1
        draws = self.draws(seed, first_index, prime.shape[1], heard + steps)
        state = self.listen(prime, draws[:heard], durations)
        made, traces = [], []
        for t in progress(range(heard, heard + steps)):
            state, trace = self.step(state, draws[t])
            made.append((state.keys, state.x12, state.durations))
            traces.append(trace)
        return _composition(prime, durations, made, traces)

    def draws(self, seed: int, first_index: int, batch: int, steps: int) -> Tensor:
        """Uniforms ``(steps, batch, draw_size)``, each piece from its own Philox stream.

        Durations have a stream beside it, so that keys draw the same numbers with and without them.
        """
        sizes = (self.draw_size - self.sizes[-1], self.sizes[-1]) if self.holds else (self.draw_size,)
        streams = [[np.random.Generator(np.random.Philox(key=[seed, first_index + i], counter=[0, 0, 0, which]))
                    .random((steps, size)) for which, size in enumerate(sizes)] for i in range(batch)]
        return torch.from_numpy(np.stack([np.concatenate(parts, axis=-1) for parts in streams], axis=1))


class StepLSTM(nn.LSTM):
    """A one-layer ``nn.LSTM`` that takes a single step with less ado: same weights, same axes, same numbers."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def forward(self, x: Any, state: Any = None) -> Any:
        """As ``nn.LSTM``: ``x`` ``(time, batch, input)`` and ``(h, c)``, each ``(1, batch, hidden)``."""
        if len(x) > 1:
            return super().forward(x, state)
        if state is None:
            state = (x.new_zeros(1, x.shape[1], self.hidden_size),) * 2
        h, c = torch.lstm_cell(x[0], (state[0][0], state[1][0]), self.weight_ih_l0, self.weight_hh_l0,
                               self.bias_ih_l0, self.bias_hh_l0)
        return h[None], (h[None], c[None])


class StepGRU(nn.GRU):
    """The same of a one-layer ``nn.GRU``."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def forward(self, x: Any, h: Any = None) -> Any:
        """As ``nn.GRU``: ``x`` ``(time, batch, input)`` and ``h`` ``(1, batch, hidden)``."""
        if len(x) > 1:
            return super().forward(x, h)
        h = x.new_zeros(x.shape[1], self.hidden_size) if h is None else h[0]
        h = torch.gru_cell(x[0], h, self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)[None]
        return h, h


def _compress(x: Tensor) -> Tensor:
    """Octave compression (§6.2) of ``(…, key)``."""
    return torch.from_numpy(compress(x.numpy()))


def _frozen_copy(network: Network) -> Network:
    """A float64 copy on the CPU, quick at single steps."""
    copy = deepcopy(network).cpu().double().eval().requires_grad_(False)
    for part in copy.modules():
        for quick in (StepLSTM, StepGRU):
            if type(part) is quick.__base__:
                part.__class__ = quick
    return copy


def _left(durations: Tensor) -> Tensor:
    """Steps for which each key sounds from the last step on ``(batch, key)``, of durations ``(time, batch, key)``."""
    time = torch.arange(len(durations))[:, None, None]
    return (torch.where(durations > 0, time + durations, 0.0).amax(dim=0) - (len(durations) - 1)).clamp_min(0)


def _by_rule(prime: np.ndarray) -> np.ndarray:
    """Durations of a prime ``(time, batch, key)`` of which none are known: each note until the next onset (§2.2)."""
    return np.stack([until_next(x) for x in prime.swapaxes(0, 1)], axis=1)


def _end_of(line: np.ndarray, first: int) -> tuple[Tensor, Tensor]:
    """What is read of a prime ``(time, batch, key)`` from its step ``first`` on, and all before, at least 128 steps."""
    x = torch.from_numpy(np.ascontiguousarray(line)).double()
    return x[first:], torch.cat([x.new_zeros(max(0, HISTORY - first), *x.shape[1:]), x[:first]])


def _newest(past: Tensor | None) -> Tensor | None:
    """The newest 128 steps of a past, if there is one."""
    return past if past is None else past[-HISTORY:]


def _started(network: Network, first: Tensor, past: Tensor | None, step: int) -> Any:
    """A network's state after one step, with as much of the past as it remembers."""
    return network.start(first, past if getattr(network.representation, "whole", False) else _newest(past), step)


def _composition(prime: np.ndarray, held: np.ndarray, made: list[tuple[Any, ...]],
                 traces: list[dict[str, Tensor]]) -> Composition:
    keys, x12 = (torch.stack(part).numpy().astype(np.uint8) for part in list(zip(*made, strict=True))[:2])
    trace = {name: torch.stack([step[name] for step in traces]).numpy() for name in traces[0]}
    prime = prime.astype(np.uint8)
    durations = None
    if made[0][2] is not None:
        new = torch.stack([durations for _, _, durations in made]).numpy().astype(np.uint16)
        whole = np.concatenate([held.astype(np.uint16), new])
        durations = np.stack([clipped(grid) for grid in whole.swapaxes(0, 1)], axis=1)
    return Composition(np.concatenate([prime, keys]), np.concatenate([compress(prime), x12]), len(prime), trace,
                       int((x12 > compress(keys)).sum()), int(x12.sum()), durations)
