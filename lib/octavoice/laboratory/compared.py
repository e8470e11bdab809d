"""The committed runs of the model beyond, on one axis with the thesis's model and the tables (08_beyond)."""

import json
from pathlib import Path

import pandas as pd

from octavoice import paths
from octavoice.laboratory.costs import trained_on
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


def table() -> pd.DataFrame:
    """Nats per step on whole test sets: a row for each corpus and space. Levels of the model are means over seeds.

    The gain over the thesis's network is that of the first seed, with its paired 95 % interval over pieces.
    """
    rows, found = {}, folders()
    for corpus in dict.fromkeys(folder.parent.name for folder in found):
        group = [folder for folder in found if folder.parent.name == corpus]
        levels = [pd.read_csv(folder / "beyond_levels.csv", index_col=[0, 1])["level"] for folder in group]
        gains = pd.read_csv(group[0] / "beyond_gains.csv", index_col=[0, 1])
        for space, best in TABLES.items():
            ours, gain = [level[space, "beyond"] for level in levels], gains.loc[(space, "thesis")]
            rows[corpus, space] = {
                "seeds": ", ".join(folder.name.removeprefix("seed-") for folder in group),
                "beyond, exact": f"{sum(ours) / len(ours):.3f}",
                "range over seeds": f"{min(ours):.3f} to {max(ours):.3f}" if len(ours) > 1 else "one seed",
                "thesis, bound": f"{sum(level[space, 'thesis'] for level in levels) / len(levels):.3f}",
                "best table": f"{levels[0][space, best]:.3f}",
                "gain over thesis (95 %)": f"{gain['gain']:.3f} ({gain['low']:.3f} to {gain['high']:.3f})",
                "training": _minutes(group)}
    return _indexed(rows, ["corpus", "nats per step of"])


def held() -> pd.DataFrame:
    """How long notes are held, nats per note on whole test sets, and all that is written, nats per step.

    A row for each corpus; levels of the model are means over seeds, those of tables are one number whatever the seed.
    """
    rows, found = {}, [folder for folder in folders() if (folder / "beyond_durations.csv").exists()]
    for corpus in dict.fromkeys(folder.parent.name for folder in found):
        group = [folder for folder in found if folder.parent.name == corpus]
        notes = [pd.read_csv(folder / "beyond_durations.csv", index_col=0)["level"] for folder in group]
        whole = [json.loads((folder / "beyond_everything.json").read_text(encoding="utf-8")) for folder in group]
        rows[corpus] = {
            "seeds": ", ".join(folder.name.removeprefix("seed-") for folder in group),
            "beyond, exact": _spread([level["beyond"] for level in notes]),
            **{name: f"{notes[0][name]:.3f}" for name in ("marginal", "by position", "until the next onset")},
            "onsets and durations, per step": _spread([facts["nats per step"] for facts in whole])}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("corpus")


def _spread(values: list[float]) -> str:
    """A mean, with its range where there are several."""
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def _minutes(group: list[Path]) -> str:
    """Minutes of training of all stages, and the machine."""
    costs = [json.loads((folder / "index.json").read_text(encoding="utf-8"))["provenance"]["08_beyond"]["cost"]
             for folder in group]
    called = [stage.called for stage in models.named("beyond").stages]
    minutes = [sum(cost[f"training, {name}"]["seconds"] for name in called) / 60 for cost in costs]
    span = dict.fromkeys(f"{value:.0f}" for value in (min(minutes), max(minutes)))
    return f"{' to '.join(span)} min; {trained_on(costs[0], called)}"


def likeness() -> pd.DataFrame:
    """Of every committed run: how many of the statistics of samples cannot be told from music, and which is nearer."""
    rows = {}
    for folder in folders():
        facts = json.loads((folder / "beyond_counted.json").read_text(encoding="utf-8"))
        rows[folder.parent.name, folder.name.removeprefix("seed-")] = facts
    return _indexed(rows, ["corpus", "seed"])


def _indexed(rows: dict[tuple, dict], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=names))
