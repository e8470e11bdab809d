"""The shared likelihood of a panel: how probable real music is under what a sampler does (§6.4, C8)."""

import torch

from octavoice.model import Tensors
from octavoice.thesis.attention import MainState
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.particles import particle_log_likelihood


def shared_likelihood(generator: OctaveGenerator, t: Tensors, particles: int, seed: int) -> dict[str, float]:
    """Log-likelihood bound in nats per step on a panel, and the share of steps that V voices cannot play.

    Steps with more than V classes have probability zero under any such sampler; they are left out
    of the mean and their share is given as ``impossible``.
    """
    with torch.no_grad():
        features, _, _ = generator(t.x12[:-1], t.clock[:-1], MainState(t.history))
    bound = particle_log_likelihood(generator.sampler, features, t.x12[1:], particles,
                                    torch.Generator().manual_seed(seed))
    possible = torch.isfinite(bound) & (t.weight > 0)
    return {"log_likelihood": bound[possible].mean().item(),
            "impossible": 1 - possible.sum().item() / int((t.weight > 0).sum())}
