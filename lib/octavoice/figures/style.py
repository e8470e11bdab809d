"""How figures look and how they become files: legible, colour-blind-safe, the same bytes every time."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

DPI = 130
INK = "#1f2933"
COLOURS = sns.color_palette("colorblind", as_cmap=False)
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GREY, YELLOW, SKY = COLOURS
ROLL_MAP = "Greys"
HEAT_MAP = "cividis"


def use() -> None:
    """Set the project's matplotlib style; figures are shown by hand, never by the inline backend."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font="DejaVu Sans")
    mpl.rcParams.update({
        "figure.dpi": DPI, "savefig.dpi": DPI, "svg.hashsalt": "octavoice", "svg.fonttype": "path",
        "font.size": 10, "axes.titlesize": 11, "axes.labelsize": 10, "legend.fontsize": 9, "legend.title_fontsize": 9,
        "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
        "figure.constrained_layout.use": True, "legend.frameon": True, "legend.facecolor": "white",
        "legend.edgecolor": "none", "legend.framealpha": 0.9, "axes.titlelocation": "left"})


@contextmanager
def used() -> Iterator[None]:
    """:func:`use` within a ``with`` block, for a program that goes on in its own style.

    Letters that the font lacks, say of a file's name, are drawn as boxes without a warning.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        use()
        yield


def render(figure: Figure) -> dict[str, bytes]:
    """A figure as ``{"png": …, "svg": …}``, without dates or program names; the figure is closed."""
    files = {}
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, metadata=metadata, facecolor="white")
        files[suffix] = buffer.getvalue()
    plt.close(figure)
    return files


def display_width(png: bytes) -> int:
    """Width in CSS pixels to show a PNG at: at most 900, half its pixels if that is enough."""
    return min(900, struct.unpack(">I", png[16:20])[0] * 100 // DPI)
