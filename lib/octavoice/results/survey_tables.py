"""The survey's stored results as tables: what is there, what is missing, and what published figures it meets.

They lie where :mod:`octavoice.studies.survey_runs` leaves them.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from octavoice import paths
from octavoice.corpus.benchmarks import NAMES
from octavoice.formats.midi import read_midi
from octavoice.likelihood import axis
from octavoice.results.compared import indexed
from octavoice.studies import other_kinds
from octavoice.studies.survey_runs import COMPARED, OPEN
from octavoice.survey import MODELS

SETS = {
    "benchmarks/jsb": "JSB Chorales (benchmark rolls)",
    "benchmarks/nottingham": "Nottingham (benchmark rolls)",
    "benchmarks/musedata": "MuseData (benchmark rolls)",
    "benchmarks/piano-midi": "Piano-midi.de (benchmark rolls)",
}
"""The field's sets by the names that tables show: two of them are called as a corpus of ours is."""
MACHINES = ("seed", "minutes", "on", "settings")
"""Columns that a page folds away."""
CLOSE = 0.03
"""A published figure is met within this share of it, or bettered."""


def committed() -> Path:
    """The folder of the results that are committed."""
    return paths.checkout() / "results" / "survey"


def results(folder: Path) -> list[dict]:
    """The results of models of chords below a folder, with their files' names as ``run``."""
    return [run for run in _all(folder) if run["model"] not in other_kinds.BY_MODEL]


def of_other_kinds(folder: Path) -> list[dict]:
    """Those of :mod:`~octavoice.studies.other_kinds`."""
    return [run for run in _all(folder) if run["model"] in other_kinds.BY_MODEL]


def _all(folder: Path) -> list[dict]:
    files = sorted(folder.glob("*/*/seed-*.json"))
    return [json.loads(path.read_text()) | {"run": path.stem} for path in files]


def controls(folder: Path) -> dict[str, dict[str, float]]:
    """What :func:`~octavoice.studies.survey_runs.write_controls` left in a folder, by set."""
    return _read(folder / "controls.json")


def references(folder: Path) -> dict[str, dict[str, dict]]:
    """What :func:`~octavoice.studies.survey_runs.write_references` left in a folder, by corpus and name."""
    return _read(folder / "references.json")


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def heard(folder: Path, model: str) -> tuple[np.ndarray, str] | None:
    """A continuation that a run on open music left, as a roll ``(time, key)``, and which run that was; or
    nothing."""
    files = (path for corpus in OPEN for path in sorted((folder / corpus / model).glob("seed-*.mid")))
    path = next(files, None)
    return path and (read_midi(path).roll, f"{path.parent.parent.name}, {path.stem}")


def panels(found: list[dict]) -> dict[str, pd.DataFrame]:
    """For each set of music with a result: every model's best run for a figure.

    Columns ``minutes``, ``nats``, ``kind`` and ``gpu``, whether they are minutes of a GPU.
    """
    made = {}
    for corpus in dict.fromkeys(run["corpus"] for run in found):
        best = {}
        for run in _of(found, corpus):
            known = best.get(run["model"])
            if known is None or _rank(run) < _rank(known):
                best[run["model"]] = run
        rows = {model: _point(run) for model, run in best.items()}
        made[SETS.get(corpus, corpus)] = pd.DataFrame.from_dict(rows, orient="index", dtype=object)
    return made


def _point(run: dict) -> dict:
    """What a figure shows of a run: nats are per frame of a benchmark set, else per step, lower is better."""
    nats = run["test"]["from the second"] if run["corpus"] in NAMES else -run["level"]
    return {"minutes": _minutes(run), "nats": nats, "kind": run["kind"], "gpu": "gpu" in run}


def _of(found: list[dict], corpus: str, model: str = "") -> list[dict]:
    """The runs on a corpus, of one model if it is named."""
    return [run for run in found if run["corpus"] == corpus and model in ("", run["model"])]


def _rank(run: dict) -> float:
    """The run of lowest rank stands for its model: the best on validation of a benchmark set, else the first
    seed."""
    return run["cost"]["selected_on"] if run["corpus"] in NAMES else run["seed"]


def benchmark_table(found: list[dict]) -> pd.DataFrame:
    """A row for each set and model: nats per frame of the run that was best on validation, what is published,
    whether that is met, and then the rest.

    ``tried`` counts the runs; a model without one is told as missing.
    """
    rows = {}
    for corpus in NAMES:
        for model in MODELS:
            runs = _of(found, corpus, model.name)
            published = [figure for figure in model.card.published if figure.corpus == corpus]
            rows[SETS[corpus], model.name] = _benchmark_row(runs, published)
    table = pd.DataFrame.from_dict(rows, orient="index", dtype=object)
    return table.rename_axis(["set", "model"]).fillna("–")


def _benchmark_row(runs: list[dict], published: list) -> dict:
    """A row of :func:`benchmark_table` from all runs of a model on a set and the figures published of it."""
    told = "; ".join(f"{figure.nats:.2f} ({figure.source})" for figure in published) or "value not confirmed"
    if not runs:
        return {"nats per frame": "missing", "published": told}
    best = min(runs, key=_rank)
    test, seen = best["test"], best["test"]["window seen"]
    return {
        "nats per frame": f"{test['from the second']:.3f}",
        "published": told,
        "met": _met(best, published),
        "kind": best["kind"],
        "first frame too": f"{test['every frame']:.3f}",
        "frames seen": f"{seen['share']:.0%}",
        "on these": "–" if seen["leaked"] is None else f"{seen['leaked']:.3f}",
        "on the others": f"{seen['clean']:.3f}",
        "seed": best["seed"],
        "tried": len(runs),
        "minutes": f"{_minutes(best):.1f}",
        "on": _machine(best),
        "settings": _settings(best),
    }


def tried(found: list[dict]) -> pd.DataFrame:
    """Every run of the models that have several on a benchmark set, nats per frame; of each model the chosen
    one first."""
    rows = {}
    for corpus in NAMES:
        for model in MODELS:
            runs = sorted(_of(found, corpus, model.name), key=_rank)
            if len(runs) > 1:
                rows |= {(SETS[corpus], model.name, _settings(run)): _tried_row(run) for run in runs}
    return indexed(rows, ["set", "model", "settings"])


def _tried_row(run: dict) -> dict:
    return {
        "validation": run["cost"]["selected_on"],
        "test": run["test"]["from the second"],
        "best iteration": run["cost"]["best_iteration"],
        "minutes": f"{_minutes(run):.1f}",
        "on": _machine(run),
    }


def _settings(run: dict) -> str:
    """The settings of a run that are not those of its set: its file is called ``seed-1,rate=0.003``."""
    return run["run"].partition(",")[2] or "as listed"


def _minutes(run: dict) -> float:
    """Core-minutes of a run on a CPU, validation included; where they are not on record, and on a GPU, the
    training's minutes on the wall."""
    return run["cost"].get("cpu_seconds", run["cost"]["seconds"]) / 60


def _machine(run: dict) -> str:
    """What a run's minutes are of: its GPU, or one core of its processor."""
    return run.get("gpu") or f"one core, {run['processor']}"


def _met(run: dict, published: list) -> str:
    """Of every published figure whether it counts as met, and by how much this run is above it."""
    ours = run["test"]["from the second"]
    told = []
    for figure in published:
        word = "yes" if ours <= (1 + CLOSE) * figure.nats else "no"
        told.append(f"{word} ({ours / figure.nats - 1:+.1%})")
    return "; ".join(told) or "–"


def open_table(found: list[dict], beside: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """A row for each corpus of open music and model: nats per step over seeds, 95 % of the first, and its
    cost.

    Below them what is judged ``beside``, see :func:`references`.
    """
    rows = {}
    for corpus in OPEN:
        for model in COMPARED:
            rows[corpus, model] = _open_row(_of(found, corpus, model))
        for name, reference in beside.get(corpus, {}).items():
            rows[corpus, name] = _level([reference])
    table = pd.DataFrame.from_dict(rows, orient="index", dtype=object)
    return table.rename_axis(["corpus", "model"]).fillna("–")


def _open_row(runs: list[dict]) -> dict:
    """A row of :func:`open_table` from a model's runs on a corpus, a seed each."""
    if not runs:
        return {"nats per step": "missing"}
    first = runs[0]
    return {
        **_level(runs),
        "seeds": ", ".join(str(run["seed"]) for run in runs),
        "parameters": f"{first['cost']['parameters']}",
        "iterations": f"{first['cost']['iterations']}",
        "minutes": f"{_minutes(first):.1f}",
        "on": _machine(first),
    }


def _level(runs: list[dict]) -> dict:
    """The mean level over seeds with the lowest and highest, and the first one's interval over pieces."""
    levels = [run["level"] for run in runs]
    over = f" ({min(levels):.3f} to {max(levels):.3f})" if len(levels) > 1 else ""
    return {
        "kind": runs[0]["kind"],
        "nats per step": f"{np.mean(levels):.3f}{over}",
        "95 % over pieces": f"{runs[0]['low']:.3f} to {runs[0]['high']:.3f}",
    }


def gains(found: list[dict], beside: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """By how many nats a step the best model of a corpus is above the others and what is judged ``beside``.

    Of each the first seed; 95 % by a paired bootstrap over those pieces of which neither leaves out a step.
    """
    rows = {}
    for corpus in OPEN:
        runs = _of(found, corpus)
        first = {run["model"]: min(_of(runs, corpus, run["model"]), key=_rank) for run in runs}
        if not first:
            continue
        best = max(first, key=lambda name: first[name]["level"])
        others = {name: first[name] for name in COMPARED if name in first and name != best}
        for name, other in (others | beside.get(corpus, {})).items():
            rows[corpus, best, name] = _gain(first[best], other)
    return indexed(rows, ["corpus", "best", "over"])


def other_kinds_table(found: list[dict]) -> pd.DataFrame:
    """A row for each planned model and corpus of other kinds: its level over seeds in nats per unit, the kind
    of likelihood, the best table of frequencies beside it, and the cost; what has no result is missing."""
    rows = {}
    for study in other_kinds.STUDIES:
        for corpus in study.corpora:
            rows[corpus, study.model] = _other_row(_of(found, corpus, study.model))
    table = pd.DataFrame.from_dict(rows, orient="index", dtype=object)
    return table.rename_axis(["corpus", "model"]).fillna("–")


def _other_row(runs: list[dict]) -> dict:
    """A row of :func:`other_kinds_table`, a run a seed."""
    if not runs:
        return {"nats": "missing"}
    first = runs[0]
    row = {"per": first["unit"], "kind": first["kind"]}
    if "level" in first:
        level = _level(runs)
        row |= {"nats": level["nats per step"], "95 % over pieces": level["95 % over pieces"]}
    if first.get("tables"):
        name = max(first["tables"], key=first["tables"].get)
        row["best table"] = f"{first['tables'][name]:.3f} ({name})"
    return row | {
        "seeds": ", ".join(str(run["seed"]) for run in runs),
        "parameters": f"{first['cost']['parameters']}",
        "minutes": f"{_minutes(first):.1f}",
        "on": _machine(first),
    }


def _gain(ours: dict, theirs: dict) -> dict:
    """A row of :func:`gains`: both hold sums over the same pieces, in the same order."""
    table = pd.DataFrame({"steps": ours["steps"], "ours": ours["nats"], "theirs": theirs["nats"]})
    table = table[table["steps"] == theirs["steps"]]
    return axis.gain(table, "ours", "theirs") | {"pieces": len(table)}


def summary() -> str:
    """The tables of what is there, without what a run took: benchmark sets, open music, gains of its best
    model, models of other kinds."""
    folder = paths.home() / "results" / "survey"
    found, beside = results(folder), references(folder)
    tables = benchmark_table(found), open_table(found, beside), gains(found, beside)
    tables = (*tables, other_kinds_table(of_other_kinds(folder)))
    shown = [table.drop(columns=[*MACHINES], errors="ignore").round(3) for table in tables]
    return "\n\n".join(table.to_string() for table in shown)
