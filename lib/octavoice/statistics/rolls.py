"""Statistics of rolls and of the voices' decisions (thesis §6.3, §7.3–7.4)."""

import numpy as np
import pandas as pd

from octavoice.music.piece import Piece
from octavoice.music.roll import CLASS_NAMES, compress


def decisions(choices: np.ndarray, classes: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """The class and the verdict of every voice: ``choices`` (class, plus ``classes`` if silent).

    Returns ``pitch_class`` and ``sounds`` (bool), both of the shape of ``choices``.
    """
    return choices % classes, choices < classes


def notes_per_voice(choices: np.ndarray) -> pd.DataFrame:
    """Fig. 16: how often each voice decided each class to sound, and how often it declined.

    ``choices`` ``(…, voice)``; one row per voice, one column per pitch class and ``silent``; shares
    of that voice's decisions.
    """
    classes, sounds = decisions(choices.reshape(-1, choices.shape[-1]))
    rows = []
    for v in range(choices.shape[-1]):
        counts = np.bincount(classes[sounds[:, v], v], minlength=12) / len(choices.reshape(-1, choices.shape[-1]))
        rows.append({**dict(zip(CLASS_NAMES, counts, strict=True)), "silent": 1 - counts.sum()})
    return pd.DataFrame(rows, index=pd.Index([f"voice {v + 1}" for v in range(len(rows))], name="voice"))


def given_declined(choices: np.ndarray) -> pd.DataFrame:
    """C12: P(voice w sounds | voice v declined), all v < w, beside P(w sounds | v sounds).

    ``choices`` ``(…, voice)``; one row per pair with the number of steps behind each probability,
    NaN where there is none.
    """
    _, sounds = decisions(choices.reshape(-1, choices.shape[-1]))
    voices = range(sounds.shape[1])
    rows = []
    for v, w in ((v, w) for v in voices for w in voices if v < w):
        declined = ~sounds[:, v]
        rows.append({"declined": v + 1, "later": w + 1, "sounds if declined": _mean(sounds[declined, w]),
                     "steps declined": int(declined.sum()), "sounds if sounded": _mean(sounds[~declined, w]),
                     "steps sounded": int((~declined).sum())})
    return pd.DataFrame(rows).set_index(["declined", "later"])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def lag_agreement(x12: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Share of steps that repeat exactly the step ``lag`` before, among those with an onset.

    ``x12`` ``(time, pitch_class)``; returns one share per lag, NaN where the piece is too short.
    """
    def agreement(lag: int) -> float:
        now, before = x12[lag:], x12[:-lag]
        struck = now.any(axis=1)
        return _mean((now == before).all(axis=1)[struck])
    return np.array([agreement(int(lag)) if lag < len(x12) else np.nan for lag in lags])


def most_repetitive(pieces: list[Piece], periods: tuple[int, ...], least_steps: int) -> tuple[Piece, int, float]:
    """The piece that repeats itself most exactly at one of the ``periods`` (in steps), for C3.

    Only pieces of at least ``least_steps``; if none is that long, the longest one. Returns piece,
    period and the share of steps with an onset that are an exact repeat.
    """
    long = [piece for piece in pieces if piece.steps >= least_steps] or [max(pieces, key=lambda p: p.steps)]
    shares = np.array([lag_agreement(compress(piece.roll), np.array(periods)) for piece in long])
    i, h = np.unravel_index(np.nanargmax(shares), shares.shape)
    return long[i], periods[h], float(shares[i, h])


def roll_summary(x12: np.ndarray) -> dict[str, float]:
    """Density and rhythm of a compressed roll ``(time, pitch_class)``: per-step shares.

    ``struck``: steps with an onset; ``classes``: mean classes struck then; ``on quarter`` and
    ``on eighth``: share of onset steps on those positions of the grid.
    """
    struck = np.flatnonzero(x12.any(axis=1))
    return {"struck": len(struck) / len(x12), "classes": _mean(x12[struck].sum(axis=1)),
            "on quarter": _mean(struck % 4 == 0), "on eighth": _mean(struck % 2 == 0)}
