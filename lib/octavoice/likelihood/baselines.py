"""Trivial baselines on the same held-out steps, fitted on training pieces (thesis-style nats per step).

Each predicts every pitch class on its own, from a table of frequencies with 1/2 added to both
counts: without context (marginal), given whether the class was struck one step before (first order),
given whether it was struck one bar before (16 steps).
"""

import numpy as np

from octavoice.corpus import Batch
from octavoice.music.piece import Piece
from octavoice.music.roll import STEPS_PER_BAR, compress

LAGS = {"marginal": None, "first order": 1, "one bar before": STEPS_PER_BAR}


def fit_table(pieces: list[Piece], lag: int | None) -> np.ndarray:
    """P(class struck | struck ``lag`` steps before), ``(2, pitch_class)``; the rows agree for ``lag=None``.

    Counted under all twelve transpositions, as training sees the pieces, so every class has one
    common rate.
    """
    counts = np.full((2, 2), 0.5)
    for piece in pieces:
        x12 = compress(piece.roll).astype(int)
        before = _lagged(x12, lag)
        np.add.at(counts, (before, x12), 1)
    if lag is None:
        counts[1] = counts[0]
    return (counts[:, 1] / counts.sum(axis=1))[:, None].repeat(12, axis=1)


def _lagged(x12: np.ndarray, lag: int | None) -> np.ndarray:
    """The roll ``lag`` steps before, silence before the piece; zeros for ``lag=None``."""
    before = np.zeros_like(x12)
    if lag is not None and lag < len(x12):
        before[lag:] = x12[:-lag]
    return before


def per_step(table: np.ndarray, lag: int | None, batch: Batch) -> np.ndarray:
    """Log-likelihood of one table on a batch, in nats, ``(time - 1, batch)``."""
    line = np.concatenate([batch.history, batch.x12]).astype(int)
    target, first = line[-len(batch.x12) + 1:], len(batch.history) + 1
    before = line[first - lag: len(line) - lag] if lag else np.zeros_like(target)
    p = np.take_along_axis(table[:, None, None, :], before[None], axis=0)[0]
    return np.log(np.where(target > 0, p, 1 - p)).sum(axis=-1)


def score(pieces: list[Piece], batch: Batch) -> dict[str, float]:
    """Held-out log-likelihood of each baseline in nats per step on a batch, fitted on ``pieces``."""
    return {name: float((per_step(fit_table(pieces, lag), lag, batch) * batch.weight).sum() / batch.weight.sum())
            for name, lag in LAGS.items()}
