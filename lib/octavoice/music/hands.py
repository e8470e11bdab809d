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
    points, struck = np.arange(split - REACH, split + REACH + 1), roll.any(axis=-1)
    moving, total, came_from, before = np.abs(points[:, None] - points), np.zeros(len(points)), [], None
    sounds, new = remaining(sounding(roll, durations))[struck] > 0, roll[struck] > 0
    held = np.cumsum(sounds & ~new, axis=-1)[:, points - LOWEST_MIDI - 1]
    for cost, playing, below, leap in zip(*_hands(sounds, points, split), held, _leaps(sounds), strict=True):
        prices = np.array([0, RESTING, max(2 * RESTING, HOPPING - leap)])
        change = 0 if before is None else prices[(before[:, None] ^ playing[None]).sum(axis=-1)]
        reached = total[:, None] + moving + CROSSING * np.abs(below[:, None] - below) + change
        came_from.append(reached.argmin(axis=0))
        total, before = reached.min(axis=0) + cost, playing
    path = [int(total.argmin())]
    for back in reversed(came_from):
        path.append(int(back[path[-1]]))
    return points[path[-2::-1]]


def _hands(sounds: np.ndarray, points: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
    """What each step of ``sounds`` ``(step, key)`` costs at each split point, and which hands play there.

    ``(step, point)`` and ``(step, point, 2)``, the right hand first.
    """
    notes = np.arange(LOWEST_MIDI, LOWEST_MIDI + sounds.shape[1])
    first = points - LOWEST_MIDI  # the lowest key of the right hand
    count = np.cumsum(sounds, axis=-1)
    wrong_right = np.cumsum(sounds * np.maximum(split - notes, 0) ** 2, axis=-1)
    wrong_left = np.cumsum(sounds * np.maximum(notes - split + 1, 0) ** 2, axis=-1)
    cost = (wrong_right[:, -1:] - wrong_right[:, first - 1] + wrong_left[:, first - 1]) / 4
    highest = np.maximum.accumulate(np.where(sounds, notes, -999), axis=-1)
    lowest = np.minimum.accumulate(np.where(sounds, notes, 999)[:, ::-1], axis=-1)[:, ::-1]
    left, right = count[:, first - 1], count[:, -1:] - count[:, first - 1]
    for fingers, width in ((left, highest[:, first - 1] - lowest[:, :1]), (right, highest[:, -1:] - lowest[:, first])):
        cost += 2 * np.maximum(width - STRETCH, 0) * (fingers > 0) + 2 * np.maximum(fingers - FINGERS, 0)
    return cost, np.stack([right > 0, left > 0], axis=-1)


def _leaps(sounds: np.ndarray) -> np.ndarray:
    """Semitones between the nearest keys of each step ``(step, key)`` and the one before it, ``HOPPING`` at most."""
    near, wide = sounds.copy(), np.full(len(sounds), HOPPING)
    for leap in range(HOPPING):
        wide[1:][(near[:-1] & sounds[1:]).any(axis=-1) & (wide[1:] == HOPPING)] = leap
        near[:, 1:] |= near[:, :-1].copy()
        near[:, :-1] |= near[:, 1:].copy()
    return wide
