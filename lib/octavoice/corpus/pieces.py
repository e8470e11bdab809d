"""Many pieces as one array of bits and one of durations: what a store holds and what batches are cut from."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields

import numpy as np

from octavoice.music.durations import spread
from octavoice.music.piece import UNTOLD, Piece
from octavoice.music.roll import KEYS

BYTES = KEYS // 8
"""Bytes of one packed step: 88 keys are 11 bytes."""
FACTS = tuple(field.name for field in fields(Piece) if field.name not in ("roll", "durations", "tempos"))


def pack(roll: np.ndarray) -> np.ndarray:
    """A roll ``(time, key)`` of 0 and 1 as bits ``(time, 11)``."""
    return np.packbits(roll, axis=1)


def facts_of(piece: Piece) -> dict:
    """Everything a piece holds but its notes, as plain data."""
    return {name: getattr(piece, name) for name in FACTS}


def line_of(facts: dict) -> bytes:
    """A piece's facts as one line of JSON."""
    return json.dumps(facts).encode() + b"\n"


class Facts(Sequence):
    """Each piece's facts, kept as a line of JSON and parsed only where asked for.

    ``text`` ``(byte,)`` holds the lines, possibly memory-mapped; ``ends`` and ``sizes`` ``(piece,)`` say where
    each piece's line ends in it and how long it is.
    """

    def __init__(self, text: np.ndarray, ends: np.ndarray, sizes: np.ndarray):
        self.text, self.ends, self.sizes = text, ends, sizes

    @classmethod
    def of(cls, facts: Iterable[dict]) -> "Facts":
        """Facts in memory."""
        lines = [line_of(row) for row in facts]
        sizes = np.array([len(line) for line in lines], np.int64)
        return cls(np.frombuffer(b"".join(lines), np.uint8), np.cumsum(sizes), sizes)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i) -> dict:
        return json.loads(self.text[self.ends[i] - self.sizes[i]:self.ends[i]].tobytes())

    def subset(self, which: np.ndarray) -> "Facts":
        """Those of the pieces with the numbers ``which``, still in the same text."""
        return Facts(self.text, self.ends[which], self.sizes[which])


class Pieces(Sequence):
    """Pieces that lie packed in one array, unpacked only where asked for.

    ``bits`` ``(time, 11)`` holds all steps of all pieces, possibly memory-mapped; ``starts`` and
    ``lengths`` ``(piece,)`` say where each lies, in steps; ``facts`` are each piece's other fields. ``durations``
    ``(note,)`` uint16 holds those of all notes, possibly memory-mapped; ``notes`` ``(piece,)`` says where each piece's
    begin.
    """

    def __init__(self, bits: np.ndarray, starts: np.ndarray, lengths: np.ndarray, facts: Facts, durations: np.ndarray,
                 notes: np.ndarray):
        self.bits, self.starts, self.lengths, self.facts = bits, starts, lengths, facts
        self.durations, self.notes = durations, notes

    @classmethod
    def of(cls, pieces: "Sequence[Piece]") -> "Pieces":
        """Pack pieces in memory; packed ones are returned as they are."""
        if isinstance(pieces, cls):
            return pieces
        lengths = np.array([piece.steps for piece in pieces], dtype=np.int64)
        bits = np.concatenate([pack(piece.roll) for piece in pieces] or [np.zeros((0, BYTES), np.uint8)])
        durations = [piece.held[piece.roll > 0] for piece in pieces]
        counts = np.array([len(part) for part in durations], dtype=np.int64)
        return cls(bits, np.cumsum(lengths) - lengths, lengths, Facts.of(map(facts_of, pieces)),
                   np.concatenate([*durations, np.zeros(0, np.uint16)]), np.cumsum(counts) - counts)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return self.subset(np.arange(len(self))[i])
        i = range(len(self))[i]
        facts = self.facts[i]
        signatures = tuple(tuple(signature) for signature in facts["time_signatures"])
        roll = self.window(i, 0, int(self.lengths[i]))
        durations = np.array(self.durations[self.notes[i]:][:np.count_nonzero(roll)])
        return Piece(roll=roll, durations=durations, **{**facts, "time_signatures": signatures})

    def lasting(self, i: int) -> np.ndarray:
        """The durations of all notes of piece ``i`` ``(note,)``, in the order of its roll."""
        start, first = int(self.starts[i]), int(self.notes[i])
        count = int(np.bitwise_count(self.bits[start:start + int(self.lengths[i])]).sum())
        return self.durations[first:first + count]

    def listed(self) -> str:
        """A line for each piece: name, licence, time signature, key and title, with tabs between them; – is unknown."""
        rows = ((facts["name"], facts["licence"], "{}/{}".format(*facts["time_signatures"][0]), facts["key"],
                 facts["title"]) for facts in self.facts)
        return "\n".join("\t".join(field or "–" for field in row) for row in rows)

    def subset(self, which: np.ndarray) -> "Pieces":
        """The pieces with the numbers ``which``, still packed in the same array."""
        return Pieces(self.bits, self.starts[which], self.lengths[which], self.facts.subset(which), self.durations,
                      self.notes[which])

    def told(self) -> "Pieces":
        """The pieces whose source tells where notes end."""
        return self.subset(np.array([i for i, facts in enumerate(self.facts) if facts["note_ends"] != UNTOLD], int))

    def window(self, i: int, begin: int, end: int) -> np.ndarray:
        """Steps ``begin`` to ``end`` of piece ``i`` as a roll ``(time, key)``, silent outside the piece."""
        inside = slice(max(begin, 0), max(min(end, int(self.lengths[i])), 0))
        start = int(self.starts[i])
        roll = np.unpackbits(self.bits[start + inside.start: start + inside.stop], axis=1)
        before = min(inside.start, end) - begin
        return np.pad(roll, ((before, end - begin - before - len(roll)), (0, 0)))

    def held(self, i: int, begin: int, end: int) -> np.ndarray:
        """The durations of the notes that begin in a :meth:`window`, as a grid ``(time, key)``, uint16."""
        roll, start = self.window(i, begin, end), int(self.starts[i])
        before = int(np.bitwise_count(self.bits[start:start + max(begin, 0)]).sum())
        return spread(roll, self.durations[int(self.notes[i]) + before:][:np.count_nonzero(roll)])
