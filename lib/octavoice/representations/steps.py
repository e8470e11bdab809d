"""Steps of 88 keys: a piece as an onset roll, fragments of it with what lies before, and the batches drawn from them
(§6.2, §7.1–7.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from octavoice.music.durations import clipped
from octavoice.music.piece import WRITTEN, Piece
from octavoice.music.pieces import Pieces
from octavoice.music.roll import KEYS, clock, compress, transpose
from octavoice.representation import HISTORY, Batch

SHIFTS = (-6, 5)
"""Transposition by a random shift between these, in semitones, both included (§7.2)."""


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


@dataclass(frozen=True)
class Steps:
    """Onset rolls; with ``durations`` batches tell how long notes are held, too.

    ``only_told`` takes only pieces whose source tells where notes end, as long as there is one: what learns durations
    must not learn a rule of ours. With ``whole`` batches tell all that lies before a fragment.
    """

    name: str
    loss: str
    durations: bool = False
    only_told: bool = False
    whole: bool = False
    unit: str = "step"

    @property
    def music(self) -> tuple[str, ...]:
        """See :class:`octavoice.representation.Representation`."""
        return ("durations",) if self.durations else ()

    def encode(self, piece: Piece) -> np.ndarray:
        """The onset roll ``(time, key)``, uint8; with durations the steps for which each note is held, uint16."""
        return piece.held if self.durations else piece.roll

    def decode(self, told: np.ndarray) -> Piece:
        """A piece in 4/4 of the notes of a roll or a grid of durations ``(time, key)``."""
        roll = (told > 0).astype(np.uint8)
        if not self.durations:
            return Piece("decoded", roll, 1, ((4, 4),))
        return Piece("decoded", roll, 1, ((4, 4),), durations=clipped(told)[roll > 0], note_ends=WRITTEN)

    def told(self, pieces: Sequence[Piece]) -> Pieces:
        """See :class:`octavoice.representation.Representation`."""
        pieces = Pieces.of(pieces)
        known = pieces.told() if self.only_told else pieces
        return known if len(known) else pieces

    def fragments(self, pieces: Sequence[Piece], length: int, stride: int) -> Fragments:
        """Fragments of ``length`` steps that fit, with the 128 steps before each (§7.2)."""
        return Fragments(pieces, length, stride, self.durations, self.whole)

    def tiling(self, pieces: Sequence[Piece], length: int) -> Fragments:
        """Fragments end to end, each sharing a step with the next."""
        return Fragments.tiling(pieces, length, self.durations, self.whole)


LOSS = ("notes are moved to the nearest sixteenth and to 88 keys, two of one key in a step become one; loudness, "
        "parts, instruments and tempo are not told")
STEPS = Steps("steps", f"{LOSS}, nor is how long notes are held")
STEPS_WITH_DURATIONS = Steps("steps with durations", f"{LOSS}; durations are whole steps, none beyond the next onset "
                                                     "of its key", durations=True)
DURATIONS = Steps("durations of steps", f"{STEPS_WITH_DURATIONS.loss}", durations=True, only_told=True)
ALL_BEFORE = replace(STEPS_WITH_DURATIONS, whole=True)
DURATIONS_ALL_BEFORE = replace(DURATIONS, whole=True)
