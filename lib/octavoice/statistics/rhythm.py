"""Rhythm: figures of a quarter and of a bar, and how often they change (claim C16; thesis §7.4).

A figure is which sixteenths of a quarter, or of a bar, strike anything: ``1101`` is an onset on the first, the second
and the fourth. Rolls are ``(time, key or pitch_class)``, cut into quarters and bars from their first step.
"""

import numpy as np
from scipy.stats import spearmanr

from octavoice.music.piece import Piece
from octavoice.music.roll import STEPS_PER_BAR, STEPS_PER_QUARTER
from octavoice.statistics import intervals
from octavoice.statistics.data_statistics import entropy

SIMPLE = ("0000", "1000", "1010", "1111", "1001")
"""A rest or held note, a quarter, eighths, sixteenths, and the dotted eighth: what §7.4 calls simple."""
TRIPLET = "1101"


def figures(roll: np.ndarray, length: int = STEPS_PER_QUARTER) -> np.ndarray:
    """Figures of ``length`` steps as numbers, the first step the most significant bit: ``(figure,)``."""
    struck = roll.any(axis=1)[:len(roll) // length * length].reshape(-1, length)
    return struck @ (1 << np.arange(length - 1, -1, -1))


def named(figure: str) -> int:
    """The number of a figure that is written as 0 and 1."""
    return int(figure, 2)


def triplet_on_the_grid() -> str:
    """Where three onsets of an eighth triplet fall on the grid of sixteenths: ``floor(4q + 1/2)`` of 0, 1/3, 2/3."""
    places = {(2 * STEPS_PER_QUARTER * i + 3) // 6 for i in range(3)}
    return "".join(str(int(step in places)) for step in range(STEPS_PER_QUARTER))


def of_roll(roll: np.ndarray) -> dict[str, float]:
    """One roll: shares of quarter figures, their entropy in bits, and changes of figure from bar to bar."""
    quarters, bars = figures(roll), figures(roll, STEPS_PER_BAR)
    onsets = np.array([int(bar).bit_count() for bar in bars])
    changed = bars[1:] != bars[:-1]
    fewer, more = (onsets[1:] < onsets[:-1]).sum(), (onsets[1:] > onsets[:-1]).sum()
    return {"simple figures": float(np.isin(quarters, [named(f) for f in SIMPLE]).mean()),
            "bits a quarter": entropy(np.bincount(quarters, minlength=16)),
            "changes of bar figure": float(changed.mean()) if len(changed) else np.nan,
            "changes to fewer onsets": fewer / (fewer + more) if fewer + more else np.nan,
            TRIPLET: float((quarters == named(TRIPLET)).mean())}


def measure(rolls: list[np.ndarray]) -> dict:
    """:func:`of_roll`, with intervals over rolls."""
    rows = [of_roll(roll) for roll in rolls]
    return {name: intervals.mean([row[name] for row in rows]) for name in rows[0]}


def triplet_figure(primes: list[np.ndarray], samples: list[np.ndarray]) -> dict:
    """The figure 1101 in samples whose prime has it, and in the others."""
    has = np.array([named(TRIPLET) in figures(prime) for prime in primes])
    share = np.array([(figures(x) == named(TRIPLET)).mean() for x in samples])
    return {"prime has it": intervals.mean(share[has]), "prime has it not": intervals.mean(share[~has]),
            "difference": intervals.gap(share[has], share[~has])}


def triplets_of(pieces: list[Piece]) -> dict:
    """Where 1101 comes from in the music: its share over pieces, and how it goes with onsets off the grid.

    An onset of a triplet lies a third of a step off the grid, so pieces with triplets have a large ``off_grid``.
    """
    share = np.array([(figures(piece.roll) == named(TRIPLET)).mean() for piece in pieces])
    off = np.array([piece.off_grid for piece in pieces])
    found = spearmanr(share, off)
    return {"on the grid": triplet_on_the_grid(), "rank correlation": float(found.statistic),
            "p": float(found.pvalue), "all on the grid": intervals.mean(share[off == 0]),
            "a tenth off the grid": intervals.mean(share[off >= 0.1])}
