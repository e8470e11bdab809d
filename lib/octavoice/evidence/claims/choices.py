"""Which of the thesis's choices help by true likelihood, and by how much, from what is stored."""

from functools import partial

import pandas as pd

from octavoice.evidence.claims.stored import Stored, Value
from octavoice.thesis import values

FORCING = {"voices fed the truth, not their own decisions": "own",
           "voices fed the truth, not the first in order": "ordered",
           "voice by voice, not independent classes": "independent classes",
           "voice by voice, not a softmax over 4096": "softmax over 4096"}
"""The choices of §6.4, by the rival against which each is set."""
DECODER = {"the mask in the decoder's training": ("published", "trained without mask"),
           "the decoder's Adam of rate 0.1, not 0.01": ("published", "rate 0.01")}
"""The choices of the published program's decoder: the chosen and the rival, as notebook 05 calls them."""
SIZES = {"36 hidden units in the decoder, not 150": 150, "36 hidden units in the decoder, not none": 0}
"""The decoder's size, by its rival."""
MISSING = ("attention, or its reads concatenated or into layer 1", "the clock", "the number of voices",
           "transposed batches", "history of 128 steps")
"""Choices for which no pair of runs is stored."""


def gains(stored: Stored) -> pd.DataFrame:
    """Nats per step by which the thesis's choice lies above its rival: a row per choice, mean and range over seeds.

    Columns ``gain``, ``low``, ``high``, ``over`` and ``of``: which likelihood. Choices of the sampler are from
    trainings at study scale by a bound, as those of the decoder's size are; those of the decoder are by the likelihood
    of what generation does.
    """
    rows = {}
    for what, rival in FORCING.items():
        rows[what] = _row(stored.over_seeds(partial(_forcing, stored, rival)), "classes, studies")
    for what, pair in DECODER.items():
        rows[what] = _row(stored.over_seeds(partial(_decoder, stored, pair)), "keys given classes")
    for what, rival in SIZES.items():
        rows[what] = _row(stored.over_seeds(partial(smaller, stored, rival)), "keys given classes, studies")
    rows["one Gibbs step, not eight"] = _row(stored.over_seeds(partial(_gibbs, stored)), "keys given classes")
    table = pd.DataFrame({what: row for what, row in rows.items() if row}).T
    return table.rename_axis("choice")


def _row(value: Value | None, of: str) -> dict:
    return {} if value is None else {"gain": value.value, "low": value.low, "high": value.high, "over": value.over,
                                     "of": of}


def _forcing(stored: Stored, rival: str, seed: int) -> float | None:
    found = stored.json("claims_rivals", seed=seed)
    return found and found["levels"]["truth"] - found["levels"][rival]


def _decoder(stored: Stored, pair: tuple[str, str], seed: int) -> float | None:
    table = stored.table("decoder_scores", seed=seed)
    return None if table is None else table.loc[pair[0], "as generated"] - table.loc[pair[1], "as generated"]


def smaller(stored: Stored, other: int, seed: int) -> float | None:
    """Nats per step by which the decoder of the thesis's size lies above one of another."""
    found = stored.json("claims_sizes", seed=seed)
    return found and found["levels"][str(values.value("rbm_hidden"))] - found["levels"][str(other)]


def _gibbs(stored: Stored, seed: int) -> float | None:
    study = stored.json("decoder_study", seed=seed)
    steps = study and study["gibbs_steps"]["published"]
    return steps and steps["1"]["likelihood"] - steps["8"]["likelihood"]


def missing(table: pd.DataFrame) -> list[str]:
    """What the figure leaves out because no run is stored."""
    return [what for what in (*FORCING, *DECODER, *SIZES) if what not in table.index] + list(MISSING)
