"""Continuations by models of events, one after another: a melody, a performance."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from octavoice.model import Network
from octavoice.music.note_table import NOTE, Notes
from octavoice.music.piece import Piece
from octavoice.music.roll import LOWEST_MIDI, STEPS_PER_QUARTER
from octavoice.representations.events import PAST, Events
from octavoice.representations.melody import STEP_SECONDS

CONTEXT = 512
"""Events of a prime that are heard, at most."""
MOST = 60
"""New events for each sixteenth asked for, at most: a model that never lets time pass must end."""


@dataclass(frozen=True)
class Continued:
    """Events ``(time,)``, the prime's before the ``new`` ones, and the piece that all of them tell."""

    events: np.ndarray
    new: int
    piece: Piece


def notes_of(piece: Piece) -> Notes:
    """A piece's notes; those of its roll, 4 ticks a quarter, where it tells no others."""
    if piece.notes is not None:
        return piece.notes
    held = piece.held
    rows = [(t, t + int(held[t, k]), k + LOWEST_MIDI, 0, 0, 0) for t, k in np.argwhere(held > 0).tolist()]
    return Notes.of(np.array(rows, NOTE), STEPS_PER_QUARTER)


@torch.no_grad()
def continued(told: Events, network: Network, prime: np.ndarray, steps: int, seed: int, number: int = 1,
              temperature: float = 1.0) -> Continued:
    """Continue ``prime`` ``(time,)`` until as much time has passed as ``steps`` sixteenths at 120 a minute take.

    Variation ``number`` of a ``seed`` draws from a stream of its own; without a prime the network draws the first event
    too.
    """
    network = deepcopy(network).cpu().double().eval()
    network.temperature = temperature
    stream = np.random.Generator(np.random.Philox(key=[seed, number - 1]))
    state = heard(network, told, prime[-CONTEXT:])
    new: list[int] = []
    passed = 0.0
    while passed < steps * STEP_SECONDS and len(new) < MOST * steps:
        state, value, _ = network.step(state, torch.from_numpy(stream.random((1, 1))))
        new.append(int(value))
        passed += float(told.seconds(np.array(new[-1])))
    events = np.concatenate([prime, np.array(new, np.int64)])
    return Continued(events, len(new), told.decode(events))


def heard(network: Network, told: Events, prime: np.ndarray) -> Any:
    """The state after a prime ``(time,)``; of an empty one, before anything."""
    line = torch.from_numpy(np.pad(prime, (PAST + 1, 0), constant_values=told.size))[:, None]
    state = network.start(line[PAST:PAST + 1].T, line[:PAST])
    for t in range(PAST + 1, len(line)):
        state = network.step(state, torch.zeros(1, 1), line[t:t + 1]).state
    return state
