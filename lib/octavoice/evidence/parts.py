"""What each part of the model beyond is worth: its first stage trained anew without it, at a study's scale."""

from functools import partial

import pandas as pd

from octavoice.beyond import study_recipe
from octavoice.beyond.classes import PARTS, ClassChain
from octavoice.corpus import Fragments
from octavoice.evidence.axis import panel_level
from octavoice.training.fit import fit, seeded, to_tensors
from octavoice.training.networks import network_task, panel_of
from octavoice.training.run import Run

VARIANTS = {"everything": {}, "no wrong notes in training": {"mistakes": 0.0}} | {
    f"without {part}": {"without": (part,)} for part in PARTS if part not in ("step", "clock")}


def worth(run: Run) -> pd.DataFrame:
    """Held-out log-likelihood of every variant, exact, nats per step: all fragments, beginnings of pieces, middles."""
    p, panel = run.preset, to_tensors(panel_of(run), run.device)
    fragments = Fragments(run.splits["train"], p.study_fragment, p.stride)
    rows = {}
    for name, settings in VARIANTS.items():
        network = seeded(partial(ClassChain, without=settings.get("without", ())), run.seed).to(run.device)
        network.mistakes = settings.get("mistakes", network.mistakes)
        recipe = study_recipe(p.study_iterations, p.study_batch)
        fit(network_task(name, network, fragments, recipe, None, p.precision, p.threads), recipe.iterations, run.seed)
        rows[name] = panel_level(network.eval(), panel)
    return pd.DataFrame(rows).T.rename_axis("variant")
