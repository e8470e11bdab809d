"""What the voices decide, with intervals over samples (claim C12; thesis §7.4, Fig. 16).

``choices`` ``(time, sample, voice)``: a class, plus 12 if it was declined (decided to be silent).
"""

import numpy as np

from octavoice.evidence.measured import intervals
from octavoice.evidence.statistics import decisions


def measure(choices: np.ndarray) -> dict:
    """Decisions of each voice and of every pair of voices, on all steps and on those that strike something."""
    _, sounds = decisions(choices)
    struck = sounds.any(axis=-1)
    return {"sounds": [share(sounds[..., v], np.ones_like(struck)) for v in range(sounds.shape[-1])],
            "sounds on struck steps": [share(sounds[..., v], struck) for v in range(sounds.shape[-1])],
            "pairs": pairs(sounds, np.ones_like(struck)), "pairs on struck steps": pairs(sounds, struck)}


def share(event: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """P(event | given) of bool arrays ``(time, sample)``, with an interval over samples."""
    return intervals.ratio((event & given).sum(axis=0), given.sum(axis=0))


def pairs(sounds: np.ndarray, where: np.ndarray) -> list[dict]:
    """P(w sounds | v declined) and P(w sounds | v sounds) for all v < w, on the steps ``where`` ``(time, sample)``.

    ``effect`` is the second minus the first, its interval from resampling whole samples.
    """
    count = sounds.shape[-1]
    return [pair(sounds, where, v, w) for v in range(count) for w in range(v + 1, count)]


def pair(sounds: np.ndarray, where: np.ndarray, v: int, w: int) -> dict:
    """One row of :func:`pairs`; voices are counted from 1 in it."""
    declined, sounded = where & ~sounds[..., v], where & sounds[..., v]
    return {"declined": v + 1, "later": w + 1, "sounds if declined": share(sounds[..., w], declined),
            "sounds if sounded": share(sounds[..., w], sounded)}
