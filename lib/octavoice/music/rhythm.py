"""Note values that show the beat: how bars of a metre divide, and stretches of them into notes and rests (thesis §2.2).
"""

from functools import cache
from itertools import accumulate

from octavoice.music.piece import bar_steps
from octavoice.music.roll import STEPS_PER_QUARTER

VALUES = {1, 2, 3, 4, 6, 8, 12, 16, 24}
"""Lengths in steps that one note can have, dotted ones included."""


def _divided(parts: tuple) -> int | tuple:
    """Parts of a bar as a tree: halves as long as there are four or more; a number where all below is halves."""
    if len(set(parts)) == 1 and isinstance(parts[0], int) and len(parts) & (len(parts) - 1) == 0:
        return sum(parts)
    half = (len(parts) + 1) // 2
    return parts if len(parts) <= 3 else (_divided(parts[:half]), _divided(parts[half:]))


@cache
def beats_of(metre: tuple[int, int]) -> int | tuple:
    """How a bar divides: 16 in 4/4 (halves of halves), (4, 4, 4) in 3/4, two times (2, 2, 2) in 6/8, 3 + 2 in 5/4."""
    steps, count = bar_steps(metre) // metre[0], metre[0]
    threes = count > 3 and count % 3 == 0
    return _divided(((steps,) * 3,) * (count // 3) if threes else (steps,) * count)


def _length(node: int | tuple) -> int:
    return node if isinstance(node, int) else sum(map(_length, node))


def values(start: int, end: int, rest: bool = False, metre: tuple[int, int] = (4, 4)) -> list[tuple[int, int]]:
    """Cut the steps ``[start, end)`` into note values, ``(start, length)`` each, that show the beat.

    Every bar line cuts. The smallest part of the bar that holds a stretch (bar, half, beat, eighth) is made of two
    or three equal parts, or uneven ones. A stretch is one value if it fills some of them. Over two
    neighbours it is also one if it fills three quarters of them, or their middle half (a syncopation);
    else the first border after its start, or if it starts on one the last before its end, cuts. A
    rest may only fill a part, or be the first three quarters of a beat.
    """
    size = bar_steps(metre)
    bar = start // size * size
    if end > bar + size:
        return values(start, bar + size, rest, metre) + values(bar + size, end, rest, metre)
    if rest and (start, end) == (bar, bar + size):
        return [(start, size)]
    return [(bar + at, length) for at, length in _cut(start - bar, end - bar, beats_of(metre), rest)]


def _cut(start: int, end: int, node: int | tuple, rest: bool) -> list[tuple[int, int]]:
    """:func:`values` within one part of a bar, counted from its beginning."""
    parts = (node // 2, node // 2) if isinstance(node, int) and node > 1 else node if node != 1 else ()
    borders = list(accumulate(map(_length, parts), initial=0)) if parts else [0, 1]
    for at, part in zip(borders, parts, strict=False):
        if at <= start and end <= at + _length(part) < at + borders[-1]:
            return [(at + place, length) for place, length in _cut(start - at, end - at, part, rest)]
    whole = {start, end} <= set(borders) and end - start in VALUES and (not rest or end - start == borders[-1])
    if whole or any(_one_value(start - at, end - start, left, right, rest)
                    for at, left, right in zip(borders, parts, parts[1:], strict=False)):
        return [(start, end - start)]
    cut = max(b for b in borders if b < end) if start in borders else min(b for b in borders if b > start)
    return _cut(start, cut, node, rest) + _cut(cut, end, node, rest)


def _one_value(offset: int, length: int, left: int | tuple, right: int | tuple, rest: bool) -> bool:
    """Whether a stretch is three quarters or the middle half of two equal neighbours that halve."""
    if left != right or not isinstance(left, int) or not 0 <= offset <= 2 * left - length:
        return False
    dotted = 2 * length == 3 * left and (not rest or (offset == 0 and left <= STEPS_PER_QUARTER // 2))
    return dotted or (length == left == 2 * offset and not rest)
