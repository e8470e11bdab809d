"""One axis for every model: nats per step on whole test sets, the same steps for all that are compared.

A piece is cut into windows of 256 predictions end to end, each with its true history; nothing is transposed.
A step that one of the compared samplers cannot make is left out for all of them, and counted.
"""

from collections.abc import Callable
from copy import copy

import numpy as np
import pandas as pd
import torch
from scipy.stats import bootstrap

from octavoice.corpus import Pieces
from octavoice.likelihood import baselines, decoding, evaluation
from octavoice.likelihood.evaluation import BATCH, DRAW_SEED, RESAMPLES, WINDOW
from octavoice.likelihood.streams import streams
from octavoice.model import BOUND, Batch, Network
from octavoice.music.roll import mask
from octavoice.representation import Cut
from octavoice.representations.steps import Fragments
from octavoice.thesis.decoder import keys_log_likelihood
from octavoice.training.fit import to_tensors

Judge = Callable[[Batch], np.ndarray]
"""Nats of every step of a batch, ``(time - 1, batch)``."""
PARTICLES = 128
"""Of a bound by particle filter, unless a comparison asks for fewer."""


def network_judge(network: Network, seed: int = DRAW_SEED, draws_on: torch.device | str = "cpu", **settings) -> Judge:
    """A network's log-likelihood, with ``settings`` set on it (particles, chains); :data:`PARTICLES` where it
    has any.

    Of a bound every window draws from a stream of its own, see :mod:`octavoice.likelihood.streams`. Draws are
    a CPU's and so the same on every device, unless they are made elsewhere for speed.
    """
    judged = copy(network)
    if hasattr(network, "particles"):
        settings = {"particles": PARTICLES} | settings
    for name, value in settings.items():
        setattr(judged, name, value)
    judged.precision, draws = "fp32", torch.Generator(draws_on).manual_seed(seed)

    @torch.no_grad()
    def nats(t: Batch) -> np.ndarray:
        rng = streams(t, seed, draws_on) if judged.kind == BOUND else draws
        return judged.log_likelihood(t, rng).double().cpu().numpy()
    return nats


def class_tables(train: Pieces) -> dict[str, Judge]:
    """The tables of frequencies of :mod:`octavoice.likelihood.baselines`, for pitch classes."""
    def judge(table: np.ndarray, lag: int | None) -> Judge:
        return lambda t: baselines.per_step(table, lag, Batch(*(field.cpu().numpy() for field in t)))
    return {name: judge(baselines.fit_table(train, lag), lag) for name, lag in baselines.LAGS.items()}


def key_tables(train: Pieces) -> dict[str, Judge]:
    """For keys given classes: how often a key is struck, and whether its class keeps its octave."""
    def judge(remember: bool) -> Judge:
        frequencies = decoding.key_frequencies(train, remember)

        def nats(t: Batch) -> np.ndarray:
            p = decoding.table_probability(frequencies, t)
            return keys_log_likelihood(p, t.x[1:], mask(t.x12[1:])).double().cpu().numpy()
        return nats
    return {"key frequency": judge(False), "octave kept": judge(True)}


def added_tables(train: Pieces) -> dict[str, Judge]:
    """For keys at once: the best table of both spaces, added."""
    classes, given = class_tables(train)["one bar before"], key_tables(train)["octave kept"]
    return {"tables": lambda t: classes(t) + given(t)}


def step_table(judges: dict[str, Judge], pieces: Pieces, device="cpu", progress=iter,
               durations: bool = False) -> pd.DataFrame:
    """Nats of every step of every piece but its first: one row a step, columns ``piece``, ``step`` and the
    judges'.

    ``progress`` wraps the loop over batches of windows (tqdm). Batches tell ``durations`` if asked for.
    """
    return tile_table(judges, Fragments.tiling(pieces, WINDOW + 1, durations, whole=True), device, progress)


def tile_table(judges: dict[str, Judge], tiles: Cut, device="cpu", progress=iter) -> pd.DataFrame:
    """The same of pieces cut into ``tiles``, steps or events: every place of each piece but its first."""
    rows = []
    for which in progress(np.array_split(np.arange(len(tiles)), -(-len(tiles) // BATCH))):
        batch, places = tiles.gather(which), tiles.places(which)
        t, real = to_tensors(batch, device), batch.weight > 0
        step, window = np.nonzero(real)
        row = {"piece": places[window, 0], "step": places[window, 1] + step + 1}
        rows.append(pd.DataFrame(row | {name: judge(t)[real] for name, judge in judges.items()}))
    return pd.concat(rows).sort_values(["piece", "step"], ignore_index=True)


def by_piece(steps: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Sums over the steps that everybody can make, one row a piece with ``steps``; and how many steps are
    left out."""
    names = list(steps.columns.drop(["piece", "step"]))
    possible = np.isfinite(steps[names]).all(axis=1)
    kept = steps[possible]
    sums = kept.groupby("piece")[names].sum()
    sums.insert(0, "steps", kept.groupby("piece").size())
    return sums, int((~possible).sum())


def gain(pieces: pd.DataFrame, ours: str, theirs: str, seed: int = DRAW_SEED) -> dict[str, float]:
    """By how many nats per step ``ours`` is above ``theirs``, with a paired 95 % bootstrap interval over
    pieces."""
    def mean(nats, steps, axis=-1):
        return nats.sum(axis=axis) / steps.sum(axis=axis)
    columns = (pieces[ours] - pieces[theirs]).to_numpy(), pieces["steps"].to_numpy()
    spread = (np.nan, np.nan) if len(pieces) < 2 else bootstrap(
        columns, mean, paired=True, n_resamples=RESAMPLES, method="percentile", rng=seed).confidence_interval
    return {"gain": mean(*columns), "low": spread[0], "high": spread[1]}


def levels(pieces: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    """Nats per step of each column of :func:`by_piece`, 95 % over pieces, and its kind; the highest last."""
    table = evaluation.levels(pieces)
    table.insert(0, "kind", [kinds.get(name, "exact") for name in table.index])
    return table.sort_values("level")


def panel_level(network: Network, t: Batch, seed: int = DRAW_SEED, **settings) -> dict[str, float]:
    """Nats per step on a batch: of all steps, of fragments that begin a piece and of those amid one."""
    nats, weight = network_judge(network, seed, **settings)(t), t.weight.cpu().numpy()
    weight = weight * np.isfinite(nats)
    begins = (t.position[0] == 0).cpu().numpy()
    nats = np.where(weight > 0, nats, 0)

    def mean(which: np.ndarray) -> float:
        return float((nats * weight)[:, which].sum() / weight[:, which].sum()) if weight[:, which].any() else np.nan
    return {"level": mean(begins | True), "beginnings": mean(begins), "middles": mean(~begins)}
