"""A melody as 38 events, one each sixteenth step: nothing happens, the note ends, or one of 36 pitches begins.

As the melody models of Magenta have it (2016, source [26] of the thesis): pitches 48 to 83.
"""

import numpy as np

from octavoice.music.piece import WRITTEN, Piece
from octavoice.music.roll import KEYS, LOWEST_MIDI
from octavoice.representations.events import Events

NO_EVENT, NOTE_OFF, FIRST_PITCH = 0, 1, 2
LOWEST, PITCHES = 48, 36
STEP_SECONDS = 0.125
"""A sixteenth at 120 quarters a minute: a melody tells no tempo."""


class Melody(Events):
    """The one voice of a piece, or its top line: of a step's notes the highest, unless a higher one is still held."""

    name = "melody"
    loss = ("only the top line is told, on sixteenth steps; it is moved by whole octaves to where most notes lie "
            "between MIDI 48 and 83, and any other note by octaves until it does; loudness and tempo are not told")
    size = FIRST_PITCH + PITCHES
    music = ("durations",)
    shifts = (-6, 5)

    def encode(self, piece: Piece) -> np.ndarray:
        """A piece as events ``(time,)``, as many as it has steps."""
        grid, line = piece.held, top_line(piece.held)
        events = np.full(len(grid), NO_EVENT, np.int64)
        if not line:
            return events
        pitches = in_range(np.array([pitch for _, pitch in line]))
        begins = np.array([step for step, _ in line])
        ends = np.array([step + int(grid[step, pitch - LOWEST_MIDI]) for step, pitch in line])
        after = np.append(begins[1:], len(grid))
        events[ends[ends < after]] = NOTE_OFF
        events[begins] = FIRST_PITCH + pitches - LOWEST
        return events

    def decode(self, told: np.ndarray) -> Piece:
        """A piece in 4/4; each note lasts until the next event, the last until the end."""
        changes = np.flatnonzero(told != NO_EVENT)
        begins, ends = changes, np.append(changes[1:], len(told))
        grid = np.zeros((len(told), KEYS), np.uint16)
        for begin, end in zip(begins, ends, strict=False):
            if told[begin] >= FIRST_PITCH:
                grid[begin, told[begin] - FIRST_PITCH + LOWEST - LOWEST_MIDI] = end - begin
        roll = (grid > 0).astype(np.uint8)
        return Piece("melody", roll, 1, ((4, 4),), durations=grid[roll > 0], note_ends=WRITTEN)

    def moved(self, events: np.ndarray, shift: int) -> np.ndarray:
        """Transposed; a note that would leave the range moves by an octave less."""
        pitched = (events >= FIRST_PITCH) & (events < self.size)
        to = events - FIRST_PITCH + shift
        to = np.where((to < 0) | (to >= PITCHES), to - 12 * np.sign(shift), to)
        return np.where(pitched, FIRST_PITCH + to, events)

    def seconds(self, events: np.ndarray) -> np.ndarray:
        """A sixteenth each, at 120 quarters a minute."""
        return np.full(np.shape(events), STEP_SECONDS)


def top_line(grid: np.ndarray) -> list[tuple[int, int]]:
    """``(step, MIDI pitch)`` of the notes of the top line of durations ``(time, key)``."""
    line, sounding, until = [], -1, 0
    for step in np.flatnonzero(grid.any(axis=1)).tolist():
        highest = int(np.flatnonzero(grid[step])[-1])
        if step >= until or highest >= sounding:
            line.append((step, highest + LOWEST_MIDI))
            sounding, until = highest, step + int(grid[step, highest])
    return line


def in_range(pitches: np.ndarray) -> np.ndarray:
    """Pitches ``(note,)`` moved by whole octaves, all by as many where that can be, into the range."""
    def outside(octaves: int) -> tuple[int, int]:
        there = pitches + 12 * octaves
        return int(((there < LOWEST) | (there >= LOWEST + PITCHES)).sum()), abs(octaves)
    pitches = pitches + 12 * min(range(-5, 6), key=outside)
    below = np.maximum(0, -((pitches - LOWEST) // 12))
    above = np.maximum(0, (pitches - (LOWEST + PITCHES)) // 12 + 1)
    return pitches + 12 * (below - above)


MELODY = Melody()
