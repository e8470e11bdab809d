"""The survey's runs, each resumable, and what is judged beside them.

On one of the field's benchmark sets (``benchmarks/…``) a model is trained and judged as
:mod:`octavoice.studies.benchmark_runs` says. On any other corpus it is trained at preset ``survey`` and
judged on whole test pieces as all models here are, nats per step of all that is struck; one continuation is
kept as MIDI. Results lie in ``results/survey/<corpus>/<model>/seed-<n>.json`` and say where they come from.
References are judged on the same pieces: tables of frequencies, and the committed networks of preset
``thesis``. The commands are those of ``octavoice survey``; :mod:`octavoice.results.survey_tables` reads what
is left.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch

from octavoice import corpus as corpora
from octavoice import paths, provenance
from octavoice.corpus.benchmarks import NAMES, load_benchmark, marginal_nll
from octavoice.errors import UserError
from octavoice.formats.midi import write_midi
from octavoice.likelihood import axis, evaluation
from octavoice.model import DURATIONS, EXACT, Network, Stage
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


def open_run(model: str, corpus: str, seed: int, device: str = "cpu") -> dict:
    """A model trained at preset ``survey`` on a corpus, and judged; or found done with the same settings and
    code."""
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
    kinds = [stage.build().kind for stage in stages]
    return next((kind for kind in kinds if kind != EXACT), EXACT)


def cost_of(run: Run, trained: networks.Networks) -> dict:
    """Seconds and iterations of training, all stages together, and the number of parameters."""
    parameters = [parameter for network in trained.stages for parameter in network.parameters()]
    return {"seconds": sum(cost["seconds"] for cost in run.costs.values()),
            "iterations": sum(cost["iterations"] for cost in run.costs.values()),
            "parameters": sum(parameter.numel() for parameter in parameters)}


def judged(run: Run, stages: tuple[Network, ...]) -> dict:
    """What stages that decide what is struck give every judged test piece, see :func:`measured`."""
    return measured(run, {str(n): axis.network_judge(network.eval(), draws_on=run.device)
                          for n, network in enumerate(stages) if network.space != DURATIONS})


def measured(run: Run, judges: dict[str, axis.Judge]) -> dict:
    """Nats, all judges added, of what every judged test piece strikes, and their mean a step with 95 % over
    pieces."""
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
    """Write what the benchmark sets give without any network, nats per frame from the second, and what was
    seen."""
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
    """The judged pieces of a corpus under tables of frequencies and its committed networks of preset
    ``thesis``."""
    run = Run(presets.resolve(PRESET), corpus, 1, pick_device("cpu"))
    run.begin()
    tables = axis.added_tables(corpora.Pieces.of(run.splits["train"]))
    found = {"tables": {"kind": EXACT, **measured(run, tables)}}
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


def run_one(model: str, corpus: str, seed: int, settings: list[str], device: str = "cpu") -> str:
    """Train and judge a model on a benchmark set or a corpus, on one thread; where the result lies and its
    level.

    ``settings`` are as :func:`benchmark_runs.changed` takes them. Raises :class:`UserError` for what cannot
    be run.
    """
    torch.set_num_threads(1)
    if corpus in NAMES:
        found = benchmark_runs.run(model, corpus, seed, settings, device)
        level = f"{found['test']['from the second']:.3f} nats per frame"
    else:
        corpora.check(corpus)
        if settings:
            raise UserError(f"settings are for benchmark sets; {corpus} is trained at preset {PRESET}: leave "
                            "--set out.")
        found = open_run(model, corpus, seed, device)
        level = f"{found['level']:.3f} nats per step"
    path = benchmark_runs.result_path(corpus, model, seed, settings)
    return f"{path}: {level}, {found['cost']['seconds']:.0f} s"
