"""The notes of a piece as its source tells them, in ticks, and its tempo map: what the roll leaves out."""

from dataclasses import dataclass, replace

import numpy as np

NOTE = np.dtype([("onset", "<u4"), ("end", "<u4"), ("pitch", "u1"), ("velocity", "u1"), ("part", "u1"),
                 ("program", "u1")])
"""A note: ``onset`` and ``end`` in ticks, MIDI ``pitch``, ``velocity`` 1..127 or 0 where none is told, the number of
its ``part``, and its MIDI ``program``, ``DRUMS`` or ``UNTOLD``."""
PEDAL = np.dtype([("onset", "<u4"), ("end", "<u4"), ("part", "u1")])
"""The sustain pedal of a part, down from ``onset`` to ``end``, in ticks."""
TEMPO = np.dtype([("tick", "<u4"), ("microseconds", "<u4")])
"""From ``tick`` on a quarter lasts so many ``microseconds``."""
DRUMS, UNTOLD = 128, 255
HEAD = np.dtype([("ticks", "<u4"), ("origin", "<u4"), ("notes", "<u4"), ("pedals", "<u4"), ("tempos", "<u4")])
USUAL = 500_000
"""Microseconds of a quarter where no tempo is told, as in MIDI."""


@dataclass(frozen=True)
class Notes:
    """All notes of a piece, by onset, then pitch: ``rows`` ``(note,)`` of ``NOTE``, with ``ticks`` a quarter.

    ``pedals`` of ``PEDAL`` and ``tempos`` of ``TEMPO`` are those of the source; ``origin`` is the tick at which the
    piece's roll begins.
    """

    rows: np.ndarray
    ticks: int
    pedals: np.ndarray
    tempos: np.ndarray
    origin: int = 0

    @classmethod
    def of(cls, rows, ticks: int, pedals=(), tempos=()) -> "Notes":
        """Notes of rows in any order."""
        rows, pedals, tempos = _rows(rows, NOTE), _rows(pedals, PEDAL), _rows(tempos, TEMPO)
        rows = rows[np.lexsort((rows["part"], rows["end"], rows["pitch"], rows["onset"]))]
        return cls(rows, ticks, pedals, tempos)

    @property
    def pitched(self) -> np.ndarray:
        """The rows that are no drums'."""
        return self.rows[self.rows["program"] != DRUMS]

    def pedalled(self) -> "Notes":
        """With the pedal applied: a note that ends while it is down sounds until it is up, or its key is struck again.

        A pedal is that of every part with the same program: two hands play one piano. No pedal is left.
        """
        rows = self.rows.copy()
        programs = dict(zip(rows["part"].tolist(), rows["program"].tolist(), strict=True))
        for program in set(programs.values()):
            own = rows["program"] == program
            down = np.array([programs.get(int(part)) == program for part in self.pedals["part"]], bool)
            rows["end"][own] = _held(rows[own], self.pedals[down])
        return replace(self, rows=rows, pedals=self.pedals[:0])

    def seconds(self, ticks: np.ndarray) -> np.ndarray:
        """Seconds from tick 0 to each of ``ticks`` ``(n,)``, by the tempo map."""
        at = np.concatenate([[0], self.tempos["tick"]]).astype(np.int64)
        rate = np.concatenate([[USUAL], self.tempos["microseconds"]]) / (1e6 * self.ticks)
        began = np.concatenate([[0.0], np.cumsum(np.diff(at) * rate[:-1])])
        which = np.searchsorted(at, ticks, side="right") - 1
        return began[which] + (np.asarray(ticks, np.int64) - at[which]) * rate[which]

    def packed(self) -> bytes:
        """All of it as bytes, 12 a note, little end first."""
        head = np.array([(self.ticks, self.origin, len(self.rows), len(self.pedals), len(self.tempos))], HEAD)
        return b"".join(part.tobytes() for part in (head, self.rows, self.pedals, self.tempos))

    @classmethod
    def unpacked(cls, data: bytes) -> "Notes | None":
        """What :meth:`packed` gave; None of nothing."""
        if not len(data):
            return None
        head, place, parts = np.frombuffer(data, HEAD, 1)[0], HEAD.itemsize, []
        for kind, name in ((NOTE, "notes"), (PEDAL, "pedals"), (TEMPO, "tempos")):
            parts.append(np.frombuffer(data, kind, int(head[name]), place))
            place += kind.itemsize * int(head[name])
        return cls(parts[0], int(head["ticks"]), parts[1], parts[2], int(head["origin"]))


def _rows(told, kind: np.dtype) -> np.ndarray:
    """Tuples, or rows already, as rows."""
    return told.astype(kind) if isinstance(told, np.ndarray) else np.array(list(told), kind)


def _held(rows: np.ndarray, pedals: np.ndarray) -> np.ndarray:
    """The ends ``(note,)`` of notes in ticks once these pedals hold them."""
    ends = rows["end"].astype(np.int64)
    for pedal in np.sort(pedals, order="onset"):
        caught = (ends > pedal["onset"]) & (ends < pedal["end"])
        ends[caught] = pedal["end"]
    return np.maximum(rows["end"], np.minimum(ends, next_of_pitch(rows)))


def next_of_pitch(rows: np.ndarray) -> np.ndarray:
    """The next onset of each note's own pitch ``(note,)``, in ticks; the last has none, 2³² − 1."""
    after = np.full(len(rows), 2**32 - 1, np.int64)
    order = np.lexsort((rows["onset"], rows["pitch"]))
    same = rows["pitch"][order][1:] == rows["pitch"][order][:-1]
    after[order[:-1][same]] = rows["onset"][order][1:][same]
    return after
