"""A piece of music as everything above ``music`` sees it."""

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from octavoice.music.durations import spread, until_next
from octavoice.music.note_table import Notes
from octavoice.music.roll import STEPS_PER_BAR
from octavoice.music.tempo import Tempos

WRITTEN, PLAYED, UNTOLD = "written", "played", "untold"


def bar_steps(metre: tuple[int, int]) -> int:
    """Steps of a bar of ``metre`` (beats, unit), 12 in 3/4; raises ValueError if they are not whole sixteenths."""
    beats, unit = metre
    if unit not in (1, 2, 4, 8, 16) or not 1 <= beats <= 64:
        raise ValueError(f"a bar of {beats}/{unit} cannot be written in sixteenths")
    return beats * STEPS_PER_BAR // unit


QUOTES = {"“": "”", "„": "“", "«": "»", "‘": "’"}


def shortened(text: str, width: int = 44) -> str:
    """A text of at most ``width`` characters and, where it is cut in a quotation, the mark that closes it.

    It is cut between words, with an ellipsis, or within its only word.
    """
    if len(text) <= width:
        return text
    start = (text[:width].rpartition(" ")[0] or text[:width - 1]).rstrip(" ,;:.–-")
    opened = max(QUOTES, key=start.rfind)
    open_at = start.rfind(opened)
    closed = open_at < 0 or QUOTES[opened] in start[open_at + 1:]
    return f"{start}…" if closed else f"{start}…{QUOTES[opened]}"


@dataclass(frozen=True)
class Piece:
    """One piece on the grid, what the filters of §7.1 need to judge it, and where it comes from.

    ``roll``             onset roll ``(time, key)``, uint8, one step per sixteenth note
    ``tracks``           tracks (MIDI) or staves (score) that hold notes
    ``time_signatures``  every ``(numerator, denominator)`` in order of appearance
    ``off_grid``         share of onsets more than 0.2 of a step away from the grid
    ``outside``          number of notes outside the 88 keys (they are not in ``roll``)
    ``pickup``           steps before the first bar line, 0 where the source does not tell
    ``reduction``        True if the parts of other instruments, or several, were read as one keyboard's
    ``title``            as the file gives it, None if it gives none
    ``key``              the first one given: ``F♯ minor``, or only a signature, ``3 sharps``; None if there is none
    ``corpus``           the collection that the file belongs to; with its ``path`` there and its ``licence``
                         None for a file of one's own, whose ``name`` is the path
    ``durations``        steps for which each note is held ``(note,)``, uint16, notes by step and then by key; None
                         where the source tells none
    ``note_ends``        where they come from: ``written`` (a score), ``played`` (a performance), ``untold``
    ``mended``           notes that the source gives no length, or one past all bounds
    ``tempos``           where which tempo holds, ``(step, quarters per minute)``; empty if none is told. Stores of
                         corpora leave it out
    ``notes``            all of them as the source tells them, in ticks, with pedals and tempi
                         (:class:`~octavoice.music.note_table.Notes`); None where only a roll is known
    """

    name: str
    roll: np.ndarray
    tracks: int
    time_signatures: tuple[tuple[int, int], ...]
    off_grid: float = 0.0
    outside: int = 0
    pickup: int = 0
    reduction: bool = False
    title: str | None = None
    key: str | None = None
    corpus: str | None = None
    path: str | None = None
    licence: str | None = None
    durations: np.ndarray | None = None
    note_ends: str = UNTOLD
    mended: int = 0
    tempos: Tempos = ()
    notes: Notes | None = None

    @property
    def held(self) -> np.ndarray:
        """Durations as a grid ``(time, key)``, 0 where no note begins; by the thesis's rule where none are known."""
        return until_next(self.roll) if self.durations is None else spread(self.roll, self.durations)

    @property
    def label(self) -> str:
        """A short name for a page: the title, else the file's name without its folders, whole words of about 44
        characters."""
        return shortened(self.title or PurePath(self.name).stem)

    @property
    def steps(self) -> int:
        """Length in steps (sixteenths)."""
        return len(self.roll)

    @property
    def bar(self) -> int:
        """Steps of a bar of the first time signature; 16 if that is not of whole sixteenths."""
        try:
            return bar_steps(self.time_signatures[0])
        except ValueError:
            return STEPS_PER_BAR
