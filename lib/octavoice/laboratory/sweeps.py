"""Sweeps: a small YAML file names settings, lists among them span a grid, and every point of it is a run.

    preset: ablation            # any of these as a list is a side of the grid
    corpus: [bach, piano-midi]
    seed: [1, 2, 3]
    overrides: {learning_rate: [0.01, 0.003]}
    device: cpu                 # one for all
    model: thesis               # trained, and judged on the test pieces without a notebook; several as a list
    stage: main                 # that network of it alone
    notebooks: [06_experiments] # run in full; 06 to 08 on each of the models
    ablation: [clock-off]       # variants of the thesis's choices, each trained, judged and let sample
    arms:                       # or several such grids; what stands above them holds for all
      - {overrides: {fragment: 128}}

A run whose overrides change nothing is the plain run, in the plain run's folder. What is there already is not done
again, so that a sweep can grow, and two of them can share runs.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml

from octavoice import corpus as corpora
from octavoice import paths
from octavoice.errors import UserError
from octavoice.laboratory import graph
from octavoice.laboratory.graph import Work
from octavoice.laboratory.handover import NOTEBOOKS
from octavoice.studies.ablations import variant_of
from octavoice.training import models, presets
from octavoice.training.run import DEVICES

GRID = {"preset": str, "corpus": str, "seed": int}
"""Settings whose lists are sides of the grid, besides the values of ``overrides``."""
KEYS = (*GRID, "overrides", "device", "model", "stage", "notebooks", "ablation")
LINES = 30
"""A sweep that needs more says too much: make it two."""


def find(name: str) -> Path:
    """The file of a sweep, by its path or by its name in ``sweeps/``. Raises :class:`UserError` if there is none."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else paths.sweeps_dir() / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in paths.sweeps_dir().glob("*.yaml"))) or "none"
        raise UserError(f"there is no sweep {name!r}; known are {known}, or give the path of a .yaml file.")
    return path


def read(name: str) -> list[Work]:
    """The runs of a sweep, each once, with all of its steps.

    Raises :class:`UserError`, one sentence that names the file, for anything that could not be run.
    """
    path = find(name)
    try:
        text = path.read_text(encoding="utf-8")
        told = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise UserError(f"sweep {path.name}{where}: is not YAML that can be read; mend it.") from error
    try:
        if len(text.splitlines()) > LINES:
            raise UserError(f"has more than {LINES} lines; make it two sweeps.")
        return merged(work for arm in arms(told) for work in points(arm))
    except UserError as error:
        raise UserError(f"sweep {path.name}: {error}") from error


def arms(told) -> list[dict]:
    """The grids of a sweep, each with what holds for all. Raises :class:`UserError` for a wrong shape or key."""
    if not isinstance(told, dict):
        raise UserError(f"must be settings by name ({', '.join(KEYS)}, arms).")
    common = {key: value for key, value in told.items() if key != "arms"}
    own = told.get("arms", [{}])
    if not (isinstance(own, list) and own and all(isinstance(arm, dict) for arm in own)):
        raise UserError("arms must be a list, each of settings by name.")
    for key in (key for part in (common, *own) for key in part if key not in KEYS):
        raise UserError(f"unknown key {key!r}; a sweep has {', '.join(KEYS)} and arms.")
    return [common | arm | {"overrides": _overrides(common) | _overrides(arm)} for arm in own]


def _overrides(part: dict) -> dict:
    given = part.get("overrides") or {}
    if not isinstance(given, dict):
        raise UserError(f"overrides={given!r} must be settings of the preset by name.")
    return given


def points(arm: dict) -> Iterator[Work]:
    """Every run of one grid, checked. Raises :class:`UserError`."""
    steps, device = steps_of(arm), arm.get("device", "auto")
    if device not in DEVICES:
        raise UserError(f"device={device!r} must be one of {', '.join(DEVICES)}.")
    sides = {key: _side(key, arm.get(key, default), GRID[key])
             for key, default in (("preset", "quick"), ("corpus", "bach"), ("seed", 1))}
    changes = {field: value if isinstance(value, list) else [value] for field, value in arm["overrides"].items()}
    for preset, named, seed in itertools.product(*sides.values()):
        corpus = corpora.in_full(named, paths.checkout())
        corpora.check(corpus)
        presets.seed_number(str(seed))
        for values in itertools.product(*changes.values()):
            yield Work(presets.resolve(preset, **dict(zip(changes, values, strict=True))), corpus, seed, device, steps)


def _side(key: str, value, kind: type) -> list:
    """The values of one side of the grid."""
    values = value if isinstance(value, list) else [value]
    for each in values:
        if type(each) is not kind:
            raise UserError(f"{key}={each!r} must be a {kind.__name__}, or a list of such.")
    if not values:
        raise UserError(f"{key} is an empty list; give one value at least.")
    return values


def steps_of(arm: dict) -> tuple[str, ...]:
    """What is done in each run of a grid, by manifests. Raises :class:`UserError` for what there is not."""
    names = [] if arm.get("model") is None else _side("model", arm["model"], str)
    names = [f"{name}-{arm['stage']}" if arm.get("stage") else name for name in names]
    notebooks = _side("notebooks", arm["notebooks"], str) if arm.get("notebooks") else []
    variants = _side("ablation", arm["ablation"], str) if arm.get("ablation") else []
    for name in names:
        models.named(name)
    for name in variants:
        variant_of(name)
    for notebook in notebooks:
        if notebook not in NOTEBOOKS:
            raise UserError(f"unknown notebook {notebook!r}; known are {', '.join(NOTEBOOKS)}.")
    if not names and not notebooks and not variants:
        raise UserError("has nothing to do; name a model, notebooks, or variants for an ablation.")
    if arm.get("stage") and not names:
        raise UserError(f"stage={arm['stage']!r} is of no model; name the model too.")
    on_models = [on for notebook in notebooks for on in _on_models(notebook, names)]
    return tuple(dict.fromkeys([*(f"levels_{name}" for name in names), *(f"ablation_{name}" for name in variants),
                                *on_models]))


def _on_models(notebook: str, names: list[str]) -> list[str]:
    """A notebook that takes a model runs once on each whole one that is named, the others once.

    One that sets a model beside the thesis's does not run on that one.
    """
    own = graph.parameters(notebook).get("model")
    whole = [name for name in names if name in models.MODELS and (name != "thesis" or name == own)]
    if own is None or not whole:
        return [notebook]
    return [notebook if name == own else f"{notebook}-{name}" for name in whole]


def merged(works) -> list[Work]:
    """Each run once, in order, with the steps of all that name it."""
    found: dict[Path, Work] = {}
    for work in works:
        known = found.get(work.folder, work)
        if known.device != work.device:
            raise UserError(f"one run is asked for on two devices, {known.device} and {work.device}; keep to one.")
        found[work.folder] = replace(known, steps=tuple(dict.fromkeys([*known.steps, *work.steps])))
    return list(found.values())


def asked(config: dict) -> list[Work]:
    """The runs that the graph is asked for: those of a sweep, or one at a preset, corpus and seed with all notebooks.

    ``config`` is Snakemake's. A corpus comes as a list of one, in which no character of a path needs quoting.
    Raises :class:`UserError`.
    """
    if unknown := set(config) - {"preset", "corpus", "seed", "sweep"}:
        raise UserError(f"unknown setting {', '.join(sorted(unknown))}; known are preset, corpus, seed and sweep.")
    if "sweep" in config:
        return read(str(config["sweep"]))
    preset, corpus = presets.resolve(str(config.get("preset", "quick"))), "".join(config.get("corpus", "bach"))
    return [Work(preset, corpus, presets.seed_number(str(config.get("seed", 1))), steps=NOTEBOOKS)]


def describe(works: list[Work]) -> str:
    """How much a sweep is, in a line."""
    steps = sum(len(work.steps) for work in works)
    done = sum(work.manifest(step).exists() for work in works for step in work.steps)
    return f"{len(works)} run(s), {steps} step(s) wanted, {done} of them there"
