"""A model of the survey trained and judged on one of the field's benchmark sets: one command a run, resumable.

    python -m octavoice.studies.benchmark_runs lstm benchmarks/jsb --seed 1 [--set dropout=0.3 …]
        [--device cpu]

Trained as any network here, but not transposed unless ``shifted`` says so; every so often whole validation pieces
are judged, and the weights that were best on them are the ones that the test pieces judge. The result goes to
``results/survey/<corpus>/<model>/seed-<n>.json``; other settings than the table's are part of its name.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from octavoice import paths, provenance
from octavoice.corpus import Fragments
from octavoice.corpus.benchmarks import NAMES, load_benchmark
from octavoice.errors import UserError
from octavoice.likelihood import axis
from octavoice.model import KEYS as IN_KEYS
from octavoice.model import Network, Recipe, Stage
from octavoice.studies import benchmark_sets
from octavoice.training import models, networks, recipes, stored
from octavoice.training.fit import fit, seeded
from octavoice.training.run import machine, pick_device
from octavoice.training.weights import load_module, save_module

VALID_FRAMES = 12_000
"""About as many validation frames choose the weights; the sets' own validation pieces hold up to 83 000."""


@dataclass(frozen=True)
class Setting:
    """How a network is trained on a benchmark set; ``length`` in frames, ``shifted`` transposes whole batches."""

    iterations: int = 3000
    batch: int = 16
    length: int = 128
    rate: float = 2e-3
    dropout: float = 0.3
    clip: float = 1.0
    every: int = 100
    shifted: bool = False


SETTINGS = {
    "benchmarks/jsb": Setting(iterations=1500, length=96, dropout=0.5, every=50),
    "benchmarks/nottingham": Setting(),
    "benchmarks/musedata": Setting(iterations=2000),
    "benchmarks/piano-midi": Setting(iterations=1200, dropout=0.5, every=50),
}


LEAST = {"iterations": 1, "batch": 1, "length": 2, "every": 1, "rate": 0, "dropout": 0, "clip": 0, "shifted": 0}


def changed(setting: Setting, texts: list[str]) -> Setting:
    """A setting with some values changed, each given as ``name=value``; raises :class:`UserError`."""
    kinds = {field.name: field.type for field in fields(Setting)}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            given = bool(int(value)) if kinds[name] is bool else kinds[name](value)
            if not LEAST[name] <= given < (1 if name == "dropout" else np.inf):
                raise ValueError(text)
        except (KeyError, ValueError) as error:
            raise UserError(f"setting {text!r} is none; give NAME=NUMBER with one of {', '.join(kinds)}.") from error
        setting = replace(setting, **{name: given})
    return setting


def stage_of(model: str) -> Stage:
    """The one stage of a model of keys at once; raises :class:`UserError` for another model."""
    stages = models.named(model).stages
    if len(stages) != 1 or stages[0].build().space != IN_KEYS:
        raise UserError(f"model {model!r} does not decide all keys at once, and the benchmark sets hold nothing else; "
                        "choose another.")
    return stages[0]


def result_path(corpus: str, model: str, seed: int, texts: list[str] = ()) -> Path:
    """Where a run's result lies."""
    name = ",".join([f"seed-{seed}", *sorted(texts)])
    return paths.home() / "results" / "survey" / paths.slug(corpus) / model / f"{name}.json"


def facts_of(model: str, corpus: str, seed: int, setting: Setting, device: torch.device) -> dict:
    """Where a run's numbers come from."""
    return {"model": model, "corpus": corpus, "seed": seed, "settings": asdict(setting), "device": device.type,
            "versions": provenance.versions(), **machine(device)}


def depends_on(model: str, corpus: str, seed: int, setting: Setting) -> dict:
    """Everything that a result depends on, as plain facts; the sets themselves are pinned by their hashes."""
    code = recipes.versions_of(stage_of(model)) | {"benchmark_runs": provenance.version_of(__name__)}
    return {"model": model, "corpus": corpus, "seed": seed, "settings": asdict(setting), "code": code}


def run(model: str, corpus: str, seed: int, texts: list[str] = (), device: str = "cpu") -> dict:
    """One run's result: trained and judged now, or found done with the same settings and versions.

    Of its cost, ``seconds`` pass on the wall in training; see also :func:`core_seconds`.
    """
    began = time.process_time()
    if corpus not in NAMES:
        raise UserError(f"corpus {corpus!r} is no benchmark set; choose one of {', '.join(NAMES)}.")
    stage, setting, path = stage_of(model), changed(SETTINGS[corpus], texts), result_path(corpus, model, seed, texts)
    torch.set_num_threads(1)
    picked = pick_device(device)
    facts = facts_of(model, corpus, seed, setting, picked)
    asked, modules = depends_on(model, corpus, seed, setting), [stage.build.__module__]
    if found := stored.find(path, [asked], modules):
        return found
    key = provenance.digest(asked | stored.files_of(modules))
    splits, network = load_benchmark(corpus), seeded(stage.build, seed).to(picked)
    cost = train(network, splits, setting, seed, path, key) | core_seconds(began, picked)
    made = {"depends_on": asked, "files": stored.files_of(modules), "commit": provenance.commit(), "cost": cost}
    return stored.write(path, facts | made | judged(network, splits))


def core_seconds(began: float, device: torch.device) -> dict[str, float]:
    """``cpu_seconds`` of this process since ``began``; nothing on a GPU, whose work they do not tell."""
    return {"cpu_seconds": round(time.process_time() - began, 1)} if device.type == "cpu" else {}


def train(network: Network, splits: dict, setting: Setting, seed: int, path: Path, key: str) -> dict:
    """Train and leave the weights that were best on the validation pieces; what it cost, and which iteration it was."""
    if hasattr(network, "dropout"):
        network.dropout = setting.dropout
    checkpoint = paths.home() / "runs" / path.relative_to(paths.home()).with_suffix(".pt")
    best = checkpoint.with_suffix(".safetensors")
    fragments = Fragments(benchmark_sets.as_pieces(splits["train"]), setting.length)
    recipe = Recipe(setting.iterations, setting.batch, setting.rate, warm_up=min(50, setting.iterations // 4),
                    cosine=True, clip=setting.clip)
    task = networks.network_task(path.parent.name, network, fragments, recipe)
    task = replace(task, evaluate=_chooser(network, splits["valid"], best, key))
    if not setting.shifted:
        task = replace(task, draw=lambda rng: fragments.gather(rng.integers(len(fragments), size=setting.batch)))
    metrics = fit(task, setting.iterations, seed, setting.every, checkpoint, key)
    load_module(network, best)
    cost = json.loads(checkpoint.with_suffix(".cost.json").read_text())
    return cost | {"best_iteration": int(metrics["held_out"].idxmin()), "selected_on": float(metrics["held_out"].min()),
                   "parameters": sum(parameter.numel() for parameter in network.parameters())}


def _chooser(network: Network, valid: list, best: Path, key: str) -> Callable[[], dict[str, float]]:
    """Judges some validation pieces and keeps the weights while they are the best of this training."""
    pieces, note = benchmark_sets.spread(benchmark_sets.as_pieces(valid), VALID_FRAMES), best.with_suffix(".best.json")

    def evaluate() -> dict[str, float]:
        device = _device_of(network)
        rng = torch.Generator(device).manual_seed(networks.PANEL_SEED)
        frames = benchmark_sets.judge_whole(lambda t: network.held_out(t, rng).double().cpu().numpy(), pieces, device)
        held_out = float(np.concatenate(frames).mean())
        known = json.loads(note.read_text()) if note.exists() else {}
        if known.get("key") != key or held_out <= known["held_out"]:
            save_module(network, best)
            with paths.atomic(note) as temporary:
                temporary.write_text(json.dumps({"key": key, "held_out": held_out}))
        return {"held_out": held_out}
    return evaluate


def judged(network: Network, splits: dict) -> dict:
    """Negative log-likelihood of whole validation and test pieces in nats per frame, and by what training has seen."""
    device, found = _device_of(network), {"kind": network.kind}
    judge = axis.network_judge(network.eval(), draws_on=device)
    for side in ("valid", "test"):
        pieces = benchmark_sets.as_pieces(splits[side])
        pieces = pieces if side == "test" else benchmark_sets.spread(pieces, VALID_FRAMES)
        frames = [-nats.astype(float) for nats in benchmark_sets.judge_whole(judge, pieces, device)]
        found[side] = {"every frame": float(np.concatenate(frames).mean()),
                       "from the second": float(np.concatenate([part[1:] for part in frames]).mean())}
    for name, transposed in (("window seen", False), ("window seen in some key", True)):
        marks = np.concatenate([part[1:] for part in benchmark_sets.seen(splits["train"], splits["test"], transposed)])
        later = np.concatenate([part[1:] for part in frames])
        found["test"] |= {name: {"share": float(marks.mean()), "leaked": _mean(later[marks]),
                                 "clean": _mean(later[~marks])}}
    return found


def _device_of(network: Network) -> torch.device:
    return next(network.parameters()).device


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def main(argv: list[str] | None = None) -> int:
    """The command line; exit status 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m octavoice.studies.benchmark_runs", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="texts")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda [%(default)s]")
    given = parser.parse_args(argv)
    try:
        found = run(given.model, given.corpus, given.seed, given.texts, given.device)
    except UserError as error:
        print(f"octavoice: {error}", file=sys.stderr)
        return 2
    print(given.model, given.corpus, json.dumps(found["test"]), f"{found['cost']['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
