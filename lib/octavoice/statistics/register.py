"""Register: outer voices and the low octaves (claim C17; thesis §7.4). Rolls are ``(time, key)``."""

import numpy as np

from octavoice.music.roll import CLASSES, KEYS, compress
from octavoice.statistics import harmony, intervals
from octavoice.statistics.data_statistics import entropy

LOW = 27
"""Keys below C3 (MIDI 48)."""
LEAP = 12
"""A leap of more than an octave in one outer voice."""


def measure(rolls: list[np.ndarray]) -> dict:
    """:func:`of_roll`, with intervals over rolls."""
    rows = [of_roll(roll) for roll in rolls]
    return {name: intervals.mean([row[name] for row in rows]) for name in rows[0]}


def of_roll(roll: np.ndarray) -> dict[str, float]:
    """One roll: leaps of both outer voices, how well the low keys keep the key, and how evenly they are used."""
    struck = roll[roll.any(axis=1)]
    if len(struck) < 2:
        return dict.fromkeys(("leaps of the highest key", "leaps of the lowest key", "bits of the lowest key's step",
                              "widest gap between neighbours", "low onsets out of key", "high onsets out of key",
                              "bits of low classes"), np.nan)
    low, high = struck.argmax(axis=1), KEYS - 1 - struck[:, ::-1].argmax(axis=1)
    steps = np.diff(low)
    return {"leaps of the highest key": float((np.abs(np.diff(high)) > LEAP).mean()),
            "leaps of the lowest key": float((np.abs(steps) > LEAP).mean()),
            "bits of the lowest key's step": entropy(np.bincount(steps + KEYS)),
            "widest gap between neighbours": gaps(struck),
            "low onsets out of key": out_of_key(roll, roll[:, :LOW]),
            "high onsets out of key": out_of_key(roll, roll[:, LOW:], LOW),
            "bits of low classes": entropy(compress(np.pad(roll[:, :LOW], ((0, 0), (0, KEYS - LOW)))).sum(axis=0))
            if roll[:, :LOW].any() else np.nan}


def gaps(struck: np.ndarray) -> float:
    """Where a hand would part from the other: the widest gap between neighbouring keys of steps of three or more."""
    found = [np.diff(np.flatnonzero(step)).max() for step in struck if step.sum() >= 3]
    return float(np.mean(found)) if found else np.nan


def out_of_key(roll: np.ndarray, part: np.ndarray, first: int = 0) -> float:
    """Share of the onsets of ``part``, keys from ``first`` on, outside the scale of the key of the whole roll."""
    key, counts = harmony.key_of(compress(roll)), part.sum(axis=0)
    if key is None or not counts.any():
        return np.nan
    inside = np.isin((np.arange(part.shape[1]) + first) % CLASSES, sorted(harmony.scale_classes(key)))
    return float(counts[~inside].sum() / counts.sum())
