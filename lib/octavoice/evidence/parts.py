"""What each part of the model beyond is worth: its first stage trained anew without it, at a study's scale."""

import pandas as pd
import torch

from octavoice.beyond import study_recipe
from octavoice.beyond.classes import RATES, SILENCES, ClassChain
from octavoice.corpus import Fragments
from octavoice.evidence.axis import panel_level
from octavoice.music.roll import CLASSES, CLOCK_BITS
from octavoice.thesis.attention import PERIODS
from octavoice.training.fit import fit, seeded, to_tensors
from octavoice.training.networks import network_task, panel_of
from octavoice.training.run import Run

PARTS = {"step": CLASSES, "reads": len(PERIODS) * CLASSES, "running means": len(RATES) * CLASSES, "clock": CLOCK_BITS,
         "silence": len(SILENCES), "repetition": len(PERIODS), "what is known": len(PERIODS)}
"""The parts of s_t in their order, and how many inputs each is."""
VARIANTS = {"everything": {}, "no wrong notes in training": {"mistakes": 0.0}} | {
    f"without {part}": {"without": part} for part in PARTS if part not in ("step", "clock")}


def deaf(network: ClassChain, part: str) -> ClassChain:
    """The same network, no longer told one part of s_t: zeros in its place."""
    told = torch.cat([torch.full((size,), float(name != part)) for name, size in PARTS.items()])
    network.lower.register_forward_pre_hook(lambda _, inputs: (inputs[0] * told.to(inputs[0]), *inputs[1:]))
    return network


def worth(run: Run) -> pd.DataFrame:
    """Held-out log-likelihood of every variant, exact, nats per step: all fragments, beginnings of pieces, middles."""
    p, panel = run.preset, to_tensors(panel_of(run), run.device)
    fragments = Fragments(run.splits["train"], p.study_fragment, p.stride)
    rows = {}
    for name, settings in VARIANTS.items():
        network = deaf(seeded(ClassChain, run.seed).to(run.device), settings.get("without", ""))
        network.mistakes = settings.get("mistakes", network.mistakes)
        recipe = study_recipe(max(2, p.study_iterations // 3), p.study_batch)
        fit(network_task(name, network, fragments, recipe, None, p.precision, p.threads), recipe.iterations, run.seed)
        rows[name] = panel_level(network.eval(), panel)
    return pd.DataFrame(rows).T.rename_axis("variant")
