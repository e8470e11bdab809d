"""Keys: whether music stays in one, which notes it uses, when it changes (claims C13, C14; thesis §7.4, Fig. 17).

Rolls are compressed, ``(time, pitch_class)``. Keys are music21's by its Krumhansl–Schmuckler analysis.
"""

import numpy as np
from scipy.stats import chisquare

from octavoice.music.roll import CLASSES
from octavoice.statistics import harmony, intervals

WINDOW = 64
"""Steps over which a key is found."""
ACTIVE = 1 / 28
"""A note of a seven-note set is in active use with at least a quarter of an even share of the onsets."""
PERMUTATIONS = 2000


def measure(rolls: list[np.ndarray]) -> dict:
    """In-key share by window, and the seven-note sets in use, with intervals over rolls."""
    rows = [of_windows(x) for x in rolls]
    return {name: intervals.mean([row[name] for row in rows]) for name in rows[0]}


def of_windows(x12: np.ndarray) -> dict[str, float]:
    """Means over a roll's windows of 64 steps: what :func:`measure` takes intervals of."""
    found = [window_facts(x12[start:start + WINDOW]) for start in range(0, len(x12) - WINDOW + 1, WINDOW)]
    found = [facts for facts in found if facts]
    names = ("out of key", "seven most frequent are a form", "notes of the form in use")
    return {name: float(np.mean([facts[name] for facts in found])) if found else np.nan for name in names}


def window_facts(x12: np.ndarray) -> dict[str, float]:
    """One window: onsets out of its key's form, whether its seven most frequent classes are a major or minor form,
    and how many notes of the best form are in active use. Empty where fewer than seven classes sound."""
    counts = x12.sum(axis=0, dtype=np.int64)
    if (counts > 0).sum() < 7:
        return {}
    inside = {name: counts[sorted(form)].sum() for name, form in harmony.scale_forms().items()}
    best = harmony.scale_forms()[max(inside, key=inside.get)]
    seven = frozenset(np.argsort(-counts, kind="stable")[:7].tolist())
    used = (counts[sorted(best)] >= ACTIVE * counts.sum()).sum()
    key = harmony.key_of(x12)
    return {"out of key": 1 - harmony.in_key_share(x12, key), "notes of the form in use": float(used),
            "seven most frequent are a form": float(seven in harmony.scale_forms().values())}


def modulations(x12: np.ndarray, hop: int = 16) -> dict[int, bool]:
    """At which bar lines the key of the 64 steps after differs from that of the 64 before: step to yes or no."""
    lines = range(WINDOW, len(x12) - WINDOW + 1, hop)
    keys = {t: (harmony.key_of(x12[t - WINDOW:t]), harmony.key_of(x12[t:t + WINDOW])) for t in lines}
    return {t: before.name != after.name for t, (before, after) in keys.items() if before and after}


def surprise(log_q: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """How much less likely each step's draws were than expected, in nats: ``(time,)``.

    ``log_q`` ``(time, voice, 2, pitch_class)``, ``choices`` ``(time, voice)``: Σ over voices of −log q(drawn) less
    the entropy of q.
    """
    flat = log_q.reshape(*choices.shape, 2 * CLASSES)
    drawn = np.take_along_axis(flat, choices[..., None], axis=-1)[..., 0]
    entropy = -(np.exp(flat) * np.where(np.isfinite(flat), flat, 0)).sum(axis=-1)
    return (-drawn - entropy).sum(axis=-1)


def association(rolls: list[np.ndarray], surprises: list[np.ndarray], seed: int) -> dict:
    """C14: are there less likely draws about a change of key than about other bar lines?

    The statistic is the mean, over changes, of the largest surprise in the bar before and the bar after, less the same
    over other bar lines; labels are permuted within each sample. ``phase`` tests by χ² whether changes prefer
    one of the four bars of the clock's cycle.
    """
    rng, places = np.random.default_rng(seed), [modulations(x) for x in rolls]
    peaks = [np.array([s[t - 16:t + 16].max() for t in lines]) for s, lines in zip(surprises, places, strict=True)]
    labels = [np.array(list(lines.values()), bool) for lines in places]
    found = contrast(peaks, labels)
    null = [contrast(peaks, [rng.permutation(label) for label in labels]) for _ in range(PERMUTATIONS)]
    p = (1 + sum(value >= found for value in null)) / (1 + PERMUTATIONS)
    phase = np.zeros((2, 4), int)
    for lines in places:
        for t, change in lines.items():
            phase[int(change), t // 16 % 4] += 1
    expected = phase.sum(axis=0) / phase.sum() * phase[1].sum()
    return {"difference in nats": found, "p": p, "changes": int(phase[1].sum()), "bar lines": int(phase.sum()),
            "phase": phase[1].tolist(), "phase p": float(chisquare(phase[1], expected).pvalue)}


def contrast(peaks: list[np.ndarray], labels: list[np.ndarray]) -> float:
    """Mean peak at changes less mean peak elsewhere, over all samples together."""
    values, changed = np.concatenate(peaks), np.concatenate(labels)
    return float(values[changed].mean() - values[~changed].mean()) if 0 < changed.sum() < len(changed) else np.nan
