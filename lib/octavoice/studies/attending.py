"""What attention does: whether it locks onto repeats, and what its reads tell (claims C3 and C18; §6.3, §7.4)."""

import numpy as np
import torch

from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, compress
from octavoice.statistics import copies, intervals
from octavoice.statistics.data_statistics import set_numbers
from octavoice.studies.trainings import attend
from octavoice.thesis.attention import PERIODS, MainModule, read_past

LOCKED = 0.9
"""One period takes nearly all weight."""
MEMORY = (16, 64, 128)
"""Steps over which classes are counted."""


def locks(generator: MainModule, pieces: list[Piece]) -> dict:
    """C3: attention on steps amid an exact repeat of 32 steps or more, beside all other steps, per piece.

    ``weight of the repeat`` is what falls on periods at which the last steps and the next are a copy.
    """
    rows = [row for piece in pieces if piece.steps > 256 and (row := _locked(generator, piece))]
    names = ("weight of the repeat", "even weight", "locked amid repeats", "locked elsewhere")
    return {"pieces with a repeat": len(rows),
            **{name: intervals.mean([row[name] for row in rows]) for name in names}}


def repeating(x12: np.ndarray, least: int = 32) -> np.ndarray:
    """At which steps the next one continues an exact repeat of ``least`` steps or more: ``(time, period)`` bool."""
    numbers, found = set_numbers(x12), np.zeros((len(x12), len(PERIODS)), bool)
    for h, period in enumerate(PERIODS):
        for first, length in copies.runs(numbers, numbers, period):
            if length >= least:
                found[first + copies.STARTED - 1:first + length - 1, h] = True
    return found


def _locked(generator: MainModule, piece: Piece) -> dict[str, float]:
    repeats, weights = repeating(compress(piece.roll)), attend(generator, piece)
    amid = repeats.any(axis=1)
    if not amid.any() or amid.all():
        return {}
    on_repeat = (weights * repeats).sum(axis=1)[amid]
    return {"weight of the repeat": float(on_repeat.mean()), "even weight": float(repeats[amid].mean()),
            "locked amid repeats": float(((weights * repeats)[amid].max(axis=1) > LOCKED).mean()),
            "locked elsewhere": float((weights[~amid].max(axis=1) > LOCKED).mean())}


def reads(attention: np.ndarray, x12: np.ndarray) -> dict[str, float]:
    """C18: one sample's reads ``r_t`` against counts of recent classes, from its attention ``(new, period)``.

    ``x12`` ``(time, pitch_class)`` is the sample with its prime; the new steps are its last. Correlations over steps
    and classes; ``periods in use`` is the exponential of the mean entropy of the weights, 1 to 8.
    """
    new, line = len(attention), np.concatenate([np.zeros((128, CLASSES)), x12]).astype(float)
    past = torch.from_numpy(line)[:, None]
    shifted = read_past(past[128:], past[:128]).numpy()[-new - 1:-1, :, 0]
    read, even = np.einsum("th,thp->tp", attention, shifted), shifted.mean(axis=1)
    total = np.cumsum(np.concatenate([np.zeros((1, CLASSES)), line]), axis=0)
    ends = len(line) - new + np.arange(new)
    weight = np.where(attention > 0, attention, 1)
    found = {f"counts of {span} steps": correlation(read, total[ends] - total[ends - span]) for span in MEMORY}
    return found | {"next step": correlation(read, x12[-new:]), "even read": correlation(read, even),
                    "even read, counts of 128 steps": correlation(even, total[ends] - total[ends - 128]),
                    "periods in use": float(np.exp(-(attention * np.log(weight)).sum(axis=1).mean())),
                    "largest weight": float(attention.max(axis=1).mean())}


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r of two arrays of one shape; NaN where one is constant."""
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size > 0 else np.nan


def statistic(attention: np.ndarray, x12: np.ndarray) -> dict:
    """:func:`reads` of all samples: ``attention`` ``(new, sample, period)``, ``x12`` ``(time, sample, class)``."""
    rows = [reads(attention[:, i], x12[:, i]) for i in range(x12.shape[1])]
    return {name: intervals.mean([row[name] for row in rows]) for name in rows[0]}
