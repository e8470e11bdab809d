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
