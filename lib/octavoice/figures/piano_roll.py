"""What notebook compose.ipynb draws: a piece on the keys, prime and continuation apart."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from octavoice.figures.style import BLUE, INK, ORANGE
from octavoice.music.formats.midi import chord_notes


def piano_roll(roll: np.ndarray, mark: int | None, bar: int, title: str) -> Figure:
    """A roll ``(time, key)`` as bars that last until the next onset; from step ``mark`` on it is new (all, if None).

    ``bar`` is the length of a bar in steps.
    """
    figure, axes = plt.subplots(figsize=(10, 3.2))
    start = mark or 0
    notes = np.array(chord_notes(roll), dtype=int).reshape(-1, 3)
    for new, colour, label in ((False, ORANGE, "prime"), (True, BLUE, "composed")):
        onset, end, pitch = notes[(notes[:, 0] >= start) == new].T
        if len(onset):
            axes.barh(pitch, (end - onset) / bar, left=onset / bar + 1, height=0.9, color=colour, edgecolor=INK,
                      linewidth=0.3, label=label)
    low, high = (notes[:, 2].min(), notes[:, 2].max()) if len(notes) else (60, 72)
    octaves = range(low // 12 * 12, high + 13, 12)
    axes.set(title=title, xlabel="bar", ylabel="key", yticks=octaves, yticklabels=[f"C{m // 12 - 1}" for m in octaves],
             xlim=(1, len(roll) / bar + 1), ylim=(low - 2, high + 2))
    axes.grid(axis="y", alpha=0.4)
    if len(notes):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure
