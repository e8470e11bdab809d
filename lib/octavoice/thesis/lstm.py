"""The LSTM's equations written out (thesis §4.3), to be held against torch's cell.

    c'_t = tanh(W_c x_t + U_c h_{t-1} + b_c)          i_t, f_t, o_t = σ(W x_t + U h_{t-1} + b)
    c_t  = f_t ∘ c_{t-1} + i_t ∘ c'_t                  h_t = o_t ∘ tanh(c_t)

torch stacks the gates in the order i, f, c', o and keeps two biases where the thesis writes one;
only their sum matters.
"""

import torch
from torch import Tensor, nn


def lstm_step(lstm: nn.LSTM, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of §4.3 with the weights of a one-layer ``nn.LSTM``.

    ``x`` ``(batch, input)``, ``h`` and ``c`` ``(batch, hidden)``; returns the new ``h`` and ``c``.
    """
    b = lstm.bias_ih_l0 + lstm.bias_hh_l0
    gates = x @ lstm.weight_ih_l0.T + h @ lstm.weight_hh_l0.T + b
    i, f, candidate, o = gates.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
    return torch.sigmoid(o) * torch.tanh(c), c


def lstm_sequence(lstm: nn.LSTM, x: Tensor) -> Tensor:
    """:func:`lstm_step` over ``x`` ``(time, batch, input)`` from zero states; ``(time, batch, hidden)``."""
    h = c = x.new_zeros(x.shape[1], lstm.hidden_size)
    outputs = []
    for x_t in x:
        h, c = lstm_step(lstm, x_t, h, c)
        outputs.append(h)
    return torch.stack(outputs)
