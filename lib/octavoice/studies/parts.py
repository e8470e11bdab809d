"""What each part of the model beyond is worth: its first stage trained anew without it, or otherwise, at a study's
scale."""

from dataclasses import replace

import pandas as pd
import torch

from octavoice import beyond
from octavoice.beyond.classes import HELD, RATES, SILENCES, ClassChain, onsets_alone
from octavoice.corpus import Fragments
from octavoice.likelihood.axis import panel_level
from octavoice.model import Recipe
from octavoice.music.roll import CLASSES, CLOCK_BITS
from octavoice.thesis.attention import PERIODS
from octavoice.training.fit import fit, seeded, to_tensors
from octavoice.training.networks import network_task, panel_of
from octavoice.training.run import Run

PARTS = {"step": CLASSES, "reads": len(PERIODS) * CLASSES, "running means": len(RATES) * CLASSES, "clock": CLOCK_BITS,
         "silence": len(SILENCES), "repetition": len(PERIODS), "what is known": len(PERIODS), "what is held": HELD}
"""The parts of s_t in their order, and how many inputs each is."""
LEFT_OUT = tuple(part for part in PARTS if part not in ("step", "clock"))


def deaf(network: ClassChain, part: str) -> ClassChain:
    """The same network, no longer told one part of s_t: zeros in its place."""
    told = torch.cat([torch.full((count,), float(name != part)) for name, count in PARTS.items()])
    network.lower.register_forward_pre_hook(lambda _, inputs: (inputs[0] * told.to(inputs[0]), *inputs[1:]))
    return network


def trainings(recipe: Recipe) -> dict[str, tuple[str, Recipe, dict[str, float]]]:
    """By name which part a variant is not told, how it is trained, on as much music, and what is heard otherwise."""
    large = replace(recipe, batch=4 * recipe.batch, iterations=max(1, recipe.iterations // 4))
    return {"everything": ("", recipe, {}), **{f"without {part}": (part, recipe, {}) for part in LEFT_OUT},
            "nothing wrong in what is heard": ("", recipe, {"mistakes": 0.0, "astray": 0.0}),
            "batches four times as large": ("", large, {}),
            "a third of the rate": ("", replace(recipe, learning_rate=recipe.learning_rate / 3), {})}


def worth(run: Run) -> pd.DataFrame:
    """Held-out log-likelihood of every variant, exact, nats per step: all fragments, beginnings of pieces, middles; and
    of all fragments given how long earlier notes are held."""
    p, rows = run.preset, {}
    fragments = Fragments(run.splits["train"], p.study_fragment, p.stride, durations=True)
    same = beyond.recipe(p.study_iterations * p.study_batch / 3, p.study_batch)
    for name, (part, recipe, heard) in trainings(same).items():
        network = deaf(seeded(ClassChain, run.seed).to(run.device), part)
        vars(network).update(heard)
        fit(network_task(name, network, fragments, recipe, None, p.precision, p.threads), recipe.iterations, run.seed)
        panel = to_tensors(panel_of(run, network), run.device)
        rows[name] = panel_level(network.eval(), onsets_alone(panel))
        rows[name]["durations told"] = panel_level(network, panel)["level"]
    return pd.DataFrame(rows).T.rename_axis("variant")
