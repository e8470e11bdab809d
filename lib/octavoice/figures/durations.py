"""Figures of how long notes are held (thesis §2.2)."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from octavoice.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE

WIDTH = 9.0
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
MARKS = "osD^v"


def held(lengths: pd.DataFrame, places: pd.DataFrame, apart: pd.DataFrame) -> Figure:
    """Durations, durations by place in the bar, and the thesis's rule beside them; a colour for each collection.

    ``lengths`` ``(held, collection)``: shares of notes, the last row of those held longest; ``places``
    ``(place, collection)``: mean durations in steps; ``apart`` ``(steps, collection)``: shares of notes by how many
    steps later the rule ends them, 0 among them, the outermost rows of all beyond.
    """
    figure = plt.figure(figsize=(WIDTH, 5.8))
    grid = figure.add_gridspec(2, 2)
    upper, side = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    below = figure.add_subplot(grid[1, :])
    _bars(upper, lengths)
    last = lengths.index[-1]
    upper.set_xticks([1, *range(4, last, 4), last], [1, *range(4, last, 4), f"≥ {last}"])
    if lengths.shape[1]:
        upper.legend()
    upper.set(title="(a) how long notes are held", xlabel="steps", ylabel="share of notes")
    for name, colour, mark in zip(lengths, COLOURS, MARKS, strict=False):
        if name in places:
            side.plot(places.index, places[name], color=colour, marker=mark, ms=4, lw=1.2)
    side.set_xticks(range(0, len(places), 4))
    side.set(title="(b) by the step of the bar they begin on", xlabel="step of the bar (0 = downbeat)",
             ylabel="mean duration in steps", ylim=(0, None))
    _bars(below, apart)
    first, last = apart.index[0], apart.index[-1]
    inner = range(first + 4, last, 4)
    below.axvline(0, color=INK, lw=0.8, ls=":", zorder=0)
    below.set_xticks([first, *inner, last], [f"≤ {first}".replace("-", "−"), *(f"{n}".replace("-", "−") for n in inner),
                                             f"≥ {last}"])
    below.set(title="(c) when the thesis's rule ends them: early (left, cut), in time, late (right, prolonged)",
              xlabel="steps later than written", ylabel="share of notes")
    return figure


def _bars(axes: Axes, shares: pd.DataFrame) -> None:
    """Bars of shares ``(number, collection)``, the collections' side by side."""
    width = 0.86 / max(1, shares.shape[1])
    for i, (colour, (name, column)) in enumerate(zip(COLOURS, shares.items(), strict=False)):
        axes.bar(shares.index + width * (i - (shares.shape[1] - 1) / 2), column, width, color=colour, label=str(name))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
