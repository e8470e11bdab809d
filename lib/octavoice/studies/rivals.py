"""The samplers of §6.4 and their rivals, trained alike at study scale (claims C6–C8, C19 and C25).

All are judged on the same held-out panel and the same steps, those of at most five classes, in nats per step: the
softmax and the independent classes exactly, the voices by a bound. Trainings are short: differences are those of
the first minutes of learning, with the spread over seeds.
"""

import numpy as np
import torch

from octavoice.model import Tensors
from octavoice.studies import trainings as studies
from octavoice.thesis.independent import IndependentClasses
from octavoice.thesis.voices import FORCING, VOICES
from octavoice.training.fit import weighted_mean
from octavoice.training.networks import panel_of
from octavoice.training.run import Run

SCHEMES = {"own nets": (0.0, False), "own nets, penalty 1": (1.0, False), "one shared net": (0.0, True)}
"""Variants of scheme one: the pause penalty, and whether voices share a net."""


def measure(run: Run) -> dict:
    """Everything of one seed: likelihoods of the variants, and how scheme one uses its voices."""
    t, seed = studies.held_out_tensors(run), run.seed
    playable = (t.x12[1:].sum(dim=-1) <= VOICES) & (t.weight > 0)
    levels = {}
    for forcing in FORCING:
        generator, _ = studies.train_on(run, run.splits["train"], 0, forcing, panel_of(run))
        generator.particles = run.preset.particles
        levels[forcing] = level(generator.log_likelihood(t, torch.Generator().manual_seed(seed)), playable)
    for name, (model, _) in {"softmax over 4096": studies.train_joint(run, seed),
                             "independent classes": train_independent(run, seed)}.items():
        with torch.no_grad():
            levels[name] = level(-model.rival.objective(model.features(t), t.x12[1:]), playable)
    tables = {}
    for name, (penalty, shared) in SCHEMES.items():
        model, metrics = studies.train_first_scheme(run, penalty, seed, shared)
        table = studies.pauses(run, model, seed)
        tables[name] = {"pause": table.iloc[:, 1].tolist(), "classes found": float(table.iloc[-1, 2]),
                        "objective": -float(metrics["held_out"].iloc[-1])}
    return {"levels": levels, "scheme one": tables, "classes on struck steps": struck_classes(t),
            "iterations": run.preset.study_iterations, "batch": run.preset.study_batch,
            "fragment": run.preset.study_fragment, "particles": run.preset.particles}


def train_independent(run: Run, seed: int):
    """The independent classes at study scale; returns model and metrics."""
    def loss_of(model: studies.FeatureModel, t: Tensors, rng: torch.Generator) -> torch.Tensor:
        return weighted_mean(model.rival.objective(model.features(t), t.x12[1:]), t.weight)
    return studies.train_rival(run, IndependentClasses, loss_of, "independent classes", seed)


def level(nats: torch.Tensor, where: torch.Tensor) -> float:
    """Mean of the steps ``where``, both ``(time - 1, batch)``."""
    return float(nats[where].double().mean())


def struck_classes(t: Tensors) -> float:
    """Classes on held-out steps with an onset, mean."""
    classes = t.x12[1:].sum(dim=-1)[t.weight > 0].numpy()
    return float(np.mean(classes[classes > 0]))
