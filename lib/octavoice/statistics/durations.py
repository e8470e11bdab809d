"""How long notes are held, and how far the thesis's rule is from that: a chord sounds until the next onset (§2.2).

Durations are in steps. A rule that ends a note before its time *cuts* it, one that holds it longer *prolongs* it.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from octavoice.music.durations import until_next
from octavoice.music.piece import PLAYED, UNTOLD, WRITTEN, Piece
from octavoice.music.roll import STEPS_PER_BAR

LONG = 32
"""A note held for more steps than these, two bars of 4/4, is called long."""
NOWHERE = -1
"""The place of a note whose piece has no bars of whole 16 steps."""
OWN = "–"
"""The collection of a file of one's own."""


def note_table(pieces: Iterable[Piece]) -> pd.DataFrame:
    """One row per note of the pieces that tell how long notes are held; ``untold`` ones are left out.

    ``collection``; ``held``, its duration; ``apart``, by how many steps later the next onset in any key comes than
    its end; ``place``, the step of its bar on which it is struck (0 = downbeat; a bar of two whole notes counts as
    two), or ``NOWHERE``.
    """
    told = [piece for piece in pieces if piece.note_ends != UNTOLD]
    parts = [_notes(piece) for piece in told]
    names = pd.Categorical(np.repeat([piece.corpus or OWN for piece in told], [len(part) for part in parts]))
    numbers = np.concatenate([np.zeros((0, 3), np.int32), *parts])
    return pd.DataFrame({"collection": names, **dict(zip(("held", "apart", "place"), numbers.T, strict=True))})


def _notes(piece: Piece) -> np.ndarray:
    """``held``, ``apart`` and ``place`` of a piece's notes ``(note, 3)``."""
    time, key = np.nonzero(piece.roll)
    held, rule = (grid[time, key].astype(np.int32) for grid in (piece.held, until_next(piece.roll)))
    place = (time - piece.pickup) % STEPS_PER_BAR if piece.bar % STEPS_PER_BAR == 0 else np.full_like(held, NOWHERE)
    return np.stack([held, rule - held, place.astype(np.int32)], axis=1)


def source_table(pieces: Iterable[Piece]) -> pd.DataFrame:
    """Per collection: pieces by where their notes' ends come from, and notes that were ``mended``.

    Columns ``written``, ``played``, ``untold`` (:class:`~octavoice.music.piece.Piece`), ``mended``.
    """
    counts = Counter()
    for piece in pieces:
        counts[piece.corpus or OWN, piece.note_ends] += 1
        counts[piece.corpus or OWN, "mended"] += piece.mended
    table = pd.Series(counts, dtype=int).unstack(fill_value=0)
    return table.reindex(columns=[WRITTEN, PLAYED, UNTOLD, "mended"], fill_value=0).rename_axis("collection")


def rule_table(notes: pd.DataFrame) -> pd.DataFrame:
    """Per collection of a :func:`note_table`: how long notes are held, and what the thesis's rule does to them.

    ``notes``; ``median`` and ``mean`` duration; ``long``, the share held for more than ``LONG`` steps; ``kept``,
    ``cut`` and ``prolonged``, the shares that the rule holds as long, shorter, longer; ``cut by`` and ``prolonged by``,
    by how many steps on average, where it does.
    """
    rows = {str(name): _against_rule(group.held.to_numpy(), group.apart.to_numpy())
            for name, group in notes.groupby("collection", observed=True)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("collection")


def _against_rule(held: np.ndarray, apart: np.ndarray) -> dict[str, float]:
    return {"notes": len(held), "median": np.median(held), "mean": held.mean(), "long": (held > LONG).mean(),
            "kept": (apart == 0).mean(), "cut": (apart < 0).mean(), "prolonged": (apart > 0).mean(),
            "cut by": _mean(-apart[apart < 0]), "prolonged by": _mean(apart[apart > 0])}


def _mean(steps: np.ndarray) -> float:
    return float(steps.mean()) if len(steps) else 0.0


def shares(notes: pd.DataFrame, column: str, values: range) -> pd.DataFrame:
    """Share of each collection's notes by a column of whole numbers, ``(value, collection)``.

    Numbers below and above ``values`` count at its ends.
    """
    inside = notes[column].clip(values[0], values[-1])
    table = pd.crosstab(inside, notes.collection, normalize="columns")
    return table.reindex(pd.Index(values, name=column), fill_value=0.0)


def held_by_place(notes: pd.DataFrame) -> pd.DataFrame:
    """Mean duration by the step of the bar on which notes are struck, ``(place, collection)``; NaN where none is."""
    placed = notes[notes.place != NOWHERE]
    table = placed.pivot_table(index="place", columns="collection", values="held", aggfunc="mean", observed=True)
    return table.reindex(pd.RangeIndex(STEPS_PER_BAR, name="place"))
