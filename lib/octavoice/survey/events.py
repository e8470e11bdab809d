"""A recurrent net over events, whatever they mean: one LSTM after another, a softmax over the vocabulary.

    h_t = LSTM(e_t, h_{t-1});    p(e_{t+1} | e_≤t) = softmax(W h_t + b)
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavoice.model import EVENTS, KEEP, Drop, Network, Recipe, Step, dropper, precise
from octavoice.representations.events import PAST, EventBatch, Events

RATE, WARM_UP, CLIP = 3e-3, 50, 1.0


class State(NamedTuple):
    """After an event was heard: ``h`` ``(batch, hidden)`` and the LSTM's ``memory``."""

    h: Tensor
    memory: Any


class EventLSTM(Network):
    """Events as they are ``told``, embedded in ``width`` numbers; ``layers`` of ``hidden`` cells; ``dropout``."""

    space, draw_size = EVENTS, 1

    def __init__(self, told: Events, hidden: int = 256, layers: int = 1, width: int = 64, dropout: float = 0.0):
        super().__init__()
        self.representation, self.size, self.dropout = told, told.size, dropout
        size = told.size
        self.embedding = nn.Embedding(size + 1, width)
        self.net = nn.LSTM(width, hidden, layers)
        self.head = nn.Linear(hidden, size)

    def loss(self, batch: EventBatch, rng: torch.Generator) -> Tensor:
        """Nats per event ``(time - 1, batch)``, features left out."""
        return -self._nats(batch, dropper(self.dropout, rng))

    def log_likelihood(self, batch: EventBatch, rng: torch.Generator) -> Tensor:
        """log p(event | all before it), nats, ``(time - 1, batch)``; the 64 events before a fragment are heard."""
        return self._nats(batch, KEEP)

    def _nats(self, batch: EventBatch, drop: Drop) -> Tensor:
        line = torch.cat([batch.past, batch.x[:-1]])
        with self.lowered(line.device):
            h, _ = self.net(self.embedding(line))
            logits = precise(self.head(drop(h[len(batch.past):])))
        return logits.log_softmax(-1).gather(-1, batch.x[1:, :, None])[..., 0]

    def start(self, first: Tensor, past: Tensor | None = None, position: int = 0) -> State:
        """The state after the event ``first`` ``(batch, 1)``; ``past`` ``(64, batch)`` lies before it, else nothing."""
        past = first.new_full((PAST, len(first)), self.size) if past is None else past
        h, memory = self.net(self.embedding(torch.cat([past, first.T]).long()))
        return State(h[-1], memory)

    def step(self, state: State, draws: Tensor, heard: Tensor | None = None, given: Tensor | None = None) -> Step:
        """The next event ``(batch, 1)``, int64, drawn by the inverse of its distribution function, or as heard."""
        p = (precise(self.head(state.h)) / self.temperature).softmax(-1)
        if heard is None:
            heard = (p.cumsum(-1) <= draws * p.sum(-1, keepdim=True)).sum(-1, keepdim=True).clamp_max(self.size - 1)
        h, memory = self.net(self.embedding(heard.long().T), state.memory)
        return Step(State(h[-1], memory), heard.long(), {"p": p})


def recipe(preset) -> Recipe:
    """Adam with warm-up, a half cosine and clipped gradients, over the preset's fragments."""
    warm_up = min(WARM_UP, max(1, preset.iterations // 4))
    return Recipe(preset.iterations, preset.batch, RATE, warm_up=warm_up, cosine=True, clip=CLIP)
