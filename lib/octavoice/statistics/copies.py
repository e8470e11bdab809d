"""Copies: within a sample, and from the training pieces (claims C4 and C21; thesis §3.2, §6.3).

A step copies at a period if it strikes exactly what was struck that many steps before. Silence copies silence and a
repeated chord copies itself at every period, so a run of copying steps counts only if it is ``rich``: a quarter of it
strikes and at least three different chords do. Rolls are compressed, ``(time, pitch_class)``.
"""

from collections.abc import Iterable

import numpy as np

from octavoice.music.piece import Piece
from octavoice.statistics import intervals
from octavoice.statistics.data_statistics import set_numbers, windows
from octavoice.thesis.attention import PERIODS

WIDTH = 16
"""Steps of a window that is looked for in the training pieces."""
STARTED = 8
"""A copy has started after this many steps."""
CERTAINTY, LENGTH = 0.99, 32
"""§3.2's example: certainty of a step, and steps of the copy."""


def runs(numbers: np.ndarray, before: np.ndarray, period: int) -> list[tuple[int, int]]:
    """Rich runs ``(first, length)`` of steps that equal ``before`` at one period; ``numbers`` code what is struck."""
    equal = numbers[period:] == before[:-period] if period < len(numbers) else np.zeros(0, bool)
    edges = np.flatnonzero(np.diff(np.r_[0, equal, 0]))
    found = [(int(a) + period, int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(a, n) for a, n in found if _rich(numbers[a:a + n])]


def _rich(numbers: np.ndarray) -> bool:
    struck = numbers[numbers > 0]
    return 4 * len(struck) >= len(numbers) and len(np.unique(struck)) >= 3


def longest(x12: np.ndarray, other: np.ndarray | None = None) -> int:
    """Steps of the longest copy at one of the periods: of a roll's own past, or of the past of an ``other`` one."""
    numbers = set_numbers(x12)
    before = numbers if other is None else set_numbers(other)
    return max((n for period in PERIODS for _, n in runs(numbers, before, period)), default=0)


def survival(rolls: Iterable[np.ndarray]) -> dict:
    """How surely a copy that has gone on for eight steps goes on: per step, over all rolls and periods.

    ``of 32 steps`` is that certainty to the power of 32, beside the share of copies of at least eight steps that
    reach 32, where the roll is long enough.
    """
    rows = [_survived(x) for x in rolls]
    went_on, could, reached, begun = np.array(rows).T
    per_step = intervals.ratio(went_on, could)
    return {"per step": per_step, "copies": int(begun.sum()), "reach 32": intervals.ratio(reached, begun),
            "of 32 steps": per_step["value"] ** LENGTH}


def _survived(x12: np.ndarray) -> tuple[int, int, int, int]:
    numbers = set_numbers(x12)
    found = [(a, n) for h in PERIODS for a, n in runs(numbers, numbers, h) if n >= STARTED]
    went_on = sum(n - STARTED for _, n in found)
    ended = sum(a + n < len(numbers) for a, n in found)
    begun = [(a, n) for a, n in found if a + LENGTH <= len(numbers)]
    return went_on, went_on + ended, sum(n >= LENGTH for _, n in begun), len(begun)


def within(rolls: list[np.ndarray]) -> dict:
    """The longest copy of each roll in its own past, and by chance, in another roll's."""
    own = np.array([longest(x) for x in rolls])
    chance = np.array([longest(x, rolls[i - 1][:len(x)]) for i, x in enumerate(rolls)])
    return {"longest": intervals.mean(own), "longest by chance": intervals.mean(chance),
            "longer than 8 steps": intervals.mean(own > 8), "longer than 8 steps by chance": intervals.mean(chance > 8),
            "median": float(np.median(own)), "most": int(own.max())}


def known_windows(pieces: list[Piece]) -> set[int]:
    """All windows of 16 steps of the training pieces, in any key."""
    return set().union(*(windows(piece.roll, WIDTH) for piece in pieces))


def from_training(rolls: list[np.ndarray], known: set[int]) -> dict:
    """Share of the windows of each roll ``(time, key)`` that stand in a training piece, in any key."""
    own = [windows(roll, WIDTH) for roll in rolls]
    return {"windows": intervals.mean([len(found & known) / len(found) if found else np.nan for found in own]),
            "rolls with one": intervals.mean([float(bool(found & known)) for found in own])}
