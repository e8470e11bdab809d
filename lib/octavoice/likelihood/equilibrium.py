"""The decoder's RBM at equilibrium: log p(x_t | x'_t, past) with its partition function (thesis §4.4).

The RBM is a distribution over keys, ``p(x) ∝ exp(-E(x))`` for patterns inside the mask; that is what CD trains
towards. Generation does not draw from it: one Gibbs step from the keys before is another distribution
(:meth:`octavoice.thesis.decoder.Decoder.log_likelihood`). Where at most 16 keys are allowed all patterns are summed;
elsewhere ``log Z`` is estimated by annealed importance sampling (Salakhutdinov and Murray, ICML 2008). Its exponential
is unbiased, so its logarithm is too low on average and the likelihood too high, the less so the more rungs.

Axes: ``x``, ``b`` and ``allowed`` ``(step, key)``, ``c`` ``(step, hidden)``, ``W`` ``(hidden, key)``.
"""

import torch
from torch import Tensor

from octavoice.rbm import free_energy, log_partition
from octavoice.thesis import exact

VERSION = 2
"""2: annealed as the survey's machines are, along β W."""
ENUMERABLE = 16
"""Allowed keys of which all patterns are summed: those of two classes."""


@torch.no_grad()
def log_partition_exact(b: Tensor, c: Tensor, W: Tensor, allowed: Tensor) -> Tensor:
    """``log Σ_x exp(-E(x))`` over all patterns of the allowed keys, ``(step,)``; at most 16 of them."""
    sums = []
    for b_t, c_t, open_keys in zip(b, c, allowed.bool(), strict=True):
        count = int(open_keys.sum())
        patterns = exact.states(count, b.dtype).to(b.device) if count else b.new_zeros(1, 0)
        sums.append((-free_energy(patterns, b_t[open_keys], c_t, W[:, open_keys])).logsumexp(dim=0))
    return torch.stack(sums)


@torch.no_grad()
def log_likelihood(x: Tensor, b: Tensor, c: Tensor, W: Tensor, allowed: Tensor, rng: torch.Generator,
                   chains: int = 64, rungs: int = 200) -> Tensor:
    """``log p(x | nothing outside the mask)`` of the RBM at equilibrium in nats, ``(step,)``: exact where it can be."""
    few = allowed.sum(dim=-1) <= ENUMERABLE
    log_z = b.new_empty(len(x))
    if few.any():
        log_z[few] = log_partition_exact(b[few], c[few], W, allowed[few])
    if not few.all():
        many = ~few
        log_z[many] = log_partition(b[many], c[many], W, rng, chains, rungs, allowed[many])
    return -free_energy(x, b, c, W) - log_z
