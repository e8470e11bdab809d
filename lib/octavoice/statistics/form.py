"""Form: how much of a roll has been there before, how far back, for how long together, and how nearly.

A roll is cut into bars of 16 steps. A bar counts if at least three notes begin in it, so that no rest returns. It
*returns* if an earlier bar is equal to it: in its onsets as pitch classes, as keys, or in its rhythm alone. What is
asked about are the bars from ``first`` on; all bars before a bar may be what it returns to, a prime's among them.

As a scalar there is the fitness of a segment (Müller, Jiang and Grosche, "A robust fitness measure for capturing
repetitions in music recordings", IEEE TASLP 21, 2013) and the structureness indicator made of it (Wu and
Yang, "The Jazz Transformer on the front line", ISMIR 2020): the greatest fitness of any segment of a range of
lengths. Both are of recordings there. Here the similarity is of bars, nothing below :data:`ALIKE` counts as
similar, and since bars neither hurry nor drag, repetitions lie on straight diagonals.
"""

from collections.abc import Sequence

import numpy as np

BAR = 16
"""Steps in a bar."""
LEAST = 3
"""Notes that begin in a bar that counts."""
NEAR = 0.75
"""Bars whose onsets agree by at least so much, and not in full, are nearly equal."""
ALIKE = 0.5
"""Similarity of two bars below which they count against a repetition."""
PENALTY = -2.0
"""What a pair of bars that are not alike counts then."""
LAGS = (1, 2, 4, 8)
"""Distances in bars that are looked at one by one."""
SPANS = {"short": (2, 4), "middle": (5, 8), "long": (9, 10**6)}
"""Lengths in bars of the segments of each structureness indicator."""


def bars_of(x: np.ndarray, bar: int = BAR) -> np.ndarray:
    """Whole bars of a roll ``(time, width)``: ``(bar, step, width)``; steps after the last whole one are dropped."""
    count = len(x) // bar
    return x[:count * bar].reshape(count, bar, x.shape[-1])


def counted(bars: np.ndarray, least: int = LEAST) -> np.ndarray:
    """Which of some bars ``(bar, step, width)`` count, having at least so many onsets: ``(bar,)``."""
    return (bars != 0).sum(axis=(1, 2)) >= least


def rhythm(x: np.ndarray) -> np.ndarray:
    """Whether anything begins at each step of a roll ``(time, width)``: ``(time, 1)``."""
    return x.any(axis=-1, keepdims=True)


def equal(bars: np.ndarray) -> np.ndarray:
    """Which bars ``(bar, step, width)`` are equal to which: ``(bar, bar)``."""
    _, which = np.unique(bars.reshape(len(bars), -1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    return which[:, None] == which


def similarity(bars: np.ndarray) -> np.ndarray:
    """How alike bars are, for a picture too: onsets of both over onsets of either, ``(bar, bar)``; 1 for two rests."""
    flat = (bars != 0).reshape(len(bars), -1).astype(float)
    both, size = flat @ flat.T, flat.sum(axis=1)
    either = size[:, None] + size - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def distances(same: np.ndarray, counts: np.ndarray, first: int = 0) -> np.ndarray:
    """For every bar from ``first`` on that counts, how many bars before it the nearest earlier one lies that is the
    same, 0 if there is none.

    ``same`` ``(bar, bar)`` says which are, ``counts`` ``(bar,)`` which count.
    """
    found = []
    for i in np.flatnonzero(counts):
        if i >= first:
            earlier = np.flatnonzero(same[i, :i])
            found.append(i - earlier[-1] if len(earlier) else 0)
    return np.array(found, dtype=int)


def together(same: np.ndarray, counts: np.ndarray, first: int = 0) -> np.ndarray:
    """For every bar from ``first`` on that counts and returns, how many bars return with it at the same distance.

    A stretch is as long as bars in a row are the same as those a distance before; bars that do not count belong to it
    but are not counted. Of several distances the one with the longest stretch is taken.
    """
    lengths, longest = len(same), np.zeros(len(same), dtype=int)
    for lag in range(1, lengths):
        line = np.diagonal(same, -lag)
        for start, end in stretches(line):
            bars = np.arange(start, end) + lag
            longest[bars] = np.maximum(longest[bars], counts[bars].sum())
    asked = counts & (np.arange(lengths) >= first) & (longest > 0)
    return longest[asked]


def stretches(line: np.ndarray) -> list[tuple[int, int]]:
    """Where a line of true and false is true: first place and the one after the last of every stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def transposed(x: np.ndarray, cyclic: bool, farthest: int = 11) -> np.ndarray:
    """Which bars of a roll ``(time, width)`` are another one a number of semitones away: ``(bar, bar)``.

    ``cyclic`` for pitch classes, which have no top; keys move by up to ``farthest`` either way. Equal bars are not
    transposed ones.
    """
    shifts = range(1, x.shape[-1]) if cyclic else [s for s in range(-farthest, farthest + 1) if s]
    bars, found = bars_of(x), np.zeros((len(x) // BAR,) * 2, dtype=bool)
    flat = bars.reshape(len(bars), -1)
    for shift in shifts:
        away = bars_of(np.roll(x, shift, axis=-1) if cyclic else moved(x, shift)).reshape(len(bars), -1)
        found |= matching(flat, away)
    return found & ~equal(bars)


def matching(flat: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which rows of one array ``(row, …)`` are which rows of another: ``(row, row)``."""
    _, which = np.unique(np.concatenate([flat, other]), axis=0, return_inverse=True)
    which = which.reshape(-1)
    return which[:len(flat), None] == which[len(flat):]


def moved(x: np.ndarray, shift: int) -> np.ndarray:
    """Keys ``(time, key)`` a number of semitones up; what would fall off the keyboard makes a step that is nowhere
    equal: all of it is struck."""
    away = np.zeros_like(x)
    if shift > 0:
        away[:, shift:], lost = x[:, :-shift], x[:, -shift:]
    else:
        away[:, :shift], lost = x[:, -shift:], x[:, :-shift]
    away[lost.any(axis=1)] = 1
    return away


def agreement(x: np.ndarray, lags: Sequence[int], first: int = 0) -> dict[int, float]:
    """How alike the bars from ``first`` on that count are to the bar so many bars before, on average; NaN for none."""
    bars = bars_of(x)
    alike, counts = similarity(bars), counted(bars)
    asked = {lag: [i for i in np.flatnonzero(counts) if i >= max(first, lag)] for lag in lags}
    return {lag: float(np.mean([alike[i, i - lag] for i in places])) if places else np.nan
            for lag, places in asked.items()}


def fitness(alike: np.ndarray) -> np.ndarray:
    """The scape plot: fitness of the segment that begins at a bar and is so long, ``(start, length - 1)``.

    ``alike`` ``(bar, bar)`` as :func:`similarity` gives it. NaN where a segment would end after the last bar.
    """
    count = len(alike)
    scores = np.where(alike >= ALIKE, alike, PENALTY)
    plot = np.full((count, count), np.nan)
    for start in range(count):
        for length in range(1, count - start + 1):
            plot[start, length - 1] = fitness_of(scores, start, length)
    return plot


def fitness_of(scores: np.ndarray, start: int, length: int) -> float:
    """Fitness of one segment: how much of the piece its repetitions cover and how exact they are, as one number.

    The harmonic mean of score and coverage beyond the segment's own [Müller et al. 2013].
    """
    count = len(scores)
    places = np.arange(count - length + 1)[:, None] + np.arange(length)
    values = scores[places, start + np.arange(length)].sum(axis=1)
    best, used = np.zeros(count + 1), np.zeros(count + 1, dtype=int)
    for end in range(1, count + 1):
        best[end], used[end] = best[end - 1], used[end - 1]
        if end >= length and best[end - length] + values[end - length] > best[end]:
            best[end], used[end] = best[end - length] + values[end - length], used[end - length] + 1
    if not used[-1]:
        return 0.0
    score = max(0.0, (best[-1] - length) / (used[-1] * length))
    coverage = max(0.0, (used[-1] * length - length) / count)
    return 2 * score * coverage / (score + coverage) if score + coverage > 0 else 0.0


def structureness(plot: np.ndarray, least: int, most: int) -> float:
    """The structureness indicator of a scape plot: the greatest fitness of a segment of ``least`` to ``most`` bars."""
    part = plot[:, least - 1:most]
    return float(np.nanmax(part)) if part.size and np.isfinite(part).any() else 0.0


def form(roll: np.ndarray, first: int = 0) -> dict[str, float]:
    """The statistics of one piece or sample ``roll`` ``(time, key)``, of its bars from ``first`` on.

    A continuation's ``first`` is the number of bars of its prime. Shares are of the bars that count; NaN if none does.
    """
    x12 = compress(roll)
    bars, counts = bars_of(x12), counted(bars_of(x12))
    same = equal(bars)
    near = (similarity(bars) >= NEAR) & ~same
    found = {"bars that return, classes": share(same, counts, first),
             "bars that return, keys": share(equal(bars_of(roll)), counts, first),
             "bars that return, rhythm": share(equal(bars_of(rhythm(roll))), counts, first),
             "bars that nearly return": share(near, counts, first, without=same),
             "bars that return transposed": share(transposed(x12, cyclic=True), counts, first, without=same)}
    lengths = together(same, counts, first)
    found["bars that return together"] = float(lengths.mean()) if len(lengths) else np.nan
    found |= how_far(distances(same, counts, first))
    found |= {f"agreement {lag} before": mean for lag, mean in agreement(x12, LAGS, first).items()}
    plot = fitness(similarity(bars))
    return found | {f"structureness, {name}": structureness(plot, *span) for name, span in SPANS.items()}


def share(same: np.ndarray, counts: np.ndarray, first: int, without: np.ndarray | None = None) -> float:
    """Share of the bars that count and have an earlier one that is the ``same``, and none that ``without`` holds."""
    found = distances(same, counts, first) > 0
    if without is not None:
        found &= distances(without, counts, first) == 0
    return float(found.mean()) if len(found) else np.nan


def how_far(away: np.ndarray) -> dict[str, float]:
    """Of the bars that return, the shares by distance to the nearest equal one; NaN if none returns."""
    away = away[away > 0]
    places = {f"{lag} back": away == lag for lag in LAGS}
    places |= {"within 8 bars": away <= 8, "beyond 32 bars": away > 32}
    return {f"returning bars, {name}": float(hits.mean()) if len(hits) else np.nan for name, hits in places.items()}


def compress(roll: np.ndarray) -> np.ndarray:
    """Octave compression (thesis §6.2) of ``(time, key)``: ``(time, pitch_class)``."""
    padded = np.pad(roll != 0, ((0, 0), (0, -roll.shape[1] % 12)))
    return padded.reshape(len(roll), -1, 12).any(axis=1).astype(np.uint8)
