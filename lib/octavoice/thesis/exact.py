"""Exact answers for an RBM small enough to enumerate (thesis §4.4).

What the decoder's formulas are tested against: everything here sums the joint distribution (3)
over all its states, and nothing uses the free energy or the conditionals (4). States are numbered
in counting order, the first unit being the most significant bit. Parameters as in
:mod:`octavoice.thesis.decoder`: ``b`` ``(key,)``, ``c`` ``(hidden,)``, ``W`` ``(hidden, key)``.
"""

import torch
from torch import Tensor


def states(units: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """All binary vectors of some units, ``(2^units, units)``, in counting order."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=dtype)] * units).view(-1, units)


def number(x: Tensor) -> Tensor:
    """The number of each state ``(…, unit)`` among :func:`states`, ``(…)`` int64."""
    return (x.long() << torch.arange(x.shape[-1] - 1, -1, -1)).sum(dim=-1)


def log_weight(b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """``bᵀx + cᵀh + hᵀWx`` of every pair of states, ``(visible_state, hidden_state)``.

    The exponent of (3), with the transpose of ``h`` that the thesis leaves out.
    """
    x, h = states(len(b), b.dtype), states(len(c), b.dtype)
    return (x @ b)[:, None] + h @ c + x @ W.T @ h.T


def log_partition(b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """``log Z`` of (3), a scalar; differentiable in all three arguments."""
    return log_weight(b, c, W).flatten().logsumexp(dim=0)


def joint(b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """Equation (3): ``p(x, h)``, ``(visible_state, hidden_state)``."""
    return torch.exp(log_weight(b, c, W) - log_partition(b, c, W))


def visible(b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """``p(x) = Σ_h p(x, h)``, ``(visible_state,)``."""
    return joint(b, c, W).sum(dim=1)


def hidden_given_visible(b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """``p(h_i = 1 | x)`` for every x, by summing the joint: ``(visible_state, hidden)``."""
    p = joint(b, c, W)
    return p @ states(len(c), b.dtype) / p.sum(dim=1, keepdim=True)


def visible_given_hidden(b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """``p(x_k = 1 | h)`` for every h, by summing the joint: ``(hidden_state, key)``."""
    p = joint(b, c, W)
    return p.T @ states(len(b), b.dtype) / p.sum(dim=0)[:, None]


def gibbs_matrix(b: Tensor, c: Tensor, W: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Where one Gibbs step (§4.4) leads: ``[x, x*] = Σ_h p(h | x) p(x* | h)``, rows sum to 1.

    With ``allowed`` ``(key,)`` of 0 and 1 the other keys are forced to zero after the draw (§6.2).
    ``(visible_state, visible_state)``.
    """
    p = joint(b, c, W)
    step = (p / p.sum(dim=1, keepdim=True)) @ (p / p.sum(dim=0)).T
    return step if allowed is None else step @ silencing(allowed).to(step.dtype)


def silencing(allowed: Tensor) -> Tensor:
    """Forcing keys to zero as a map between states: ``[x, x · allowed] = 1``, ``(visible_state, visible_state)``."""
    target = number(states(len(allowed)) * allowed)
    return torch.eye(len(target), dtype=torch.float64)[target]


def conditional(p: Tensor, allowed: Tensor) -> Tensor:
    """``p(x | every key outside the mask is 0)``, from ``p`` ``(visible_state,)``; same axes.

    Not the same as drawing x and forcing keys to zero, which gives ``p @ silencing(allowed)``.
    """
    inside = (states(len(allowed)) <= allowed).all(dim=-1)
    return p * inside / (p * inside).sum()


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """``½ Σ |p - q|`` over the last axis: the largest difference in any event's probability."""
    return (p - q).abs().sum(dim=-1) / 2
