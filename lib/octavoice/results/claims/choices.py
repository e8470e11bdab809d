"""Which of the thesis's choices help by true likelihood, and by how much, from what is stored."""

from functools import partial

import pandas as pd

from octavoice.results.claims.stored import Stored, Value
from octavoice.studies.variants import VOICES
from octavoice.thesis import values

ABLATED = {"attention, not nothing read": "attention-off",
           "attention, not the same weights always": "attention-constant",
           "eight periods, not all from 1 to 128": "attention-all-periods",
           "attention, not all eight reads side by side": "reads-concatenated",
           "reads into layer 2, not 1": "reads-first", "the clock": "clock-off",
           "the fragment's clock, not the bar's": "clock-from-bar-line",
           "128 steps of history, not 32 [published]": "history-32", "128 steps of history, not none": "history-none",
           "onsets alone, not told what is held": "hears-held",
           "transposed batches": "not-transposed",
           **{f"five voices, not {count}": f"voices-{count}" for count in VOICES},
           "voices fed the truth, not their own decisions": "forcing-own",
           "voices fed the truth, not the first in order": "forcing-ordered",
           "scheme two, not one": "scheme-one", "scheme two, not one of a shared net": "scheme-one-shared",
           "voice by voice, not independent classes": "independent",
           "voice by voice, not a softmax over 4096": "softmax", "voice by voice, not an exact chain": "chain",
           "the same, both trained as long as in the thesis": "chain-full",
           "classes and a decoder, not 88 independent keys": "keys-directly",
           "classes and a decoder, not a chain of 88 keys": "keys-chain",
           "36 hidden units in the decoder, not 150": "decoder-150-slow",
           "36 hidden units in the decoder, not none": "decoder-0-slow",
           "one Gibbs step in the decoder's training, not ten": "decoder-cd10-slow"}
"""The choices that ablations test, by the variant against which each is set."""
DECODER = {"the mask in the decoder's training": ("published", "trained without mask"),
           "the decoder's Adam of rate 0.1, not 0.01": ("published", "rate 0.01")}
"""The choices of the published program's decoder: the chosen and the rival, as notebook 05 calls them."""


def gains(stored: Stored) -> pd.DataFrame:
    """Nats per step by which the thesis's choice lies above its rival: a row per choice, mean and range over seeds.

    Columns ``gain``, ``low``, ``high``, ``over`` and ``of``: which likelihood. Choices of main module and sampler are
    from ablations, on all steps, mixed with a back door as :mod:`octavoice.likelihood.mixture` says, by a bound where
    there is nothing exact; those of the decoder are by the likelihood of what generation does.
    """
    rows = {what: _row(stored.ablated(rival), _space(rival)) for what, rival in ABLATED.items()}
    for what, pair in DECODER.items():
        rows[what] = _row(stored.over_seeds(partial(_decoder, stored, pair)), "keys given classes, full size")
    rows["one Gibbs step in generation, not eight"] = _row(stored.over_seeds(partial(_gibbs, stored)),
                                                           "keys given classes, full size")
    table = pd.DataFrame({what: row for what, row in rows.items() if row}).T
    return table.rename_axis("choice")


def _space(variant: str) -> str:
    return next((space for start, space in (("keys-", "keys"), ("decoder-", "keys given classes"))
                 if variant.startswith(start)), "classes")


def _row(value: Value | None, of: str) -> dict:
    return {} if value is None else {"gain": value.value, "low": value.low, "high": value.high, "over": value.over,
                                     "of": of}


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
    return [what for what in (*ABLATED, *DECODER) if what not in table.index]
