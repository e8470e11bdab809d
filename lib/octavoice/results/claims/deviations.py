"""The log of deviations: what is done otherwise than in the thesis, and what that does where it is stored."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from octavoice.results.claims.stored import MAIN, Stored, Value
from octavoice.thesis import values

UNMEASURED = "not measured"


@dataclass(frozen=True)
class Deviation:
    """``what`` differs: as in the ``thesis``, as ``here``; ``effect`` reads what that does, ``of`` what it is."""

    what: str
    thesis: str
    here: str
    of: str = ""
    effect: Callable[[Stored], Value | None] = lambda stored: None


def _between(stored: Stored, first: Callable[[int], float | None], second: Callable[[int], float | None]):
    """Mean and range over seeds of the first less the second."""
    def of(seed: int) -> float | None:
        a, b = first(seed), second(seed)
        return None if a is None or b is None else a - b
    return stored.over_seeds(of)


def _level(stored: Stored, seed: int) -> float | None:
    table = stored.table("test_levels", seed=seed)
    return None if table is None else table.loc["main module", "level"]


def _random_batch(stored: Stored) -> Value | None:
    def of(seed: int) -> float | None:
        found = stored.json("test_random_batch", seed=seed)
        return found and found["nats per step"]
    return _between(stored, of, lambda seed: _level(stored, seed))


def _selection(stored: Stored) -> Value | None:
    def row(name: str) -> Callable[[int], float | None]:
        def of(seed: int) -> float | None:
            table = stored.table("c9_gap", seed=seed)
            return None if table is None else table.loc[name, "value"]
        return of
    return _between(stored, row("best held-out"), row("last held-out"))


def _reading(stored: Stored) -> Value | None:
    def row(name: str) -> Callable[[int], float | None]:
        def of(seed: int) -> float | None:
            table = stored.table("c11_c13_keys", seed=seed)
            return None if table is None else table.loc[name, "in prime's key"]
        return of
    return _between(stored, row("samples, prime read by own decisions"), row("samples"))


def _music(stored: Stored) -> Value | None:
    """How far collections lie apart: the test level on the thesis's small set less that on the main one."""
    def mean(corpus: str) -> Value | None:
        def of(seed: int) -> float | None:
            table = stored.table("test_levels", corpus, seed)
            return None if table is None else table.loc["main module", "level"]
        return stored.over_seeds(of, corpus)
    small, main = mean("piano-midi"), mean(MAIN)
    return None if small is None or main is None else Value(
        small.value - main.value, small.low - main.high, small.high - main.low, "ranges over seeds")


def _surrogate(stored: Stored) -> Value | None:
    """What the objective leaves out: the bound of the sampling process less the objective, on 08's panel."""
    def of(seed: int) -> float | None:
        table = stored.table("beyond_surrogate", seed=seed)
        return None if table is None else table.iloc[1]["level"] - table.iloc[0]["level"]
    return stored.over_seeds(of)


LOG = (
    Deviation("music", f"{values.value('pieces')} pieces of a collection that is not free", "open collections of about "
              "that size, songs with piano among them", "test level on piano-midi less that on open-keyboard", _music),
    Deviation("split", "the first 1150 pieces train, the others validate", "by a hash of each piece's notes; a "
              "validation and a test side"),
    Deviation("rounding onto the grid", "half to even [published program]", "floor(4q + 1/2) in exact rational time"),
    Deviation("top four keys", "left out by compression [published program]", "compressed with the rest"),
    Deviation("history of a fragment", "the newest 32 of 128 steps, zeros before [published program]", "all 128 steps",
              "nats gained by 128 steps over 32", lambda stored: stored.ablated("history-32")),
    Deviation("notes that end where they begin again", "a note-off erases an onset in its cell [published program]",
              "onsets stay"),
    Deviation("decoder's training data", "loudness / 128, but it generates from 0 and 1 [published program]",
              "0 and 1 in both"),
    Deviation("log of zero in the objective", "possible [published program]", "computed in log space throughout"),
    Deviation("held-out level", "one noisy batch of transposed fragments a point", "a fixed panel, and every step of "
              "every test piece", "random batch less whole test set", _random_batch),
    Deviation("held-out axis of Fig. 14", "iterations halved by the plotting program", "every point at its iteration"),
    Deviation("which weights are reported", "the best on held-out among checks every 200 iterations", "the last one, "
              "none is selected", "best held-out point less the last", _selection),
    Deviation("reading a prime", "voices are fed their own decisions [published program]", "fed the truth, as in "
              "training", "onsets in the prime's key: own decisions less truth", _reading),
    Deviation("what a level is", "the objective, a surrogate", "beside it a bound on the likelihood of what is sampled",
              "bound less objective", _surrogate),
    Deviation("software", "PyTorch of 2018 on an 8-core i7", "the versions in each run's index; products of training "
              "in bfloat16 on one thread"),
    Deviation("marking of keys", "by hand, from a few samples", "music21's analysis, over all samples"),
)
"""Every deviation once, with what it does."""


def table(stored: Stored | None = None) -> pd.DataFrame:
    """The log for a page: what differs, and its effect in the unit of what is compared (nats per step, or a share)."""
    stored = stored or Stored()
    rows = []
    for each in LOG:
        found = each.effect(stored)
        rows.append({"what": each.what, "thesis": each.thesis, "here": each.here,
                     "effect": UNMEASURED if found is None else f"{each.of}: {found}"})
    return pd.DataFrame(rows).set_index("what")
