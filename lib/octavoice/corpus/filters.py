"""The filters of §7.1, one verdict per file.

(a) every time signature is derived from 4/4; (b) at most two tracks hold notes;
(c) every note lies within the 88 keys. Leading empty steps are cut from what is kept. Not in the
thesis: later copies of a work are left out (:mod:`octavoice.corpus.duplicates`).
"""

from dataclasses import dataclass, replace

from octavoice.music.piece import Piece
from octavoice.music.roll import STEPS_PER_QUARTER, trim

DERIVED = {2, 4, 8, 16}
"""Numerators and denominators of a time signature derived from 4/4 [published program]."""
MAX_TRACKS = 2
STRICT_STEPS = 256
STRICT_OFF_GRID = 0.05
"""The strict view: pieces of a whole fragment at least, with at most this share of onsets off the grid."""
REASONS = ("unreadable", "time signature", "tracks", "range", "duplicate", "strict", "kept")
"""The funnel, in order: a file is counted at the first filter that stops it."""


@dataclass(frozen=True)
class Verdict:
    """What became of one file: its place in the funnel (one of ``REASONS``) and why, in words.

    ``steps`` is its length, ``off_grid`` the share of its onsets off the grid; both 0 for a file that cannot be read.
    """

    name: str
    reason: str
    detail: str = ""
    steps: int = 0
    off_grid: float = 0.0


def judge(piece: Piece, any_metre: bool = False) -> Verdict:
    """Apply the three filters to a piece, in the thesis's order; not (a) where ``any_metre`` is welcome.

    A keyboard reduction of a score passes (b): that filter tells orchestral MIDI files apart.
    """
    reason, detail = _fault(piece, any_metre)
    return Verdict(piece.name, reason, detail, piece.steps, piece.off_grid)


def foreign_times(piece: Piece) -> str:
    """The time signatures of a piece that are not derived from 4/4, with commas between them; or nothing."""
    odd = [f"{n}/{d}" for n, d in piece.time_signatures if n not in DERIVED or d not in DERIVED]
    return ", ".join(dict.fromkeys(odd))


def _fault(piece: Piece, any_metre: bool) -> tuple[str, str]:
    if not any_metre and (odd := foreign_times(piece)):
        return "time signature", f"has {odd}"
    if piece.tracks > MAX_TRACKS and not piece.reduction:
        return "tracks", f"{piece.tracks} tracks hold notes"
    if piece.outside:
        return "range", f"{piece.outside} notes outside the 88 keys"
    return "kept", ""


def judge_strictly(verdict: Verdict) -> Verdict:
    """The strict view's verdict on a file that was kept; that on any other stays."""
    if verdict.reason != "kept" or (verdict.steps >= STRICT_STEPS and verdict.off_grid <= STRICT_OFF_GRID):
        return verdict
    return replace(verdict, reason="strict", detail=f"{verdict.steps} steps, {verdict.off_grid:.1%} off the grid")


def cut_silence(piece: Piece) -> Piece:
    """Cut the empty steps before the first onset (§7.1); the pickup shrinks with them, bar by bar."""
    roll, notes = trim(piece.roll), piece.notes
    if notes is not None:
        notes = replace(notes, origin=(piece.steps - len(roll)) * notes.ticks // STEPS_PER_QUARTER)
    return replace(piece, roll=roll, notes=notes, pickup=(piece.pickup - (piece.steps - len(roll))) % piece.bar)
