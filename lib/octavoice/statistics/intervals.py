"""Means and ratios with 95 % intervals over samples or pieces, as plain numbers that can be stored.

Every interval is a percentile bootstrap over independent units (samples, pieces), never over steps of one.
"""

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 2000
SEED = 2018


def mean(values) -> dict[str, float]:
    """Mean of one number a unit, ``(unit,)``, without those that are NaN; with ``low``, ``high`` and ``units``."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return _told(float(values.mean()) if len(values) else np.nan, (values,), np.mean, len(values))


def ratio(part, whole) -> dict[str, float]:
    """``Σ part / Σ whole`` of two numbers a unit, ``(unit,)`` each: a share in which long units weigh more."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    value = part.sum() / whole.sum() if whole.sum() else np.nan
    return _told(float(value), (part, whole), _share, len(part))


def gap(ours, theirs) -> dict[str, float]:
    """Mean of ``ours`` minus mean of ``theirs``, two sets of units that have nothing to do with each other."""
    ours, theirs = (np.asarray(v, float)[np.isfinite(np.asarray(v, float))] for v in (ours, theirs))
    value = float(ours.mean() - theirs.mean()) if len(ours) and len(theirs) else np.nan
    return _told(value, (ours, theirs), _difference, min(len(ours), len(theirs)), paired=False)


def spread(values: list[float]) -> dict[str, float]:
    """Mean of random repetitions and the middle 95 % of them; NaN where none is a number."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
    return {"value": float(values.mean()) if len(values) else np.nan, "low": float(low), "high": float(high),
            "units": len(values)}


def _share(part: np.ndarray, whole: np.ndarray, axis: int = -1) -> np.ndarray:
    return part.sum(axis=axis) / np.maximum(whole.sum(axis=axis), 1e-12)


def _difference(ours: np.ndarray, theirs: np.ndarray, axis: int = -1) -> np.ndarray:
    return ours.mean(axis=axis) - theirs.mean(axis=axis)


def _told(value: float, columns: tuple, statistic, units: int, paired: bool = True) -> dict[str, float]:
    if units < 2 or not np.isfinite(value):
        return {"value": value, "low": np.nan, "high": np.nan, "units": units}
    found = bootstrap(columns, statistic, paired=paired and len(columns) > 1, n_resamples=RESAMPLES,
                      method="percentile", vectorized=True, rng=SEED, batch=200).confidence_interval
    return {"value": value, "low": float(found.low), "high": float(found.high), "units": units}
