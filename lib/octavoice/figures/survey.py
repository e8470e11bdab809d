"""What notebook 09 draws: nats against cost, a panel for each set of music."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from octavoice.figures.style import BLUE, GREY, INK, ORANGE, PURPLE

KINDS = {"exact": ("o", BLUE), "bound": (">", ORANGE), "estimate": ("D", PURPLE)}


def against_cost(panels: dict[str, pd.DataFrame], lines: dict[str, dict[str, float]]) -> Figure:
    """Negative log-likelihood over minutes of training, a panel a set; the mark tells what kind of number it is.

    ``panels`` by set, a row for each model with columns ``minutes``, ``nats`` and ``kind``; ``lines`` by set, levels
    of controls by their names.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(1 + 4.4 * len(panels), 4), squeeze=False)
    for ax, (name, table) in zip(axes[0], panels.items(), strict=True):
        for model, row in table.iterrows():
            mark, colour = KINDS[row["kind"]]
            ax.plot(row["minutes"], row["nats"], mark, color=colour)
            ax.annotate(model, (row["minutes"], row["nats"]), (5, 4), textcoords="offset points", fontsize=8)
        for control, level in lines.get(name, {}).items():
            ax.axhline(level, color=GREY, linestyle="--", linewidth=1)
            ax.annotate(control, (0.99, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                        fontsize=8, color=INK)
        ax.set(title=name, xlabel="minutes of training, one core", ylabel="nats, lower is better", xscale="log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.margins(x=0.25, y=0.12)
    return figure
