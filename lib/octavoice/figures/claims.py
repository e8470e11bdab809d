"""What notebook 10 draws: which choices help, and how the verdicts fall."""

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from octavoice.figures.style import BLUE, GREEN, GREY, INK, ORANGE

COLOURS = {"reproduced": GREEN, "partly reproduced": BLUE, "not reproduced": ORANGE, "not testable here": GREY}


def choices(table: pd.DataFrame, missing: list[str]) -> Figure:
    """Gain of each of the thesis's choices over its rival, nats per step, mean and range over seeds.

    ``table`` has a row per choice with ``gain``, ``low``, ``high`` and ``of``; ``missing`` names what has no run.
    """
    figure, ax = plt.subplots(figsize=(9, 1.6 + 0.33 * len(table)))
    ax.axvline(0, color=INK, linewidth=1)
    for y, (_, row) in enumerate(table.iloc[::-1].iterrows()):
        colour = BLUE if row["gain"] > 0 else ORANGE
        ax.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=3, alpha=0.5)
        ax.plot(row["gain"], y, "o", color=colour, markersize=7)
        ax.annotate(f"{row['gain']:+.2f}", (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    ax.set(yticks=range(len(table)), ylim=(-0.6, len(table) - 0.3),
           yticklabels=[f"{name} ({row['of']})" for name, row in table.iloc[::-1].iterrows()],
           xlabel="gained by the thesis's choice, nats per step")
    ax.grid(axis="x", alpha=0.4)
    if missing:
        figure.supxlabel(textwrap.fill(f"No pair of runs is stored for: {'; '.join(missing)}.", 110), fontsize=8,
                         x=0.02, ha="left")
    return figure


def verdicts(found: list[dict]) -> Figure:
    """A square for every claim in the colour of its verdict: ``found`` has ``id`` and ``verdict``."""
    figure, ax = plt.subplots(figsize=(9, 0.9))
    for i, each in enumerate(found):
        ax.add_patch(plt.Rectangle((i, 0), 0.92, 0.92, color=COLOURS[each["verdict"]]))
        ax.annotate(each["id"], (i + 0.46, 0.46), ha="center", va="center", color="white", fontsize=8)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    ax.legend(handles, COLOURS, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=len(COLOURS))
    ax.set(xlim=(0, len(found)), ylim=(0, 1), aspect="equal")
    ax.axis("off")
    return figure
