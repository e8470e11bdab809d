"""Works that occur more than once, found by content whatever their key, file name or format.

A piece is described by its windows: eight successive onset steps, each as its set of pitch classes,
turned to a common key. Editions and arrangements of a work share many of them, different works
hardly any. Of pieces that share many, the first is kept.
"""

from collections import Counter
from itertools import combinations

import numpy as np

from octavoice.music.pieces import Pieces
from octavoice.music.roll import CLASSES, compress

WINDOW = 8
"""Onset steps in a window."""
DISTINCT = 4
"""Different sets a window must hold: repeated chords say nothing about the work."""
COMMON = 50
"""Windows that more pieces than this hold are stock phrases and are not counted."""
SHARE = 0.2
"""Pieces are the same work if this share of the smaller one's windows lies in the other."""
MOST_WINDOWS = 4_000_000
"""Windows kept in memory; of a larger corpus an even sample of them is compared."""

_SETS = np.arange(2**CLASSES, dtype=np.uint32)
_TURNED = np.stack([(_SETS >> r | _SETS << CLASSES - r) & 2**CLASSES - 1 for r in range(CLASSES)])
_FIRST_KEY = _TURNED.argmin(axis=0)
_SYMMETRIC = (_TURNED.min(axis=0) == _TURNED).sum(axis=0) > 1
_FACTORS = np.random.default_rng(2018).integers(2**63, size=WINDOW, dtype=np.uint64) | np.uint64(1)


def windows(roll: np.ndarray) -> np.ndarray:
    """Hashes of a roll's windows ``(time, key)``, each once, the same in every key: uint64."""
    struck = compress(roll)[roll.any(axis=1)]
    sets = (struck.astype(np.uint32) << np.arange(CLASSES, dtype=np.uint32)).sum(axis=1)
    if len(sets) < WINDOW:
        return np.zeros(0, np.uint64)
    rows = np.lib.stride_tricks.sliding_window_view(sets, WINDOW)
    rows = rows[~_SYMMETRIC[rows[:, 0]]]  # an augmented triad, say, does not tell one key from another
    rows = _TURNED[_FIRST_KEY[rows[:, 0]][:, None], rows]
    varied = (np.diff(np.sort(rows, axis=1), axis=1) > 0).sum(axis=1) >= DISTINCT - 1
    hashes = (rows[varied].astype(np.uint64) * _FACTORS).sum(axis=1, dtype=np.uint64)
    return np.unique(_mixed(hashes))


def _mixed(x: np.ndarray) -> np.ndarray:
    """Spread a sum over all 64 bits (the finaliser of splitmix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ x >> np.uint64(shift)) * np.uint64(factor)
    return x ^ x >> np.uint64(31)


def find(pieces: Pieces) -> dict[int, tuple[int, float]]:
    """Later pieces that are an earlier one's work: ``{number: (earlier number, share of windows)}``.

    A chain of copies leads to its first piece only if that one shares enough with each of them.
    """
    share = min(1.0, MOST_WINDOWS / max(1, int(pieces.lengths.sum())))
    keep = np.uint64(min(2**64 - 1, int(share * 2**64)))
    sketches = [found[found <= keep] for found in map(windows, _rolls(pieces))]
    sizes = [len(sketch) for sketch in sketches]
    copies: dict[int, tuple[int, float]] = {}
    for (a, b), shared in sorted(_shared(sketches).items()):
        share = shared / min(sizes[a], sizes[b])
        if share >= SHARE and a not in copies and b not in copies:
            copies[b] = (a, share)
    return copies


def _rolls(pieces: Pieces):
    return (pieces.window(i, 0, int(pieces.lengths[i])) for i in range(len(pieces)))


def _shared(sketches: list[np.ndarray]) -> Counter:
    """How many windows each pair of pieces ``(a, b)``, a < b, has in common."""
    owner = np.repeat(np.arange(len(sketches)), [len(sketch) for sketch in sketches])
    everything = np.concatenate([*sketches, np.zeros(0, np.uint64)])
    order = np.argsort(everything, kind="stable")
    owner, everything = owner[order], everything[order]
    edges = np.flatnonzero(np.diff(everything, prepend=~everything[:1], append=~everything[-1:]))
    several = np.flatnonzero((np.diff(edges) > 1) & (np.diff(edges) <= COMMON))
    pairs: Counter = Counter()
    for begin, end in zip(edges[several], edges[several + 1], strict=True):
        pairs.update(combinations(owner[begin:end].tolist(), 2))
    return pairs
