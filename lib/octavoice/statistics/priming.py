"""What a prime of one bar passes on: its key, its rhythm, its continuation (claim C15; thesis §7.4).

Every measure is taken against the sample's own prime and against that of another sample, so that what all music
shares counts for nothing. Rolls are compressed, ``(time, pitch_class)``.
"""

import numpy as np

from octavoice.music.roll import STEPS_PER_BAR
from octavoice.statistics import harmony, intervals


def measure(primes: list[np.ndarray], samples: list[np.ndarray], real: list[np.ndarray]) -> dict:
    """Own minus another's, with intervals over samples: ``key``, ``rhythm`` and ``continuation``.

    ``real`` are the composers' own continuations of the same primes; ``… of the composer`` is what they keep.
    """
    others = [primes[i - 1] for i in range(len(primes))]
    return {"key": passed(in_key, primes, others, samples), "key of the composer": passed(in_key, primes, others, real),
            "rhythm": passed(same_rhythm, primes, others, samples),
            "rhythm of the composer": passed(same_rhythm, primes, others, real),
            "continuation": passed(same_steps, real, [real[i - 1] for i in range(len(real))], samples)}


def passed(measured, own: list[np.ndarray], others: list[np.ndarray], rolls: list[np.ndarray]) -> dict:
    """``own`` and ``another's`` mean of ``measured(given, roll)``, and their paired difference."""
    mine = np.array([measured(given, x) for given, x in zip(own, rolls, strict=True)])
    other = np.array([measured(given, x) for given, x in zip(others, rolls, strict=True)])
    return {"own": intervals.mean(mine), "another's": intervals.mean(other), "difference": intervals.mean(mine - other)}


def in_key(prime: np.ndarray, x12: np.ndarray) -> float:
    """Share of a roll's onsets in the scale of a prime's key."""
    key = harmony.key_of(prime)
    return harmony.in_key_share(x12, key) if key else np.nan


def same_rhythm(prime: np.ndarray, x12: np.ndarray) -> float:
    """How many of a bar's sixteen places agree with the prime in striking or not, mean over bars."""
    bars = x12.any(axis=1)[:len(x12) // STEPS_PER_BAR * STEPS_PER_BAR].reshape(-1, STEPS_PER_BAR)
    return float((bars == prime.any(axis=1)).mean())


def same_steps(real: np.ndarray, x12: np.ndarray) -> float:
    """Share of the struck steps of a roll that strike exactly what another roll strikes there."""
    struck = x12.any(axis=1)
    return float((x12 == real).all(axis=1)[struck].mean()) if struck.any() else np.nan
