"""Thesis-scale runs that are committed under ``results/thesis``: their curves, their table, its place in the README."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from octavoice import paths

MARKS = "<!-- results: written by `octavoice publish`, do not edit -->", "<!-- end of results -->"
LINES = {"main module": "main module and sampler", "marginal": "marginal frequency", "first order": "first-order table",
         "one bar before": "table of one bar before"}


@dataclass(frozen=True)
class Published:
    """One committed run: its corpus, seed, metrics of the main module, held-out levels and provenance."""

    corpus: str
    seed: int
    metrics: pd.DataFrame
    levels: pd.DataFrame
    facts: dict

    @property
    def cost(self) -> str:
        """Where it was trained and how long an iteration of both networks took, as measured."""
        cost = self.facts["cost"]
        parts = [part for name, part in cost.items() if name.startswith("training, ")]
        minutes = sum(part["seconds"] / part["iterations"] for part in parts) * self.facts["preset"]["iterations"] / 60
        return f"{minutes:.0f} min, {cost['processor']}, {cost['threads']} thread(s)"


def runs(preset: str = "thesis") -> list[Published]:
    """The runs of a preset that this checkout holds, by corpus and seed."""
    found = []
    for index in sorted((paths.checkout() / "results" / preset).glob("*/seed-*/index.json")):
        facts = json.loads(index.read_text(encoding="utf-8"))
        if facts.get("published") and "06_experiments" in facts["provenance"]:
            found.append(_read(index.parent, facts))
    return sorted(found, key=lambda run: (run.corpus, run.seed))


def _read(folder: Path, facts: dict) -> Published:
    return Published(facts["corpus"], facts["seed"], pd.read_csv(folder / "main_metrics.csv", index_col="iteration"),
                     pd.read_csv(folder / "test_levels.csv", index_col=0), facts["provenance"]["06_experiments"])


def by_corpus(found: list[Published]) -> dict[str, list[Published]]:
    """Runs grouped by their corpus, in order."""
    return {corpus: [run for run in found if run.corpus == corpus] for corpus in dict.fromkeys(r.corpus for r in found)}


def table(found: list[Published]) -> pd.DataFrame:
    """Held-out nats per step on each corpus's whole test set: a row per corpus.

    The main module's level is the mean over seeds with its range; baselines are the same for all seeds.
    """
    rows = {}
    for corpus, group in by_corpus(found).items():
        ours = [run.levels.loc["main module", "level"] for run in group]
        first = group[0].levels
        spread = first.loc["main module", ["low", "high"]]
        rows[corpus] = {
            "seeds": ", ".join(str(run.seed) for run in group),
            LINES["main module"]: f"{sum(ours) / len(ours):.3f}",
            "range over seeds": f"{min(ours):.3f} to {max(ours):.3f}" if len(ours) > 1 else "one seed",
            "95 % over pieces (first seed)": f"{spread['low']:.3f} to {spread['high']:.3f}",
            **{LINES[name]: f"{first.loc[name, 'level']:.3f}" for name in LINES if name != "main module"},
            "training of both networks": group[0].cost}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("corpus")


def markdown(found: list[Published]) -> str:
    """:func:`table` as Markdown, between the marks."""
    if not found:
        return "\n".join([MARKS[0], "", "None is committed yet.", "", MARKS[1]])
    cells = table(found).reset_index()
    lines = ["| " + " | ".join(row) + " |" for row in [list(cells.columns), ["---"] * len(cells.columns),
                                                         *cells.astype(str).to_numpy().tolist()]]
    return "\n".join([MARKS[0], "", *lines, "", MARKS[1]])


def write_readme(readme: Path) -> None:
    """Put the table of committed runs between the marks of a README; nothing happens if there are none."""
    text = readme.read_text(encoding="utf-8")
    if all(mark in text for mark in MARKS):
        before, rest = text.split(MARKS[0], 1)
        with paths.atomic(readme) as temporary:
            temporary.write_text(before + markdown(runs()) + rest.split(MARKS[1], 1)[1], encoding="utf-8")
