"""Many pieces as one array of bits: what a store holds and what batches are cut from."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS

BYTES = KEYS // 8
"""Bytes of one packed step: 88 keys are 11 bytes."""
FACTS = tuple(field.name for field in fields(Piece) if field.name != "roll")


def pack(roll: np.ndarray) -> np.ndarray:
    """A roll ``(time, key)`` of 0 and 1 as bits ``(time, 11)``."""
    return np.packbits(roll, axis=1)


def facts_of(piece: Piece) -> dict:
    """Everything a piece holds but its roll, as plain data."""
    return {name: getattr(piece, name) for name in FACTS}


class Pieces(Sequence):
    """Pieces that lie packed in one array, unpacked only where asked for.

    ``bits`` ``(time, 11)`` holds all steps of all pieces, possibly memory-mapped; ``starts`` and
    ``lengths`` ``(piece,)`` say where each lies, in steps; ``facts`` holds each piece's other fields.
    """

    def __init__(self, bits: np.ndarray, starts: np.ndarray, lengths: np.ndarray, facts: Sequence[dict]):
        self.bits, self.starts, self.lengths, self.facts = bits, starts, lengths, facts

    @classmethod
    def of(cls, pieces: "Sequence[Piece]") -> "Pieces":
        """Pack pieces in memory; packed ones are returned as they are."""
        if isinstance(pieces, cls):
            return pieces
        lengths = np.array([piece.steps for piece in pieces], dtype=np.int64)
        bits = np.concatenate([pack(piece.roll) for piece in pieces] or [np.zeros((0, BYTES), np.uint8)])
        return cls(bits, np.cumsum(lengths) - lengths, lengths, [facts_of(piece) for piece in pieces])

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return self.subset(np.arange(len(self))[i])
        i = range(len(self))[i]
        facts = self.facts[i]
        signatures = tuple(tuple(signature) for signature in facts["time_signatures"])
        return Piece(roll=self.window(i, 0, int(self.lengths[i])), **{**facts, "time_signatures": signatures})

    def subset(self, which: np.ndarray) -> "Pieces":
        """The pieces with the numbers ``which``, still packed in the same array."""
        return Pieces(self.bits, self.starts[which], self.lengths[which], [self.facts[i] for i in which])

    def window(self, i: int, begin: int, end: int) -> np.ndarray:
        """Steps ``begin`` to ``end`` of piece ``i`` as a roll ``(time, key)``, silent outside the piece."""
        inside = slice(max(begin, 0), max(min(end, int(self.lengths[i])), 0))
        start = int(self.starts[i])
        roll = np.unpackbits(self.bits[start + inside.start: start + inside.stop], axis=1)
        before = min(inside.start, end) - begin
        return np.pad(roll, ((before, end - begin - before - len(roll)), (0, 0)))
