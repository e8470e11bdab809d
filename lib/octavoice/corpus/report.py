"""What became of a corpus's files, as tables: the funnel of both views, and ours beside an independent count (§7.1)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from octavoice.corpus import catalogue
from octavoice.corpus.filters import REASONS, Verdict, judge_strictly
from octavoice.music.piece import Piece
from octavoice.paths import atomic

LISTED = 12
"""Files that a message lists at most."""


def told(name: str, report: Sequence[Verdict], whole: Path | None = None) -> list[str]:
    """What became of a corpus's files, in lines: how many were kept, how many were left out by reason, and which.

    A long list is cut short; ``whole`` is where the rest of it can be read.
    """
    out = [verdict for verdict in report if verdict.reason != "kept"]
    counts = Counter(verdict.reason for verdict in out)
    reasons = ", ".join(f"{counts[reason]} {reason}" for reason in REASONS if counts[reason])
    first = f"{name}: {len(report) - len(out)} of {len(report)} files kept" + (f"; left out: {reasons}" if out else "")
    listed = [f"  {verdict.name}: {verdict.reason}{', ' * bool(why := _why(verdict))}{why}" for verdict in out[:LISTED]]
    more = [f"  and {len(out) - LISTED} more{f'; all of them: {whole}' if whole else ''}"] if len(out) > LISTED else []
    return [first, *listed, *more]


def _why(verdict: Verdict) -> str:
    """A verdict's detail without the file's name, which stands before it."""
    return verdict.detail.removeprefix(f"{verdict.name}: ").removesuffix(".")


def write(report: Iterable[Verdict], path: Path) -> Path:
    """Write :func:`file_table` as CSV, atomically."""
    with atomic(path) as temporary:
        file_table(report).to_csv(temporary, lineterminator="\n")
    return path


def file_table(report: Iterable[Verdict]) -> pd.DataFrame:
    """One row per file, by name: ``reason``, ``detail``, ``steps``, ``off_grid`` as in :class:`Verdict`."""
    return pd.DataFrame([vars(verdict) for verdict in report]).set_index("name")


def funnel_table(report: Iterable[Verdict]) -> pd.DataFrame:
    """Files found, files by the filter that stopped them, pieces and steps kept: columns ``§7.1`` and ``strict``.

    Both views come from one ``report``, be it the plain corpus's or the strict view's.
    """
    plain = [replace(verdict, reason="kept") if verdict.reason == "strict" else verdict for verdict in report]
    return pd.DataFrame({"§7.1": _column(plain), "strict": _column([judge_strictly(verdict) for verdict in plain])})


def _column(report: list[Verdict]) -> dict[str, int]:
    kept = [verdict.steps for verdict in report if verdict.reason == "kept"]
    stopped = {f"stopped: {reason}": sum(v.reason == reason for v in report) for reason in REASONS if reason != "kept"}
    return {"files found": len(report), **stopped, "pieces kept": len(kept), "steps kept": sum(kept)}


def independent_count(name: str, pieces: Sequence[Piece]) -> pd.DataFrame:
    """Pieces and steps of a whole named corpus beside an independent count; no rows where nobody counted.

    That count ends a piece at its last onset, ours where its last note ends: so ours is given by both rules.
    """
    counted = catalogue.entry(name).counted if name in catalogue.names() else {}
    if not counted:
        return pd.DataFrame(columns=["here", "independent count"])
    last = sum(int(np.flatnonzero(piece.roll.any(axis=1))[-1]) + 1 for piece in pieces)
    rows = {"pieces": (len(pieces), counted["pieces"]), "steps": (sum(piece.steps for piece in pieces), "–"),
            "steps up to the last onset": (last, counted["steps"])}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["here", "independent count"])
