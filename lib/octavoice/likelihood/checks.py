"""How well likelihoods are known: the voices' by particles, the decoder's at equilibrium, and both on all steps."""

from copy import copy

import numpy as np
import pandas as pd
import torch

from octavoice.corpus import Batch, Fragments, Pieces
from octavoice.likelihood import baselines, equilibrium, mixture
from octavoice.model import Tensors
from octavoice.music.roll import mask
from octavoice.rbm import free_energy, log_partition, pseudo_likelihood
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training.fit import to_tensors

PARTICLES = (1, 8, 32, 128)
"""The last three in equal ratios, so that what is left can be extrapolated."""
FRAGMENTS, LENGTH, STRIDE = 60, 256, 32
DRAWS = 2
"""Independent filters, whose spread is told."""
STEPS, CHECKED = 5000, 200
"""Steps on which the decoder is judged, and how many of those that can be enumerated annealing is checked on."""


def panel(pieces: Pieces) -> Batch:
    """60 fragments of 256 steps, spread evenly over all of them, not transposed."""
    return Fragments(pieces, LENGTH, STRIDE).panel(FRAGMENTS)


def filtered(generator: OctaveGenerator, t: Tensors, particles: int, draw: int) -> np.ndarray:
    """The bound of every step by one filter, ``(time - 1, batch)``."""
    judged = copy(generator)
    judged.particles = particles
    return judged.log_likelihood(t, torch.Generator().manual_seed(draw)).double().numpy()


def looseness(generator: OctaveGenerator, pieces: Pieces) -> dict:
    """The bound by number of particles: every draw's level, nats per step; and the gap that is left.

    On 60 fragments of ``pieces``. Steps that no filter can explain are left out of all, and counted.
    """
    t = to_tensors(panel(pieces))
    real = t.weight.numpy() > 0
    found = {n: [filtered(generator, t, n, draw) for draw in range(DRAWS)] for n in PARTICLES}
    possible = real & np.isfinite(np.stack([nats for draws in found.values() for nats in draws])).all(axis=0)
    levels = {n: [float(nats[possible].mean()) for nats in draws] for n, draws in found.items()}
    return {"levels": {str(n): values for n, values in levels.items()},
            "gap left": [gap_left(*(levels[n][i] for n in PARTICLES[1:])) for i in range(DRAWS)],
            "gap left of means": gap_left(*(float(np.mean(levels[n])) for n in PARTICLES[1:])),
            "fragments": t.x12.shape[1], "steps": int(possible.sum()), "left out": int(real.sum() - possible.sum())}


def bounds(found: dict[int, dict]) -> pd.DataFrame:
    """What :func:`looseness` gave of some seeds: a row per seed and filter, a column per number of particles and
    ``gap left``."""
    tables = {seed: pd.DataFrame({n: each["levels"][str(n)] for n in PARTICLES} | {"gap left": each["gap left"]})
              for seed, each in found.items()}
    return pd.concat(tables or {0: pd.DataFrame()}, names=["seed", "filter"])


def gap_left(few: float, more: float, most: float) -> float:
    """What lies above the last of three levels at particle numbers in equal ratios, if each gain is the same part of
    the one before: a bound that falls short by ``c · n^(-a)``. Infinite where gains do not shrink."""
    shrinks = (most - more) / (more - few)
    return (most - more) * shrinks / (1 - shrinks) if 0 <= shrinks < 1 else np.inf


def decoder_levels(decoder: Decoder, pieces: Pieces, seed: int) -> dict:
    """Keys given classes on 5000 steps of ``pieces``: of the RBM at equilibrium, and of generation's one Gibbs step.

    ``annealed less exact`` is what annealing gets wrong where both can be had.
    """
    t = to_tensors(panel(pieces))
    rows = chosen(t.weight.numpy() > 0, STEPS)
    with torch.no_grad():
        b, c, _ = decoder(t.x12[1:], t.x[:-1])
    x, b, c, allowed = (a[rows].double() for a in (t.x[1:], b, c, mask(t.x12[1:])))
    W, rng = decoder.W.detach().double(), torch.Generator().manual_seed(seed)
    levels = equilibrium.log_likelihood(x, b, c, W, allowed, rng)
    as_generated = decoder.log_likelihood(t, torch.Generator().manual_seed(seed))[rows].double()
    few = (allowed.sum(dim=-1) <= equilibrium.ENUMERABLE) & (allowed.sum(dim=-1) > 0)
    some = few.nonzero()[:, 0][:CHECKED]
    annealed = log_partition(b[some], c[some], W, rng, 64, 200, allowed[some])
    error = annealed + free_energy(x[some], b[some], c[some], W) + levels[some]
    return {"steps": len(x), "silent": int((allowed.sum(dim=-1) == 0).sum()), "enumerated": int(few.sum()),
            "at equilibrium": float(levels.mean()), "as generated": float(as_generated.mean()),
            "at equilibrium, enumerated": float(levels[few].mean()),
            "as generated, enumerated": float(as_generated[few].mean()),
            "pseudo-likelihood": float(pseudo_likelihood(x, b, c, W, allowed).mean()),
            "annealed less exact": float(error.mean()), "largest error": float(error.abs().max())}


def chosen(real: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` of the real steps, spread evenly: their times and fragments."""
    places = np.nonzero(real)
    which = np.unique(np.linspace(0, len(places[0]) - 1, count).astype(int))
    return places[0][which], places[1][which]


def on_all_steps(generator: OctaveGenerator, splits: dict[str, Pieces]) -> dict:
    """The voices mixed with the marginal table of the training pieces, ε from validation: nats on all test steps."""
    table = baselines.fit_table(splits["train"], None)

    def nats(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        real = batch.weight > 0
        return filtered(generator, to_tensors(batch), 32, 0)[real], baselines.per_step(table, None, batch)[real]
    epsilon = mixture.best_epsilon(*nats(panel(splits["valid"])))
    log_p, log_marginal = nats(panel(splits["test"]))
    return {"epsilon": epsilon, "level": float(mixture.mixed(log_p, log_marginal, epsilon).mean()),
            "marginal": float(log_marginal.mean()), "steps": len(log_p), "impossible": int((~np.isfinite(log_p)).sum()),
            "level of possible steps": float(log_p[np.isfinite(log_p)].mean())}
