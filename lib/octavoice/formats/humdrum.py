"""Humdrum in: the lines of a file and the strands that its tokens stand in.

A Humdrum file is a table whose columns (spines) may split, join, change places, begin and end.
Each column of the first line is a staff here; the strands it splits into keep its number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

MAX_STRANDS = 128
"""Most columns side by side; the widest score of the Polish collection has fewer than 30."""
PATHS = frozenset({"*^", "*v", "*x", "*+", "*-"})
"""What splits, joins, exchanges, adds and ends spines."""


@dataclass(eq=False, slots=True)
class Strand:
    """A column between two path changes: its ``staff`` (number), ``kind`` (``**kern`` …), ``parents``.

    ``end`` is the reader's own: the tick at which the last token of the strand ends.
    """

    staff: int
    kind: str
    parents: list["Strand"] = field(default_factory=list, repr=False)
    end: int = 0


class Line(NamedTuple):
    """A line that is neither empty nor a comment: number from 1, tokens, and the strand of each token.

    ``strands`` is the same list object as on the line before unless a path changed there.
    """

    number: int
    tokens: list[str]
    strands: list[Strand]


def decoded(data: bytes) -> str:
    """The text of a Humdrum file, UTF-8 or else Latin-1. Raises :class:`ValueError` for binary data."""
    if b"\0" in data:
        raise ValueError("it is not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_lines(text: str) -> Iterator[Line]:
    """The lines of one Humdrum text, in order; comments, reference records and empty lines are passed over.

    Raises :class:`ValueError`, naming the line, where the text does not begin with exclusive
    interpretations, a line has too many or too few tokens, a path indicator has no partner, there are
    more than ``MAX_STRANDS``, or the spines are not ended with ``*-`` by the end of the text.
    """
    strands = None
    for number, row in enumerate(re.split(r"\r\n?|\n", text), 1):
        if not row.strip() or row[0] == "!":
            continue
        tokens = row.split("\t")
        if strands is None:
            strands = _begin(tokens)
        if len(tokens) != len(strands):
            raise ValueError(f"line {number} has {len(tokens)} tokens where {len(strands)} are due")
        yield Line(number, tokens, strands)
        if row[0] == "*" and not PATHS.isdisjoint(tokens):
            strands = _followed(tokens, strands, number)
        elif row[0] == "*":
            for token, strand in zip(tokens, strands, strict=True):
                strand.kind = token if token[:2] == "**" else strand.kind
    if strands is None or strands:
        raise ValueError("it ends before its spines do" if strands else "it holds no spines")


def _begin(tokens: list[str]) -> list[Strand]:
    """The strands of the first line."""
    if not all(token.startswith("**") for token in tokens):
        raise ValueError("it does not begin with ** interpretations")
    if len(tokens) > MAX_STRANDS:
        raise ValueError(f"it has more than {MAX_STRANDS} spines")
    return [Strand(staff, kind) for staff, kind in enumerate(tokens)]


def _followed(tokens: list[str], strands: list[Strand], number: int) -> list[Strand]:
    """The strands after a line of path indicators: ``*^ *v *x *+ *-``."""
    strands = _exchanged(tokens, strands, number)
    after, new = [], 1 + max(strand.staff for strand in strands)
    for joining, group in groupby(zip(tokens, strands, strict=True), lambda pair: pair[0] == "*v"):
        if joining:
            after += _joined([strand for _, strand in group], number)
            continue
        for token, strand in group:
            if token == "*^":
                after += [Strand(strand.staff, strand.kind, [strand]) for _ in range(2)]
            elif token == "*+":
                after += [strand, Strand(new, "**blank", [strand])]
                new += 1
            elif token != "*-":
                after.append(strand)
    if len(after) > MAX_STRANDS:
        raise ValueError(f"line {number} opens more than {MAX_STRANDS} spines")
    return after


def _exchanged(tokens: list[str], strands: list[Strand], number: int) -> list[Strand]:
    """The strands with those under ``*x`` in each other's place, two by two."""
    places = [i for i, token in enumerate(tokens) if token == "*x"]
    if len(places) % 2:
        raise ValueError(f"line {number} has a *x without a partner")
    strands = list(strands)
    for a, b in zip(places[::2], places[1::2], strict=True):
        strands[a], strands[b] = strands[b], strands[a]
    return strands


def _joined(strands: list[Strand], number: int) -> list[Strand]:
    """Adjacent strands under ``*v``: those of one staff become one, unless one would stay alone.

    Then all become one of the leftmost staff: some files join the wrong two of three columns.
    """
    groups = [list(group) for _, group in groupby(strands, lambda strand: strand.staff)]
    if min(map(len, groups)) < 2:
        groups = [strands]
    if len(groups[0]) < 2:
        raise ValueError(f"line {number} has a *v without a partner")
    return [Strand(group[0].staff, group[0].kind, group) for group in groups]
