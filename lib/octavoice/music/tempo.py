"""Tempo: a map of what holds where, the tempo that holds longest, and seconds (thesis §2.2 knows one tempo only)."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from octavoice.music.roll import STEPS_PER_QUARTER

Tempos = tuple[tuple[float, float], ...]
"""A map: ``(step, quarters per minute)`` by step, each until the next, the first from step 0; empty if none is told."""
TEMPO = 120.0
"""Quarters per minute where none are told, as in MIDI."""
SLOWEST, FASTEST = 10.0, 1000.0
"""Tempi beyond these are taken for slips and left out."""
ALIKE = 0.05
"""Share by which tempi may differ and still count as one: a performance's swing about the one it keeps."""


def tempo_map(told: Iterable[tuple[float, float]]) -> Tempos:
    """``(step, quarters per minute)`` in any order as a map: of one place the last told, only changes.

    What is told for before step 0 holds there.
    """
    places = {max(0.0, float(step)): float(qpm) for step, qpm in sorted(told, key=lambda one: one[0])
              if SLOWEST <= qpm <= FASTEST}
    found = []
    for step, qpm in places.items():
        if not found or found[-1][1] != qpm:
            found.append((step if found else 0.0, qpm))
    return tuple(found)


def constant(tempo: "float | Tempos") -> Tempos:
    """A tempo as a map, a map as it is; an empty one is ``TEMPO``."""
    return (tempo or ((0.0, TEMPO),)) if isinstance(tempo, tuple) else ((0.0, float(tempo)),)


def prevailing(tempos: Tempos, steps: int) -> float:
    """The tempo that holds for most of ``steps`` steps, with those ``ALIKE``; of equals the one that comes first."""
    lasting = {}
    for (start, qpm), (end, _) in pairwise([*tempos, (max(steps, tempos[-1][0]) if tempos else 0.0, 0.0)]):
        lasting[qpm] = lasting.get(qpm, 0.0) + max(0.0, min(end, steps) - start)
    if not lasting:
        return TEMPO
    among = {qpm: sum(time for other, time in lasting.items() if abs(other - qpm) <= ALIKE * qpm) for qpm in lasting}
    return max(lasting, key=lambda qpm: (among[qpm], lasting[qpm]))


def cut(tempos: Tempos, start: float, end: float = np.inf) -> Tempos:
    """The map of the steps from ``start`` to ``end``, counted from ``start``; before its beginning the first holds."""
    return tempo_map((step - start, qpm) for step, qpm in tempos if step < end)


def seconds_at(tempos: Tempos, steps: np.ndarray) -> np.ndarray:
    """Seconds from step 0 to each of ``steps`` ``(n,)``."""
    places, qpm = np.array(tempos, float).T
    lasting = 60.0 / qpm / STEPS_PER_QUARTER
    began = np.concatenate([[0.0], np.cumsum(np.diff(places) * lasting[:-1])])
    at = np.searchsorted(places, steps, side="right") - 1
    return began[at] + (np.asarray(steps) - places[at]) * lasting[at]


def by_bars(tempos: Tempos, steps: int, size: int) -> list[tuple[float, float, bool]]:
    """``(step, quarters per minute, steady)``: what holds for a bar of ``size`` steps or more, and means of bars.

    Where no tempo holds so long, as in a performance, every bar of the ``steps`` has one, a whole number, that takes as
    long.
    """
    tempos = cut(tempos, 0, steps)
    ends = [*(step for step, _ in tempos[1:]), float(steps)]
    steady = {start: (qpm, end) for (start, qpm), end in zip(tempos, ends, strict=True) if end - start >= size}
    lines = {line for line in range(0, steps, size) if not any(at <= line < end for at, (_, end) in steady.items())}
    places = sorted({*lines, *steady, *(end for _, end in steady.values()), steps})
    times = seconds_at(tempos, np.array(places))
    means = np.diff(places) * 60.0 / STEPS_PER_QUARTER / np.diff(times)
    return [(at, steady[at][0] if at in steady else round(float(mean)), at in steady)
            for at, mean in zip(places, means, strict=False)]
