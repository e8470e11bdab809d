"""How like music samples are: the same statistics of both, and of real music against real music as the ceiling.

A statistic of a set of samples is its mean over them. What difference is noise is told by real music alone: of
pieces drawn at random into two sets of that size, 95 % differ by no more than the ``noise``.
"""

import numpy as np
import pandas as pd

from octavoice.composer import Composition
from octavoice.music.piece import Piece
from octavoice.music.roll import compress
from octavoice.statistics import samples
from octavoice.statistics.rolls import roll_summary

DRAWS = 2000
SHOWN = ["steps struck", "classes per struck step", "struck steps that repeat the last", "in prime's key",
         "longest rest, steps"]
"""The statistics that are looked at first."""


def portrait(prime: np.ndarray, roll: np.ndarray, x12: np.ndarray) -> dict[str, float]:
    """Statistics of one continuation ``roll`` ``(time, key)``, ``x12`` ``(time, pitch_class)`` of a ``prime``."""
    return {**density(x12), **_keys(compress(prime), x12), **_hands(roll)}


def portraits_of(roll: np.ndarray) -> dict[str, float]:
    """:func:`portrait` of a whole piece ``(time, key)``, its own prime."""
    return portrait(roll, roll, compress(roll))


def density(x12: np.ndarray) -> dict[str, float]:
    struck = x12.any(axis=1)
    again = struck[1:] & (x12[1:] == x12[:-1]).all(axis=1)
    ends = np.flatnonzero(np.diff(np.r_[1, struck, 1]))
    rests = np.diff(ends)[::2] if len(ends) else np.zeros(1)
    if not struck.any():
        return {"steps struck": 0.0, "longest rest, steps": float(len(x12))}
    summary = roll_summary(x12)
    return {"steps struck": summary["struck"], "classes per struck step": summary["classes"],
            "struck steps that repeat the last": float(again.sum() / max(1, struck[1:].sum())),
            "onsets on quarters": summary["on quarter"], "onsets on eighths": summary["on eighth"],
            "longest rest, steps": float(rests.max(initial=0))}


def _keys(prime12: np.ndarray, x12: np.ndarray) -> dict[str, float]:
    if not x12.any():
        return {}
    shares = samples.key_shares(prime12, x12)
    triads = shares.pop("triads")
    return {**shares, "triads among steps of 3 or more": triads}


def _hands(roll: np.ndarray) -> dict[str, float]:
    """Of the highest and the lowest key of each struck step: where they lie and how far they leap, in semitones."""
    struck = roll[roll.any(axis=1)]
    if len(struck) < 2:
        return {}
    low, high = struck.argmax(axis=1), roll.shape[1] - 1 - struck[:, ::-1].argmax(axis=1)
    return {"notes per struck step": float(struck.sum(axis=1).mean()),
            "highest key, MIDI": float(high.mean() + 21), "lowest key, MIDI": float(low.mean() + 21),
            "leap of the highest key": float(np.abs(np.diff(high)).mean()),
            "leap of the lowest key": float(np.abs(np.diff(low)).mean()),
            "range of a continuation": float(high.max() - low.min())}


def portraits(composition: Composition) -> pd.DataFrame:
    """A row for every sample of a composition, of its new steps."""
    start = composition.start
    return pd.DataFrame([portrait(composition.roll[:start, i], composition.roll[start:, i], composition.x12[start:, i])
                         for i in range(composition.roll.shape[1])])


def real_portraits(pieces: list[Piece], prime: int, steps: int) -> pd.DataFrame:
    """A row for every piece that is long enough: what follows its opening, as a continuation would."""
    long = [piece.roll for piece in pieces if piece.steps >= prime + steps]
    rolls = [roll[:prime + steps] for roll in long] or [piece.roll for piece in pieces if piece.steps > prime]
    return pd.DataFrame([portrait(roll[:prime], roll[prime:], compress(roll[prime:])) for roll in rolls])


def compare(sets: dict[str, pd.DataFrame], real: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Means of every statistic: real music, the noise of real against real, and each set, marked if within it.

    One row a statistic; for each set a column with its mean and one, ``within``, whether it is nearer to real music
    than two sets of real pieces are to each other in 95 % of draws.
    """
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"music": real.mean()})
    size = min(len(real), *(len(rows) for rows in sets.values()))
    draws = rng.integers(len(real), size=(DRAWS, 2, size))
    means = {name: np.nanmean(real[name].to_numpy()[draws], axis=-1) for name in real}
    table["noise"] = pd.Series({name: np.nanquantile(np.abs(m[:, 0] - m[:, 1]), 0.95) for name, m in means.items()})
    for name, rows in sets.items():
        table[name] = rows.mean()
        table[f"{name}: within"] = (table[name] - table["music"]).abs() <= table["noise"]
    return table.rename_axis("statistic")
