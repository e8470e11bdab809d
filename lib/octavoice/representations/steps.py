"""Steps of 88 keys (thesis §2.2, §6.2), the first representation: a sixteenth note a step, whatever the tempo."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from octavoice.corpus.fragments import Fragments
from octavoice.corpus.pieces import Pieces
from octavoice.music.durations import clipped
from octavoice.music.piece import WRITTEN, Piece


@dataclass(frozen=True)
class Steps:
    """Onset rolls; with ``durations`` batches tell how long notes are held, too.

    ``only_told`` takes only pieces whose source tells where notes end, as long as there is one: what learns durations
    must not learn a rule of ours.
    """

    name: str
    loss: str
    durations: bool = False
    only_told: bool = False
    unit: str = "step"

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
        return Fragments(pieces, length, stride, self.durations)

    def tiling(self, pieces: Sequence[Piece], length: int) -> Fragments:
        """Fragments end to end, each sharing a step with the next."""
        return Fragments.tiling(pieces, length, self.durations)


LOSS = ("notes are moved to the nearest sixteenth and to 88 keys, two of one key in a step become one; loudness, "
        "parts, instruments and tempo are not told")
STEPS = Steps("steps", f"{LOSS}, nor is how long notes are held")
STEPS_WITH_DURATIONS = Steps("steps with durations", f"{LOSS}; durations are whole steps, none beyond the next onset "
                                                     "of its key", durations=True)
DURATIONS = Steps("durations of steps", f"{STEPS_WITH_DURATIONS.loss}", durations=True, only_told=True)
