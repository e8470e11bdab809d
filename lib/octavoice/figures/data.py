"""Figures of the data and of octave compression (thesis §2.2, §6.2, §7.1; Figs. 1 and 11)."""

import io
import re

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import PercentFormatter

from octavoice.figures.style import BLUE, GREEN, GREY, INK, ORANGE, RED, SKY
from octavoice.formats.midi import chord_notes
from octavoice.music.roll import CLASS_NAMES, CLASSES, KEYS, LOWEST_MIDI, STEPS_PER_BAR, STEPS_PER_QUARTER
from octavoice.music.score import to_png

PALE = "#d8dee6"
FAINT = "#b8c0ca"
WIDTH = 9.0


def _by_hand(height: float) -> Figure:
    """An empty figure whose axes are placed by hand. (``layout="none"`` lasts for one save only.)"""
    return plt.figure(figsize=(WIDTH, height), layout=PlaceHolderLayoutEngine(True, False))


# ---- 01: the data (§2.2, §7.1)

def representations(page: str, roll: np.ndarray) -> Figure:
    """Fig. 1: one fragment as score, as MIDI notes and as onset roll, under each other.

    ``page`` is the engraved SVG page of ``roll`` ``(time, key)``. A score on one line is placed so that its first
    note and its last bar line stand over the fragment's beginning and end; between them the engraver spaces freely.
    """
    image = plt.imread(io.BytesIO(to_png(page, 2400)))
    first, last = (anchor * image.shape[1] for anchor in _score_anchors(page))
    before = first / (last - first)  # clefs and signatures, as a share of what the music takes
    left = max(0.11, (0.005 + 0.985 * before) / (1 + before))
    span = 0.985 - left
    inches, lower = span * WIDTH * image.shape[0] / (last - first), 4.6
    height = inches + lower
    figure = _by_hand(height)
    corner = left - span * before, 1 - (inches + 0.12) / height
    score = figure.add_axes((*corner, span * image.shape[1] / (last - first), inches / height))
    score.imshow(image, aspect="auto", interpolation="antialiased")
    score.axis("off")
    events, cells = (figure.add_axes((left, inch / height, span, 1.72 / height)) for inch in (2.55, 0.5))
    _midi_notes(events, roll)
    _cells(cells, roll)
    figure.text(left, 1 - 0.06 / height, "(a) score", fontsize=11, va="top")
    events.set_title("(b) MIDI notes as an editor draws them: struck, held, released", pad=4)
    cells.set_title("(c) onset piano roll x: struck or not", pad=4)
    events.tick_params(labelbottom=False)
    cells.set_xlabel("step (a sixteenth note)")
    return figure


def _score_anchors(svg: str) -> tuple[float, float]:
    """First notehead and last bar line as shares of the page's width; the whole page if it has several lines."""
    heads = re.findall(r'class="notehead">\s*<use [^>]*?translate\((\d+)', svg)
    lines = re.findall(r'class="barLine">\s*<path d="M(\d+)', svg)
    if svg.count('class="system"') != 1 or not heads or not lines:
        return 0.08, 0.98
    units, margin = (float(re.search(pattern, svg).group(1)) for pattern in
                     (r'viewBox="0 0 (\d+)', r'class="page-margin" transform="translate\((\d+)'))
    return (margin + min(map(float, heads))) / units, (margin + max(map(float, lines))) / units


def _pitch_axis(axes: Axes, roll: np.ndarray) -> tuple[int, int]:
    """Show only the octaves in use, named C3, C4, …; returns the lowest and highest MIDI number shown."""
    used = np.flatnonzero(roll.any(axis=0)) + LOWEST_MIDI
    low, high = (int(used.min()) - 2, int(used.max()) + 2) if len(used) else (58, 74)
    ticks = [midi for midi in range(low, high + 1) if midi % 12 == 0]
    axes.set_yticks(ticks, [f"C{midi // 12 - 1}" for midi in ticks])
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_ylabel("key")
    return low, high


def _time_axis(axes: Axes, steps: int) -> None:
    """Bar lines every 16 steps, faint beats between them."""
    for step in range(0, steps + 1, STEPS_PER_QUARTER):
        bar = step % STEPS_PER_BAR == 0
        axes.axvline(step, color=INK if bar else PALE, lw=0.9 if bar else 0.7, zorder=0)
    axes.set_xlim(0, steps)
    axes.set_xticks(range(0, steps + 1, STEPS_PER_BAR))


def _midi_notes(axes: Axes, roll: np.ndarray) -> None:
    for onset, end, pitch in chord_notes(roll):
        axes.barh(pitch, end - onset - 0.12, left=onset, height=0.9, color=SKY, edgecolor=BLUE, lw=0.5)
        axes.plot([onset + 0.1] * 2, [pitch - 0.45, pitch + 0.45], color=INK, lw=1.6, solid_capstyle="butt")
    _pitch_axis(axes, roll)
    _time_axis(axes, len(roll))


def _cells(axes: Axes, roll: np.ndarray) -> None:
    time, key = np.nonzero(roll)
    axes.bar(time + 0.5, np.ones(len(time)), width=1.0, bottom=key + LOWEST_MIDI - 0.5, color=INK, lw=0)
    _pitch_axis(axes, roll)
    _time_axis(axes, len(roll))


def funnel(table: pd.DataFrame, thesis: dict[str, int]) -> Figure:
    """What remains of the files after each filter, and what both views keep beside the thesis.

    ``table`` as :func:`octavoice.corpus.report.funnel_table` gives it; ``thesis`` holds ``pieces kept`` and
    ``steps kept``. The last bar is the strict view, the last but one the filters of §7.1 alone.
    """
    stopped = table.loc[[row for row in table.index if row.startswith("stopped")], "strict"]
    left = table.strict["files found"] - np.concatenate([[0], stopped]).cumsum()
    labels = ["files found", *(f"after “{row.removeprefix('stopped: ')}”" for row in stopped.index)]
    figure = plt.figure(figsize=(WIDTH, 3.3))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.75, 1))
    _funnel_bars(figure.add_subplot(grid[:, 0]), labels, left, stopped.to_numpy())
    for row, (what, title) in enumerate((("pieces kept", "(b) pieces kept"), ("steps kept", "(c) steps kept"))):
        axes = figure.add_subplot(grid[row, 1])
        kept = [table["§7.1"][what], table.strict[what], thesis[what]]
        axes.barh(["§7.1", "strict", "thesis"], kept, color=[BLUE, SKY, GREY], height=0.66)
        for bar, number in enumerate(kept):
            axes.text(number, bar, f" {number:,}", va="center", fontsize=9)
        axes.invert_yaxis()
        axes.set(title=title, xlim=(0, max(kept) * 1.4), xticks=[])
        axes.spines["bottom"].set_visible(False)
    return figure


def _funnel_bars(axes: Axes, labels: list[str], left: np.ndarray, stopped: np.ndarray) -> None:
    """A bar for the files left after each filter, with those that it stopped; the last two end the two views."""
    axes.barh(labels, left, color=[BLUE] * (len(left) - 1) + [SKY], height=0.66)
    axes.barh(labels[1:], stopped, left=left[1:], color=ORANGE, height=0.66)
    for row, rest in enumerate(left):
        cut = f"  −{stopped[row - 1]:,}" if row and stopped[row - 1] else ""
        axes.text(left[max(row - 1, 0)], row, f" {rest:,}{cut}", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set(title="(a) files: remain (blue), stopped here (orange)", xlim=(0, left[0] * 1.25), xlabel="files")


def grid_rule(rows: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], quarters: int = 1) -> Figure:
    """Where onsets fall on the grid: per row their exact steps, ours, and the published program's.

    Arrows show our rule; an orange ring marks where the published program puts an onset elsewhere.
    """
    figure, panels = plt.subplots(len(rows), 1, figsize=(WIDTH, 1.15 * len(rows) + 0.5), sharex=True)
    for axes, (name, (exact, ours, theirs)) in zip(panels, rows.items(), strict=True):
        axes.hlines([0, 1], -0.5, quarters * STEPS_PER_QUARTER + 0.5, color=PALE, lw=1)
        axes.scatter(exact, np.ones(len(exact)), marker="|", s=160, color=INK)
        axes.scatter(np.unique(ours), np.zeros(len(np.unique(ours))), marker="s", s=70, color=BLUE, zorder=3)
        for x, step, other in zip(exact, ours, theirs, strict=True):
            axes.annotate("", (step, 0.14), (x, 0.86), arrowprops={"arrowstyle": "->", "color": INK, "lw": 1})
            if step != other:
                axes.scatter(other, 0, s=170, facecolor="none", edgecolor=ORANGE, lw=2, zorder=4)
                axes.annotate("", (other, 0.2), (x, 0.86), arrowprops={"arrowstyle": "->", "color": ORANGE, "ls": "--"})
        axes.set_yticks([0, 1], ["step", "onset"])
        axes.set_ylim(-0.45, 1.3)
        axes.set_title(name, pad=2, fontsize=10)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
    panels[-1].set_xticks(range(quarters * STEPS_PER_QUARTER + 1))
    panels[-1].set_xlabel("time in steps (4 per quarter)")
    return figure


def corpus_overview(table: pd.DataFrame, keys: np.ndarray, classes: np.ndarray, marks: dict[str, float],
                    limit: float) -> Figure:
    """Lengths, polyphony, off-grid shares and places of the first onset.

    ``table`` has one row per piece with ``steps``, ``off_grid`` and ``place``; ``keys`` and ``classes`` are shares of
    struck steps with 1, 2, … of them; ``marks`` are lengths in steps to draw beside the histogram; ``limit`` is the
    largest off-grid share of the strict view.
    """
    figure, ((lengths, poly), (grid, place)) = plt.subplots(2, 2, figsize=(WIDTH, 6.0))
    top = max(table.steps.max(), *marks.values())
    lengths.hist(table.steps, bins=np.linspace(0, top, 41), color=BLUE)
    for (name, steps), style in zip(marks.items(), ("-", "--", ":"), strict=False):
        lengths.axvline(steps, color=ORANGE, ls=style, label=name)
    lengths.legend()
    lengths.set(title="(a) length of a piece", xlabel="steps", ylabel="pieces")
    for shares, offset, colour, name in ((keys, -0.2, BLUE, "keys"), (classes, 0.2, ORANGE, "pitch classes")):
        poly.bar(np.arange(1, len(shares) + 1) + offset, shares, 0.4, color=colour, label=name)
    poly.legend()
    poly.set_xticks(range(1, max(len(keys), len(classes)) + 1))
    poly.set(title="(b) onsets at once", xlabel="struck on one step", ylabel="share of struck steps",
             xlim=(0.4, max(len(keys), len(classes)) + 0.6))
    at_most = np.arange(1, len(table) + 1) / len(table)
    grid.plot(np.sort(table.off_grid), at_most, color=BLUE, drawstyle="steps-post", lw=2)
    grid.axvline(limit, color=ORANGE, ls="--", label="limit of the strict view")
    grid.legend(loc="lower right")
    grid.set(title="(c) onsets off the grid", xlabel="off-grid share of a piece's onsets",
             ylabel="pieces with at most that", ylim=(0, 1.03), xlim=(-0.001, max(0.06, table.off_grid.max() * 1.05)))
    counts = np.bincount(table.place, minlength=STEPS_PER_BAR) / len(table)
    place.bar(range(STEPS_PER_BAR), counts, color=[GREEN, *[BLUE] * (STEPS_PER_BAR - 1)])
    place.set_xticks(range(0, STEPS_PER_BAR, 2))
    place.set(title="(d) where in its bar a piece begins", xlabel="step of the bar (0 = downbeat)",
              ylabel="share of pieces")
    for axes in (poly, place):
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axis in (grid.xaxis, grid.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    return figure


def augmentation(shifted: dict[int, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """One fragment under several transpositions: shift to rolls ``(time, key)`` and ``(time, pitch_class)``."""
    every = np.maximum.reduce([x for x, _ in shifted.values()])
    figure, panels = plt.subplots(2, len(shifted), figsize=(WIDTH, 5.2), sharex=True, sharey="row",
                                  height_ratios=(1.6, 1))
    for (keys, classes), (shift, (x, x12)) in zip(panels.T, shifted.items(), strict=True):
        _cells(keys, x)
        _pitch_axis(keys, every)
        keys.set_title(f"shift {shift:+d}".replace("-", "−") if shift else "as written")
        _class_cells(classes, x12)
        classes.set_xlabel("step")
        for axes in (keys, classes):
            axes.label_outer()
    panels[0, 0].set_ylabel("key: shifts")
    panels[1, 0].set_ylabel("pitch class: rolls")
    return figure


def _class_cells(axes: Axes, x12: np.ndarray, colour=INK) -> None:
    time, p = np.nonzero(x12)
    axes.bar(time + 0.5, np.ones(len(time)), width=1.0, bottom=p - 0.5, color=colour, lw=0, zorder=2)
    axes.set_yticks(range(CLASSES), CLASS_NAMES, fontsize=7.5)
    axes.set_ylim(-0.5, CLASSES - 0.5)
    _time_axis(axes, len(x12))


# ---- 02: octave compression (§6.2)

def scheme(x: np.ndarray, x12: np.ndarray, x12_next: np.ndarray, probability: np.ndarray, keys: np.ndarray,
           truth: np.ndarray, step: int) -> Figure:
    """Fig. 11 with data at every stage, over one window of steps; column ``step`` is picked out in colour.

    Of step t: ``x`` ``(time, key)`` and ``x12`` ``(time, pitch_class)``. Of step t + 1: ``x12_next``, ``probability``
    after the mask, the decoded ``keys`` and the ``truth``.
    """
    figure = _by_hand(8.0)
    axes = {name: figure.add_axes(place) for name, place in {
        "x": (0.07, 0.54, 0.21, 0.40), "x12": (0.375, 0.64, 0.21, 0.20), "next": (0.775, 0.64, 0.21, 0.20),
        "keys": (0.07, 0.055, 0.21, 0.40), "p": (0.415, 0.055, 0.21, 0.40), "mask": (0.775, 0.055, 0.21, 0.40)}.items()}
    _keyboard(axes["x"], x, step)
    _class_panel(axes["x12"], x12, step)
    _class_panel(axes["next"], x12_next, step)
    _keyboard(axes["mask"], np.tile(x12_next, 8)[:, :KEYS], step, {1: SKY})
    _keyboard(axes["keys"], keys + 2 * truth, step, {3: INK, 1: RED, 2: SKY})
    _keyboard(axes["p"], np.zeros_like(keys), step)
    shown = np.ma.masked_where(np.tile(x12_next, 8)[:, :KEYS] == 0, probability)
    image = axes["p"].imshow(shown.T, origin="lower", aspect="auto", cmap="viridis_r", vmin=0, vmax=1, zorder=2,
                             extent=(0, len(x), -0.5, KEYS - 0.5), interpolation="nearest")
    figure.colorbar(image, cax=figure.add_axes((0.632, 0.055, 0.012, 0.15))).ax.tick_params(labelsize=7, length=2)
    titles = {"x": "$x_t$: 88 keys", "x12": "$x'_t$: 12 classes", "next": "$x'_{t+1}$: 12 classes",
              "mask": "mask $M(x'_{t+1})$", "p": "p(key) after the mask", "keys": "$x_{t+1}$: 88 keys"}
    for name, title in titles.items():
        axes[name].set_title(title, pad=4)
    for name in ("x", "keys", "p", "mask"):
        axes[name].set_xlabel("step of the window", fontsize=8, labelpad=1)
    _boxes_and_arrows(figure)
    return figure


def _keyboard(axes: Axes, values: np.ndarray, step: int, colours: dict | None = None) -> None:
    """All 88 keys over time ``(time, key)``, octaves apart; each value above 0 in its colour."""
    for value, colour in (colours or {1: INK}).items():
        time, key = np.nonzero(values == value)
        axes.bar(time + 0.5, np.ones(len(time)), width=1.0, bottom=key - 0.5, color=colour, lw=0, zorder=2)
    for octave in range(0, KEYS, CLASSES):
        axes.axhline(octave - 0.5, color=PALE, lw=0.8, zorder=0)
    axes.set_yticks(range(0, KEYS, CLASSES), [f"A{octave}" for octave in range(8)], fontsize=7.5)
    axes.set_ylim(-0.5, KEYS - 0.5)
    _window(axes, len(values), step)


def _class_panel(axes: Axes, x12: np.ndarray, step: int) -> None:
    _class_cells(axes, x12)
    _window(axes, len(x12), step)


def _window(axes: Axes, steps: int, step: int) -> None:
    """The same frame and time axis for every stage, with one column picked out."""
    axes.axvspan(step, step + 1, color=ORANGE, alpha=0.4, lw=0, zorder=0.5)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlim(0, steps)
    axes.set_xticks(range(0, steps + 1, STEPS_PER_BAR))
    axes.tick_params(labelsize=7.5, length=2)


def _boxes_and_arrows(figure: Figure) -> None:
    """What stands between the stages of Fig. 11: the OR, two networks, the mask."""
    def arrow(start, end, bend=0.0):
        figure.add_artist(FancyArrowPatch(start, end, transform=figure.transFigure, arrowstyle="-|>", lw=1.6, color=INK,
                                          mutation_scale=13, connectionstyle=f"arc3,rad={bend}"))

    def box(x, y, width, height, text, colour):
        figure.add_artist(FancyBboxPatch((x, y), width, height, transform=figure.transFigure, facecolor=colour,
                                         edgecolor=INK, boxstyle="round,pad=0.006", lw=1))
        figure.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8.5)

    arrow((0.285, 0.74), (0.338, 0.74))
    figure.text(0.311, 0.75, "OR over\noctaves", ha="center", va="bottom", fontsize=8.5)
    box(0.618, 0.685, 0.082, 0.11, "generator\n§6.3, §6.4\n\n(here: the\ndata itself)", PALE)
    arrow((0.588, 0.74), (0.611, 0.74))
    arrow((0.708, 0.74), (0.738, 0.74))
    arrow((0.88, 0.615), (0.88, 0.49))
    figure.text(0.89, 0.553, "each class allows\nits 7 or 8 keys", ha="left", va="center", fontsize=8.5)
    box(0.455, 0.525, 0.13, 0.045, "decoder: LSTM-RBM", PALE)
    arrow((0.285, 0.60), (0.447, 0.556))
    figure.text(0.345, 0.594, "$x_t$", ha="left", va="bottom", fontsize=9)
    arrow((0.86, 0.615), (0.594, 0.552))
    figure.text(0.70, 0.589, "$x'_{t+1}$", ha="right", va="bottom", fontsize=9)
    arrow((0.52, 0.517), (0.52, 0.49))
    arrow((0.738, 0.26), (0.67, 0.26))
    figure.text(0.704, 0.27, "×", ha="center", va="bottom", fontsize=13)
    arrow((0.38, 0.26), (0.288, 0.26))
    figure.text(0.334, 0.27, "draw", ha="center", va="bottom", fontsize=8.5)
    for y, colour, name in ((0.22, INK, "right"), (0.195, RED, "wrong"), (0.17, SKY, "missed")):
        figure.text(0.293, y, "■", color=colour, fontsize=8, va="center")
        figure.text(0.309, y, name, fontsize=8, va="center")


def classes_per_step(shares: np.ndarray, voices: int, claimed: tuple[int, int]) -> Figure:
    """How many classes are struck at once: shares of struck steps with 1, 2, …, beside V and the thesis's limit."""
    most = max(len(shares), claimed[1] + 1)
    figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
    axes.axvspan(claimed[0] - 0.5, claimed[1] + 0.5, color=PALE, label=f"the thesis's limit, {claimed[0]}–{claimed[1]}")
    axes.bar(np.arange(1, len(shares) + 1), shares, color=[BLUE if n < voices else RED for n in range(len(shares))])
    axes.axvline(voices + 0.5, color=ORANGE, lw=2, label=f"V = {voices} voices")
    for n, share in enumerate(shares, 1):
        label = f"{share:.0%}" if share >= 0.1 else f"{share:.2%}" if share >= 0.0001 or not share else "<0.01%"
        axes.text(n, share, label, ha="center", va="bottom", fontsize=8.5)
    axes.set_xticks(range(1, most + 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="pitch classes struck on one step", ylabel="share of struck steps", ylim=(0, shares.max() * 1.12))
    axes.legend(loc="upper right", frameon=True, facecolor="white", framealpha=1)
    return figure


def kept_and_lost(bits: dict[str, float], guesses: pd.DataFrame) -> Figure:
    """Bits per step, by name (what is kept first), and how well the classes alone tell the outer voices.

    ``guesses`` has one row per outer voice with the shares ``guessed`` and ``chance``.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3), width_ratios=(1.5, 1))
    colours = [GREEN, *[ORANGE] * (len(bits) - 1)]
    left.barh(list(bits), list(bits.values()), color=colours, height=0.62)
    for row, value in enumerate(bits.values()):
        left.text(value, row, f" {value:.2f}", va="center", fontsize=9)
    left.invert_yaxis()
    left.set(xlabel="bits per step", xlim=(0, max(bits.values()) * 1.13))
    left.set_title("(a) kept (green) and lost (orange)")
    at = np.arange(len(guesses))
    for share, offset, colour in (("guessed", -0.2, BLUE), ("chance", 0.2, PALE)):
        bars = right.bar(at + offset, guesses[share], 0.4, color=colour, label=share)
        right.bar_label(bars, fmt="{:.0%}", fontsize=9)
    right.set_xticks(at, guesses.index)
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.set(ylim=(0, 1), ylabel="right guesses from x′")
    right.legend(loc="upper right")
    right.set_title("(b) which class is outermost?")
    return figure
