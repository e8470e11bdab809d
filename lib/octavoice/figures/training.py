"""Training curves (Fig. 14) for main module and decoder."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from octavoice.figures.style import BLUE, GREY, INK, ORANGE, PURPLE


def _curve(ax: Axes, series: pd.Series, colour, label: str, smooth: int = 1, **line) -> None:
    series = series.dropna()
    if smooth > 1:
        ax.plot(series.index, series, color=colour, alpha=0.25, linewidth=0.7)
        series = series.rolling(smooth, min_periods=1).mean()
    ax.plot(series.index, series, color=colour, label=label, **line)


def main_curves(metrics: pd.DataFrame, baselines: dict[str, float], thesis: list[tuple[int, float]]) -> Figure:
    """Fig. 14: the objective per step (its negative loss, higher is better), training and held-out.

    ``metrics`` has columns ``train`` and ``held_out``, indexed by iteration; ``baselines`` are
    held-out levels in nats per step; ``thesis`` are ``(iteration, level)`` points of its curve.
    """
    figure, ax = plt.subplots(figsize=(8, 4))
    _curve(ax, -metrics["train"], BLUE, "training, one batch (thin) and mean of 10", smooth=10, linewidth=1.6)
    if "held_out" in metrics:
        _curve(ax, -metrics["held_out"], ORANGE, "held-out pieces, fixed panel", marker="o", markersize=3.5,
               linewidth=1.6)
    for (name, level), style in zip(baselines.items(), (":", "--", "-."), strict=False):
        ax.axhline(level, color=GREY, linestyle=style, linewidth=1.2, label=f"baseline: {name}")
    reached = [(i, level) for i, level in thesis if i <= 1.05 * metrics.index[-1]]
    if reached:
        ax.plot(*zip(*reached, strict=True), linestyle="none", marker="D", color=PURPLE, markersize=6,
                label="thesis's training curve (other data)")
    ax.set(xlabel="iteration", ylabel="objective (a surrogate), nats per step", xlim=(0, None),
           ylim=(min(-3.6, *(level - 0.1 for level in baselines.values())), None))
    ax.legend(loc="lower right")
    return figure


def seeds_and_corpora(curves: dict[str, dict[int, pd.DataFrame]], baselines: dict[str, float],
                      thesis: list[tuple[int, float]]) -> Figure:
    """Fig. 14 for several corpora side by side, all seeds in each.

    ``curves`` holds metrics by corpus and seed as :func:`main_curves` takes them; ``baselines`` the best
    frequency table's held-out level per corpus; ``thesis`` ``(iteration, level)`` points of its curve.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(max(6.0, 3.4 * len(curves)), 4.0), sharey=True, squeeze=False)
    for ax, (corpus, seeds) in zip(axes[0], curves.items(), strict=True):
        for i, metrics in enumerate(seeds.values()):
            how = {"linewidth": 1.2, "linestyle": ("-", (0, (4, 1)), (0, (1, 1)))[i % 3]}
            smooth = -metrics["train"].rolling(50, min_periods=50).mean()
            ax.plot(smooth.index, smooth, color=BLUE, **how, label="training, mean of 50; a line per seed" * (i == 0))
            held_out = -metrics["held_out"].dropna()
            ax.plot(held_out.index, held_out, color=ORANGE, **how, label="held-out panel; a line per seed" * (i == 0))
        ax.axhline(baselines[corpus], color=GREY, linestyle="--", linewidth=1.2, label="best frequency table, test set")
        ax.plot(*zip(*thesis, strict=True), linestyle="none", marker="D", color=PURPLE, markersize=6,
                label="thesis, training (other data)")
        ax.set(title=corpus, xlabel="iteration", xlim=(0, None))
    axes[0, 0].set(ylabel="objective (a surrogate), nats per step", ylim=(min(baselines.values()) - 0.15, None))
    axes[0, 0].legend(loc="lower right")
    return figure


def decoder_curves(metrics: pd.DataFrame, floor: float | None = None) -> Figure:
    """The decoder's training: CD-1's free-energy difference, and the held-out pseudo-likelihood.

    ``metrics`` has columns ``train``, ``held_out``, ``held_out_pseudo``; ``floor`` is the
    pseudo-likelihood of a trivial baseline on the same steps, in nats per step.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.1))
    _curve(left, metrics["train"], BLUE, "training", smooth=10, linewidth=1.5)
    _curve(left, metrics["held_out"], ORANGE, "held-out", marker="o", markersize=3, linewidth=1.5)
    left.axhline(0, color=INK, linewidth=0.8)
    left.set(title="CD-1: E(x) − E(x*)", xlabel="iteration", ylabel="free-energy difference",
             ylim=(None, max(0.5, metrics["train"].iloc[5:].quantile(0.98))))
    _curve(right, metrics["held_out_pseudo"], ORANGE, "held-out", marker="o", markersize=3, linewidth=1.5)
    if floor is not None:
        right.axhline(floor, color=GREY, linestyle="--", linewidth=1.2, label="frequency of each key, its class given")
    right.set(title="log pseudo-likelihood inside the mask", xlabel="iteration", ylabel="nats per step")
    for ax in (left, right):
        ax.legend()
    return figure
