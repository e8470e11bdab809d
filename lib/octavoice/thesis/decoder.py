"""The decoder: an LSTM-RBM from 12 classes back to 88 keys (thesis §6.2, §4.4, Figs. 11 and 18).

    LSTM_100([x'_{t+1} ; x_t]) → b_{t+1} ∈ R^88, c_{t+1} ∈ R^36;   W ∈ R^{36×88} constant in time

Equations (3)–(5) of §4.4, with the transpose that (3) leaves out: p(x, h) ∝ exp(bᵀx + cᵀh + hᵀWx).
Parameter names are those of the author's published state dict.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.music.roll import CLASSES, KEYS, mask
from octavoice.thesis.lstm import precise

HIDDEN = 36


def free_energy(x: Tensor, b: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """``E(x) = -bᵀx - Σ_i log(1 + e^{(c + W x)_i})`` (§4.4).

    ``x`` and ``b`` ``(…, key)``, ``c`` ``(…, hidden)``, ``W`` ``(hidden, key)``; returns ``(…)``.
    """
    return -(b * x).sum(dim=-1) - functional.softplus(c + x @ W.T).sum(dim=-1)


def hidden_given_visible(x: Tensor, c: Tensor, W: Tensor) -> Tensor:
    """Equation (4): ``p(h|x) = σ(W x + c)``, ``(…, hidden)``."""
    return torch.sigmoid(c + x @ W.T)


def visible_given_hidden(h: Tensor, b: Tensor, W: Tensor) -> Tensor:
    """Equation (4): ``p(x|h) = σ(Wᵀ h + b)``, ``(…, key)``."""
    return torch.sigmoid(b + h @ W)


def gibbs_step(x: Tensor, b: Tensor, c: Tensor, W: Tensor, uniforms: Tensor, allowed=1.0) -> tuple[Tensor, Tensor]:
    """One Gibbs step (§4.4): h ~ p(h|x), then x ~ p(x|h) times the mask ``allowed`` ``(…, key)``.

    ``uniforms`` ``(…, hidden + key)`` in [0, 1) decide both draws. Returns the sample and the
    masked probabilities it was drawn from, both ``(…, key)``; no gradient flows through.
    """
    with torch.no_grad():
        u_hidden, u_visible = uniforms.split([c.shape[-1], b.shape[-1]], dim=-1)
        h = (u_hidden < hidden_given_visible(x, c, W)).to(x.dtype)
        probability = visible_given_hidden(h, b, W) * allowed
        return (u_visible < probability).to(x.dtype), probability


class Decoder(nn.Module):
    """The LSTM-RBM: a recurrent net gives the biases of an RBM at every step (§6.2)."""

    def __init__(self, hidden: int = HIDDEN, lstm: int = 100):
        super().__init__()
        self.hidden = hidden
        self.W = nn.Parameter(0.01 * torch.randn(hidden, KEYS))
        self.decoder_lstm = nn.LSTM(CLASSES + KEYS, lstm)
        self.v_bias_linear = nn.Linear(lstm, KEYS)
        self.h_bias_linear = nn.Linear(lstm, hidden)

    def forward(self, x12_next: Tensor, x: Tensor, state=None) -> tuple[Tensor, Tensor, tuple]:
        """Biases of the RBM for the next step, for one step or many.

        ``x12_next`` ``(time, batch, pitch_class)`` is x'_{t+1}, ``x`` ``(time, batch, key)`` is x_t;
        returns ``b`` ``(time, batch, key)``, ``c`` ``(time, batch, hidden)`` and the LSTM's state.
        """
        output, state = self.decoder_lstm(torch.cat([x12_next, x], dim=-1), state)
        return precise(self.v_bias_linear(output)), precise(self.h_bias_linear(output)), state

    def objective(self, x12: Tensor, x: Tensor, uniforms: Tensor, masked: bool = True) -> Tensor:
        """CD-1 (5): ``E(x_{t+1}) - E(x*)`` per step, x* one Gibbs step from the data, then masked.

        ``x12`` ``(time, batch, pitch_class)``, ``x`` ``(time, batch, key)``, ``uniforms``
        ``(time - 1, batch, hidden + key)``; returns ``(time - 1, batch)``. A difference of free
        energies, not a likelihood. ``masked=False`` leaves the mask out, to measure its effect.
        """
        b, c, _ = self(x12[1:], x[:-1])
        return self.contrast(b, c, x12[1:], x[1:], uniforms, masked)

    def contrast(self, b: Tensor, c: Tensor, x12: Tensor, x: Tensor, uniforms: Tensor, masked: bool = True) -> Tensor:
        """CD-1 (5) given the biases of every step: ``E(x) - E(x*)``; all arguments are of the predicted step."""
        negative, _ = gibbs_step(x, b, c, self.W, uniforms, mask(x12) if masked else 1.0)
        return free_energy(x, b, c, self.W) - free_energy(negative, b, c, self.W)

    def step(self, x12_next: Tensor, x: Tensor, uniforms: Tensor, state=None, temperature: float = 1.0):
        """Decode one step: k Gibbs steps from the previous decoded step, masked at each (§6.2, Fig. 18).

        ``x12_next`` ``(batch, pitch_class)``, ``x`` ``(batch, key)``, ``uniforms``
        ``(k, batch, hidden + key)``; returns keys and probabilities ``(batch, key)``, and the state.
        The energy is divided by ``temperature``.
        """
        b, c, state = self(x12_next[None], x[None], state)
        b, c, W = b[0] / temperature, c[0] / temperature, self.W / temperature
        allowed = mask(x12_next)
        for u in uniforms:
            x, probability = gibbs_step(x, b, c, W, u, allowed)
        return x, probability, state


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
