"""Restricted Boltzmann machines, equations (3) to (5) of §4.4, with the transpose that (3) leaves out.

    p(x, h) = exp(bᵀx + cᵀh + hᵀW x) / Z          b, c of each step its own, W the same for all
    E(x) = -bᵀx - Σ_i log(1 + e^{(c + W x)_i});    p(x) = e^{-E(x)} / Z
    Z by annealed importance sampling (Neal 2001; Salakhutdinov and Murray 2008), along β W for β from 0 to 1

The thesis's decoder is one whose biases an LSTM gives, and so are two models of its survey. Shapes: ``x`` and ``b``
``(…, key)``, ``h`` and ``c`` ``(…, hidden)``, ``W`` ``(hidden, key)``; a mask ``allowed`` ``(…, key)`` of 0 and 1.
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
    """``E(x) = -bᵀx - Σ_i log(1 + e^{(c + W x)_i})`` of the steps, ``(…)``."""
    return -(b * x).sum(dim=-1) - functional.softplus(c + x @ W.T).sum(dim=-1)


def hidden_given_visible(x: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """Equation (4): ``p(h|x) = σ(W x + c)``, ``(…, hidden)``."""
    return torch.sigmoid(c + x @ W.T)


def visible_given_hidden(h: Tensor, b: Tensor, W: Tensor) -> Tensor:
    """Equation (4): ``p(x|h) = σ(Wᵀ h + b)``, ``(…, key)``."""
    return torch.sigmoid(b + h @ W)


def gibbs_step(x: Tensor, b: Tensor, c: Tensor, W: Tensor, draws: Tensor, allowed=1.0) -> tuple[Tensor, Tensor]:
    """One Gibbs step: h ~ p(h|x), then x ~ p(x|h) times the mask ``allowed``.

    ``draws`` ``(…, hidden + key)`` in [0, 1) decide both. Returns the sample and the masked probabilities that it was
    drawn from, both ``(…, key)``; no gradient flows through.
    """
    with torch.no_grad():
        for_hidden, for_visible = draws.split([c.shape[-1], b.shape[-1]], dim=-1)
        h = (for_hidden < hidden_given_visible(x, c, W)).to(x.dtype)
        probability = visible_given_hidden(h, b, W) * allowed
        return (for_visible < probability).to(x.dtype), probability


def contrast(x: Tensor, b: Tensor, c: Tensor, W: Tensor, steps: int, rng: torch.Generator, allowed=1.0) -> Tensor:
    """CD-k (5): E(x) - E(x*), x* after ``steps`` Gibbs steps from the data; no likelihood. ``(…)``."""
    other = x
    for _ in range(steps):
        draws = uniforms(rng, *x.shape[:-1], b.shape[-1] + c.shape[-1], device=x.device)
        other, _ = gibbs_step(other, b, c, W, draws, allowed)
    return free_energy(x, b, c, W) - free_energy(other, b, c, W)


def pseudo_likelihood(x: Tensor, b: Tensor, c: Tensor, W: Tensor, allowed: Tensor) -> Tensor:
    """Log pseudo-likelihood in nats: ``Σ_k log p(x_k | all other keys)`` over the allowed keys.

    Exact and free of the partition function, so comparable between decoders. ``x``, ``b`` and
    ``allowed`` ``(…, key)``, ``c`` ``(…, hidden)``; returns ``(…)``.
    """
    field = c + x @ W.T
    off = functional.softplus(field[..., None] - x[..., None, :] * W).sum(dim=-2)
    on = functional.softplus(field[..., None] + (1 - x[..., None, :]) * W).sum(dim=-2)
    logit = b + on - off
    return (allowed * functional.logsigmoid(torch.where(x > 0.5, logit, -logit))).sum(dim=-1)


@torch.no_grad()
def log_partition(b: Tensor, c: Tensor, W: Tensor, rng: torch.Generator, chains: int, rungs: int,
                  allowed: Tensor | None = None) -> Tensor:
    """log Z of every step's RBM, estimated by ``chains`` annealed over ``rungs``: ``b`` ``(row, key)`` to ``(row,)``.

    Only patterns within ``allowed`` ``(row, key)`` count, if it is given. The estimate of Z is right on average, so
    that of log Z is too low on average, less so with more chains and rungs.
    """
    allowed = torch.ones_like(b) if allowed is None else allowed
    size = max(1, ROWS // chains)
    rows = zip(b.split(size), c.split(size), allowed.split(size), strict=True)
    return torch.cat([_annealed(*row, W, rng, chains, rungs) for row in rows])


def _annealed(b: Tensor, c: Tensor, allowed: Tensor, W: Tensor, rng: torch.Generator, chains: int,
              rungs: int) -> Tensor:
    """:func:`log_partition` of some rows at once."""
    def drawn(size: int) -> Tensor:
        return uniforms(rng, chains, len(b), size, device=b.device)
    base = (functional.softplus(b) * allowed).sum(dim=-1) + functional.softplus(c).sum(dim=-1)
    x = (drawn(b.shape[1]) < torch.sigmoid(b) * allowed).to(b.dtype)
    log_weight = x.new_zeros(chains, len(b))
    betas = torch.linspace(0, 1, rungs + 1).tolist()
    for lower, upper in itertools.pairwise(betas):
        field = x @ W.T
        gained = functional.softplus(c + upper * field) - functional.softplus(c + lower * field)
        log_weight += gained.sum(dim=-1)
        if upper < 1:
            x, _ = gibbs_step(x, b, c, upper * W, drawn(b.shape[1] + c.shape[1]), allowed)
    return base + torch.logsumexp(log_weight, dim=0) - math.log(chains)
