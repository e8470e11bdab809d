"""Fragments with their history, and the batches drawn from them (thesis §7.1–7.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from octavoice.corpus.pieces import Pieces
from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS, clock, compress, transpose

HISTORY = 128
"""Steps before a fragment that attention may look back into: the longest period in H."""
SHIFTS = (-6, 5)
"""Transposition by a random shift between these, in semitones, both included (§7.2)."""


@dataclass(frozen=True)
class Batch:
    """A batch of fragments, all axes time first.

    ``x``        onset rolls ``(time, batch, key)``, float32, 0 or 1
    ``x12``      their octave compression ``(time, batch, pitch_class)``
    ``history``  the 128 compressed steps before ``(128, batch, pitch_class)``, zero before the piece
    ``clock``    ``(time, batch, 6)``, counted from the fragment's start
    ``weight``   ``(time - 1, batch)``: 1 where the *next* step belongs to the piece, 0 in padding
    ``past``     the 128 steps before as onset rolls ``(128, batch, key)``, zero before the piece
    ``position`` ``(1, batch)``: the fragments' first steps, counted from their pieces' starts
    ``durations`` ``(128 + time, batch, key)``, from the first step of ``past`` on: the steps for which each note is
                  held, 0 where none begins; no steps at all unless they were asked for
    ``whole``    ``(steps, batch, key)``, int16: the durations of all notes before, as far back as the fragment with the
                  longest past, 0 where none begins; no steps at all unless they were asked for
    """

    x: np.ndarray
    x12: np.ndarray
    history: np.ndarray
    clock: np.ndarray
    weight: np.ndarray
    past: np.ndarray
    position: np.ndarray
    durations: np.ndarray
    whole: np.ndarray


class Fragments:
    """All fragments of some pieces: ``length`` steps each, starting every ``stride`` steps.

    A fragment must fit, ``range(0, T - length, stride)`` [published program]; a piece of at most
    ``length`` steps gives one fragment, padded with silence that carries no weight. With ``durations`` batches tell
    how long notes are held, with ``whole`` all that lies before.
    """

    def __init__(self, pieces: Sequence[Piece], length: int, stride: int = 32, durations: bool = False,
                 whole: bool = False):
        self.pieces, self.length, self.stride = Pieces.of(pieces), length, stride
        self.durations, self.whole = durations, whole
        self.counts = np.maximum(1, -(-(self.pieces.lengths - length) // stride))
        self.ends = np.cumsum(self.counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def places(self, which: np.ndarray) -> np.ndarray:
        """Piece and first step of the fragments with the numbers ``which (batch,)``: ``(batch, 2)``."""
        piece = np.searchsorted(self.ends, which, side="right")
        return np.stack([piece, (which - self.ends[piece] + self.counts[piece]) * self.stride], axis=-1)

    @cached_property
    def index(self) -> np.ndarray:
        """Piece and first step of every fragment ``(fragment, 2)``; as long as the corpus, so for few pieces only."""
        return self.places(np.arange(len(self)))

    @staticmethod
    def count_as_thesis(pieces: Sequence[Piece], length: int = 256, stride: int = 32) -> int:
        """Number of fragments that fit, without the padded ones: comparable with §7.2's 48 427."""
        return int(np.maximum(0, -(-(Pieces.of(pieces).lengths - length) // stride)).sum())

    @classmethod
    def tiling(cls, pieces: Sequence[Piece], length: int, durations: bool = False, whole: bool = False) -> "Fragments":
        """Fragments of ``length`` steps end to end, each sharing one step with the next.

        A fragment of n steps gives n - 1 predictions, so every step of a piece but its first is
        predicted exactly once; the last fragment is padded.
        """
        tiles = cls(pieces, length, length - 1, durations, whole)
        tiles.counts = np.maximum(1, -(-(tiles.pieces.lengths - 1) // tiles.stride))
        tiles.ends = np.cumsum(tiles.counts)
        return tiles

    def gather(self, which: np.ndarray, shift: int = 0) -> Batch:
        """The fragments with the numbers ``which (batch,)``, transposed by ``shift`` semitones.

        The 88 keys shift and lose what falls off; the 12 classes of the unshifted roll roll
        cyclically, so a lost key stays in the compressed roll.
        """
        places = self.places(which)
        spans = [self.pieces.window(i, start - HISTORY, start + self.length) for i, start in places]
        x = np.stack(spans, axis=1)
        x12 = np.roll(compress(x), shift, axis=-1).astype(np.float32)
        left = self.pieces.lengths[places[:, 0]] - places[:, 1]
        time = np.arange(self.length)
        ticks = np.broadcast_to(clock(time)[:, None], (self.length, len(which), 6))
        x = transpose(x, shift).astype(np.float32)
        return Batch(x[HISTORY:], x12[HISTORY:], x12[:HISTORY], ticks.copy(),
                     (time[1:, None] < left).astype(np.float32), x[:HISTORY], places[None, :, 1],
                     self._held(places, shift), self._before(places, shift))

    def _held(self, places: np.ndarray, shift: int) -> np.ndarray:
        """The durations of :class:`Batch`."""
        if not self.durations:
            return np.zeros((0, len(places), KEYS), np.float32)
        spans = [self.pieces.held(i, start - HISTORY, start + self.length) for i, start in places]
        return transpose(np.stack(spans, axis=1), shift).astype(np.float32)

    def _before(self, places: np.ndarray, shift: int) -> np.ndarray:
        """The whole past of :class:`Batch`."""
        steps = int(places[:, 1].max()) if self.whole else 0
        whole = np.zeros((steps, len(places), KEYS), np.int16)
        for column, (i, start) in enumerate(places if self.whole else ()):
            whole[steps - start:, column] = np.minimum(self.pieces.held(i, 0, start), np.iinfo(np.int16).max)
        return transpose(whole, shift)

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """A training batch (§7.2): fragments drawn with replacement, one random shift for all."""
        which = rng.integers(len(self), size=size)
        return self.gather(which, int(rng.integers(SHIFTS[0], SHIFTS[1] + 1)))

    def panel(self, size: int) -> Batch:
        """A fixed panel of at most ``size`` fragments spread evenly over all of them, not transposed."""
        return self.gather(np.unique(np.linspace(0, len(self) - 1, size).astype(int)))
