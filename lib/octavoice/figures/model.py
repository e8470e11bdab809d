"""Figures of the main module and the sampler at work (notebooks 03 and 04)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from octavoice.figures.style import BLUE, GREY, HEAT_MAP, INK, ORANGE, ROLL_MAP


def clock_bits(bits: np.ndarray) -> Figure:
    """The clock over one cycle: ``bits`` ``(time, bit)``, most significant bit first."""
    figure, ax = plt.subplots(figsize=(8, 1.9))
    ax.imshow(bits.T, aspect="auto", cmap=ROLL_MAP, vmin=0, vmax=1.4, interpolation="none")
    ax.set(xlabel="step t (sixteenths)", ylabel="bit of τ$_t$", yticks=range(bits.shape[1]),
           yticklabels=[f"{2 ** b}" for b in range(bits.shape[1] - 1, -1, -1)],
           xticks=range(0, len(bits) + 1, 16))
    for bar in range(0, len(bits) + 1, 16):
        ax.axvline(bar - 0.5, color=BLUE, linewidth=1)
    return figure


def attention_map(panels: dict[str, tuple[np.ndarray, int]], periods: tuple[int, ...]) -> Figure:
    """Attention while pieces are read: per panel ``(weights (time, period), expected period)``."""
    figure, axes = plt.subplots(len(panels), 1, figsize=(8.4, 2.5 * len(panels)), squeeze=False)
    for ax, (title, (weights, expected)) in zip(axes[:, 0], panels.items(), strict=True):
        image = ax.imshow(weights.T, aspect="auto", cmap=HEAT_MAP, vmin=0, vmax=1, origin="lower",
                          interpolation="none")
        labels = [f"▸ {h}" if h == expected else str(h) for h in periods]
        ax.set(title=title, ylabel="period h (steps)", yticks=range(len(periods)), yticklabels=labels)
        ax.axvline(expected - 1.5, color="white", linewidth=1.2, linestyle=":")
    axes[-1, 0].set_xlabel("step t (sixteenths)")
    figure.colorbar(image, ax=axes[:, 0], label="attention weight a$_t$[h]", fraction=0.03)
    return figure


def mean_attention(rows: pd.DataFrame) -> Figure:
    """Mean attention per period as grouped bars: index period, one column per piece."""
    figure, ax = plt.subplots(figsize=(7.6, 2.8))
    long = rows.reset_index(names="period").melt("period", var_name="piece", value_name="weight")
    sns.barplot(long, x="period", y="weight", hue="piece", ax=ax)
    ax.set(xlabel="period h (steps)", ylabel="mean attention weight", ylim=(0, 1))
    ax.axhline(1 / len(rows), color=GREY, linewidth=1, linestyle="--")
    ax.legend(title=None)
    return figure


def lag_spectrum(lags: np.ndarray, agreement: dict[str, np.ndarray], periods: tuple[int, ...]) -> Figure:
    """Share of onset steps that repeat exactly, by lag; the candidate periods marked."""
    figure, ax = plt.subplots(figsize=(8, 2.8))
    for (name, shares), colour in zip(agreement.items(), (BLUE, ORANGE), strict=False):
        ax.plot(lags, shares, color=colour, linewidth=1.3, label=name)
    ax.set(xlabel="lag (steps)", ylabel="share of exact repeats", xlim=(0, lags[-1] + 1), ylim=(0, None),
           xticks=periods)
    for h in periods:
        ax.axvline(h, color=GREY, linewidth=0.7, linestyle=":")
    ax.legend()
    return figure


def frequencies(exact: np.ndarray, sampled: np.ndarray, classes: int) -> Figure:
    """Sampled step vectors against enumeration: both ``(2^classes,)``, probabilities."""
    figure, ax = plt.subplots(figsize=(7.2, 2.8))
    names = ["".join(str(i >> p & 1) for p in range(classes)) for i in range(len(exact))]
    at = np.arange(len(exact))
    ax.bar(at - 0.2, exact, 0.4, color=GREY, label="enumerated paths")
    ax.bar(at + 0.2, sampled, 0.4, color=BLUE, label="sampled")
    ax.set(xticks=at, xticklabels=names, xlabel="step vector (1 = the class sounds)", ylabel="probability")
    ax.legend()
    return figure


def surrogate_gap(table: pd.DataFrame) -> Figure:
    """Per pitch class: true marginal, mean of the objective's P, mean of the path sum (columns of ``table``)."""
    figure, ax = plt.subplots(figsize=(6.4, 2.8))
    long = table.reset_index(names="class").melt("class", var_name="quantity", value_name="probability")
    sns.barplot(long, x="class", y="probability", hue="quantity", ax=ax)
    ax.set(xlabel="pitch class of the small example", ylabel="probability of sounding")
    ax.legend(title=None, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def pause_bars(tables: dict[str, pd.DataFrame]) -> Figure:
    """Scheme one on steps with an onset, one colour per variant: pauses, and classes found, per voice."""
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.2), width_ratios=(3, 2))
    long = pd.concat(tables, names=["variant"]).reset_index()
    for ax, column, label in ((axes[0], "pause, steps with an onset", "probability of the pause"),
                              (axes[1], "notes so far, steps with an onset", "different classes so far")):
        sns.barplot(long.dropna(subset=column), x="voice", y=column, hue="variant", ax=ax)
        ax.set(xlabel=None, ylabel=label)
        ax.tick_params(axis="x", rotation=25)
    axes[0].set_ylim(0, 1)
    handles, labels = axes[0].get_legend_handles_labels()
    for ax in axes:
        ax.get_legend().remove()
    figure.legend(handles, labels, ncols=len(tables), loc="outside upper center")
    return figure


def forcing_strip(table: pd.DataFrame) -> Figure:
    """C8: held-out log-likelihood by variant, one dot per seed; a bar marks the mean."""
    figure, ax = plt.subplots(figsize=(7.6, 2.6))
    long = table.reset_index()
    sns.stripplot(long, x="log_likelihood", y="variant", hue="variant", ax=ax, size=8, jitter=False, legend=False)
    means = long.groupby("variant", sort=False)["log_likelihood"].mean()
    ax.plot(means, means.index, "|", color=INK, markersize=24, markeredgewidth=1.5)
    ax.margins(y=0.2)
    ax.set(xlabel="held-out log-likelihood, nats per step (higher is better)", ylabel=None)
    return figure
