"""Figures 15 to 18: voices deciding, notes per voice, harmonies and keys of samples, one step decoded."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from octavoice.figures.style import BLUE, COLOURS, GREY, INK, ORANGE
from octavoice.music.roll import CLASS_NAMES, STEPS_PER_BAR

LIGHT = "#e8ebef"


def voices_deciding(q: np.ndarray, classes: np.ndarray, sounds: np.ndarray) -> Figure:
    """Fig. 15: each voice's distribution (above) and what it decided (below) at one step.

    ``q`` ``(voice, 2, pitch_class)`` (sounds, silent), ``classes`` ``(voice,)``, ``sounds`` ``(voice,)`` bool.
    """
    voices, names = len(q), range(12)
    figure, axes = plt.subplots(2, voices, figsize=(10, 4.4), sharex=True, height_ratios=(3, 1))
    top = min(1.0, 1.1 * q.max())
    decided: dict[int, bool] = {}
    for v, (above, below) in enumerate(axes.T):
        above.bar(names, q[v, 0], color=BLUE)
        above.bar(names, -q[v, 1], color=ORANGE)
        above.axhline(0, color=INK, linewidth=0.8)
        above.set(title=f"voice {v + 1}", ylim=(-top, top))
        above.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.3g}")
        for p in decided:
            above.axvspan(p - 0.5, p + 0.5, color=LIGHT, zorder=0)
        decided[int(classes[v])] = bool(sounds[v])
        for p in names:
            known, now = p in decided, p == classes[v]
            colour = (BLUE if decided[p] else ORANGE) if known else "white"
            below.bar(p, 1, width=0.9, color=colour, edgecolor=INK if now else GREY, linewidth=2 if now else 0.5,
                      alpha=1 if now or not known else 0.45)
        below.set(yticks=[], ylim=(0, 1.05), xticks=names)
        below.set_xticklabels([name if len(name) == 1 else "" for name in CLASS_NAMES])
        below.spines["left"].set_visible(False)
        if v:
            above.set_yticklabels([])
    axes[0, 0].set_ylabel("probability\n← is silent · sounds →")
    axes[1, 0].set_ylabel("decided", rotation=0, ha="right", va="center")
    axes[1, voices // 2].set_xlabel("pitch class")
    return figure


def voices_over_time(classes: np.ndarray, sounds: np.ndarray, title: str) -> Figure:
    """Fig. 16: what each voice decided in one sample, a row per voice: blue sounds, orange is silent.

    ``classes`` ``(time, voice)``, ``sounds`` ``(time, voice)`` bool.
    """
    steps, voices = classes.shape
    figure, axes = plt.subplots(voices, 1, figsize=(9.6, 1.35 * voices), sharex=True, sharey=True)
    for v, ax in enumerate(axes):
        for sounding, colour in ((True, BLUE), (False, ORANGE)):
            t = np.flatnonzero(sounds[:, v] == sounding)
            ax.plot(t, classes[t, v], "s", markersize=2.2, color=colour)
        ax.set(yticks=range(0, 12, 3), ylim=(-0.7, 11.7), xlim=(-1, steps))
        ax.set_yticklabels(CLASS_NAMES[::3], fontsize=7.5)
        ax.set_ylabel(f"voice {v + 1}", rotation=0, ha="right", va="center")
        ax.set_xticks(range(0, steps + 1, 2 * STEPS_PER_BAR), range(1, steps // STEPS_PER_BAR + 2, 2))
        ax.grid(axis="x", alpha=0.4)
    axes[0].set_title(title)
    axes[-1].set_xlabel("new bar")
    figure.legend(handles=[Patch(color=BLUE, label="decides that it sounds"),
                           Patch(color=ORANGE, label="decides that it is silent")],
                  loc="outside lower center", ncols=2)
    return figure


def notes_per_voice(table: pd.DataFrame) -> Figure:
    """Fig. 16: per voice, shares of its decisions by sounding pitch class, and ``silent`` (columns of ``table``)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.3), width_ratios=(1, 3))
    sounding = table.drop(columns="silent")
    left.barh(table.index, 1 - table["silent"], color=BLUE, label="sounds")
    left.barh(table.index, table["silent"], left=1 - table["silent"], color=LIGHT, label="is silent")
    left.set(xlim=(0, 1), xlabel="share of decisions")
    left.invert_yaxis()
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    at, width = np.arange(12), 0.8 / len(table)
    for v, (name, row) in enumerate(sounding.iterrows()):
        right.bar(at + (v - (len(table) - 1) / 2) * width, row, width, color=COLOURS[v], label=name)
    right.set(xticks=at, xticklabels=sounding.columns, xlabel="pitch class", ylabel="share of the voice's decisions")
    right.legend(ncols=len(table), loc="lower center", bbox_to_anchor=(0.5, 1), columnspacing=1)
    return figure


def harmonies_over_time(samples: list[dict], prime: int) -> Figure:
    """Fig. 17: the named sequence of harmonies of each sample, in the key of its window, and the notes out of it.

    Samples as :func:`keys_over_time` takes them, with ``"harmonies": [(step, name)]``.
    """
    figure, axes = plt.subplots(len(samples), 1, figsize=(9.6, 2.1 * len(samples)), sharex=True, squeeze=False)
    for ax, sample in zip(axes[:, 0], samples, strict=True):
        steps, keys = len(sample["x12"]), sample["keys"]
        for i, (start, name) in enumerate(keys):
            end = keys[i + 1][0] if i + 1 < len(keys) else steps
            ax.barh(2, end - start, left=start, height=0.8, align="center", color=LIGHT, edgecolor=GREY, linewidth=0.6)
            ax.text(start + 1, 2, name, fontsize=8, va="center")
        for step, name in _apart(sample["harmonies"], 4):
            ax.text(step, 1, name, fontsize=8, rotation=90, ha="center", va="center")
        outside = ((sample["x12"] > 0) & ~sample["scale"]).sum(axis=1)
        ax.bar(np.arange(steps), 0.15 * outside, bottom=-0.35, width=1, color=ORANGE)
        ax.axvline(prime - 0.5, color=INK, linewidth=1.4)
        ax.set(ylim=(-0.45, 2.5), xlim=(-1, steps), yticks=(-0.2, 1, 2))
        ax.set_yticklabels(["out of key", "harmony", "key"], fontsize=8)
        ax.set_xticks(range(0, steps + 1, 2 * STEPS_PER_BAR), range(1, steps // STEPS_PER_BAR + 2, 2))
        ax.set_title(sample["title"])
    axes[-1, 0].set_xlabel("bar")
    return figure


def _apart(named: list[tuple[int, str]], least: int) -> list[tuple[int, str]]:
    """Names that stand at least so many steps apart, so that they can be read: the first of each crowd."""
    kept: list[tuple[int, str]] = []
    for step, name in named:
        if not kept or step - kept[-1][0] >= least:
            kept.append((step, name))
    return kept


def keys_over_time(samples: list[dict], prime: int) -> Figure:
    """Fig. 17: keys found over windows, onsets in and out of them, and triads, one row per sample.

    Each sample is ``{"title", "x12" (time, pitch_class), "scale" (time, pitch_class) bool, "keys":
    [(step, name)], "triads": steps}``.
    """
    figure, axes = plt.subplots(len(samples), 1, figsize=(9.6, 2.55 * len(samples)), sharex=True, squeeze=False)
    for ax, sample in zip(axes[:, 0], samples, strict=True):
        steps = len(sample["x12"])
        ax.imshow(np.where(sample["scale"].T, 0.12, 0.0), aspect="auto", cmap="Blues", vmin=0, vmax=1,
                  origin="lower", interpolation="none", extent=(-0.5, steps - 0.5, -0.5, 11.5))
        for inside, colour in ((True, BLUE), (False, ORANGE)):
            t, p = np.nonzero((sample["x12"] > 0) & (sample["scale"] == inside))
            ax.plot(t, p, "s", markersize=2.6, color=colour)
        ax.plot(sample["triads"], np.full(len(sample["triads"]), -1.2), "^", markersize=3, color=INK, clip_on=False)
        for step, name in sample["keys"]:
            ax.text(step, 11.8, name, fontsize=8.5, ha="left", va="bottom")
            ax.axvline(step - 0.5, color=GREY, linewidth=0.6)
        ax.axvline(prime - 0.5, color=INK, linewidth=1.4)
        ax.set(yticks=range(12), ylim=(-1.8, 11.5), xlim=(-1, steps))
        ax.set_yticklabels(CLASS_NAMES, fontsize=7.5)
        ax.set_title(sample["title"], pad=16)
        ax.set_xticks(range(0, steps + 1, 2 * STEPS_PER_BAR), range(1, steps // STEPS_PER_BAR + 2, 2))
    axes[-1, 0].set_xlabel("bar")
    handles = [Patch(color=BLUE, label="in the key"), Patch(color=ORANGE, label="outside it"),
               Patch(color="#dfe9f3", label="the key's scale"),
               Line2D([], [], marker="^", linestyle="none", color=INK, markersize=5, label="exact triad"),
               Line2D([], [], color=INK, label="end of the prime")]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def decoding(stages: dict) -> Figure:
    """Fig. 18: one step from 12 classes through mask and RBM to keys (the dictionary of ``decoding_stages``)."""
    figure, axes = plt.subplots(5, 1, figsize=(9.2, 5.2), height_ratios=(1, 1, 2, 2, 1))
    _cells(axes[0], stages["classes"], "x′ in 12 classes")
    axes[0].set_xticks(range(12), CLASS_NAMES)
    _cells(axes[1], stages["mask"], "mask M(x′)")
    for ax, name, label in ((axes[2], "unmasked", "p(x | h)\nof the RBM"), (axes[3], "masked", "p(x | h)\ntimes mask")):
        ax.bar(range(88), stages[name], color=BLUE, width=0.9)
        ax.set(ylim=(0, 1), yticks=(0, 0.5, 1))
        ax.set_ylabel(label, rotation=0, ha="right", va="center")
    _cells(axes[4], stages["keys"], "sampled keys")
    for ax in axes[1:]:
        ax.set_xlim(-0.7, 87.7)
        ax.set_xticks([])
    octaves = [k for k in range(88) if (k + 21) % 12 == 0]
    axes[4].set_xticks(octaves, [f"C{(k + 21) // 12 - 1}" for k in octaves])
    axes[4].set_xlabel("key of the piano")
    return figure


def _cells(ax, values: np.ndarray, label: str) -> None:
    """One row of cells, filled where the value is 1."""
    ax.bar(range(len(values)), 1, width=0.9, color=[BLUE if v else LIGHT for v in values])
    ax.set(yticks=[], ylim=(0, 1))
    ax.set_xlim(-0.7, len(values) - 0.3)
    ax.set_ylabel(label, rotation=0, ha="right", va="center")
    ax.spines[["left", "bottom"]].set_visible(False)
