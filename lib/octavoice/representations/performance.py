"""A performance as 388 events: 128 keys down, 128 up, time moving by 10 ms to 1 s, 32 degrees of loudness.

As Performance RNN has it (Simon and Oore 2017, source [30] of the thesis, which counts 128 for down and up together).
"""

from pathlib import Path

import numpy as np

from octavoice.errors import UserError
from octavoice.music.note_table import NOTE, Notes, next_of_pitch
from octavoice.music.notes import from_notes
from octavoice.music.piece import PLAYED, Piece
from octavoice.representations.events import Events

ON, OFF, SHIFT, LOUDNESS = 0, 128, 256, 356
SHIFTS, DEGREES = 100, 32
PER_SECOND = 100
"""Places in a second: notes are moved to the nearest hundredth."""
USUAL = 64
"""Velocity of a note whose source tells none, and of the first before any is told."""
TICKS = 50
"""A quarter of what is decoded: at 120 a minute a tick is a hundredth of a second."""


class Performance(Events):
    """All notes but drums, in seconds, the pedal applied."""

    name = "performance"
    loss = ("notes are moved to the nearest hundredth of a second and last one at least, until their key is struck "
            "again at most; the pedal is told by their ends; velocities are told in 32 degrees; silence before the "
            "first note, drums, parts, instruments, beats and tempi are not told")
    size = LOUDNESS + DEGREES
    shifts = (-3, 3)

    def encode(self, piece: Piece) -> np.ndarray:
        """A piece as events ``(time,)``. At one time keys go up before others go down, from low to high.

        Raises :class:`UserError` for a piece of which only a roll is known.
        """
        if piece.notes is None:
            raise UserError(f"{piece.name}: tells steps, but no seconds; give a file with notes, such as MIDI.")
        events, now, loudness = [], 0, -1
        for time, struck, pitch, degree in markers(piece.notes):
            events += _wait(time - now)
            if struck and degree != loudness:
                events.append(LOUDNESS + degree)
                loudness = degree
            events.append((ON if struck else OFF) + pitch)
            now = time
        return np.array(events, np.int64)

    def decode(self, told: np.ndarray) -> Piece:
        """A piece of 120 quarters a minute; a key still down at the end is held until then.

        Raises :class:`UserError` of events without a note.
        """
        rows, down, now, velocity = [], {}, 0, USUAL
        for event in told.tolist():
            if event < SHIFT:
                pitch = event % OFF
                if pitch in down:
                    rows.append(_ended(down.pop(pitch), now, pitch))
                if event < OFF:
                    down[pitch] = now, velocity
            elif event < LOUDNESS:
                now += event - SHIFT + 1
            else:
                velocity = velocity_of(event - LOUDNESS)
        rows += [_ended(begun, max(now, begun[0] + 1), pitch) for pitch, begun in down.items()]
        notes = Notes.of(np.array([row for row in rows if row[1] > row[0]], NOTE), TICKS)
        steps = [(onset, end, pitch, True) for onset, end, pitch, *_ in notes.rows.tolist()]
        return from_notes(Path("performance"), steps, TICKS, PLAYED, notes=notes, tracks=1,
                          time_signatures=((4, 4),))

    def moved(self, events: np.ndarray, shift: int) -> np.ndarray:
        """Transposed; a key that would leave MIDI's 128 stays."""
        keys, to = events < SHIFT, events % OFF + shift
        return np.where(keys & (to >= 0) & (to < OFF), events + shift, events)

    def seconds(self, events: np.ndarray) -> np.ndarray:
        """Seconds by which each event moves time; keys and loudness take none."""
        return np.where((events >= SHIFT) & (events < LOUDNESS), events - SHIFT + 1, 0) / PER_SECOND


def markers(notes: Notes) -> list[tuple[int, int, int, int]]:
    """``(hundredth, 0 up or 1 down, pitch, degree)`` of all notes by time, from the first on, the pedal applied."""
    notes = notes.pedalled()
    rows = notes.pitched.copy()
    onset = np.round(notes.seconds(rows["onset"]) * PER_SECOND).astype(np.int64)
    end = np.round(notes.seconds(rows["end"]) * PER_SECOND).astype(np.int64)
    begin = onset.min(initial=2**40)
    rows["onset"], rows["end"] = onset - begin, end - begin
    rows = rows[np.lexsort((-rows["end"].astype(np.int64), rows["pitch"], rows["onset"]))]
    first = np.append(True, (rows["onset"][1:] != rows["onset"][:-1]) | (rows["pitch"][1:] != rows["pitch"][:-1]))
    rows = rows[first[:len(rows)]]
    until = np.minimum(np.maximum(rows["end"], rows["onset"] + 1), next_of_pitch(rows))
    degrees = degree_of(np.where(rows["velocity"] > 0, rows["velocity"], USUAL))
    down = zip(rows["onset"].tolist(), [1] * len(rows), rows["pitch"].tolist(), degrees.tolist(), strict=True)
    up = zip(until.tolist(), [0] * len(rows), rows["pitch"].tolist(), degrees.tolist(), strict=True)
    return sorted([*down, *up])


def degree_of(velocity: np.ndarray) -> np.ndarray:
    """The degree 0..31 of velocities 1..127."""
    return velocity.astype(np.int64) // 4


def velocity_of(degree: int) -> int:
    """The velocity in the middle of a degree."""
    return 4 * degree + 2


def _wait(hundredths: int) -> list[int]:
    """Events that move time: whole seconds, then what is left."""
    whole, rest = divmod(hundredths, SHIFTS)
    return [SHIFT + SHIFTS - 1] * whole + ([SHIFT + rest - 1] if rest else [])


def _ended(begun: tuple[int, int], now: int, pitch: int) -> tuple[int, int, int, int, int, int]:
    """A row of ``NOTE``, the piano's."""
    return begun[0], now, pitch, begun[1], 0, 0


PERFORMANCE = Performance()
