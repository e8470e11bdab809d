"""Diagrams of the networks (Figs. 12 and 13), labelled with the shapes of the live modules."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from octavoice.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE

WHITE = (1, 1, 1)


def _tint(colour, share: float = 0.22):
    return tuple(1 - share * (1 - c) for c in colour)


def box(ax: Axes, x: float, y: float, text: str, colour, width: float = 2.4, height: float = 0.8) -> None:
    """A rounded box centred at ``(x, y)``."""
    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height,
                                boxstyle="round,pad=0.02,rounding_size=0.12",
                                facecolor=_tint(colour), edgecolor=colour, linewidth=1.4))
    ax.text(x, y, text, ha="center", va="center", fontsize=9.5, linespacing=1.35)


def arrow(ax: Axes, start: tuple, end: tuple, label: str = "", bend: float = 0.0, colour=INK, at=(0, 0)) -> None:
    """An arrow with an optional label beside its middle."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.2,
                                            "connectionstyle": f"arc3,rad={bend}", "shrinkA": 1, "shrinkB": 1})
    if label:
        ax.text((start[0] + end[0]) / 2 + at[0], (start[1] + end[1]) / 2 + at[1], label, fontsize=9, color=colour,
                ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})


def canvas(width: float, height: float, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """An empty figure with coordinates from 0 to ``width`` and ``height``."""
    figure, ax = plt.subplots(figsize=size)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return figure, ax


def main_module(sizes: dict[str, int], periods: tuple[int, ...]) -> Figure:
    """Fig. 12: the main module with soft attention.

    ``sizes`` holds the live widths: ``classes``, ``clock``, ``controller``, ``periods``, ``local``,
    ``aggregate_in``, ``features``.
    """
    figure, ax = canvas(12, 6.6, (8.6, 4.8))
    box(ax, 6, 0.6, f"input  [x′$_t$ ; τ$_t$]\n{sizes['classes']} + {sizes['clock']}", GREY)
    box(ax, 2.2, 2.3, f"controller LSTM\n{sizes['controller']}", ORANGE)
    box(ax, 2.2, 3.9, f"softmax (W u$_t$ + b)\na$_t$: {sizes['periods']} weights", ORANGE)
    box(ax, 6, 3.9, f"read  r$_t$ = Σ$_h$ a$_t$[h] x′$_{{t+1−h}}$\n{sizes['classes']}", ORANGE, width=3.6)
    box(ax, 6, 2.3, "past x′ at h steps before the target\nh ∈ {" + ", ".join(map(str, periods)) + "}", GREY, width=3.9)
    box(ax, 10.2, 2.3, f"local LSTM\nl$_t$: {sizes['local']}", BLUE)
    box(ax, 7.9, 5.6, f"aggregating LSTM on [l$_t$ ; r$_t$] ({sizes['aggregate_in']})\nF$_t$: {sizes['features']}",
        GREEN, width=4.6)
    arrow(ax, (4.8, 0.8), (2.4, 1.9))
    arrow(ax, (7.2, 0.8), (10.0, 1.9))
    arrow(ax, (2.2, 2.7), (2.2, 3.5), "u$_t$", at=(0.3, 0))
    arrow(ax, (3.4, 3.9), (4.2, 3.9), "a$_t$", at=(0, 0.28))
    arrow(ax, (6, 2.7), (6, 3.5))
    arrow(ax, (6.4, 4.3), (7.2, 5.2), "r$_t$", at=(-0.35, 0.1))
    arrow(ax, (10.1, 2.7), (8.9, 5.2), "l$_t$", at=(0.3, 0.1))
    arrow(ax, (10.2, 5.6), (11.6, 5.6), "to the sampler", at=(0, 0.3))
    return figure


def sampler(sizes: dict[str, int], voices: int) -> Figure:
    """Fig. 13: voices decide in turn at one step; each keeps its own state along time.

    ``sizes`` holds the live widths: ``features``, ``classes``, ``input``, ``hidden``, ``output``.
    """
    pitch = 2.75
    width = pitch * voices + 0.9
    figure, ax = canvas(width, 5.8, (9.8, 4.4))
    ax.text(width / 2, 0.25, f"features F$_t$ ({sizes['features']}) go to every voice; weights are shared, "
            "recurrent states (purple) are not", ha="center", fontsize=9.5)
    for v in range(voices):
        x = 1.45 + pitch * v
        arrow(ax, (x, 0.55), (x, 1.3), f"F$_t$ : {sizes['features']}" if v == 0 else "", at=(-0.75, 0))
        box(ax, x, 1.8, f"voice {v + 1}\nLSTM {sizes['hidden']}", BLUE, width=1.6, height=0.95)
        arrow(ax, (x, 2.3), (x, 2.9))
        box(ax, x, 3.3, f"softmax over {sizes['output'] - 2 * v}\nof {sizes['output']}", ORANGE, width=1.75)
        arrow(ax, (x, 3.7), (x, 4.25))
        box(ax, x, 4.65, "one decision\n(class, sounds?)", GREEN, width=1.95)
        arrow(ax, (x - 1.3, 1.8), (x - 0.83, 1.8), colour=PURPLE)
        if v < voices - 1:
            arrow(ax, (x + 1.0, 4.5), (x + pitch - 0.7, 2.32), "S, B", bend=-0.12, at=(-0.12, 0.1))
    ax.text(0.1, 2.0, "state at t − 1", fontsize=8.5, color=PURPLE, va="bottom", ha="left", rotation=90)
    ax.text(width / 2, 5.4, "x′$_{t+1}$ = classes decided to sound; what no voice decided is silent",
            ha="center", fontsize=9.5)
    return figure


def whole_model(sizes: dict[str, int]) -> Figure:
    """Fig. 11: the whole model, one step from the keys at t to the keys at t + 1.

    ``sizes`` holds the live widths: ``keys``, ``classes``, ``clock``, ``periods``, ``features``, ``voices``,
    ``sampler``, ``decoder``, ``hidden``.
    """
    figure, ax = canvas(12, 6.2, (8.6, 4.5))
    keys, classes = f"{{0,1}}$^{{{sizes['keys']}}}$", f"{{0,1}}$^{{{sizes['classes']}}}$"
    box(ax, 1.6, 5.1, f"keys  x$_t$\n{keys}", GREY)
    box(ax, 4.9, 5.1, f"classes  x′$_t$\n{classes}", GREY)
    box(ax, 8.1, 5.1, f"main module\n{sizes['periods']} periods, F$_t$: {sizes['features']}", ORANGE, width=2.7)
    box(ax, 8.1, 3.3, f"{sizes['voices']} voices in turn\nLSTM {sizes['sampler']}", BLUE, width=2.7)
    box(ax, 4.9, 3.3, f"classes  x′$_{{t+1}}$\n{classes}", GREY)
    box(ax, 4.9, 1.1, f"decoder LSTM {sizes['decoder']}\nb$_{{t+1}}$: {sizes['keys']},  c$_{{t+1}}$: {sizes['hidden']}",
        PURPLE, width=2.9)
    box(ax, 8.1, 1.1, f"RBM, times the mask\nW: {sizes['hidden']} × {sizes['keys']}", PURPLE, width=2.7)
    box(ax, 10.9, 1.1, f"keys  x$_{{t+1}}$\n{keys}", GREY, width=1.9)
    arrow(ax, (2.8, 5.1), (3.7, 5.1), "OR", at=(0, 0.25))
    arrow(ax, (6.1, 5.1), (6.75, 5.1))
    arrow(ax, (10.9, 5.1), (9.45, 5.1), f"clock τ$_t$: {sizes['clock']}", at=(0.1, 0.3))
    arrow(ax, (8.1, 4.7), (8.1, 3.7), "F$_t$", at=(0.35, 0))
    arrow(ax, (6.75, 3.3), (6.1, 3.3))
    arrow(ax, (4.9, 3.7), (4.9, 4.7), "the next step's input", colour=GREEN)
    arrow(ax, (4.9, 2.9), (4.9, 1.5))
    arrow(ax, (1.6, 4.7), (3.45, 1.2), "x$_t$", bend=0.25, at=(-0.6, -0.5))
    arrow(ax, (6.1, 3.0), (7.9, 1.5), "mask", bend=-0.1)
    arrow(ax, (6.35, 1.1), (6.75, 1.1))
    arrow(ax, (9.45, 1.1), (9.95, 1.1))
    return figure
