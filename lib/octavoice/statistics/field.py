"""The field's usual statistics of symbolic music, and how two sets are compared by them.

Pitch-class entropy and groove consistency: Wu and Yang, "The Jazz Transformer on the Front Line" (ISMIR 2020). Scale
consistency: Mogren, "C-RNN-GAN" (2016). Empty beats and polyphony: Dong et al., "MusPy" (ISMIR 2020). Overlapping area
and Kullback–Leibler divergence of distances within a set and between sets: Yang and Lerch, "On the evaluation of
generative models in music" (Neural Computing and Applications 32, 2020). All are taken of onsets, since a roll holds
no durations. Rolls are ``(time, key)``.
"""

import numpy as np
from scipy.stats import gaussian_kde

from octavoice.music.roll import STEPS_PER_BAR, STEPS_PER_QUARTER, compress
from octavoice.statistics import harmony, intervals
from octavoice.statistics.data_statistics import entropy

GRID = 512
"""Points of the grid on which two densities are compared; the same for both."""
SPLITS = 10


def of_roll(roll: np.ndarray) -> dict[str, float]:
    """All five statistics of one roll; NaN where it is silent."""
    struck, counts = roll.any(axis=1), compress(roll).sum(axis=0, dtype=np.int64)
    bars = struck[:len(roll) // STEPS_PER_BAR * STEPS_PER_BAR].reshape(-1, STEPS_PER_BAR)
    beats = struck[:len(roll) // STEPS_PER_QUARTER * STEPS_PER_QUARTER].reshape(-1, STEPS_PER_QUARTER)
    forms = harmony.scale_forms().items()
    scales = [sorted(form) for name, form in forms if name.endswith((" major", "natural minor"))]
    some = bool(counts.any())
    return {"pitch-class entropy, bits": entropy(counts) if some else np.nan,
            "scale consistency": max(counts[scale].sum() for scale in scales) / counts.sum() if some else np.nan,
            "groove consistency": float(1 - (bars[1:] != bars[:-1]).mean()) if len(bars) > 1 else np.nan,
            "empty-beat rate": float(1 - beats.any(axis=1).mean()),
            "polyphony": float(roll.sum(axis=1)[struck].mean()) if some else np.nan}


def measure(samples: list[np.ndarray], real: list[np.ndarray], seed: int) -> dict:
    """Means of every statistic, and overlapping area and divergence of samples and of real against real."""
    ours, theirs = ({name: np.array([row[name] for row in rows]) for name in rows[0]}
                    for rows in ([of_roll(x) for x in samples], [of_roll(x) for x in real]))
    rng = np.random.default_rng(seed)
    return {name: {"samples": intervals.mean(ours[name]), "real": intervals.mean(theirs[name]),
                   **compared(ours[name], theirs[name], rng)} for name in ours}


def compared(ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> dict:
    """Of distances between samples and real against those within real music; and as the ceiling, of real halves."""
    ours, theirs = ours[np.isfinite(ours)], theirs[np.isfinite(theirs)]
    found = {"samples": [], "real": []}
    for _ in range(SPLITS):
        half, other = np.array_split(rng.permutation(theirs), 2)
        found["samples"].append(overlap(half, rng.choice(ours, min(len(ours), len(other)), replace=False)))
        found["real"].append(overlap(half, other))
    return {f"{what}, {name}": intervals.spread([pair[i] for pair in pairs]) for name, pairs in found.items()
            for i, what in enumerate(("overlapping area", "divergence"))}


def overlap(real: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Overlapping area, and divergence in nats, of the densities of distances within ``real`` and between both sets."""
    within = np.abs(real[:, None] - real)[~np.eye(len(real), dtype=bool)]
    between = np.abs(real[:, None] - other).ravel()
    if within.std() < 1e-12 or between.std() < 1e-12:
        return np.nan, np.nan
    grid = np.linspace(0, max(within.max(), between.max()), GRID)
    p, q = (gaussian_kde(values)(grid) + 1e-9 for values in (within, between))
    p, q = p / p.sum(), q / q.sum()
    return float(np.minimum(p, q).sum()), float((p * np.log(p / q)).sum())
