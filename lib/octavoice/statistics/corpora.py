"""What a corpus itself says of claims C1, C16, C21, C23 and C24: no network is asked."""

import numpy as np

from octavoice.corpus import Pieces
from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, KEYS, compress
from octavoice.statistics import data_statistics as stats
from octavoice.statistics import intervals, rhythm
from octavoice.statistics.rolls import lag_agreement
from octavoice.thesis.attention import PERIODS
from octavoice.thesis.voices import VOICES

LAGS = range(1, 145)
SUMS = tuple(sorted({2**i + 2**j for i in range(7) for j in range(i)} | {2**i for i in range(8)}))
"""Powers of two and sums of two different ones, up to 128 (§6.3)."""
CLAIMED = 7
"""At most so many classes sound together (§3.2)."""


def measure(splits: dict[str, Pieces]) -> dict:
    """Everything of one corpus; what is estimated is estimated on ``train`` and judged on the other pieces."""
    train, held_out = list(splits["train"]), [*splits["valid"], *splits["test"]]
    return {"pieces": len(train) + len(held_out), "compression": compression(train, held_out),
            "classes at once": at_once([*train, *held_out]), "lags": lags(train),
            "triplets": rhythm.triplets_of([*train, *held_out])}


def compression(train: list[Piece], held_out: list[Piece]) -> dict:
    """C1: bits of classes and of octaves, and whether the outer voices' class can be told from the classes."""
    known, rolls = [piece.roll for piece in train], [piece.roll for piece in held_out]
    per_step = stats.entropy_table(known, rolls)["bits per step"]
    melody, bass = (stats.guess_edges(known, rolls, top) for top in (True, False))
    return {"ratio": KEYS / CLASSES, "bits of classes": stats.class_set_bits(known, rolls),
            "bits of octaves": float(per_step.iloc[1]), "bits of octaves, last known": float(per_step.iloc[2]),
            "melody": melody, "bass": bass}


def at_once(pieces: list[Piece]) -> dict:
    """C24: shares of struck steps by classes, over the corpus and per piece."""
    counts = [np.bincount(compress(piece.roll).sum(axis=1), minlength=CLASSES + 1)[1:] for piece in pieces]
    struck = np.array([count.sum() for count in counts])
    more = {limit: np.array([count[limit:].sum() for count in counts]) for limit in (VOICES, CLAIMED)}
    return {"shares": (np.sum(counts, axis=0) / struck.sum()).tolist(),
            **{f"more than {limit}": intervals.ratio(over, struck) for limit, over in more.items()},
            "most": int(np.flatnonzero(np.sum(counts, axis=0)).max() + 1)}


def lags(pieces: list[Piece]) -> dict:
    """C23: how often a struck step repeats the one ``lag`` before, at useful lags and their neighbours.

    ``periods above neighbours`` is how far the thesis's periods lie above the mean of the lags just beside them,
    ``other sums`` the same for powers of two and their sums that are not among these, above 2 steps, and
    ``other lags`` for all the rest, each an interval over lags.
    """
    long = [piece for piece in pieces if piece.steps > 2 * LAGS[-1]]
    mean = np.nanmean([lag_agreement(compress(piece.roll), np.array(LAGS)) for piece in long], axis=0)
    above = {lag: mean[lag - 1] - (mean[lag - 2] + mean[lag]) / 2 for lag in LAGS[3:-1]}
    other = [lag for lag in above if lag in SUMS and lag not in PERIODS]
    rest = [lag for lag in above if lag not in SUMS and lag not in PERIODS]
    return {"agreement": mean.tolist(), "pieces": len(long),
            "periods above neighbours": intervals.mean([above[h] for h in PERIODS]),
            "other sums": intervals.mean([above[lag] for lag in other]),
            "other lags": intervals.mean([above[lag] for lag in rest]),
            "best lags": [int(lag) for lag in sorted(above, key=lambda lag: -mean[lag - 1])[:12]]}
