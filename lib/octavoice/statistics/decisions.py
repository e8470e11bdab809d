"""What the voices decide, with intervals over samples (claim C12; thesis §7.4, Fig. 16).

``choices`` ``(time, sample, voice)``: a class, plus 12 if it was declined (decided to be silent).
"""

import numpy as np
import torch
from torch import Tensor

from octavoice.corpus import Batch
from octavoice.model import uniforms
from octavoice.statistics import intervals
from octavoice.statistics.rolls import decisions
from octavoice.thesis.attention import MainState
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.voices import VoiceSampler, choose
from octavoice.training.fit import to_tensors


def measure(choices: np.ndarray) -> dict:
    """Decisions of each voice and of every pair of voices, on all steps and on those that strike something."""
    _, sounds = decisions(choices)
    struck = sounds.any(axis=-1)
    return {"sounds": [share(sounds[..., v], np.ones_like(struck)) for v in range(sounds.shape[-1])],
            "sounds on struck steps": [share(sounds[..., v], struck) for v in range(sounds.shape[-1])],
            "pairs": pairs(sounds, np.ones_like(struck)), "pairs on struck steps": pairs(sounds, struck)}


def share(event: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """P(event | given) of bool arrays ``(time, sample)``, with an interval over samples."""
    return intervals.ratio((event & given).sum(axis=0), given.sum(axis=0))


def pairs(sounds: np.ndarray, where: np.ndarray) -> list[dict]:
    """P(w sounds | v declined) and P(w sounds | v sounds) for all v < w, on the steps ``where`` ``(time, sample)``.

    ``effect`` is the second minus the first, its interval from resampling whole samples.
    """
    count = sounds.shape[-1]
    return [pair(sounds, where, v, w) for v in range(count) for w in range(v + 1, count)]


def pair(sounds: np.ndarray, where: np.ndarray, v: int, w: int) -> dict:
    """One row of :func:`pairs`; voices are counted from 1 in it."""
    declined, sounded = where & ~sounds[..., v], where & sounds[..., v]
    return {"declined": v + 1, "later": w + 1, "sounds if declined": share(sounds[..., w], declined),
            "sounds if sounded": share(sounds[..., w], sounded)}


@torch.no_grad()
def use_of_declined(generator: OctaveGenerator, batch: Batch, seed: int) -> dict[str, dict]:
    """What later voices gain from being told which classes earlier ones declined (B of §6.4), nats a decision.

    Voices are fed the truth, as in training. A decision is as true as the log of the probability that it is a true
    one; told less ``hidden``, where the voice hears of no class declined, and less ``another's``, where it hears of
    those of a fragment half the batch away, and so of another piece where fragments are spread over pieces, at the same
    time. Which classes are still open to it stays the same. By voice, counted from 2, and for all, on steps that are
    real in both fragments; intervals over fragments.
    """
    t, draws = to_tensors(batch), torch.Generator().manual_seed(seed)
    features, _, _ = generator(t.x12[:-1], t.clock[:-1], MainState(t.history))
    sampler, truth, away = generator.sampler, t.x12[1:], t.x12.shape[1] // 2
    real = t.weight * t.weight.roll(away, dims=1)
    sounds = silent = torch.zeros_like(truth)
    gains = {"hidden": [], "another's": []}
    for v in range(sampler.voices):
        told = _open(sampler, features, sounds, silent, silent)
        if v:
            for instead, heard in (("hidden", torch.zeros_like(silent)), ("another's", silent.roll(away, dims=1))):
                other = _open(sampler, features, sounds, heard, silent)
                gains[instead].append(((_true(told, truth) - _true(other, truth)) * real).sum(dim=0).numpy())
        choice = choose(told.flatten(-2), uniforms(draws, *truth.shape[:2]))
        sounds, silent = sampler.pass_on(sounds, silent, choice, truth)
    steps = real.sum(dim=0).numpy()
    found = {f"voice {v + 2}": {instead: intervals.ratio(nats[v], steps) for instead, nats in gains.items()}
             for v in range(sampler.voices - 1)}
    return found | {"all later voices": {instead: intervals.ratio(sum(nats), steps * len(nats))
                                         for instead, nats in gains.items()}}


def _open(sampler: VoiceSampler, features: Tensor, sounds: Tensor, heard: Tensor, silent: Tensor) -> Tensor:
    """log q of a voice that hears of the classes ``heard`` as declined while those in ``silent`` are: as
    :meth:`VoiceSampler.voice`."""
    output, _ = sampler.lstm(torch.cat([features, sounds, heard], dim=-1))
    logits = sampler.linear(output).unflatten(-1, (2, sampler.classes))
    logits = logits.masked_fill((sounds + silent).bool().unsqueeze(-2), -torch.inf)
    return torch.log_softmax(logits.flatten(-2), dim=-1).unflatten(-1, (2, sampler.classes))


def _true(log_q: Tensor, truth: Tensor) -> Tensor:
    """log of the probability that a decision is a true one, ``(time, batch)``."""
    return torch.logsumexp(torch.where(truth > 0.5, log_q[..., 0, :], log_q[..., 1, :]), dim=-1)
