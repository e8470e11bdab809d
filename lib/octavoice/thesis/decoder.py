"""The decoder: an LSTM-RBM from 12 classes back to 88 keys (thesis §6.2, §4.4, Figs. 11 and 18).

    LSTM_100([x'_{t+1} ; x_t]) → b_{t+1} ∈ R^88, c_{t+1} ∈ R^36;   W ∈ R^{36×88} constant in time

Equations (3)–(5) of §4.4 are those of :mod:`octavoice.rbm`. Parameter names are those of the author's published state
dict.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from octavoice.model import BOUND, GIVEN, Network, Step, Tensors, precise, uniforms
from octavoice.music.roll import CLASSES, KEYS, mask
from octavoice.rbm import free_energy, gibbs_step, hidden_given_visible, pseudo_likelihood, visible_given_hidden

HIDDEN = 36


class DecoderState(NamedTuple):
    """After a step was heard or decoded: its keys ``x`` ``(batch, key)`` and the LSTM's state."""

    x: Tensor
    lstm: tuple | None = None


class Decoder(Network):
    """The LSTM-RBM: a recurrent net gives the biases of an RBM at every step (§6.2).

    Settings: ``gibbs_steps`` of generation; ``masked``, whether training applies the mask; ``chains``, over how many
    draws of the hidden units the likelihood takes the mean.
    """

    space, kind = GIVEN, BOUND
    gibbs_steps, masked, chains = 1, True, 64

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

    def decode(self, x12_next: Tensor, x: Tensor, uniforms: Tensor, state=None, temperature: float = 1.0):
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

    @property
    def draw_size(self) -> int:
        """A uniform for every hidden unit and every key, in each Gibbs step."""
        return self.gibbs_steps * (self.hidden + KEYS)

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """CD-1 (5), ``(time - 1, batch)``: a difference of free energies, no likelihood."""
        u = uniforms(rng, len(batch.x) - 1, batch.x.shape[1], self.hidden + KEYS, device=batch.x.device)
        with self.lowered(batch.x.device):
            b, c, _ = self(batch.x12[1:], batch.x[:-1])
        return self.contrast(b, c, batch.x12[1:], batch.x[1:], u, self.masked)

    def on_panel(self, batch: Tensors, rng: torch.Generator) -> dict[str, Tensor]:
        """The log pseudo-likelihood of the keys allowed by the mask."""
        b, c, _ = self(batch.x12[1:], batch.x[:-1])
        parts = zip(batch.x[1:], b, c, mask(batch.x12[1:]), strict=True)
        return {"held_out_pseudo": torch.stack([pseudo_likelihood(x, b_t, c_t, self.W, m) for x, b_t, c_t, m in parts])}

    @torch.no_grad()
    def log_likelihood(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """How probable the true keys are under what generation does, a bound on average, ``(time - 1, batch)``.

        Generation draws h, then x, ``gibbs_steps`` times, starting from the keys before (here the true
        ones). Given the last h the keys are independent, so p is the mean of a product over draws of
        h: estimated without bias from ``chains`` of them. Its log is too low on average, less so with
        more chains.
        """
        b, c, _ = self(batch.x12[1:], batch.x[:-1])
        allowed, W = mask(batch.x12[1:]), self.W
        total = torch.full_like(batch.weight, -torch.inf)
        for _ in range(self.chains):
            x = batch.x[:-1]
            for _ in range(self.gibbs_steps - 1):
                x, _ = gibbs_step(x, b, c, W, uniforms(rng, *b.shape[:2], W.shape[0] + KEYS, device=b.device), allowed)
            h = uniforms(rng, *c.shape, device=b.device) < hidden_given_visible(x, c, W)
            p = visible_given_hidden(h.to(b.dtype), b, W)
            total = torch.logaddexp(total, keys_log_likelihood(p, batch.x[1:], allowed))
        return total - math.log(self.chains)

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> DecoderState:
        """See :meth:`octavoice.model.Network.start`; what lies before the step is not used."""
        return DecoderState(first)

    def step(self, state: DecoderState, draws: Tensor, heard: Tensor | None = None,
             given: Tensor | None = None) -> Step:
        """See :meth:`octavoice.model.Network.step`; the trace has the masked ``probability`` ``(batch, key)``."""
        u = draws.unflatten(-1, (self.gibbs_steps, -1)).transpose(0, 1)
        keys, probability, lstm = self.decode(given, state.x, u, state.lstm, self.temperature)
        keys = keys if heard is None else heard
        return Step(DecoderState(keys, lstm), keys, {"probability": probability})


def keys_log_likelihood(p: Tensor, x: Tensor, allowed: Tensor) -> Tensor:
    """Log-likelihood of the allowed keys, independent with probability ``p``: ``(…, key)`` to ``(…)``."""
    return (allowed * torch.where(x > 0.5, p, 1 - p).clamp_min(1e-12).log()).sum(dim=-1)
