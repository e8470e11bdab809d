"""The stored results that verdicts are computed from: committed runs at preset ``thesis`` and ablations, read and
noted."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import combine_pvalues

from octavoice import paths
from octavoice.results import ablations

MAIN = "open-keyboard"
"""The collection of about the thesis's size: its runs decide, the others are told beside them."""


@dataclass(frozen=True)
class Value:
    """A number with its range ``low`` to ``high`` and what that range is ``over``: seeds, samples, pieces.

    ``each`` holds it by seed, where a comparison has to be made seed by seed.
    """

    value: float
    low: float
    high: float
    over: str
    each: dict[int, "Value"] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        same = f"{self.low:.3g}" == f"{self.high:.3g}"
        return f"{self.value:.3g}" + ("" if same else f" ({self.low:.3g} to {self.high:.3g}, {self.over})")


@dataclass
class Stored:
    """Results below ``folder``, a folder per corpus and in it one per seed. ``read`` notes every file that was used."""

    folder: Path = field(default_factory=lambda: paths.checkout() / "results" / "thesis")
    read: set[str] = field(default_factory=set)

    def corpora(self) -> list[str]:
        """The corpora of published runs, the main one first."""
        found = {index.parents[1].name for index in self.folder.glob("*/seed-*/index.json")}
        return sorted(found, key=lambda name: (name != MAIN, name))

    def seeds(self, corpus: str = MAIN) -> list[int]:
        """The seeds of a corpus that have any results."""
        return sorted(int(path.parent.name.removeprefix("seed-")) for path in self.folder.glob(
            f"{corpus}/seed-*/index.json"))

    def path(self, name: str, corpus: str, seed: int) -> Path | None:
        """A file of a run, noted as read; None if it is not there."""
        path = self.folder / corpus / f"seed-{seed}" / name
        if not path.exists():
            return None
        self.read.add(path.relative_to(self.folder).as_posix())
        return path

    def json(self, name: str, corpus: str = MAIN, seed: int = 1) -> dict | None:
        """Plain data of a run, None if it is not stored."""
        path = self.path(f"{name}.json", corpus, seed)
        return path and json.loads(path.read_text(encoding="utf-8"))

    def table(self, name: str, corpus: str = MAIN, seed: int = 1, index: int | list[int] = 0) -> pd.DataFrame | None:
        """A table of a run, None if it is not stored."""
        path = self.path(f"{name}.csv", corpus, seed)
        return None if path is None else pd.read_csv(path, index_col=index)

    def over_seeds(self, measured: Callable[[int], float | None], corpus: str = MAIN) -> Value | None:
        """Mean and range over the seeds of a corpus for which ``measured(seed)`` gives a number; None without any."""
        found = {seed: float(value) for seed in self.seeds(corpus) if (value := measured(seed)) is not None}
        if not found:
            return None
        over = f"{len(found)} seeds of {corpus}"
        return Value(float(np.mean(list(found.values()))), min(found.values()), max(found.values()), over,
                     {seed: Value(value, value, value, over) for seed, value in found.items()})

    def ablated(self, variant: str, base: str | None = None, corpus: str = MAIN) -> Value | None:
        """Nats per step by which the thesis's choice lies above a variant, from the ablations beside ``folder``."""
        folder = self.folder.parent / "ablation"
        results = ablations.stored(folder, corpus)
        found = ablations.gain(results, variant, base)
        if found is None:
            return None
        self.read |= {f"../ablation/{path.relative_to(folder).as_posix()}"
                      for name in (variant, base or ablations.base_of(variant))
                      for path in folder.glob(f"{corpus}/{name}/seed-*.json")}
        iterations = next(iter(results[variant].values()))["cost"]["iterations"]
        return Value(found["gain"], found["low"], found["high"], f"{found['over']}, {iterations} iterations")

    def measured(self, subject: str, *keys: str | int, corpus: str = MAIN) -> Value | None:
        """A number from the ``claims_<subject>.json`` of every seed that has it, by its keys; None if none has.

        Of one seed with its own interval. Of several their mean, and a range from the lowest end of their intervals to
        the highest.
        """
        found = self._measured(subject, keys, corpus)
        if not found:
            return None
        units = {each["units"] for each in found.values()} - {0}
        over = ", ".join([*(["95 %"] if units else []), *(f"n = {n}" for n in units if len(units) == 1), corpus,
                          f"seed {next(iter(found))}" if len(found) == 1 else f"each of {len(found)} seeds"])
        values, lows, highs = ([each[name] for each in found.values()] for name in ("value", "low", "high"))
        return Value(float(np.mean(values)), min(lows), max(highs), over,
                     {seed: Value(each["value"], each["low"], each["high"], over) for seed, each in found.items()})

    def tested(self, subject: str, *keys: str | int, corpus: str = MAIN) -> Value | None:
        """A p-value from the same files; those of several seeds are combined by Fisher's method, their range told."""
        found = {seed: each["value"] for seed, each in self._measured(subject, keys, corpus).items()}
        if not found:
            return None
        over = f"{len(found)} seeds of {corpus} by Fisher's method" if len(found) > 1 else \
            f"{corpus}, seed {next(iter(found))}"
        values = list(found.values())
        return Value(float(combine_pvalues(values).pvalue), min(values), max(values), over)

    def _measured(self, subject: str, keys: tuple, corpus: str) -> dict[int, dict]:
        """A measured number by seed, with ``value``, ``low``, ``high`` and ``units``; 0 units where it has no interval.
        """
        found = {}
        for seed in self.seeds(corpus):
            number = self.json(f"claims_{subject}", corpus, seed)
            for key in keys:
                number = None if number is None else number[key]
            if number is not None:
                found[seed] = number if isinstance(number, dict) else {"value": number, "low": number, "high": number,
                                                                       "units": 0}
        return found
