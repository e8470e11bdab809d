"""The training computation as one would first write it: one step and one voice at a time (thesis §6.2–6.4).

Slow and easy to check against the equations. The modules do the same over whole sequences: in
training, voice v's inputs at all steps depend on earlier voices alone, so voices can run one after
another instead of steps. Tests hold the two forms together, gradients included; benchmarks time them.
"""

import torch
from torch import Tensor, nn

from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.voices import choose

State = tuple[Tensor, Tensor]


def advance(lstm: nn.LSTM, x: Tensor, state: State | None) -> State:
    """One step of a one-layer LSTM: ``x`` ``(batch, input)`` to the new ``(h, c)``, each ``(batch, hidden)``."""
    if state is None:
        state = (x.new_zeros(len(x), lstm.hidden_size),) * 2
    return torch.lstm_cell(x, state, lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0)


def main_step(generator: OctaveGenerator, line: Tensor, tick: Tensor, states: list) -> tuple[Tensor, list]:
    """Features ``F_t`` ``(batch, 130)`` of §6.3 from ``line``, all steps up to t ``(time, batch, pitch_class)``."""
    reader = generator.history_reader
    inputs = torch.cat([line[-1], tick], dim=-1)
    controller, local = advance(reader.read_lstm, inputs, states[0]), advance(generator.local_lstm, inputs, states[1])
    attention = torch.softmax(reader.read_linear(controller[0]), dim=-1)
    read = sum(attention[:, [i]] * line[-h] for i, h in enumerate(generator.periods))
    aggregate = advance(generator.aggregation_lstm, torch.cat([local[0], read], dim=-1), states[2])
    return aggregate[0], [controller, local, aggregate]


def voice_step(generator: OctaveGenerator, features: Tensor, target: Tensor, choices, uniforms: Tensor, states: list):
    """All voices of one step in turn, teacher-forced (§6.4).

    ``choices`` ``(voice, batch)`` if they are given, else None to draw them by ``uniforms`` ``(voice, batch)``;
    returns log q ``(voice, batch, 2, pitch_class)``, the choices and the states.
    """
    sampler, log_q, made, ends = generator.sampler, [], [], []
    sounds = silent = torch.zeros_like(target)
    for v in range(sampler.voices):
        ends.append(advance(sampler.lstm, torch.cat([features, sounds, silent], dim=-1), states[v]))
        decided = (sounds + silent).bool().repeat(1, 2)
        log_q.append(torch.log_softmax(sampler.linear(ends[v][0]).masked_fill(decided, -torch.inf), dim=-1))
        made.append(choose(log_q[v], uniforms[v]) if choices is None else choices[v])
        sounds, silent = sampler.pass_on(sounds, silent, made[v], target)
    return torch.stack(log_q).unflatten(-1, (2, -1)), torch.stack(made), ends


def log_q(generator: OctaveGenerator, x12: Tensor, clock: Tensor, history: Tensor, uniforms: Tensor,
          choices: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """:meth:`OctaveGenerator.log_q` step by step, and the choices ``(voice, time - 1, batch)`` that were made.

    Axes as there; ``choices`` of an earlier call are taken instead of drawn.
    """
    line = torch.cat([history, x12])
    main, voices, steps = [None] * 3, [None] * generator.sampler.voices, []
    for t in range(len(x12) - 1):
        features, main = main_step(generator, line[:len(history) + t + 1], clock[t], main)
        given = None if choices is None else choices[:, t]
        step, made, voices = voice_step(generator, features, x12[t + 1], given, uniforms[:, t], voices)
        steps.append((step, made))
    return tuple(torch.stack(part, dim=1) for part in zip(*steps, strict=True))


def decoder_objective(decoder: Decoder, x12: Tensor, x: Tensor, uniforms: Tensor) -> Tensor:
    """:meth:`Decoder.objective` step by step; same axes."""
    state, losses = None, []
    for t in range(len(x) - 1):
        state = advance(decoder.decoder_lstm, torch.cat([x12[t + 1], x[t]], dim=-1), state)
        b, c = decoder.v_bias_linear(state[0]), decoder.h_bias_linear(state[0])
        losses.append(decoder.contrast(b, c, x12[t + 1], x[t + 1], uniforms[t]))
    return torch.stack(losses)
