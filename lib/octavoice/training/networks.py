"""A model's networks at a preset: trained once, stored, and loaded again only if nothing changed (§7.2)."""

import json
import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from octavoice.corpus import Batch, Fragments, Pieces
from octavoice.model import DURATIONS, Model, Network, Recipe, Stage, Tensors
from octavoice.paths import atomic
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training import models, recipes
from octavoice.training.fit import Task, fit, seeded, to_tensors, weighted_mean
from octavoice.training.run import Run
from octavoice.training.weights import load_module, save_module

PANEL_SEED = 2018
"""Seed of the fixed draws on the held-out panel, the same in every run."""


@dataclass(frozen=True)
class Networks:
    """A model's networks, trained, with the metrics of each (one row per iteration, losses in nats per step)."""

    model: Model
    stages: tuple[Network, ...]
    metrics: tuple[pd.DataFrame, ...] = ()

    generator = property(lambda self: self.stages[0], doc="The first network; the thesis's main module and sampler.")
    decoder = property(lambda self: self.stages[1], doc="The second network.")
    main_metrics = property(lambda self: self.metrics[0])
    decoder_metrics = property(lambda self: self.metrics[1])


def network_task(called: str, network: Network, fragments: Fragments, recipe: Recipe, panel: Batch | None = None,
                 precision: str = "fp32", threads: int = 1) -> Task:
    """Training of any network on ``fragments`` by its ``recipe``, judged on ``panel`` in float32.

    ``held_out`` is its loss there, or its negative log-likelihood if that is exact; a network may add more.
    """
    judge = _at(network, "fp32")
    held_out = None if panel is None else to_tensors(panel, next(network.parameters()).device)

    def evaluate() -> dict[str, float]:
        numbers = {"held_out": judge.held_out(held_out, _panel_draws()), **judge.on_panel(held_out, _panel_draws())}
        return {name: weighted_mean(per_step, held_out.weight).item() for name, per_step in numbers.items()}
    return Task(called, network, mean_loss(network, precision), lambda rng: fragments.draw(rng, recipe.batch),
                evaluate if held_out else dict, recipe.learning_rate, recipe.epsilon, threads, schedule_of(recipe),
                recipe.clip, precision)


def mean_loss(network: Network, precision: str = "fp32") -> Callable[[Tensors, torch.Generator], Tensor]:
    """A network's loss as one number, nats per step, the mean over a batch's real steps."""
    learner = _at(network, precision)
    return lambda t, rng: weighted_mean(learner.loss(t, rng), t.weight)


def _at(network: Network, precision: str) -> Network:
    """The same network, its weights shared, at a precision of its own."""
    other = copy(network)
    other.precision = precision
    return other


def schedule_of(recipe: Recipe) -> Callable[[int], float] | None:
    """By how much the learning rate of an iteration, counted from 0, is multiplied; None for a constant rate."""
    def rate(iteration: int) -> float:
        risen = min(1.0, (iteration + 1) / recipe.warm_up) if recipe.warm_up else 1.0
        return risen * (0.5 + 0.5 * math.cos(math.pi * iteration / recipe.iterations) if recipe.cosine else 1.0)
    return rate if recipe.warm_up or recipe.cosine else None


def _panel_draws() -> torch.Generator:
    return torch.Generator().manual_seed(PANEL_SEED)


def main_task(generator: OctaveGenerator, fragments: Fragments, size: int, panel: Batch | None = None,
              forcing: str = "truth", precision: str = "fp32", learning_rate: float = 0.01, epsilon: float = 1e-8,
              threads: int = 1) -> Task:
    """Training of main module and sampler on ``fragments``, ``size`` a batch, in a variant of §6.4 (claim C8)."""
    generator.forcing = forcing
    recipe = Recipe(0, size, learning_rate, epsilon)
    return network_task("main module", generator, fragments, recipe, panel, precision, threads)


def decoder_task(decoder: Decoder, fragments: Fragments, size: int, panel: Batch | None = None, masked: bool = True,
                 precision: str = "fp32", learning_rate: float = 0.01, epsilon: float = 1e-8, threads: int = 1) -> Task:
    """Training of the decoder on ``fragments``, with the mask or without it."""
    decoder.masked = masked
    recipe = Recipe(0, size, learning_rate, epsilon)
    return network_task("decoder", decoder, fragments, recipe, panel, precision, threads)


def obtain(run: Run, model: str = "thesis") -> Networks:
    """A run's networks: loaded if they were trained with these settings, on this music, by this version, else trained.

    Training writes checkpoints and resumes; weights go to ``results/`` as safetensors, metrics as CSV. Raises
    :class:`UserError` for a model that there is not.
    """
    p, named = run.preset, models.named(model)
    stages, metrics = [], []
    for stage in named.stages:
        network = seeded(stage.build, run.seed).to(run.device)
        train = Fragments(_side(run, "train", network), p.fragment, p.stride, network.hears_durations,
                          network.remembers_all)
        recipe = stage.recipe(p)
        network.prepare(recipe.iterations * recipe.batch / len(train))
        task = network_task(stage.called, network, train, recipe, panel_of(run, network), p.precision, p.threads)
        metrics.append(_trained(run, task, stage))
        stages.append(network.eval())
    return Networks(named, tuple(stages), tuple(metrics))


def panel_of(run: Run, network: Network | None = None) -> Batch:
    """The fixed held-out panel: validation fragments spread evenly, not transposed, with what a ``network`` hears."""
    durations, whole = network is not None and network.hears_durations, network is not None and network.remembers_all
    return Fragments(_side(run, "valid", network), run.preset.fragment, run.preset.stride, durations, whole).panel(
        run.preset.panel)


def _side(run: Run, side: str, network: Network | None) -> Pieces:
    """The pieces of a side of the split; for durations those that tell them, as long as there is one."""
    pieces = run.splits[side]
    told = pieces.told() if network is not None and network.space == DURATIONS else pieces
    return told if len(told) else pieces


def _trained(run: Run, task: Task, stage: Stage) -> pd.DataFrame:
    """Train one task, or load what was stored under the same key."""
    results, checkpoint = run.dir / "results", run.dir / "checkpoints" / f"{stage.name}.pt"
    weights, table = results / f"{stage.name}.safetensors", results / f"{stage.name}_metrics.csv"
    if published := run.published(stage):
        load_module(task.module, published.weights)
        run.found.append(f"training, {task.name}")
        run.costs[f"training, {task.name}"] = published.cost
        return pd.read_csv(published.metrics, index_col="iteration")
    stamp = checkpoint.with_suffix(".key")
    keys = recipes.keys(run, stage)
    if stamp.exists() and stamp.read_text() in keys and weights.exists() and table.exists():
        load_module(task.module, weights)
        metrics = pd.read_csv(table, index_col="iteration")
        run.found.append(f"training, {task.name}")
    else:
        recipe, p = stage.recipe(run.preset), run.preset
        every = max(1, round(p.evaluate_every * p.batch / recipe.batch))  # as many fragments apart, whatever the batch
        metrics = fit(task, recipe.iterations, run.seed, every, checkpoint, f"{keys[0]}-{run.device.type}")
        save_module(task.module, weights)
        with atomic(table) as temporary:
            metrics.to_csv(temporary, lineterminator="\n")
        with atomic(stamp) as temporary:
            temporary.write_text(keys[0])
    run.adopt(weights)
    run.adopt(table)
    run.costs[f"training, {task.name}"] = json.loads(checkpoint.with_suffix(".cost.json").read_text())
    return metrics
