"""The committed runs of the model beyond, on one axis with the thesis's model and the tables (08_beyond)."""

import json
from pathlib import Path

import pandas as pd

from octavoice import paths
from octavoice.results.costs import trained_on
from octavoice.training import models

TABLES = {"classes": "one bar before", "keys given classes": "octave kept", "keys": "tables"}
"""The best table of frequencies of each space."""


def folders() -> list[Path]:
    """Results of the committed runs that have 08's tables, by corpus and seed."""
    found = (path.parent for path in (paths.checkout() / "results" / "thesis").glob("*/seed-*/beyond_levels.csv"))
    return sorted(found, key=lambda folder: (folder.parent.name, int(folder.name.removeprefix("seed-"))))


def figures(folder: Path, names: tuple[str, ...]) -> list[bytes]:
    """Those of a committed run's figures that there are, as PNG."""
    places = [paths.checkout() / "figures" / Path(*folder.parts[-3:]) / f"{name}.png" for name in names]
    return [place.read_bytes() for place in places if place.exists()]


def headline() -> pd.DataFrame:
    """Nats per step of all 88 keys on whole test sets: a row a corpus, all its numbers means over the same seeds."""
    rows, found = {}, folders()
    for corpus in dict.fromkeys(folder.parent.name for folder in found):
        group = [folder for folder in found if folder.parent.name == corpus]
        keys = pd.DataFrame([_levels(folder)["keys"] for folder in group]).mean()
        seeds = ", ".join(seed(folder) for folder in group)
        rows[f"{corpus}, seed{'s' * (len(group) > 1)} {seeds}"] = {
            "table of frequencies": f"{keys[TABLES['keys']]:.3f}", "thesis, at least": f"{keys['thesis']:.3f}",
            "our model": f"{keys['beyond']:.3f}"}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("music")


def table() -> pd.DataFrame:
    """Nats per step on whole test sets: a row for each corpus, seed and space, all its numbers that run's.

    The level of the thesis's network is a lower bound; the gain over it has its paired 95 % interval over pieces.
    """
    rows = {}
    for folder in folders():
        levels, gains = _levels(folder), pd.read_csv(folder / "beyond_gains.csv", index_col=[0, 1])
        for space, best in TABLES.items():
            gain = gains.loc[(space, "thesis")]
            rows[folder.parent.name, seed(folder), space] = {
                "beyond, exact": f"{levels[space, 'beyond']:.3f}", "thesis, at least": f"{levels[space, 'thesis']:.3f}",
                "best table": f"{levels[space, best]:.3f}",
                "gain over thesis (95 %)": f"{gain['gain']:.3f} ({gain['low']:.3f} to {gain['high']:.3f})"}
    return indexed(rows, ["corpus", "seed", "nats per step of"])


def _levels(folder: Path) -> pd.Series:
    """Nats per step of a run, by space and model."""
    return pd.read_csv(folder / "beyond_levels.csv", index_col=[0, 1])["level"]


def held() -> pd.DataFrame:
    """How long notes are held, nats per note on test sets, and all that is written, nats per step: a row a run."""
    rows = {}
    for folder in (folder for folder in folders() if (folder / "beyond_durations.csv").exists()):
        notes = pd.read_csv(folder / "beyond_durations.csv", index_col=0)["level"]
        whole = json.loads((folder / "beyond_everything.json").read_text(encoding="utf-8"))["nats per step"]
        rows[folder.parent.name, seed(folder)] = {
            "beyond, exact": f"{notes['beyond']:.3f}", "table of all": f"{notes['marginal']:.3f}",
            "table by position": f"{notes['by position']:.3f}",
            "until the next onset": f"{notes['until the next onset']:.3f}",
            "onsets and durations, per step": f"{whole:.3f}"}
    return indexed(rows, ["corpus", "seed"])


def minutes(folder: Path) -> tuple[str, str]:
    """Minutes of training of all stages of a run's model beyond, and the machine; dashes where there is none."""
    if folder not in folders():
        return "–", "–"
    cost = json.loads((folder / "index.json").read_text(encoding="utf-8"))["provenance"]["08_beyond"]["cost"]
    called = [stage.called for stage in models.named("beyond").stages]
    return f"{sum(cost[f'training, {name}']['seconds'] for name in called) / 60:.0f}", trained_on(cost, called)


def likeness() -> pd.DataFrame:
    """Of every committed run: how many of the statistics of samples cannot be told from music, and which is nearer."""
    rows = {}
    for folder in folders():
        facts = json.loads((folder / "beyond_counted.json").read_text(encoding="utf-8"))
        rows[folder.parent.name, seed(folder)] = facts
    return indexed(rows, ["corpus", "seed"])


def seed(folder: Path) -> str:
    """The seed of the run whose results a folder holds."""
    return folder.name.removeprefix("seed-")


def indexed(rows: dict[tuple, dict], names: list[str]) -> pd.DataFrame:
    """Rows by their tuples of names, as a table; an empty one of none."""
    if not rows:
        return pd.DataFrame()
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=names))
