"""Decoders of several sizes, trained alike at study scale (claim C20, §6.2).

By the main module's settings of Adam, since by the published program's every size ends below a table of frequencies
(`05`). Judged as generated, one Gibbs step from the keys before, on the same held-out panel.
"""

from functools import partial

import torch

from octavoice.corpus import Fragments
from octavoice.model import Recipe
from octavoice.studies import trainings as studies
from octavoice.thesis.decoder import HIDDEN, Decoder
from octavoice.training.fit import fit, seeded, weighted_mean
from octavoice.training.networks import network_task
from octavoice.training.run import Run

SIZES = (0, HIDDEN, 150)
"""Hidden units: none (keys are independent given the past), the thesis's, and those of the RNN-RBM's paper."""


def measure(run: Run) -> dict:
    """Held-out nats per step of keys given classes, as generated, by the number of hidden units."""
    p, t = run.preset, studies.held_out_tensors(run)
    fragments = Fragments(run.splits["train"], p.study_fragment, p.stride)
    recipe = Recipe(p.study_iterations, p.study_batch, p.learning_rate, p.epsilon)
    levels = {}
    for size in SIZES:
        decoder = seeded(partial(Decoder, size), run.seed)
        fit(network_task(f"decoder of {size} hidden units", decoder, fragments, recipe), recipe.iterations, run.seed)
        with torch.no_grad():
            nats = decoder.eval().log_likelihood(t, torch.Generator().manual_seed(run.seed))
        levels[str(size)] = weighted_mean(nats.double(), t.weight).item()
    return {"levels": levels, "iterations": recipe.iterations, "batch": recipe.batch, "fragment": p.study_fragment,
            "learning rate": recipe.learning_rate}
