"""The held-out table: every step of every test piece, beside baselines on the same steps (thesis §7.3, C10).

A piece is cut into windows of 256 predictions end to end, each with its true history; nothing is
transposed. The objective depends on which class each voice happens to draw, so it is averaged over
draws that are fixed by a piece's content and the step, whatever model is judged and in whatever company.
"""

import numpy as np
import pandas as pd
import torch
from scipy.stats import bootstrap

from octavoice.corpus import Batch, Fragments, Pieces
from octavoice.corpus.splits import content_hash
from octavoice.likelihood import baselines
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training.fit import to_tensors

WINDOW = 256
DRAWS = 4
BATCH = 32
"""Windows at a time; each is there once for every draw."""
DRAW_SEED = 2018
RESAMPLES = 2000


def piece_table(generator: OctaveGenerator, train: Pieces, test: Pieces, progress=iter) -> pd.DataFrame:
    """Nats per piece under the model and under each baseline, fitted on ``train``.

    One row per test piece: ``steps`` that were predicted, then sums over them of the objective
    (``main module``) and of each baseline's log-likelihood. ``progress`` wraps the loop (tqdm).
    """
    tables = {name: (baselines.fit_table(train, lag), lag) for name, lag in baselines.LAGS.items()}
    tiles, draws = Fragments.tiling(test, WINDOW + 1), [piece_draws(generator, piece) for piece in test]
    rows = []
    for which in progress(np.array_split(np.arange(len(tiles)), -(-len(tiles) // BATCH))):
        batch, places = tiles.gather(which), tiles.places(which)
        u = np.stack([cut(draws[piece], start) for piece, start in places], axis=-1)
        sums = {"piece": places[:, 0], "steps": batch.weight.sum(axis=0),
                "main module": -(model_loss(generator, batch, u) * batch.weight).sum(axis=0)}
        sums |= {name: (baselines.per_step(table, lag, batch) * batch.weight).sum(axis=0)
                 for name, (table, lag) in tables.items()}
        rows.append(pd.DataFrame(sums))
    total = pd.concat(rows).groupby("piece").sum()
    return total.set_index(pd.Index([test[i].name for i in total.index], name="piece"))


def piece_draws(generator: OctaveGenerator, piece) -> np.ndarray:
    """The uniforms of one piece, ``(draw, voice, step)``: a stream of its own, named by its notes."""
    stream = np.random.Generator(np.random.Philox(key=[DRAW_SEED, int(content_hash(piece.roll)[:16], 16)]))
    return stream.random((piece.steps, DRAWS, generator.sampler.voices), dtype=np.float32).transpose(1, 2, 0)


def cut(draws: np.ndarray, start: int) -> np.ndarray:
    """The draws of one window, ``(draw, voice, 256)``, zeros after the piece's end."""
    window = draws[..., start:start + WINDOW]
    return np.pad(window, ((0, 0), (0, 0), (0, WINDOW - window.shape[-1])))


@torch.no_grad()
def model_loss(generator: OctaveGenerator, batch: Batch, u: np.ndarray) -> np.ndarray:
    """The objective of §6.4 as a loss, mean over draws, ``(time - 1, batch)``.

    ``u`` ``(draw, voice, time - 1, batch)`` are the uniforms that choose each voice's class.
    """
    t = to_tensors(batch, next(generator.parameters()).device)
    wide = [a.repeat_interleave(DRAWS, dim=1) for a in (t.x12, t.clock, t.history)]
    u = torch.from_numpy(np.moveaxis(u, 0, -1)).flatten(-2).to(t.x12.device)
    return generator.objective(*wide, u).unflatten(-1, (-1, DRAWS)).mean(dim=-1).cpu().numpy()


def levels(pieces: pd.DataFrame, seed: int = DRAW_SEED) -> pd.DataFrame:
    """Nats per step over the whole test set, with a 95 % bootstrap interval over pieces.

    ``pieces`` as :func:`piece_table` gives it; one row per model, columns ``level``, ``low``, ``high``.
    """
    def mean(nats, steps, axis=-1):
        return nats.sum(axis=axis) / steps.sum(axis=axis)
    rows = {}
    for name in pieces.columns.drop("steps"):
        columns = pieces[name].to_numpy(), pieces["steps"].to_numpy()
        spread = (np.nan, np.nan) if len(pieces) < 2 else bootstrap(
            columns, mean, paired=True, n_resamples=RESAMPLES, method="percentile", rng=seed).confidence_interval
        rows[name] = {"level": mean(*columns), "low": spread[0], "high": spread[1]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("nats per step")


def random_batch(generator: OctaveGenerator, test: Pieces, length: int, size: int, seed: int) -> float:
    """The thesis's own way: the objective on one random batch of transposed fragments, nats per step."""
    batch = Fragments(test, length).draw(np.random.default_rng(seed), size)
    u = np.random.default_rng(seed).random((DRAWS, generator.sampler.voices, length - 1, size), dtype=np.float32)
    return float(-(model_loss(generator, batch, u) * batch.weight).sum() / batch.weight.sum())
