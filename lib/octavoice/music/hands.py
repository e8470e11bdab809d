"""Which hand plays a note of an onset roll: one staff for each, parted near middle C (thesis §2.2)."""

from itertools import groupby
from typing import NamedTuple

import numpy as np

from octavoice.music.durations import remaining, sounding
from octavoice.music.roll import LOWEST_MIDI

REACH = 9
"""The split may wander this many semitones from where it was asked for."""
HOPPING, RESTING = 8, 1
"""Price of a line that leaves one staff for the other, less a semitone for each that it leaps, and of a staff falling
silent or waking up."""
CROSSING = 4
"""Price of a note that is held by one hand while the split moves across it: the hands would cross."""
STRETCH = 16
"""Widest chord that one hand takes without extra cost, in semitones."""
FINGERS = 3
"""Most notes that one hand takes without extra cost."""


class Chord(NamedTuple):
    """Notes (MIDI numbers, ascending) that begin at step ``start`` and end at step ``end`` together."""

    start: int
    end: int
    notes: tuple[int, ...]


def hands(roll: np.ndarray, split: int = 60, durations: np.ndarray | None = None) -> tuple[list[Chord], list[Chord]]:
    """The chords of the right hand and those of the left, by start and then by lowest note.

    A note is its hand's for as long as it is held, wherever the hands part meanwhile (:func:`split_points`).
    """
    grid = sounding(roll, durations)
    time, key = np.nonzero(grid)
    point = np.zeros(len(roll), np.int64)
    point[roll.any(axis=-1)] = split_points(roll, split, durations)
    rows = sorted(zip(time.tolist(), (time + grid[time, key]).tolist(), (key + LOWEST_MIDI).tolist(), strict=True))
    right = [row for row in rows if row[2] >= point[row[0]]]
    return _chords(right), _chords([row for row in rows if row[2] < point[row[0]]])


def _chords(rows: list[tuple[int, int, int]]) -> list[Chord]:
    """Chords of ``(onset, end, midi_pitch)``, which are in order."""
    made = [Chord(*span, tuple(note for *_, note in notes)) for span, notes in groupby(rows, lambda row: row[:2])]
    return sorted(made, key=lambda chord: (chord.start, chord.notes))


def split_points(roll: np.ndarray, split: int = 60, durations: np.ndarray | None = None) -> np.ndarray:
    """Where the treble staff begins at each struck step: MIDI numbers ``(struck,)`` near ``split``.

    The cheapest path (Viterbi) through the points within ``REACH`` of ``split``: a note pays for being
    on the wrong side of ``split``, by the square of the distance; a hand pays beyond ``STRETCH`` or
    ``FINGERS``; the point pays for moving, more where a note is still held that it moves across, and a staff for
    falling silent or waking up. So a line that crosses ``split`` for a moment stays on its staff. Notes that are still
    held, as the grid ``durations`` ``(time, key)`` says, count among those of a step.
    """
    points = np.arange(split - REACH, split + REACH + 1)
    moving = np.abs(points[:, None] - points)
    total, came_from, before, sounded = np.zeros(len(points)), [], None, np.zeros(0)
    struck = roll.any(axis=-1)
    for step, new in zip(remaining(sounding(roll, durations))[struck], roll[struck], strict=True):
        below = np.cumsum((step > 0) & (new == 0))[points - LOWEST_MIDI - 1]
        notes = np.flatnonzero(step) + LOWEST_MIDI
        cost, playing = _hands(notes, points, split)
        leap = np.abs(notes[:, None] - sounded).min(initial=HOPPING)
        prices = np.array([0, RESTING, max(2 * RESTING, HOPPING - leap)])
        change = 0 if before is None else prices[(before[:, None] != playing[None]).sum(axis=-1)]
        reached = total[:, None] + moving + CROSSING * np.abs(below[:, None] - below) + change
        came_from.append(reached.argmin(axis=0))
        total, before, sounded = reached.min(axis=0) + cost, playing, notes
    path = [int(total.argmin())]
    for back in reversed(came_from):
        path.append(int(back[path[-1]]))
    return points[path[-2::-1]]


def _hands(notes: np.ndarray, points: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
    """What a chord (MIDI numbers, ascending) costs at each split point, and which hands play: ``(point, 2)``."""
    right = notes >= points[:, None]
    beyond = np.where(right, np.maximum(split - notes, 0), np.maximum(notes - split + 1, 0))
    cost = (beyond**2).sum(axis=-1) / 4
    for hand in (right, ~right):
        high, low = np.where(hand, notes, -999).max(axis=-1), np.where(hand, notes, 999).min(axis=-1)
        cost += 2 * np.maximum(high - low - STRETCH, 0) + 2 * np.maximum(hand.sum(axis=-1) - FINGERS, 0)
    return cost, np.stack([right.any(axis=-1), (~right).any(axis=-1)], axis=-1)
