"""How long notes are held, in steps, beside the onset roll (thesis §2.2 leaves this out: there a chord sounds until
the next onset).

A grid of durations has the roll's axes ``(time, key)``: at a note's onset the steps that it is held, elsewhere 0.
A key that is struck again while it is held ends its first note there.
"""

from collections.abc import Collection, Sequence

import numpy as np

LONGEST = 2**16 - 1
"""Steps of the longest note kept: a duration has two bytes."""


LATE = 4
"""Quarters by which a tie's end may be late: of some 850 late ones in kern files and songs none comes later, nine
in ten by one at most."""


def until_next(roll: np.ndarray) -> np.ndarray:
    """The thesis's rule (§2.2): every note of a roll ``(time, key)`` until the next step with an onset in any key.

    The last chord is held to the roll's end. Returns the grid ``(time, key)``.
    """
    struck = np.flatnonzero(roll.any(axis=-1))
    lasting = np.zeros(len(roll), np.uint16)
    lasting[struck] = np.minimum(np.diff(np.append(struck, len(roll))), LONGEST)
    return np.where(roll > 0, lasting[:, None], np.uint16(0))


def spread(roll: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """The grid ``(time, key)`` of a roll and its notes' ``durations`` ``(note,)``, notes by step and then by key."""
    grid = np.zeros(roll.shape, np.uint16)
    grid[roll > 0] = durations
    return grid


def clipped(grid: np.ndarray) -> np.ndarray:
    """A grid in which no note outlasts the next onset of its own key, nor the grid's end."""
    time = np.arange(len(grid))[:, None]
    onset = np.where(grid > 0, time, len(grid))
    after = np.minimum.accumulate(np.concatenate([onset[1:], np.full_like(onset[:1], len(grid))])[::-1])[::-1]
    return np.minimum(grid, np.where(grid > 0, np.minimum(after - time, LONGEST), 0)).astype(np.uint16)


def sounding(roll: np.ndarray, durations: np.ndarray | None = None) -> np.ndarray:
    """The grid ``(time, key)`` by which a roll goes out: its ``durations``, clipped, or by the thesis's rule if None.

    Raises ValueError unless the grid gives each onset of the roll, and nothing else, at least one step.
    """
    if durations is None:
        return until_next(roll)
    if durations.shape != roll.shape or not np.array_equal(durations > 0, roll > 0):
        raise ValueError(f"a grid of durations {durations.shape} does not have the onsets of its roll {roll.shape}")
    return clipped(durations)


def remaining(grid: np.ndarray) -> np.ndarray:
    """Steps for which each key still sounds, counted from each step on ``(time, key)``; 0 is silent.

    A note struck at a step counts its whole duration there.
    """
    time = np.arange(len(grid))[:, None]
    ends = np.maximum.accumulate(np.where(grid > 0, time + grid.astype(np.int64), 0), axis=0)
    return np.maximum(ends - time, 0)


def next_onset(struck: np.ndarray, end: int) -> np.ndarray:
    """For each onset ``(note,)`` in steps the next step with an onset in any key, or ``end``: the thesis's rule."""
    steps = np.append(np.unique(struck), end)
    return steps[np.searchsorted(steps[:-1], struck, side="right")]


def tied(notes: Sequence[tuple[int, int, int, bool, bool]], ticks: int,
         repeats: Collection[int] = ()) -> list[tuple[int, int, int, bool]]:
    """The rows of :func:`joined` from notes ``(onset, end, pitch, closes, opens)``: whose tie ends there, or begins.

    Times are in ``ticks`` per quarter; at ``repeats`` the music goes back. A note that closes a tie is not struck
    where its key is still held, or a note of its pitch ends just then, in whichever voice and whether it opens a tie or
    not; but after a repeat sign only if it does, for else the tie comes from before the first ending. Nor is it if a
    tie was opened up to ``LATE`` quarters before, with the key at rest since: that note (of a chord that is written
    note by note) is held till there. A tie of which nothing else is found has no beginning, and its note is struck.
    """
    rows, opened, held = [], {}, {}
    for onset, end, pitch, closes, opens in sorted(notes, key=lambda note: (note[0], note[3])):
        until, row = opened.get(pitch, (-2, 0))
        before = held.get(pitch, -1)
        late = closes and before == until < onset <= until + LATE * ticks
        if late:
            rows[row] = (rows[row][0], onset, *rows[row][2:])
        goes_on = before > onset or late or (before == onset and (until == onset or onset not in repeats))
        rows.append((onset, end, pitch, not (closes and goes_on)))
        held[pitch] = max(before, end)
        if opens and end >= until:
            opened[pitch] = end, len(rows) - 1
    return rows


def as_marked(notes: Sequence[tuple[int, int, int, bool, bool]], *_) -> list[tuple[int, int, int, bool]]:
    """As :func:`tied`, but every tie's end is believed: a note that closes one is never struck, begun or not."""
    return [(onset, end, pitch, not closes) for onset, end, pitch, closes, _ in notes]


def joined(rows: Sequence[tuple[int, int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Onset, end and pitch ``(note,)`` of the struck notes among ``(onset, end, pitch, struck)``, ties joined.

    A note that is not struck lengthens the one of its pitch that ends at its onset, else the last one struck if
    that is still held; where neither is, it counts for nothing.
    """
    onset, end, pitch, struck = np.asarray(rows, dtype=np.int64).reshape(-1, 4).T
    order = np.lexsort((1 - struck, onset, pitch))
    onset, end, pitch, struck = onset[order], end[order], pitch[order], struck[order].astype(bool)
    for held in np.split(np.arange(len(pitch)), np.flatnonzero(np.diff(pitch)) + 1) if not struck.all() else ():
        _join(onset, end, struck, held)
    return onset[struck], end[struck], pitch[struck]


def _join(onset: np.ndarray, end: np.ndarray, struck: np.ndarray, notes: np.ndarray) -> None:
    """Lengthen in ``end`` the struck among ``notes``, the numbers of one pitch's by onset, by those tied to them."""
    until, last = {}, None
    for i in notes:
        if struck[i]:
            until[end[i]] = last = i
            continue
        head = until.pop(onset[i], last)
        if head is not None and end[head] >= onset[i]:
            end[head] = max(end[head], end[i])
            until[end[head]] = head
