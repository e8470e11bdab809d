"""The small trainings of notebooks 03 and 04: attention on repeats (C3), scheme one (C6, C7), forcing (C8)."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from octavoice.corpus import Fragments
from octavoice.likelihood.shared import shared_likelihood
from octavoice.model import Tensors, uniforms
from octavoice.music.piece import Piece
from octavoice.music.roll import clock, compress
from octavoice.thesis.attention import MainModule, MainState
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.limits import limit
from octavoice.thesis.rivals import FirstScheme, JointSoftmax, first_scheme_objective
from octavoice.training.fit import Task, fit, seeded, to_tensors, weighted_mean
from octavoice.training.networks import main_task, panel_of
from octavoice.training.run import Run


def planted_repeat(pieces: list[Piece], period: int, times: int, seed: int) -> Piece:
    """A piece that repeats one block of ``period`` steps exactly ``times`` times, and nothing else.

    The block is drawn from the steps of real pieces in random order, so that only the repeat
    predicts it.
    """
    rng = np.random.default_rng(seed)
    steps = np.concatenate([piece.roll for piece in pieces])
    steps = steps[steps.any(axis=1)]
    block = steps[rng.permutation(len(steps))[:period]] * (rng.random((period, 1)) < 0.7).astype(np.uint8)
    return Piece(f"planted repeat of {period} steps", np.tile(block, (times, 1)), 1, ((4, 4),))


def train_on(run: Run, pieces: list[Piece], seed_offset: int = 0, forcing: str = "truth", panel=None):
    """Train a fresh generator at study scale on some pieces; returns it and its metrics."""
    p = run.preset
    generator = seeded(OctaveGenerator, run.seed + seed_offset).to(run.device)
    task = main_task(generator, Fragments(pieces, p.study_fragment, p.stride), p.study_batch, panel, forcing)
    metrics = fit(task, p.study_iterations, run.seed + seed_offset, p.study_iterations if panel else 0)
    return generator.eval(), metrics


@torch.no_grad()
def attend(generator: MainModule, piece: Piece) -> np.ndarray:
    """The attention weights while a whole piece is read, ``(time, period)``."""
    device = next(generator.parameters()).device
    x12 = torch.from_numpy(compress(piece.roll)).float()[:, None].to(device)
    ticks = torch.from_numpy(clock(np.arange(piece.steps)))[:, None].to(device)
    return generator(x12, ticks, generator.initial_state(1))[1][:, 0].cpu().numpy()


def held_out_tensors(run: Run) -> Tensors:
    """The fixed held-out panel on the run's device."""
    return to_tensors(panel_of(run), run.device)


class FeatureModel(nn.Module):
    """The main module with another sampler on top, for the rivals of §6.4."""

    def __init__(self, rival: nn.Module):
        super().__init__()
        self.main, self.rival = MainModule(), rival

    def features(self, t: Tensors) -> Tensor:
        """F for every predicted step of a batch, ``(time - 1, batch, 130)``."""
        return self.main(t.x12[:-1], t.clock[:-1], MainState(t.history))[0]


def train_rival(run: Run, build: Callable, loss_of: Callable, name: str, seed: int, judge_of: Callable | None = None):
    """Train a rival at study scale on the training pieces; returns model and metrics.

    ``held_out`` is the loss on the panel, or ``judge_of`` where that differs from what is minimised.
    """
    p = run.preset
    model = seeded(lambda: FeatureModel(build()), seed).to(run.device)
    held_out = held_out_tensors(run)
    fragments = Fragments(run.splits["train"], p.study_fragment, p.stride)

    def evaluate() -> dict[str, float]:
        return {"held_out": (judge_of or loss_of)(model, held_out, torch.Generator().manual_seed(0)).item()}
    task = Task(name, model, lambda t, rng: loss_of(model, t, rng), lambda rng: fragments.draw(rng, p.study_batch),
                evaluate)
    return model.eval(), fit(task, p.study_iterations, seed, max(1, p.study_iterations // 4))


def train_first_scheme(run: Run, pause_penalty: float, seed: int, shared: bool = False):
    """Scheme one with a pause penalty (C6, C7) at study scale; returns model and metrics.

    ``shared``: one net for all voices, or one for each. The held-out objective leaves the penalty out.
    """
    def loss_of(model: FeatureModel, t: Tensors, rng: torch.Generator, penalty: float = pause_penalty) -> Tensor:
        draws = uniforms(rng, model.rival.voices, len(t.x12) - 1, t.x12.shape[1], device=t.x12.device)
        log_q, _ = model.rival(model.features(t), draws)
        return weighted_mean(first_scheme_objective(log_q, t.x12[1:], penalty), t.weight)
    name = f"scheme one, {'shared net' if shared else 'own nets'}, pause penalty {pause_penalty:g}"
    return train_rival(run, lambda: FirstScheme(shared=shared), loss_of, name, seed, partial(loss_of, penalty=0.0))


def train_joint(run: Run, seed: int):
    """The softmax over 4096 step vectors (exact likelihood) at study scale; returns model and metrics."""
    def loss_of(model: FeatureModel, t: Tensors, rng: torch.Generator) -> Tensor:
        return weighted_mean(model.rival.objective(model.features(t), t.x12[1:]), t.weight)
    return train_rival(run, JointSoftmax, loss_of, "softmax over 4096", seed)


@torch.no_grad()
def pauses(run: Run, model: FeatureModel, seed: int = 0) -> pd.DataFrame:
    """How often each voice of scheme one pauses on held-out steps, all of them and those with an onset.

    One row per voice, mean probability of the pause; ``notes`` is the mean number of different
    classes the voices up to this one sampled, on steps with an onset.
    """
    t = held_out_tensors(run)
    rng = torch.Generator().manual_seed(seed)
    draws = uniforms(rng, model.rival.voices, len(t.x12) - 1, t.x12.shape[1], device=run.device)
    log_q, choices = model.rival(model.features(t), draws)
    pause, real = log_q[..., -1].exp(), t.weight > 0
    struck = real & t.x12[1:].any(dim=-1)
    one_hot = nn.functional.one_hot(choices, model.rival.classes + 1)[..., :-1]
    notes = torch.stack([one_hot[: v + 1].amax(0).sum(-1).float()[struck].mean() for v in range(len(choices))])
    rows = {"pause, all steps": pause[:, real].mean(1), "pause, steps with an onset": pause[:, struck].mean(1),
            "notes so far, steps with an onset": notes}
    index = pd.Index([f"voice {v + 1}" for v in range(len(choices))], name="voice")
    return pd.DataFrame({name: column.cpu().numpy() for name, column in rows.items()}, index=index)


def wide(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of :func:`pauses` as a row for each variant and each thing that was measured, a column per voice.

    What was not measured of any voice is left out; where only all voices together were, the others are NaN.
    """
    whole = pd.concat(tables, names=["variant"]).dropna(axis=1, how="all")
    return whole.stack().unstack("voice").rename_axis(["variant", "measured"])


def collapse(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """C6, C7 in one line per variant, on steps with an onset (from :func:`pauses`).

    ``voices that gave up`` pause with probability above 0.9; the pause probability of the busiest
    voice; the number of different classes that all voices found.
    """
    def row(pause: pd.Series, found: pd.Series) -> dict:
        return {"voices that gave up": int((pause > limit("C6", "pauses of one that gave up")).sum()),
                "busiest voice pauses": pause.min(), "classes found": found.iloc[-1]}
    rows = {name: row(table.iloc[:, 1], table.iloc[:, 2]) for name, table in tables.items()}
    return pd.DataFrame(rows).T.rename_axis("variant")


def compare_forcing(run: Run, seeds: list[int]) -> pd.DataFrame:
    """C8: each variant of teacher forcing trained alike, judged by the shared likelihood on the panel.

    One row per variant and seed: objective (its own, nats per step), the likelihood bound, and the
    exact likelihood of the softmax over 4096 vectors trained on the same batches.
    """
    panel = panel_of(run)
    held_out, rows = to_tensors(panel, run.device), []
    for seed in seeds:
        for forcing in ("truth", "own", "ordered"):
            generator, metrics = train_on(run, run.splits["train"], seed - run.seed, forcing, panel)
            judged = shared_likelihood(generator, held_out, run.preset.particles, seed)
            rows.append({"variant": forcing, "seed": seed, "objective": -metrics["held_out"].iloc[-1], **judged})
        _, metrics = train_joint(run, seed)
        exact = -metrics["held_out"].iloc[-1]
        rows.append({"variant": "softmax over 4096", "seed": seed, "objective": exact, "log_likelihood": exact,
                     "impossible": 0.0})
    return pd.DataFrame(rows).set_index(["variant", "seed"])
