"""Texture, the first voice's pauses and the notes of the harmony (claims C26 to C28; thesis §7.4).

Rolls are compressed, ``(time, pitch_class)``, cut into bars from their first step.
"""

import numpy as np

from octavoice.music.roll import CLASSES, STEPS_PER_BAR
from octavoice.statistics import intervals
from octavoice.statistics.data_statistics import entropy
from octavoice.statistics.rolls import decisions

HEARD = 64
"""Steps whose seven most frequent classes are the notes of the harmony heard."""
NOTES = 7


def bars_of(x12: np.ndarray) -> np.ndarray:
    """Whole bars of a roll: ``(bar, step, pitch_class)``."""
    return x12[:len(x12) // STEPS_PER_BAR * STEPS_PER_BAR].reshape(-1, STEPS_PER_BAR, x12.shape[1])


def of_roll(x12: np.ndarray) -> dict[str, float]:
    """One roll: notes a bar, how far bars differ in them (standard deviation over mean), how evenly notes fall on the
    places of the bar (bits, 4 at most). NaN where nothing is struck."""
    notes = bars_of(x12).sum(axis=2, dtype=np.int64)
    if not notes.any():
        return dict.fromkeys(("notes a bar", "contrast of bars", "bits of places"), np.nan)
    a_bar = notes.sum(axis=1)
    return {"notes a bar": float(a_bar.mean()), "contrast of bars": float(a_bar.std() / a_bar.mean()),
            "bits of places": entropy(notes.sum(axis=0))}


def measure(rolls: list[np.ndarray]) -> dict:
    """:func:`of_roll` with intervals over rolls, and ``difference of fragments``: how far notes a bar of one roll lie
    from the middle one's, in shares of it. NaN without rolls."""
    rows = [of_roll(x) for x in rolls] or [of_roll(np.zeros((0, CLASSES), np.uint8))]
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    sounding = found["notes a bar"][np.isfinite(found["notes a bar"])]
    apart = np.abs(sounding / np.median(sounding) - 1) if len(sounding) else sounding
    return {name: intervals.mean(values) for name, values in found.items()} | {
        "difference of fragments": intervals.mean(apart)}


def first_voice(choices: np.ndarray) -> dict:
    """Of the steps on which voice 1 declined, the share that stays silent: ``choices`` ``(time, sample, voice)``."""
    _, sounds = decisions(choices)
    declined = ~sounds[..., 0]
    silent = declined & ~sounds.any(axis=-1)
    return {"silent where it declined": intervals.ratio(silent.sum(axis=0), declined.sum(axis=0))}


def remembered(x12: np.ndarray, other: np.ndarray | None = None) -> float:
    """Share of a bar's onsets among the seven most frequent classes of the 64 steps before it, mean over bars.

    Of the 64 steps of an ``other`` roll at the same time if one is given. NaN where no bar strikes after 64 steps.
    """
    heard, shares = x12 if other is None else other, []
    for start in range(HEARD, len(x12) - STEPS_PER_BAR + 1, STEPS_PER_BAR):
        counts = x12[start:start + STEPS_PER_BAR].sum(axis=0, dtype=np.int64)
        before = heard[start - HEARD:start].sum(axis=0, dtype=np.int64)
        if counts.any() and before.any():
            shares.append(counts[np.argsort(-before, kind="stable")[:NOTES]].sum() / counts.sum())
    return float(np.mean(shares)) if shares else np.nan


def memory(rolls: list[np.ndarray]) -> dict:
    """:func:`remembered` of own and of another roll's harmony, with intervals over rolls."""
    own = np.array([remembered(x) for x in rolls])
    others = np.array([remembered(x, rolls[i - 1]) for i, x in enumerate(rolls)])
    return {"own": intervals.mean(own), "another's": intervals.mean(others), "difference": intervals.mean(own - others)}


def keys_of_a_harmony(keys: int = 88) -> float:
    """How many of the keys play one of seven classes, mean over all sets of seven."""
    return keys * NOTES / CLASSES
