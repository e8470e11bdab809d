"""Train, validation and test pieces: whole pieces, by a hash of their content.

The thesis takes the first 1150 pieces for training and the rest for validation. Here a piece's
side depends on its notes alone, whatever its key or file name, so it never shifts when files
are added, and copies or transpositions of one piece stay on one side.
"""

import hashlib

import numpy as np

from octavoice.errors import UserError
from octavoice.music.piece import Piece

SHARES = {"train": 0.83, "valid": 0.07, "test": 0.10}


def content_hash(roll: np.ndarray) -> str:
    """SHA-256 of a roll ``(time, key)`` up to transposition: onsets relative to the lowest key."""
    steps, keys = np.nonzero(roll)
    return hashlib.sha256(np.stack([steps, keys - keys.min()]).astype("<i4").tobytes()).hexdigest()


def split_pieces(pieces: list[Piece]) -> dict[str, list[Piece]]:
    """Pieces by side: ``{"train": …, "valid": …, "test": …}``, in the order given.

    In a corpus so small that training or validation would be empty, the piece whose hash lies
    nearest moves there. Raises :class:`UserError` for fewer than two different pieces.
    """
    place = {content_hash(piece.roll): 0.0 for piece in pieces}
    if len(place) < 2:
        raise UserError("the corpus keeps fewer than two different pieces; "
                        "add files, since one must train and another validate.")
    side = {digest: _side(int(digest[:8], 16) / 2**32) for digest in place}
    for needed, end in (("train", min), ("valid", max)):
        if needed not in side.values():
            side[end(place)] = needed
    return {name: [piece for piece in pieces if side[content_hash(piece.roll)] == name] for name in SHARES}


def _side(u: float) -> str:
    return "train" if u < SHARES["train"] else "valid" if u < SHARES["train"] + SHARES["valid"] else "test"
