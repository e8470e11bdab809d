"""What each part of the model beyond is worth: its first stage trained anew without it, at a study's scale; and what it
would be worth to tell it which notes are still held."""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.beyond import study_recipe
from octavoice.beyond.classes import GENERAL, RATES, RELATIVE, SILENCES, ClassChain
from octavoice.beyond.durations import size
from octavoice.corpus import Fragments
from octavoice.evidence.axis import panel_level
from octavoice.model import HISTORY, Tensors, uniforms
from octavoice.music.roll import CLASSES, CLOCK_BITS
from octavoice.thesis.attention import PERIODS
from octavoice.training.fit import fit, seeded, to_tensors
from octavoice.training.networks import network_task, panel_of
from octavoice.training.run import Run

PARTS = {"step": CLASSES, "reads": len(PERIODS) * CLASSES, "running means": len(RATES) * CLASSES, "clock": CLOCK_BITS,
         "silence": len(SILENCES), "repetition": len(PERIODS), "what is known": len(PERIODS)}
"""The parts of s_t in their order, and how many inputs each is."""
HELD = "everything, and what is still held"
VARIANTS = {"everything": {}, HELD: {}, "no wrong notes in training": {"mistakes": 0.0}} | {
    f"without {part}": {"without": part} for part in PARTS if part not in ("step", "clock")}


class HearingChain(ClassChain):
    """The first stage, also told at every step how long each class still sounds, and which ends now: 24 inputs more.

    Its likelihood is that of classes given how long earlier notes are held, so it counts together with the third
    stage's only, and is no likelihood of onsets alone.
    """

    def __init__(self):
        super().__init__()
        self.lower = nn.LSTM(RELATIVE * CLASSES + GENERAL + 2 * CLASSES, self.lower.hidden_size)
        beside = self.beside = {}  # one for the network and its shallow copies, whose LSTM is the same
        self.lower.register_forward_pre_hook(
            lambda _, inputs: (torch.cat([inputs[0], beside["told"]], dim=-1), *inputs[1:]))

    def log_likelihood(self, batch: Tensors, rng: torch.Generator | None = None) -> Tensor:
        """As the chain's, of a batch that tells durations."""
        self.beside["told"] = still_held(batch.durations)[:-1]
        return super().log_likelihood(batch)

    def loss(self, batch: Tensors, rng: torch.Generator) -> Tensor:
        """As the chain's; what is told rolls with each fragment, by the shift that the chain is about to draw."""
        ahead = torch.Generator(rng.device)
        ahead.set_state(rng.get_state())
        shift = (CLASSES * uniforms(ahead, 3, batch.x12.shape[1], device=batch.x12.device)[0]).long()
        told = still_held(batch.durations)[:-1].unflatten(-1, (2, CLASSES))
        order = (torch.arange(CLASSES, device=shift.device) + shift[:, None]) % CLASSES
        self.beside["told"] = told.gather(-1, order[:, None].expand(len(told), -1, 2, -1)).flatten(-2)
        return super().loss(batch, rng)


def still_held(durations: Tensor) -> Tensor:
    """Of ``durations`` ``(128 + time, batch, key)``: after each step the size of what is left of every class, and
    whether one ends with the step, ``(time, batch, 24)``."""
    time = torch.arange(len(durations), device=durations.device)[:, None, None]
    left = torch.where(durations > 0, time + durations, 0.0).cummax(dim=0).values - time
    both = torch.stack([size((left - 1).clamp_min(0)), (left == 1).to(durations.dtype)], dim=-2)[HISTORY:]
    return functional.pad(both, (0, 8)).unflatten(-1, (-1, CLASSES)).amax(dim=-2).flatten(-2)


def deaf(network: ClassChain, part: str) -> ClassChain:
    """The same network, no longer told one part of s_t: zeros in its place."""
    told = torch.cat([torch.full((count,), float(name != part)) for name, count in PARTS.items()])
    network.lower.register_forward_pre_hook(lambda _, inputs: (inputs[0] * told.to(inputs[0]), *inputs[1:]))
    return network


def worth(run: Run) -> pd.DataFrame:
    """Held-out log-likelihood of every variant, exact, nats per step: all fragments, beginnings of pieces, middles."""
    p, rows = run.preset, {}
    for name, settings in VARIANTS.items():
        hears = name == HELD
        fragments = Fragments(run.splits["train"], p.study_fragment, p.stride, hears)
        network = seeded(HearingChain if hears else ClassChain, run.seed).to(run.device)
        network = network if hears else deaf(network, settings.get("without", ""))
        network.mistakes = settings.get("mistakes", network.mistakes)
        recipe = study_recipe(max(2, p.study_iterations // 3), p.study_batch)
        fit(network_task(name, network, fragments, recipe, None, p.precision, p.threads), recipe.iterations, run.seed)
        rows[name] = panel_level(network.eval(), to_tensors(panel_of(run, hears), run.device))
    return pd.DataFrame(rows).T.rename_axis("variant")
