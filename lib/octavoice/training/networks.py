"""The thesis's two networks at a preset: trained once, stored, and loaded again only if nothing changed (§7.2)."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch

from octavoice.corpus import Batch, Fragments
from octavoice.music.roll import KEYS, mask
from octavoice.paths import atomic
from octavoice.thesis.decoder import Decoder, pseudo_likelihood
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.voices import objective
from octavoice.training import recipes
from octavoice.training.fit import Task, Tensors, fit, lower_precision, seeded, to_tensors, uniforms, weighted_mean
from octavoice.training.run import Run
from octavoice.training.weights import load_module, save_module

PANEL_SEED = 2018
"""Seed of the fixed draws on the held-out panel, the same in every run."""


@dataclass(frozen=True)
class Networks:
    """Both networks, trained, with their metrics (one row per iteration, losses in nats per step)."""

    generator: OctaveGenerator
    decoder: Decoder
    main_metrics: pd.DataFrame
    decoder_metrics: pd.DataFrame


def main_loss(generator: OctaveGenerator, forcing: str = "truth", precision: str = "fp32") -> Callable:
    """The objective of §6.4 as a loss for :class:`~octavoice.training.fit.Task`."""
    def loss(t: Tensors, rng: torch.Generator):
        u = uniforms(rng, generator.sampler.voices, len(t.x12) - 1, t.x12.shape[1], device=t.x12.device)
        with lower_precision(t.x12.device, precision):
            log_q = generator.log_q(t.x12, t.clock, t.history, u, forcing)
        return weighted_mean(objective(log_q, t.x12[1:]), t.weight)
    return loss


def decoder_loss(decoder: Decoder, masked: bool = True, precision: str = "fp32") -> Callable:
    """CD-1 (5) as a loss for :class:`~octavoice.training.fit.Task`."""
    def loss(t: Tensors, rng: torch.Generator):
        u = uniforms(rng, len(t.x) - 1, t.x.shape[1], decoder.hidden + KEYS, device=t.x.device)
        with lower_precision(t.x.device, precision):
            b, c, _ = decoder(t.x12[1:], t.x[:-1])
        return weighted_mean(decoder.contrast(b, c, t.x12[1:], t.x[1:], u, masked), t.weight)
    return loss


def decoder_pseudo_likelihood(decoder: Decoder, t: Tensors) -> float:
    """Log pseudo-likelihood of the keys allowed by the mask, nats per step, on a batch."""
    b, c, _ = decoder(t.x12[1:], t.x[:-1])
    per_step = torch.stack([pseudo_likelihood(x, b_t, c_t, decoder.W, m) for x, b_t, c_t, m in
                            zip(t.x[1:], b, c, mask(t.x12[1:]), strict=True)])
    return weighted_mean(per_step, t.weight).item()


def main_task(generator: OctaveGenerator, fragments: Fragments, size: int, panel: Batch | None = None,
              forcing: str = "truth", precision: str = "fp32", **settings) -> Task:
    """Training of main module and sampler on ``fragments``, ``size`` a batch, judged on ``panel`` in float32."""
    judge = main_loss(generator, forcing)
    held_out = None if panel is None else to_tensors(panel, next(generator.parameters()).device)

    def evaluate() -> dict[str, float]:
        return {"held_out": judge(held_out, torch.Generator().manual_seed(PANEL_SEED)).item()}
    return Task("main module", generator, main_loss(generator, forcing, precision),
                lambda rng: fragments.draw(rng, size), evaluate if held_out else dict, **settings)


def decoder_task(decoder: Decoder, fragments: Fragments, size: int, panel: Batch | None = None,
                 masked: bool = True, precision: str = "fp32", **settings) -> Task:
    """Training of the decoder on ``fragments``, judged by CD-1 and pseudo-likelihood on ``panel`` in float32."""
    judge = decoder_loss(decoder, masked)
    held_out = None if panel is None else to_tensors(panel, next(decoder.parameters()).device)

    def evaluate() -> dict[str, float]:
        return {"held_out": judge(held_out, torch.Generator().manual_seed(PANEL_SEED)).item(),
                "held_out_pseudo": decoder_pseudo_likelihood(decoder, held_out)}
    return Task("decoder", decoder, decoder_loss(decoder, masked, precision), lambda rng: fragments.draw(rng, size),
                evaluate if held_out else dict, **settings)


def obtain(run: Run) -> Networks:
    """The run's networks: loaded if they were trained with exactly these settings and this code, else trained.

    Training writes checkpoints and resumes; weights go to ``results/`` as safetensors, metrics as CSV.
    """
    p = run.preset
    train, panel = Fragments(run.splits["train"], p.fragment, p.stride), panel_of(run)
    generator = seeded(OctaveGenerator, run.seed).to(run.device)
    decoder = seeded(Decoder, run.seed).to(run.device)
    tasks = {"main": main_task(generator, train, p.batch, panel, precision=p.precision, learning_rate=p.learning_rate,
                               epsilon=p.epsilon, threads=p.threads),
             "decoder": decoder_task(decoder, train, p.batch, panel, precision=p.precision,
                                     learning_rate=p.decoder_learning_rate, epsilon=p.decoder_epsilon,
                                     threads=p.threads)}
    metrics = [_trained(run, task, name) for name, task in tasks.items()]
    return Networks(generator.eval(), decoder.eval(), *metrics)


def panel_of(run: Run) -> Batch:
    """The fixed held-out panel: validation fragments spread evenly, not transposed."""
    return Fragments(run.splits["valid"], run.preset.fragment, run.preset.stride).panel(run.preset.panel)


def _trained(run: Run, task: Task, name: str) -> pd.DataFrame:
    """Train one task, or load what was stored under the same key."""
    weights, table = run.dir / "results" / f"{name}.safetensors", run.dir / "results" / f"{name}_metrics.csv"
    stamp, checkpoint = run.dir / "checkpoints" / f"{name}.key", run.dir / "checkpoints" / f"{name}.pt"
    key = recipes.key(run, name)
    if stamp.exists() and stamp.read_text() == key and weights.exists() and table.exists():
        load_module(task.module, weights)
        metrics = pd.read_csv(table, index_col="iteration")
        run.found.append(f"training, {task.name}")
    else:
        iterations = getattr(run.preset, recipes.RECIPES[name].iterations)
        metrics = fit(task, iterations, run.seed, run.preset.evaluate_every, checkpoint, key)
        save_module(task.module, weights)
        with atomic(table) as temporary:
            metrics.to_csv(temporary, lineterminator="\n")
        with atomic(stamp) as temporary:
            temporary.write_text(key)
    run.adopt(weights)
    run.adopt(table)
    run.costs[f"training, {task.name}"] = json.loads(checkpoint.with_suffix(".cost.json").read_text())
    return metrics
