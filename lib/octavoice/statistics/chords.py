"""Triads and how one follows another (claim C11; thesis §7.4).

A transition leads from one exact triad struck to the next different one, whatever lies between: how far the root
moves, in semitones upward, and both qualities. Rolls are compressed, ``(time, pitch_class)``.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from scipy.spatial.distance import jensenshannon

from octavoice.statistics import harmony, intervals

MOVES = 12 * 4 * 4
"""Root motions times qualities before and after."""
SHUFFLES = 20


@cache
def triads() -> dict[frozenset[int], tuple[int, int]]:
    """Root (0 = A) and quality (index into ``harmony.TRIADS``) of every triad, by its classes."""
    steps = {"major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6), "augmented": (0, 4, 8)}
    return {frozenset((root + s) % 12 for s in steps[name]): (root, quality)
            for quality, name in enumerate(harmony.TRIADS) for root in reversed(range(12))}


def sequence(x12: np.ndarray) -> list[tuple[int, int]]:
    """The triads struck in a roll in order, each once until another comes: ``(root, quality)``."""
    found = [triads().get(frozenset(np.flatnonzero(step).tolist())) for step in x12]
    found = [chord for chord in found if chord]
    return [chord for i, chord in enumerate(found) if not i or chord != found[i - 1]]


def moves(chords: list[tuple[int, int]]) -> np.ndarray:
    """Counts of the transitions in a sequence of triads, ``(move,)``."""
    codes = [((after[0] - before[0]) % 12 * 4 + before[1]) * 4 + after[1]
             for before, after in pairwise(chords)]
    return np.bincount(codes, minlength=MOVES) if codes else np.zeros(MOVES, int)


def shuffled(chords: list[tuple[int, int]], rng: np.random.Generator) -> list[tuple[int, int]]:
    """The same triads in random order, equal neighbours again counted once: transitions without a grammar."""
    mixed = [chords[i] for i in rng.permutation(len(chords))]
    return [chord for i, chord in enumerate(mixed) if not i or chord != mixed[i - 1]]


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Jensen–Shannon divergence of two tables of counts, in bits, 0..1."""
    return float(jensenshannon(ours, theirs, base=2) ** 2) if ours.any() and theirs.any() else np.nan


def measure(samples: list[np.ndarray], real: list[np.ndarray], seed: int) -> dict:
    """Shares of triads, and how near the transitions of samples are to those of real music.

    ``transitions`` holds divergences from half of the real music: of the ``other half`` (what no model can beat), of
    the ``samples``, and of the samples' ``shuffled`` triads (what their order must beat), each with the spread over
    random halves.
    """
    rng = np.random.default_rng(seed)
    ours, theirs = [sequence(x) for x in samples], [sequence(x) for x in real]
    spread = {"other half": [], "samples": [], "samples, triads shuffled": []}
    for _ in range(SHUFFLES):
        order = rng.permutation(len(theirs))
        half, other = ([theirs[i] for i in part] for part in np.array_split(order, 2))
        some = [ours[i] for i in rng.choice(len(ours), len(other), replace=False)]
        target = total(half)
        for name, rows in (("other half", other), ("samples", some),
                           ("samples, triads shuffled", [shuffled(row, rng) for row in some])):
            spread[name].append(distance(total(rows), target))
    return {**{name: shares(rolls) for name, rolls in (("samples", samples), ("real", real))},
            "transitions": {name: intervals.spread(values) for name, values in spread.items()}}


def total(sequences: list[list]) -> np.ndarray:
    """Transitions of all sequences together, ``(move,)``."""
    return sum(map(moves, sequences), np.zeros(MOVES, int))



def shares(rolls: list[np.ndarray]) -> dict:
    """Triads among steps of three classes or more, and transitions a bar, each with an interval over rolls."""
    return {"triads among steps of 3 or more": intervals.mean([harmony.triad_share(x) for x in rolls]),
            "triad steps a bar": intervals.mean([16 * sum(map(harmony.is_triad, map(np.flatnonzero, x))) / len(x)
                                                 for x in rolls]),
            "transitions a bar": intervals.mean([16 * max(0, len(sequence(x)) - 1) / len(x) for x in rolls])}
