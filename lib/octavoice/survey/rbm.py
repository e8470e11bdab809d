"""Restricted Boltzmann machines with a pair of biases for every step (§4.4, equations (3)-(5) of the thesis).

    p(x, h) = exp(bᵀx + cᵀh + hᵀW x) / Z                         b, c of each step its own, W the same for all
    F(x) = -bᵀx - Σ_i log(1 + e^{(c + W x)_i});    p(x) = e^{-F(x)} / Z
    Z by annealed importance sampling (Neal 2001; Salakhutdinov and Murray 2008), along β W for β from 0 to 1

Shapes: ``x`` and ``b`` ``(…, key)``, ``h`` and ``c`` ``(…, unit)``, ``W`` ``(unit, key)``.
"""

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

from octavoice.model import uniforms

ROWS = 16_384
"""Chains that are moved at once."""


def free_energy(x: Tensor, b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """F(x) of the steps, ``(…)``."""
    return -(b * x).sum(dim=-1) - functional.softplus(c + x @ W.T).sum(dim=-1)


def gibbs_step(x: Tensor, b: Tensor, c: Tensor, W: Tensor, u: Tensor) -> Tensor:
    """h ~ p(h | x), then x ~ p(x | h), by uniforms ``u`` ``(…, unit + key)``; no gradient flows through."""
    with torch.no_grad():
        for_hidden, for_keys = u.split([c.shape[-1], b.shape[-1]], dim=-1)
        h = (for_hidden < torch.sigmoid(c + x @ W.T)).to(x.dtype)
        return (for_keys < torch.sigmoid(b + h @ W)).to(x.dtype)


def contrast(x: Tensor, b: Tensor, c: Tensor, W: Tensor, steps: int, rng: torch.Generator) -> Tensor:
    """CD-k (5): F(x) - F(x*), x* after ``steps`` Gibbs steps from the data; no likelihood. ``(…)``."""
    other = x
    for _ in range(steps):
        draws = uniforms(rng, *x.shape[:-1], b.shape[-1] + c.shape[-1], device=x.device)
        other = gibbs_step(other, b, c, W, draws)
    return free_energy(x, b, c, W) - free_energy(other, b, c, W)


@torch.no_grad()
def log_partition(b: Tensor, c: Tensor, W: Tensor, rng: torch.Generator, chains: int, rungs: int) -> Tensor:
    """log Z of every step's RBM, estimated by ``chains`` annealed over ``rungs``: ``b`` ``(row, key)`` to ``(row,)``.

    The estimate of Z is right on average, so that of log Z is too low on average, less so with more of both.
    """
    size = max(1, ROWS // chains)
    parts = [_annealed(part_b, part_c, W, rng, chains, rungs)
             for part_b, part_c in zip(b.split(size), c.split(size), strict=True)]
    return torch.cat(parts)


def _annealed(b: Tensor, c: Tensor, W: Tensor, rng: torch.Generator, chains: int, rungs: int) -> Tensor:
    """:func:`log_partition` of some rows at once."""
    base = functional.softplus(b).sum(dim=-1) + functional.softplus(c).sum(dim=-1)
    x = (uniforms(rng, chains, *b.shape, device=b.device) < torch.sigmoid(b)).to(b.dtype)
    weight = x.new_zeros(chains, len(b))
    betas = torch.linspace(0, 1, rungs + 1).tolist()
    for lower, upper in itertools.pairwise(betas):
        field = x @ W.T
        weight += (functional.softplus(c + upper * field) - functional.softplus(c + lower * field)).sum(dim=-1)
        if upper < 1:
            x = gibbs_step(x, b, c, upper * W, uniforms(rng, chains, len(b), b.shape[1] + c.shape[1], device=b.device))
    return base + torch.logsumexp(weight, dim=0) - math.log(chains)
