"""What notebook 09 draws: nats against cost, a panel for each set of music."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from octavoice.figures.style import BLUE, GREY, INK, ORANGE, PURPLE

KINDS = {"exact": ("o", BLUE), "bound": (">", ORANGE), "estimate": ("D", PURPLE)}
COLUMNS = 3


def against_cost(panels: dict[str, pd.DataFrame], lines: dict[str, dict[str, float]]) -> Figure:
    """Negative log-likelihood over minutes of training, a panel a set; the mark tells what kind of number it is, and
    whether the minutes are those of a core (filled) or of a GPU (hollow).

    ``panels`` by set, a row for each model with columns ``minutes``, ``nats``, ``kind`` and ``gpu``; ``lines`` by set,
    levels of controls by their names.
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1 + 4.4 * columns, 4.2 * rows), squeeze=False)
    for ax, (name, table) in zip(axes.flat, panels.items(), strict=False):
        _panel(ax, table)
        for n, (control, level) in enumerate(lines.get(name, {}).items()):
            ax.axhline(level, color=GREY, linestyle="--", linewidth=1)
            below = level == min(lines[name].values())
            side, align = ((0.99, "right"), (0.01, "left"))[n % 2]
            ax.annotate(control, (side, level), (0, -2 if below else 2), xycoords=("axes fraction", "data"),
                        textcoords="offset points", ha=align, va="top" if below else "bottom", fontsize=8, color=INK)
        ax.set(title=name, xlabel=f"minutes of training, {_machines(table)}", ylabel="nats, lower is better")
    for ax in axes.flat[len(panels):]:
        ax.remove()
    used = set(pd.concat(panels.values())[["kind", "gpu"]].itertuples(index=False, name=None))
    marks = [_mark(kind, gpu) for gpu in (False, True) for kind in KINDS if (kind, gpu) in used]
    figure.legend(handles=marks, ncols=len(marks), loc="outside lower center")
    return figure


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    """The marks of one set, and their names on the side away from the nearest other mark."""
    places = np.stack([np.log(table["minutes"].astype(float)), table["nats"].astype(float)], axis=1)
    scaled = (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9)
    for (model, row), place in zip(table.iterrows(), scaled, strict=True):
        mark = _mark(row["kind"], row["gpu"])
        mark.set_data([row["minutes"]], [row["nats"]])
        ax.add_line(mark)
        away = np.abs(scaled - place).sum(axis=1)
        nearest = scaled[np.argsort(away)[min(1, len(away) - 1)]]
        right, above = place[0] > 0.9, place[1] >= nearest[1]
        ax.annotate(model, (row["minutes"], row["nats"]), (-5 if right else 5, 4 if above else -11),
                    textcoords="offset points", ha="right" if right else "left", fontsize=8)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(x=0.25, y=0.12)
    ax.autoscale_view()


def _mark(kind: str, gpu: bool) -> Line2D:
    """A mark by itself, which says in a legend what it stands for."""
    mark, colour = KINDS[kind]
    return Line2D([], [], linestyle="", marker=mark, markersize=7, markeredgewidth=1.6, color=colour,
                  markerfacecolor="white" if gpu else colour,
                  label=f"{kind}, minutes of {'a GPU' if gpu else 'a core'}")


def _machines(table: pd.DataFrame) -> str:
    return " and ".join(sorted({"GPU" if gpu else "one core" for gpu in table["gpu"]}))
