"""The shared likelihood: how probable real music is under the voice-by-voice sampling process (§6.4, C8).

The objectives of §6.4 differ from one another and none is a likelihood. What the sampler really
does is draw V final decisions per step; a step x' comes about by any sequence of decisions that
names every sounding class as sounding and no other. Decisions also enter each voice's recurrent
state, so the probability of a whole piece sums over all decision sequences at all steps. A particle
filter estimates it without bias; the log of an unbiased estimate is a lower bound on average.
"""

import torch
from torch import Tensor

from octavoice.model import Draws, uniforms
from octavoice.thesis.voices import VoiceSampler, choose


@torch.no_grad()
def particle_log_likelihood(sampler: VoiceSampler, features: Tensor, target: Tensor, particles: int,
                            rng: Draws) -> Tensor:
    """Estimate log p(x'_{t+1} | x'_{≤t}) under the sampling process, in nats.

    ``features`` ``(time, batch, 130)``, ``target`` ``(time, batch, pitch_class)``; returns
    ``(time, batch)``, minus infinity where more classes sound than there are voices. The sum over
    time is a lower bound on average, tighter with more ``particles``.
    """
    steps, batch, _ = features.shape
    states, increments = None, []
    for t in range(steps):
        wide = [a[t].repeat_interleave(particles, dim=0) for a in (features, target)]
        draws = uniforms(rng, sampler.voices, batch, particles, device=features.device).flatten(1)
        log_weight, states = explain_step(sampler, *wide, draws, states)
        log_weight = log_weight.view(batch, particles)
        increments.append(torch.logsumexp(log_weight, dim=1) - torch.log(torch.tensor(float(particles))))
        states = resampled(states, log_weight, rng)
    return torch.stack(increments)


def explain_step(sampler: VoiceSampler, features: Tensor, target: Tensor, draws: Tensor, states):
    """Propose decisions that lead to ``target`` and weigh them (importance sampling, one step).

    Each voice names an undecided class with its true decision, in proportion to its own q, but
    only a sounding one when as many sounding classes are left as voices. ``features``
    ``(particle, 130)``, ``target`` ``(particle, pitch_class)``, ``draws`` ``(voice, particle)``; returns
    log weights ``(particle,)`` and the states.
    """
    sounds = silent = torch.zeros_like(target)[None]
    log_weight, ends = 0.0, []
    for v in range(sampler.voices):
        log_q, end = sampler.voice(features[None], sounds, silent, states[v] if states else None)
        log_true = torch.where(target > 0.5, log_q[0, :, 0], log_q[0, :, 1])
        left = (target - sounds[0]).sum(dim=-1, keepdim=True)
        hurry = left >= sampler.voices - v
        log_true = log_true.masked_fill(hurry & (target < 0.5), -torch.inf)
        log_weight = log_weight + torch.logsumexp(log_true, dim=-1)
        sounds, silent = sampler.pass_on(sounds, silent, choose(log_true, draws[v])[None], target[None])
        ends.append(end)
    possible = (target - sounds[0]).sum(dim=-1) < 0.5
    return torch.where(possible, log_weight, -torch.inf), ends


def resampled(states, log_weight: Tensor, rng: Draws):
    """Multinomial resampling within each fragment; a step that no particle explains keeps them all."""
    batch, particles = log_weight.shape
    alive = torch.isfinite(log_weight).any(dim=1, keepdim=True)
    weight = torch.softmax(torch.where(alive, log_weight, torch.zeros_like(log_weight)).double(), dim=1)
    mass, draws = weight.cumsum(dim=1), uniforms(rng, 1, batch, particles, device=weight.device)[0]
    # As choose does, by inversion, but without a table of all particles for each of them.
    chosen = torch.searchsorted(mass, draws.double() * mass[:, -1:], right=True).clamp(max=particles - 1)
    index = (chosen + particles * torch.arange(batch, device=chosen.device)[:, None]).flatten()
    return [(h[:, index], c[:, index]) for h, c in states]
