"""Music as a line of events, numbers below a vocabulary's size: what melodies and performances share."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from octavoice.music.piece import Piece

PAST = 64
"""Events before a fragment that come with it, to warm a memory up."""


class EventBatch(NamedTuple):
    """A batch of fragments of events. The first event of a fragment is given, the others are predicted.

    ``x``        events ``(time, batch)``, int64
    ``past``     the 64 events before ``(64, batch)``; the vocabulary's size, "not begun", before the piece
    ``weight``   ``(time - 1, batch)``: 1 where the next event belongs to the piece, 0 in padding
    ``position`` ``(1, batch)``: how many events of the piece lie before the fragment
    """

    x: Any
    past: Any
    weight: Any
    position: Any


class Events:
    """A representation by events; a subclass encodes, decodes, moves a fragment, and knows how long events take."""

    name: str
    loss: str
    size: int
    unit = "event"
    music: tuple[str, ...] = ("notes",)
    shifts = (0, 0)

    def encode(self, piece: Piece) -> np.ndarray:
        """A piece as events ``(time,)``, int64."""
        raise NotImplementedError

    def decode(self, told: np.ndarray) -> Piece:
        """The piece that events ``(time,)`` tell; any events tell one."""
        raise NotImplementedError

    def moved(self, events: np.ndarray, shift: int) -> np.ndarray:
        """Events ``(…,)`` transposed by ``shift`` semitones; what would leave the vocabulary stays where it is."""
        raise NotImplementedError

    def seconds(self, events: np.ndarray) -> np.ndarray:
        """Seconds that pass with each of the events ``(…,)``."""
        raise NotImplementedError

    def told(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """All of them."""
        return pieces

    def fragments(self, pieces: Sequence[Piece], length: int, stride: int) -> "EventCut":
        """Fragments of ``length`` events that fit, one beginning every ``stride``; of a short piece one, padded."""
        return EventCut(self, pieces, length, stride, length)

    def tiling(self, pieces: Sequence[Piece], length: int) -> "EventCut":
        """Fragments end to end, each sharing an event with the next."""
        return EventCut(self, pieces, length, length - 1, 1)


class EventCut:
    """See :class:`octavoice.representation.Cut`. A piece of n events has ``(n - last) / stride`` fragments, but one."""

    def __init__(self, told: Events, pieces: Sequence[Piece], length: int, stride: int, last: int):
        self.told, self.pieces, self.length, self.stride = told, pieces, length, stride
        self.lines = [told.encode(piece) for piece in pieces]
        counts = np.array([max(1, -(-(len(line) - last) // stride)) for line in self.lines], np.int64)
        self.counts, self.ends = counts, np.cumsum(counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    @cached_property
    def padded(self) -> list[np.ndarray]:
        """Every line with what is before it, and room for a fragment behind it."""
        around = (PAST, self.length)
        return [np.pad(line, around, constant_values=(self.told.size, 0)) for line in self.lines]

    def places(self, which: np.ndarray) -> np.ndarray:
        """Piece and first event of the fragments numbered ``which (batch,)``: ``(batch, 2)``."""
        piece = np.searchsorted(self.ends, which, side="right")
        return np.stack([piece, (which - self.ends[piece] + self.counts[piece]) * self.stride], axis=-1)

    def gather(self, which: np.ndarray, shift: int = 0) -> EventBatch:
        """The fragments numbered ``which (batch,)``, transposed by ``shift`` semitones."""
        places = self.places(which)
        spans = [self.padded[i][start:start + PAST + self.length] for i, start in places]
        line = self.told.moved(np.stack(spans, axis=1), shift)
        left = np.array([len(self.lines[i]) - start for i, start in places])
        weight = (np.arange(1, self.length)[:, None] < left).astype(np.float32)
        return EventBatch(line[PAST:], line[:PAST], weight, places[None, :, 1])

    def draw(self, rng: np.random.Generator, size: int) -> EventBatch:
        """Fragments drawn with replacement, one random transposition for all, as with steps (§7.2)."""
        which = rng.integers(len(self), size=size)
        low, high = self.told.shifts
        return self.gather(which, int(rng.integers(low, high + 1)))

    def panel(self, size: int) -> EventBatch:
        """At most ``size`` fragments spread evenly over all of them, not transposed."""
        return self.gather(np.unique(np.linspace(0, len(self) - 1, size).astype(int)))
