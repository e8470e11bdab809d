"""What all readers share: bytes in, the grid, notes to a roll, the name of a key (thesis §2.2, §7.1).

The grid is exact and rational: the step of an onset at ``q`` quarters is ``floor(4 q + 1/2)`` (the published
program rounds half to even).
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from octavoice.errors import UserError, shown
from octavoice.music.durations import LONGEST, clipped, joined, until_next
from octavoice.music.note_table import NOTE, Notes
from octavoice.music.note_table import UNTOLD as NO_PROGRAM
from octavoice.music.piece import UNTOLD, WRITTEN, Piece
from octavoice.music.roll import KEYS, LOWEST_MIDI, STEPS_PER_QUARTER
from octavoice.music.tempo import Tempos

MAX_STEPS = 200_000
"""Longest piece read, in steps: about seven hours at 120 quarters a minute."""
LOST = -1
"""The end of a note that its source does not end."""
MAX_TITLE = 200
"""Longest title kept, in characters."""
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
FIFTHS = "FCGDAEB"
"""The letters along the line of fifths; F major has one flat, so its place is −1."""
MODES = {"major": 0, "minor": 3, "ionian": 0, "dorian": 2, "phrygian": 4, "lydian": -1, "mixolydian": 1, "aeolian": 3,
         "locrian": 5}
"""How many fifths a mode's tonic lies above the major one of the same signature."""


def bounded_bytes(path: Path, most: int) -> bytes:
    """The bytes of a file; raises :class:`UserError` if it cannot be read or holds more than ``most``."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    if len(data) > most:
        raise UserError(f"{path}: is larger than {most:,} bytes; cut it into smaller files.")
    return data


def to_step(ticks: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    """``floor(4 q + 1/2)`` for ``q = ticks / ticks_per_quarter``, in integers."""
    return (2 * STEPS_PER_QUARTER * ticks + ticks_per_quarter) // (2 * ticks_per_quarter)


def off_grid_share(ticks: np.ndarray, ticks_per_quarter: int) -> float:
    """Share of onsets more than 0.2 of a step away from the nearest step."""
    if not len(ticks):
        return 0.0
    away = np.abs(STEPS_PER_QUARTER * ticks - to_step(ticks, ticks_per_quarter) * ticks_per_quarter)
    return float(np.mean(5 * away > ticks_per_quarter))


def from_notes(path: Path, rows: Sequence[tuple[int, int, int, bool]], ticks: int, note_ends: str = WRITTEN,
               longest: int = LONGEST, notes: Notes | None = None, **facts) -> Piece:
    """A :class:`Piece` of notes ``(onset, end, midi_pitch, struck)`` in ``ticks`` per quarter.

    A note that is not struck (tied to one before) only lengthens that one, and the piece; the roll ends where the
    last note ends. A note's duration runs from the step of its onset to that of its end, at least one step; struck
    twice in one step it has the longer, struck again while held it ends there. Two repairs are counted as ``mended``:
    a note that ends where or before it begins has one step, and one whose end is ``LOST``, or that is still held after
    ``longest`` steps and so has lost it, is held to the next onset of any key (§2.2). ``notes`` are the
    same in full, where the source tells more than such rows; ``facts`` are further fields of the piece. Raises
    :class:`UserError` without struck notes, with one before the beginning, or beyond ``MAX_STEPS``.
    """
    ends = np.asarray(rows, dtype=np.int64).reshape(-1, 4)[:, 1]
    onset, end, pitch = joined(rows)
    if not len(onset):
        raise UserError(f"{path}: holds no notes; choose a file with pitched notes.")
    steps = max(int(to_step(onset.max(), ticks)) + 1, int(to_step(ends.max(), ticks)))
    if steps > MAX_STEPS or onset.min() < 0:
        raise UserError(f"{path}: spans {steps} steps, more than {MAX_STEPS}; cut it into shorter files.")
    key = pitch - LOWEST_MIDI
    inside = (key >= 0) & (key < KEYS)
    step, lasting = to_step(onset, ticks), to_step(end, ticks) - to_step(onset, ticks)
    grid = np.zeros((steps, KEYS), dtype=np.uint16)
    np.maximum.at(grid, (step[inside], key[inside]), np.clip(lasting[inside], 1, LONGEST))
    roll, grid = (grid > 0).astype(np.uint8), clipped(grid)
    stuck, lost = grid >= longest, end == LOST
    mended = int((end <= onset).sum() + stuck.sum())
    stuck[step[inside & lost], key[inside & lost]] = True
    grid = np.where(stuck, until_next(roll), grid) if stuck.any() else grid
    return Piece(shown(path.stem), roll, off_grid=off_grid_share(onset, ticks), outside=int((~inside).sum()),
                 durations=None if note_ends == UNTOLD else grid[roll > 0], note_ends=note_ends,
                 mended=mended, notes=notes or _in_full(onset, end, pitch, ticks, facts.get("tempos", ())),
                 **facts)


def _in_full(onset: np.ndarray, end: np.ndarray, pitch: np.ndarray, ticks: int, tempos: Tempos) -> Notes:
    """The notes of a source that tells neither loudness nor instruments; one that nothing ends has no length."""
    rows = np.zeros(len(onset), NOTE)
    rows["onset"], rows["end"], rows["program"] = onset, np.maximum(onset, end), NO_PROGRAM
    rows["pitch"] = np.clip(pitch, 0, 127)
    told = [(round(step * ticks / STEPS_PER_QUARTER), round(6e7 / qpm)) for step, qpm in tempos]
    return Notes.of(rows[(pitch >= 0) & (pitch < 128)], ticks, tempos=told)


def key_name(sharps: int, mode: str | None = None) -> str | None:
    """A key signature in words: ``F♯ minor``, ``D dorian``; without a mode ``3 sharps``, ``no accidentals``.

    ``sharps`` counts flats as negative. A mode that is not one of ``MODES`` is passed over. None for more than seven
    accidentals, or a tonic without a name.
    """
    if abs(sharps) > 7:
        return None
    if mode not in MODES:
        kind = "sharp" if sharps > 0 else "flat"
        return f"{abs(sharps)} {kind}{'s' * (abs(sharps) > 1)}" if sharps else "no accidentals"
    accidentals, letter = divmod(sharps + 1 + MODES[mode], 7)
    return f"{FIFTHS[letter]}{'♯' * accidentals}{'♭' * -accidentals} {mode}"


def tonic_name(letter: str, accidental: str, mode: str) -> str:
    """A key from its tonic, with ``#`` or ``♯``, ``b``, ``-`` or ``♭``: ``E♭ major``."""
    return letter.upper() + accidental.translate({ord("#"): "♯", ord("b"): "♭", ord("-"): "♭"}) + " " + mode


def title_of(*texts: str | None) -> str | None:
    """Titles, the wider first, as one line of at most ``MAX_TITLE`` characters; None if nothing is said."""
    said = dict.fromkeys(re.sub(r"[\s\x00-\x1f\x7f]+", " ", text or "").strip(" .,:;") for text in texts)
    return ": ".join(text for text in said if text)[:MAX_TITLE].strip() or None
