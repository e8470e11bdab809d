"""What notebook 08 draws: levels on one axis, samples beside music, and what temperature does."""

from collections.abc import Container

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from octavoice.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE
from octavoice.formats.midi import chord_notes
from octavoice.music.roll import STEPS_PER_BAR

SETS = (ORANGE, BLUE, PURPLE, GREEN)
MARKS = ("s", "o", "D", "^")
OCTAVES = range(36, 97, 12)
KINDS = {"exact": ("o", BLUE), "bound": (">", ORANGE), "estimate": ("D", PURPLE)}


def curves(metrics: dict[str, pd.DataFrame], objectives: Container[str] = ()) -> Figure:
    """Training of each stage: log-likelihood per step of the batches, and of the held-out panel.

    ``metrics`` by what a stage is called, with columns ``train`` and ``held_out`` (losses), indexed by iteration; a
    training too short to be judged has none of the latter. Stages among ``objectives`` have a loss that is no
    likelihood's.
    """
    figure, axes = plt.subplots(1, len(metrics), figsize=(4.4 * len(metrics), 3.3), squeeze=False)
    for ax, (name, table) in zip(axes[0], metrics.items(), strict=True):
        train, held_out = -table["train"], -table.get("held_out", table["train"][:0]).dropna()
        ax.plot(train.index, train.rolling(20, min_periods=1).mean(), color=BLUE, label="training, mean of 20")
        ax.plot(held_out.index, held_out, color=ORANGE, marker="o", markersize=3, label="held-out panel")
        floor = np.quantile(train.iloc[len(train) // 20:], 0.01)
        shown = "objective" if name in objectives else "log-likelihood"
        ax.set(title=name, xlabel="iteration", ylabel=f"{shown}, nats per step", ylim=(floor - 0.1, None))
        ax.legend(loc="lower right")
    return figure


def levels(tables: dict[str, pd.DataFrame], unit: str = "nats per step") -> Figure:
    """Levels with 95 % intervals over pieces, one panel a space; the mark tells what kind of number it is.

    ``tables`` by space, with columns ``level``, ``low``, ``high`` and ``kind``, a row for each model, in ``unit``.
    """
    height = 0.55 + 0.38 * max(map(len, tables.values()))
    figure, axes = plt.subplots(1, len(tables), figsize=(4.6 * len(tables), height),
                                squeeze=False)
    for ax, (space, table) in zip(axes[0], tables.items(), strict=True):
        for y, (_, row) in enumerate(table.iterrows()):
            mark, colour = KINDS[row["kind"]]
            ax.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2)
            ax.plot(row["level"], y, mark, color=colour, markersize=7)
            ax.annotate(f"{row['level']:.3f}", (row["level"], y), (0, 6), textcoords="offset points", ha="center",
                        fontsize=8)
        ax.set(title=space, xlabel=f"{unit}, higher is better", yticks=range(len(table)),
               yticklabels=table.index, ylim=(-0.6, len(table) - 0.3))
        ax.margins(x=0.12)
        ax.grid(axis="x", alpha=0.4)
    return figure


def likeness(table: pd.DataFrame, sets: list[str]) -> Figure:
    """How far each set's statistics lie from real music's, in units of the noise of real against real.

    ``table`` as :func:`octavoice.statistics.likeness.compare` gives it. What lies in the grey band is within the noise.
    """
    figure, ax = plt.subplots(figsize=(8, 0.7 + 0.32 * len(table)))
    ax.axvspan(-1, 1, color=GREY, alpha=0.25, label="real against real, 95 %")
    rows = np.arange(len(table))[::-1]
    for name, colour, mark in zip(sets, SETS, MARKS, strict=False):
        away = (table[name] - table["music"]) / table["noise"].replace(0, np.nan)
        shown = np.sign(away) * np.log2(1 + away.abs())
        ax.plot(shown, rows, mark, color=colour, label=name, markersize=7, linestyle="none")
    ticks = np.array([-64, -16, -4, -1, 0, 1, 4, 16, 64])
    ax.set_xticks(np.sign(ticks) * np.log2(1 + np.abs(ticks)), [f"{t:+d}" if t else "0" for t in ticks])
    ax.set(yticks=rows, yticklabels=table.index, xlabel="distance from music, in units of the noise (log scale)")
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.grid(axis="y", alpha=0.3)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14 - 0.6 / len(table)), ncols=len(sets) + 1)
    return figure


def temperatures(table: pd.DataFrame, music: pd.Series, noise: pd.Series, names: list[str]) -> Figure:
    """Some statistics over temperature beside music's: ``table`` has a row a temperature, a column a statistic."""
    figure, axes = plt.subplots(1, len(names), figsize=(2.6 * len(names), 2.9))
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        ax.axhspan(music[name] - noise[name], music[name] + noise[name], color=GREY, alpha=0.25)
        ax.axhline(music[name], color=INK, linewidth=1, linestyle="--")
        ax.plot(table.index, table[name], color=BLUE, marker="o")
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("temperature")
    return figure


def front_page(ways: dict[str, tuple[np.ndarray, np.ndarray | None]], start: int, title: str) -> Figure:
    """The README's picture: one prime of ``start`` steps on the keys, continued by each of some models.

    ``ways`` names the rolls ``(time, key)``, each with its grid of durations, or None: held until the next onset.
    """
    figure, axes = plt.subplots(len(ways), 1, figsize=(10, 2.5 * len(ways)), sharex=True, sharey=True)
    for ax, (name, (roll, durations)) in zip(np.atleast_1d(axes), ways.items(), strict=True):
        onset, end, pitch = np.array(chord_notes(roll, durations), int).reshape(-1, 3).T
        for new, colour, label in ((False, ORANGE, "prime"), (True, BLUE, "composed")):
            chosen = (onset >= start) == new
            ax.barh(pitch[chosen], (end - onset)[chosen] / STEPS_PER_BAR, left=onset[chosen] / STEPS_PER_BAR + 1,
                    height=1.3, color=colour, edgecolor=INK, linewidth=0.3, label=label)
        ax.set(title=f"{title} {name}", ylabel="key", yticks=OCTAVES, yticklabels=[f"C{m // 12 - 1}" for m in OCTAVES],
               xlim=(0.8, len(roll) / STEPS_PER_BAR + 1.1))
        ax.grid(axis="y", alpha=0.4)
    np.atleast_1d(axes)[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    np.atleast_1d(axes)[-1].set_xlabel("bar")
    return figure
