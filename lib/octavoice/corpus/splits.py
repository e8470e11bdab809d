"""Train, validation and test pieces: whole pieces, by a hash of their content.

The thesis takes the first 1150 pieces for training and the rest for validation. Here a piece's
side depends on its notes alone, whatever its key or file name, so it never shifts when files
are added.
"""

import hashlib
from collections import Counter

import numpy as np

SHARES = {"train": 0.83, "valid": 0.07, "test": 0.10}


def content_hash(roll: np.ndarray) -> str:
    """SHA-256 of a roll ``(time, key)`` up to transposition: onsets relative to the lowest key."""
    steps, keys = np.nonzero(roll)
    return hashlib.sha256(np.stack([steps, keys - keys.min()]).astype("<i4").tobytes()).hexdigest()


def sides_of(hashes: list[str]) -> list[str]:
    """The side of each piece, train, valid or test, from the pieces' content hashes.

    In a corpus so small that a side would be empty, the piece whose hash lies nearest moves there: with three
    different pieces every side has one, with two nothing tests, and one alone trains. Pieces of the same content
    share a side.
    """
    place = {digest: int(digest[:8], 16) / 2**32 for digest in hashes}
    side = {digest: _side(u) for digest, u in place.items()}
    for needed, end in (("train", min), ("valid", max))[:len(place)]:
        if needed not in side.values():
            side[end(place, key=place.get)] = needed
    if "test" not in side.values():
        sizes = Counter(side.values())
        spare = [digest for digest in place if sizes[side[digest]] > 1]
        if spare:
            side[max(spare, key=place.get)] = "test"
    return [side[digest] for digest in hashes]


def _side(u: float) -> str:
    return "train" if u < SHARES["train"] else "valid" if u < SHARES["train"] + SHARES["valid"] else "test"
