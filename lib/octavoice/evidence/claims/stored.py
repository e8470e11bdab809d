"""The stored results that verdicts are computed from: committed runs at preset ``thesis`` and ablations, read and
noted."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from octavoice import paths
from octavoice.evidence.ablation import table as ablations

MAIN = "open-keyboard"
"""The collection of about the thesis's size: its runs decide, the others are told beside them."""


@dataclass(frozen=True)
class Value:
    """A number with its range ``low`` to ``high`` and what that range is ``over``: seeds, samples, pieces."""

    value: float
    low: float
    high: float
    over: str

    def __str__(self) -> str:
        same = f"{self.low:.3g}" == f"{self.high:.3g}"
        return f"{self.value:.3g}" + ("" if same else f" ({self.low:.3g} to {self.high:.3g}, {self.over})")


@dataclass
class Stored:
    """Results below ``folder``, a folder per corpus and in it one per seed. ``read`` notes every file that was used."""

    folder: Path = field(default_factory=lambda: paths.checkout() / "results" / "thesis")
    read: set[str] = field(default_factory=set)

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
        found = [float(value) for seed in self.seeds(corpus) if (value := measured(seed)) is not None]
        if not found:
            return None
        return Value(float(np.mean(found)), min(found), max(found), f"{len(found)} seeds of {corpus}")

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

    def measured(self, subject: str, *keys: str | int, corpus: str = MAIN, seed: int = 1) -> Value | None:
        """A number with its interval from a run's ``claims_<subject>.json``, by its keys; None if it is not stored."""
        found = self.json(f"claims_{subject}", corpus, seed)
        for key in keys:
            found = None if found is None else found[key]
        if found is None:
            return None
        if not isinstance(found, dict):
            return Value(found, found, found, f"{corpus}, seed {seed}")
        return Value(found["value"], found["low"], found["high"], f"95 %, n = {found['units']}, {corpus}, seed {seed}")
