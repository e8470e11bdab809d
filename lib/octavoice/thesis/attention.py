"""The main module with attention over candidate periods (thesis §6.3, Fig. 12).

    controller:  u_t = LSTM_100([x'_t ; τ_t]);  a_t = softmax(W u_t + b) ∈ R^8
    read:        r_t = Σ_{h∈H} a_t[h] · x'_{t+1-h}
    local:       l_t = LSTM_100([x'_t ; τ_t])
    aggregate:   F_t = LSTM_130([l_t ; r_t])

The prediction target is x'_{t+1}, so period h reads the step h before the target.
Parameter names are those of the author's published state dict.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from octavoice.representation import HISTORY

PERIODS = (4, 8, 16, 32, 48, 64, 96, 128)
"""H: the candidate periods, in steps."""
LSTMState = tuple[Tensor, Tensor]


class MainState(NamedTuple):
    """Everything the main module carries from step to step.

    ``past`` ``(128, batch, pitch_class)``: the newest 128 steps, oldest first; then the
    ``(h, c)`` of controller, local and aggregating LSTM, each ``(1, batch, hidden)``.
    """

    past: Tensor
    controller: LSTMState | None = None
    local: LSTMState | None = None
    aggregate: LSTMState | None = None


def read_past(x: Tensor, past: Tensor, periods: tuple[int, ...] = PERIODS) -> Tensor:
    """The steps that the candidate periods point at, one shifted copy per period (§6.3).

    ``x`` ``(time, batch, pitch_class)``, ``past`` ``(history, batch, pitch_class)`` before it;
    returns ``(time, period, batch, pitch_class)`` whose ``[t, h]`` is ``x'_{t+1-h}``.
    """
    line = torch.cat([past, x])
    return torch.stack([line[len(past) + 1 - h:][:len(x)] for h in periods], dim=1)


class HistoryReader(nn.Module):
    """The controller: an LSTM whose softmax weighs the candidate periods (soft attention, §6.3)."""

    def __init__(self, inputs: int, hidden: int, periods: int):
        super().__init__()
        self.read_lstm = nn.LSTM(inputs, hidden)
        self.read_linear = nn.Linear(hidden, periods)

    def forward(self, inputs: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """``[x' ; τ]`` ``(time, batch, 18)`` to weights ``a`` ``(time, batch, period)`` and state."""
        u, state = self.read_lstm(inputs, state)
        return torch.softmax(self.read_linear(u), dim=-1), state


class MainModule(nn.Module):
    """Controller, local LSTM and aggregating LSTM of Fig. 12 (§6.3)."""

    def __init__(self, classes: int = 12, clock_bits: int = 6, periods: tuple[int, ...] = PERIODS,
                 controller: int = 100, local: int = 100, features: int = 130):
        super().__init__()
        self.classes, self.periods, self.features = classes, tuple(periods), features
        self.history_reader = HistoryReader(classes + clock_bits, controller, len(periods))
        self.local_lstm = nn.LSTM(classes + clock_bits, local)
        self.aggregation_lstm = nn.LSTM(local + classes, features)

    def initial_state(self, batch: int) -> MainState:
        """The state at a piece's start: a silent past and zero recurrent states."""
        return MainState(self.local_lstm.weight_ih_l0.new_zeros(HISTORY, batch, self.classes))

    def forward(self, x: Tensor, clock: Tensor, state: MainState) -> tuple[Tensor, Tensor, MainState]:
        """Run over any number of steps; one step at a time gives the same as all at once.

        ``x`` ``(time, batch, pitch_class)``, ``clock`` ``(time, batch, 6)``; returns features
        ``F`` ``(time, batch, 130)``, attention ``a`` ``(time, batch, period)`` and the new state.
        """
        inputs = torch.cat([x, clock], dim=-1)
        attention, controller = self.history_reader(inputs, state.controller)
        read = torch.einsum("tbh,thbp->tbp", attention, read_past(x, state.past, self.periods))
        local_features, local = self.local_lstm(inputs, state.local)
        features, aggregate = self.aggregation_lstm(torch.cat([local_features, read], dim=-1), state.aggregate)
        past = torch.cat([state.past, x])[-HISTORY:]
        return features, attention, MainState(past, controller, local, aggregate)
