"""Pieces on the keys, prime and continuation apart: one large, or a sheet of small ones to look over."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from octavoice.figures.style import BLUE, INK, ORANGE
from octavoice.formats.midi import chord_notes

COLOURS = {"prime": ORANGE, "composed": BLUE}
WIDTH, ROW, MARGIN = 10, 1.35, 0.9
"""Inches of a sheet: its width, each of its rows, and what lies above and below them."""
THICK, GAP = 1.7, 0.2
"""Height of a note of a sheet, in keys, and steps by which it is shortened, so that repeated ones stay apart."""


def piano_roll(roll: np.ndarray, mark: int | None, bar: int, title: str, first_bar: int = 1,
               durations: np.ndarray | None = None) -> Figure:
    """A roll ``(time, key)`` as bars as long as its notes; what begins from step ``mark`` on is new (all, if None).

    ``bar`` is the length of a bar in steps; the first one is numbered ``first_bar``. Notes last as the grid
    ``durations`` ``(time, key)`` says, without one until the next onset.
    """
    figure, axes = plt.subplots(figsize=(10, 3.2))
    parts = _parts(roll, durations, mark)
    for name, notes in parts.items():
        onset, end, pitch = notes.T
        if len(onset):
            axes.barh(pitch, (end - onset) / bar, left=onset / bar + first_bar, height=0.9, color=COLOURS[name],
                      edgecolor=INK, linewidth=0.3, label=name)
    axes.set(title=title, xlabel="bar", ylabel="key", xlim=(first_bar, len(roll) / bar + first_bar))
    axes.xaxis.set_major_locator(_bars())
    _scale_keys(axes, np.concatenate([*parts.values()]))
    if roll.any():
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def sheet(rows: list[tuple[np.ndarray, np.ndarray | None, int | None, str]], bar: int, title: str,
          first_bar: int = 1) -> Figure:
    """Small piano rolls under each other, on the same keys and bars; each row is its roll, durations, mark and title.

    All of them as in :func:`piano_roll`. Made without pyplot, so that no window system plays a part.
    """
    figure = Figure(figsize=(WIDTH, MARGIN + ROW * len(rows)))
    every = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    parts = [_parts(roll, durations, mark) for roll, durations, mark, _ in rows]
    for axes, notes, (*_, mark, name) in zip(every, parts, rows, strict=True):
        _draw_small(axes, notes, bar, first_bar)
        axes.set_title(name, fontsize=9, pad=3, parse_math=False)
        _scale_keys(axes, np.concatenate([notes for part in parts for notes in part.values()]), names=4)
        if mark:
            axes.axvline(mark / bar + first_bar, color=INK, linewidth=0.8)
    every[0].set_xlim(first_bar, max(len(roll) for roll, *_ in rows) / bar + first_bar)
    every[-1].set_xlabel("bar")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, parse_math=False)
    shown = [name for name in COLOURS if any(len(part[name]) for part in parts)]
    figure.legend(handles=[Patch(color=COLOURS[name], label=name) for name in shown], loc="upper right", ncols=2)
    return figure


def _parts(roll: np.ndarray, durations: np.ndarray | None, mark: int | None) -> dict[str, np.ndarray]:
    """``(onset, end, pitch)`` of the prime's notes and of those composed, ``(note, 3)`` each."""
    notes = np.array(chord_notes(roll, durations), dtype=int).reshape(-1, 3)
    new = notes[:, 0] >= (mark or 0)
    return {"prime": notes[~new], "composed": notes[new]}


def _bars() -> MaxNLocator:
    """A tick at every bar, or of many bars at every second, fourth …"""
    return MaxNLocator(24, integer=True, steps=[1, 2, 4, 5, 8, 10])


def _draw_small(axes: Axes, parts: dict[str, np.ndarray], bar: int, first_bar: int) -> None:
    """One row of a sheet: its notes, a faint line at every bar."""
    for name, notes in parts.items():
        onset, end, pitch = notes.T
        left, right = onset / bar + first_bar, (end - GAP) / bar + first_bar
        low, high = pitch - THICK / 2, pitch + THICK / 2
        corners = np.stack([[left, left, right, right], [low, high, high, low]], axis=-1).swapaxes(0, 1)
        axes.add_collection(PolyCollection(corners, facecolor=COLOURS[name], linewidth=0, snap=False))
    axes.xaxis.set_major_locator(_bars())
    axes.grid(axis="x", alpha=0.4)


def _scale_keys(axes: Axes, notes: np.ndarray, names: int = 8) -> None:
    """Fit the keys to ``(onset, end, pitch)`` of all notes, with a line and a name at every C, or at ``names`` at most.
    """
    low, high = (notes[:, 2].min(), notes[:, 2].max()) if len(notes) else (60, 72)
    every = 12 if high - low < 12 * names else 24
    octaves = range(low // every * every, high + 13, every)
    axes.set(yticks=octaves, yticklabels=[f"C{m // 12 - 1}" for m in octaves], ylim=(low - 2, high + 2))
    axes.grid(axis="y", alpha=0.4)
