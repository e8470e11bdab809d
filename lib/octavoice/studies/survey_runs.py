"""The survey's runs, one command each, resumable, and what of them is there:

    python -m octavoice.studies.survey_runs run MODEL CORPUS [--seed N] [--set NAME=VALUE …]
        [--device cpu]
    python -m octavoice.studies.survey_runs controls
    python -m octavoice.studies.survey_runs references
    python -m octavoice.studies.survey_runs summary

On one of the field's benchmark sets (``benchmarks/…``) a model is trained and judged as
:mod:`octavoice.studies.benchmark_runs` says. On any other corpus it is trained at preset ``survey`` and judged on
whole test pieces as all models here are, nats per step of all that is struck; one continuation is kept as MIDI.
Results lie in ``results/survey/<corpus>/<model>/seed-<n>.json`` and say where they come from. References are judged on
the same pieces: tables of frequencies, and the committed networks of preset ``thesis``.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from octavoice import corpus as corpora
from octavoice import paths, provenance
from octavoice.corpus.benchmarks import NAMES, load_benchmark, marginal_nll
from octavoice.errors import UserError
from octavoice.formats.midi import read_midi, write_midi
from octavoice.likelihood import axis, evaluation
from octavoice.model import DURATIONS, Network, Stage
from octavoice.statistics import samples
from octavoice.studies import benchmark_runs, benchmark_sets
from octavoice.survey import CLASSES_MODELS, MODELS
from octavoice.training import models, networks, presets, recipes, stored, weights
from octavoice.training.run import Run, machine, pick_device

PRESET = "survey"
OPEN = ("open-keyboard", "piano-midi")
COMPARED = (*(model.name for model in (*MODELS, *CLASSES_MODELS)), "beyond")
"""The models on the axis of open music: all whose likelihood is one number for every step."""
STEPS = 20_000
"""About as many test steps are judged, whole pieces spread over all of them: the same for every model."""
REFERENCES = ("thesis", "beyond")
"""The models whose committed networks of preset ``thesis`` are judged beside."""
SETS = {"benchmarks/jsb": "JSB Chorales (benchmark rolls)", "benchmarks/nottingham": "Nottingham (benchmark rolls)",
        "benchmarks/musedata": "MuseData (benchmark rolls)", "benchmarks/piano-midi": "Piano-midi.de (benchmark rolls)"}
"""The field's sets by the names that tables show: two of them are called as a corpus of ours is."""
MACHINES = ("seed", "minutes", "on", "settings")
"""Columns that a page folds away."""
CLOSE = 0.03
"""A published figure is met within this share of it, or bettered."""


def open_run(model: str, corpus: str, seed: int, device: str = "cpu") -> dict:
    """A model trained at preset ``survey`` on a corpus, and judged; or found done with the same settings and code."""
    if model not in COMPARED:
        raise UserError(f"model {model!r} is none of those on this axis; choose one of {', '.join(COMPARED)}.")
    began = time.process_time()
    path, run = benchmark_runs.result_path(corpus, model, seed), Run(presets.resolve(PRESET), corpus, seed,
                                                                     pick_device(device))
    asked, modules = [depends_on(run, model, precision) for precision in run.precisions], modules_of(model)
    if found := stored.find(path, asked, modules):
        return found
    trained = networks.obtain(run, model)
    cost = cost_of(run, trained) | benchmark_runs.core_seconds(began, run.device)
    result = {"model": model, "seed": seed, "depends_on": asked[0], "files": stored.files_of(modules),
              "kind": kind_of(trained.model.stages), **run.facts(),
              "commit": provenance.commit(), **machine(run.device), "cost": cost, **judged(run, trained.stages)}
    write_midi(continued(run, trained), path.with_suffix(".mid"))
    return stored.write(path, result)


def depends_on(run: Run, model: str, precision: str) -> dict:
    """Everything that a result on open music depends on, as plain facts, by stage; and the version of this judging."""
    return {"code": {"survey_runs": provenance.version_of(__name__)},
            **{stage.name: recipes.depends_on(run, stage, precision) for stage in models.named(model).stages}}


def modules_of(model: str) -> list[str]:
    """The modules of a model's networks."""
    return sorted({stage.build.__module__ for stage in models.named(model).stages})


def kind_of(stages: tuple[Stage, ...]) -> str:
    """What the sum of the stages' log-likelihoods is: exact if all of them are."""
    return next((network.kind for network in (stage.build() for stage in stages) if network.kind != "exact"), "exact")


def cost_of(run: Run, trained: networks.Networks) -> dict:
    """Seconds and iterations of training, all stages together, and the number of parameters."""
    return {"seconds": sum(cost["seconds"] for cost in run.costs.values()),
            "iterations": sum(cost["iterations"] for cost in run.costs.values()),
            "parameters": sum(parameter.numel() for network in trained.stages for parameter in network.parameters())}


def judged(run: Run, stages: tuple[Network, ...]) -> dict:
    """What stages that decide what is struck give every judged test piece, see :func:`measured`."""
    return measured(run, {str(n): axis.network_judge(network.eval(), draws_on=run.device)
                          for n, network in enumerate(stages) if network.space != DURATIONS})


def measured(run: Run, judges: dict[str, axis.Judge]) -> dict:
    """Nats, all judges added, of what every judged test piece strikes, and their mean a step with 95 % over pieces."""
    pieces = benchmark_sets.spread(corpora.Pieces.of(samples.held_out_pieces(run)), STEPS)
    table = axis.step_table(judges, pieces, run.device)
    table = table[["piece", "step"]].assign(nats=table[list(judges)].sum(axis=1))
    sums, left_out = axis.by_piece(table)
    return {**evaluation.levels(sums).loc["nats"].to_dict(), "left_out": left_out, "steps": sums["steps"].tolist(),
            "nats": sums["nats"].round(3).tolist()}


def continued(run: Run, trained: networks.Networks) -> np.ndarray:
    """The first held-out opening, continued: a roll ``(time, key)``."""
    _, prime = samples.primes(run)
    return samples.continue_primes(run, trained, prime[:, :1])[1].roll[:, 0]


def write_controls() -> Path:
    """Write what the benchmark sets give without any network, nats per frame from the second, and what was seen."""
    found = {}
    for name in NAMES:
        splits = load_benchmark(name)
        found[name] = {"every key alone": marginal_nll(splits),
                       "every key after itself": benchmark_sets.first_order_nll(splits)}
    path = paths.home() / "results" / "survey" / "controls.json"
    with paths.atomic(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
    return path


def references_of(corpus: str) -> dict[str, dict]:
    """The judged pieces of a corpus under tables of frequencies and its committed networks of preset ``thesis``."""
    run = Run(presets.resolve(PRESET), corpus, 1, pick_device("cpu"))
    found = {"tables": {"kind": "exact", **measured(run, axis.added_tables(corpora.Pieces.of(run.splits["train"])))}}
    folder = paths.checkout() / "results" / "thesis" / corpus / "seed-1"
    for name in [name for name in REFERENCES if name in weights.held(folder)]:
        held = weights.load(folder, name)
        found[f"{name} at preset thesis"] = {"kind": kind_of(held.model.stages), **judged(run, held.stages)}
    return found


def write_references() -> Path:
    """Write :func:`references_of` for each corpus of open music."""
    path = paths.home() / "results" / "survey" / "references.json"
    found = {corpus: references_of(corpus) for corpus in OPEN}
    with paths.atomic(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
    return path


def committed() -> Path:
    """The folder of the results that are committed."""
    return paths.checkout() / "results" / "survey"


def results(folder: Path) -> list[dict]:
    """All results below a folder, with their files' names as ``run``."""
    return [json.loads(path.read_text()) | {"run": path.stem} for path in sorted(folder.glob("*/*/seed-*.json"))]


def controls(folder: Path) -> dict[str, dict[str, float]]:
    """What :func:`write_controls` left in a folder, by set."""
    return _read(folder / "controls.json")


def references(folder: Path) -> dict[str, dict[str, dict]]:
    """What :func:`write_references` left in a folder, by corpus and name."""
    return _read(folder / "references.json")


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def heard(folder: Path, model: str) -> tuple[np.ndarray, str] | None:
    """A continuation that a run on open music left, as a roll ``(time, key)``, and which run that was; or nothing."""
    files = (path for corpus in OPEN for path in sorted((folder / corpus / model).glob("seed-*.mid")))
    path = next(files, None)
    return path and (read_midi(path).roll, f"{path.parent.parent.name}, {path.stem}")


def panels(found: list[dict]) -> dict[str, pd.DataFrame]:
    """For each set of music with a result: every model's best run for a figure, columns ``minutes``, ``nats``, ``kind``
    and ``gpu``, whether they are minutes of a GPU."""
    made = {}
    for corpus in dict.fromkeys(run["corpus"] for run in found):
        rows = {}
        for run in sorted((run for run in found if run["corpus"] == corpus), key=_score, reverse=True):
            nats = run["test"]["from the second"] if corpus in NAMES else -run["level"]
            rows[run["model"]] = {"minutes": _minutes(run), "nats": nats, "kind": run["kind"],
                                  "gpu": "gpu" in run}
        made[SETS.get(corpus, corpus)] = pd.DataFrame(rows).T
    return made


def _score(run: dict) -> float:
    """By what the best of several runs of one model is chosen: validation on a benchmark set, else the first seed."""
    return run["cost"]["selected_on"] if run["corpus"] in NAMES else run["seed"]


def benchmark_table(found: list[dict]) -> pd.DataFrame:
    """A row for each set and model: nats per frame of the run that was best on validation, what is published, whether
    that is met, and then the rest.

    ``tried`` counts the runs; a model without one is told as missing.
    """
    rows = {}
    for corpus in NAMES:
        for model in MODELS:
            runs = [run for run in found if (run["corpus"], run["model"]) == (corpus, model.name)]
            published = [figure for figure in model.card.published if figure.corpus == corpus]
            told = "; ".join(f"{figure.nats:.2f} ({figure.source})" for figure in published) or "value not confirmed"
            best = min(runs, key=_score, default=None)
            rows[SETS[corpus], model.name] = (
                {"nats per frame": "missing", "published": told} if best is None else
                {"nats per frame": f"{best['test']['from the second']:.3f}", "published": told,
                 "met": _met(best, published), **_benchmark_row(best, len(runs))})
    return pd.DataFrame.from_dict(rows, orient="index", dtype=object).rename_axis(["set", "model"]).fillna("–")


def tried(found: list[dict]) -> pd.DataFrame:
    """Every run of the models that have several on a benchmark set, nats per frame; of each model the chosen one first.
    """
    rows = {}
    for corpus in NAMES:
        for model in MODELS:
            runs = [run for run in found if (run["corpus"], run["model"]) == (corpus, model.name)]
            for run in sorted(runs, key=_score) if len(runs) > 1 else []:
                rows[SETS[corpus], model.name, _settings(run)] = {
                    "validation": run["cost"]["selected_on"], "test": run["test"]["from the second"],
                    "best iteration": run["cost"]["best_iteration"], "minutes": f"{_minutes(run):.1f}",
                    "on": _machine(run)}
    names = ["set", "model", "settings"]
    return pd.DataFrame(list(rows.values()), pd.MultiIndex.from_tuples(rows, names=names) if rows else None)


def _settings(run: dict) -> str:
    """The settings of a run that are not those of its set."""
    return run["run"].partition(",")[2] or "as listed"


def _benchmark_row(run: dict, tried: int) -> dict:
    test, seen = run["test"], run["test"]["window seen"]
    return {"kind": run["kind"], "first frame too": f"{test['every frame']:.3f}", "frames seen": f"{seen['share']:.0%}",
            "on these": f"{seen['leaked']:.3f}" if seen["leaked"] is not None else "–",
            "on the others": f"{seen['clean']:.3f}", "seed": run["seed"], "tried": tried,
            "minutes": f"{_minutes(run):.1f}", "on": _machine(run),
            "settings": _settings(run)}


def _minutes(run: dict) -> float:
    """Core-minutes of a run on a CPU, validation included; where they are not on record, and on a GPU, the training's
    minutes on the wall."""
    return run["cost"].get("cpu_seconds", run["cost"]["seconds"]) / 60


def _machine(run: dict) -> str:
    """What a run's minutes are of: its GPU, or one core of its processor."""
    return run.get("gpu") or f"one core, {run['processor']}"


def _met(run: dict, published: list) -> str:
    """Every published figure with by how much this run is above it, and whether that counts as met."""
    ours = run["test"]["from the second"]
    return "; ".join(f"{'yes' if ours <= (1 + CLOSE) * figure.nats else 'no'} ({ours / figure.nats - 1:+.1%})"
                     for figure in published) or "–"


def open_table(found: list[dict], beside: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """A row for each corpus of open music and model: nats per step over seeds, 95 % of the first, and its cost.

    Below them what is judged ``beside``, see :func:`references`.
    """
    rows = {}
    for corpus in OPEN:
        for model in COMPARED:
            runs = [run for run in found if (run["corpus"], run["model"]) == (corpus, model)]
            rows[corpus, model] = {"nats per step": "missing"} if not runs else _level(runs) | {
                "seeds": ", ".join(str(run["seed"]) for run in runs), "parameters": f"{runs[0]['cost']['parameters']}",
                "iterations": f"{runs[0]['cost']['iterations']}", "minutes": f"{_minutes(runs[0]):.1f}",
                "on": _machine(runs[0])}
        rows |= {(corpus, name): _level([reference]) for name, reference in beside.get(corpus, {}).items()}
    return pd.DataFrame.from_dict(rows, orient="index", dtype=object).rename_axis(["corpus", "model"]).fillna("–")


def _level(runs: list[dict]) -> dict:
    levels = [run["level"] for run in runs]
    over = f" ({min(levels):.3f} to {max(levels):.3f})" if len(levels) > 1 else ""
    return {"kind": runs[0]["kind"], "nats per step": f"{np.mean(levels):.3f}{over}",
            "95 % over pieces": f"{runs[0]['low']:.3f} to {runs[0]['high']:.3f}"}


def gains(found: list[dict], beside: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """By how many nats a step the best model of a corpus is above the others and what is judged ``beside``.

    Of each the first seed; 95 % by a paired bootstrap over those pieces of which neither leaves out a step.
    """
    rows = {}
    for corpus in OPEN:
        runs = {run["model"]: run for run in reversed(found) if run["corpus"] == corpus}
        best = max(runs, key=lambda name: runs[name]["level"], default=None)
        others = [name for name in COMPARED if name in runs and name != best]
        for name, other in ({name: runs[name] for name in others} | beside.get(corpus, {}) if runs else {}).items():
            rows[corpus, best, name] = _gain(runs[best], other)
    names = ["corpus", "best", "over"]
    return pd.DataFrame(list(rows.values()), pd.MultiIndex.from_tuples(rows, names=names) if rows else None)


def _gain(ours: dict, theirs: dict) -> dict:
    """A row of :func:`gains`: both hold sums over the same pieces, in the same order."""
    table = pd.DataFrame({"steps": ours["steps"], "ours": ours["nats"], "theirs": theirs["nats"]})
    table = table[table["steps"] == theirs["steps"]]
    return axis.gain(table, "ours", "theirs") | {"pieces": len(table)}


def run_one(model: str, corpus: str, seed: int, texts: list[str], device: str = "cpu") -> str:
    """Run what is asked for, and say what came of it."""
    torch.set_num_threads(1)
    if corpus in NAMES:
        found = benchmark_runs.run(model, corpus, seed, texts, device)
        return f"{found['test']['from the second']:.3f} nats per frame, {found['cost']['seconds']:.0f} s"
    corpora.check(corpus)
    if texts:
        raise UserError(f"settings are for benchmark sets; {corpus} is trained at preset {PRESET}: leave --set out.")
    found = open_run(model, corpus, seed, device)
    return f"{found['level']:.3f} nats per step, {found['cost']['seconds']:.0f} s"


def main(argv: list[str] | None = None) -> int:
    """The command line; exit status 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m octavoice.studies.survey_runs")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train and judge one model on one corpus")
    run.add_argument("model")
    run.add_argument("corpus")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="texts")
    run.add_argument("--device", default="cpu", help="auto, cpu or cuda [%(default)s]")
    commands.add_parser("controls", help="what the benchmark sets give without any network")
    commands.add_parser("references", help="tables and the networks of preset thesis, on the same pieces")
    commands.add_parser("summary", help="what is there and what is missing")
    given = parser.parse_args(argv)
    try:
        if given.command == "run":
            print(f"{given.model} on {given.corpus}:",
                  run_one(given.model, given.corpus, given.seed, given.texts, given.device))
        elif given.command == "controls":
            print(write_controls())
        elif given.command == "references":
            print(write_references())
        else:
            folder = paths.home() / "results" / "survey"
            found, beside = results(folder), references(folder)
            tables = benchmark_table(found), open_table(found, beside), gains(found, beside)
            print(*(table.to_string() for table in tables), sep="\n\n")
    except UserError as error:
        print(f"octavoice: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
