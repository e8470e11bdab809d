"""The decoder's RBM at equilibrium: log p(x_t | x'_t, past) with its partition function (thesis §4.4).

The RBM is a distribution over keys, ``p(x) ∝ exp(-E(x))`` for patterns inside the mask; that is what CD trains
towards. Generation does not draw from it: one Gibbs step from the keys before is another distribution
(:meth:`octavoice.thesis.decoder.Decoder.log_likelihood`). Where at most 16 keys are allowed all patterns are summed;
elsewhere ``log Z`` is estimated by annealed importance sampling (Salakhutdinov and Murray, ICML 2008). Its exponential
is unbiased, so its logarithm is too low on average and the likelihood too high, the less so the more temperatures.

Axes: ``x``, ``b`` and ``allowed`` ``(step, key)``, ``c`` ``(step, hidden)``, ``W`` ``(hidden, key)``.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from octavoice.thesis import exact
from octavoice.thesis.decoder import free_energy

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
def log_partition_annealed(b: Tensor, c: Tensor, W: Tensor, allowed: Tensor, chains: int, temperatures: int,
                           rng: torch.Generator) -> Tensor:
    """``log Z`` by annealed importance sampling, ``(step,)``.

    From independent keys of logit b to the RBM, as β in ``bᵀx + Σ_i log(1 + e^{β (c + W x)_i})`` goes from 0 to 1 in
    ``temperatures`` equal steps, with one masked Gibbs step at each; the mean over ``chains``.
    """
    def push(x: Tensor, beta: float) -> Tensor:
        return functional.softplus(beta * (c + x @ W.T)).sum(dim=-1)

    def draw(logit: Tensor) -> Tensor:
        u = torch.rand(logit.shape, generator=rng, dtype=logit.dtype, device=rng.device).to(logit.device)
        return (u < torch.sigmoid(logit)).to(logit.dtype)
    x, log_weight = draw(b.expand(chains, -1, -1)) * allowed, b.new_zeros(chains, len(b))
    betas = [i / temperatures for i in range(temperatures + 1)]
    for before, beta in pairwise(betas):
        log_weight += push(x, beta) - push(x, before)
        h = draw(beta * (c + x @ W.T))
        x = draw(b + beta * (h @ W)) * allowed
    start = (functional.softplus(b) * allowed).sum(dim=-1) + c.shape[-1] * math.log(2)
    return start + log_weight.logsumexp(dim=0) - math.log(chains)


@torch.no_grad()
def log_likelihood(x: Tensor, b: Tensor, c: Tensor, W: Tensor, allowed: Tensor, rng: torch.Generator,
                   chains: int = 64, temperatures: int = 200) -> Tensor:
    """``log p(x | nothing outside the mask)`` of the RBM at equilibrium in nats, ``(step,)``: exact where it can be."""
    few = allowed.sum(dim=-1) <= ENUMERABLE
    log_z = b.new_empty(len(x))
    if few.any():
        log_z[few] = log_partition_exact(b[few], c[few], W, allowed[few])
    if not few.all():
        many = ~few
        log_z[many] = log_partition_annealed(b[many], c[many], W, allowed[many], chains, temperatures, rng)
    return -free_energy(x, b, c, W) - log_z
