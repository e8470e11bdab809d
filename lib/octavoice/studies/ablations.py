"""One variant trained, judged and let sample: what an ablation is made of.

All are trained on the same batches in the same order and judged on the same 200 test fragments, in nats per step of
what their sampling process gives: exact, or a bound by 32 particles. Results say where they come from; those at the
preset ``ablation`` lie in ``results/ablation/<corpus>/<variant>/seed-<n>.json``, others with their run.
"""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from octavoice import paths, provenance
from octavoice.corpus import Pieces
from octavoice.errors import UserError
from octavoice.likelihood import baselines, mixture
from octavoice.likelihood.axis import network_judge
from octavoice.model import BOUND, CLASSES, GIVEN, Network, uniforms
from octavoice.music.roll import compress
from octavoice.representation import Batch
from octavoice.representations.steps import SHIFTS, Fragments
from octavoice.statistics import likeness, samples
from octavoice.studies import variants
from octavoice.studies.variants import VARIANTS, Variant, from_the_bar_line
from octavoice.thesis.voices import VOICES
from octavoice.training import networks, recipes, stored
from octavoice.training.fit import fit, seeded, to_tensors
from octavoice.training.run import Run

PRESET = "ablation"
FRAGMENTS, VALID = 200, 60
"""Test fragments that judge, and validation fragments that fit ε."""
PARTICLES = 32
AT_ONCE = 200
"""Fragments that are judged at once."""
SETTINGS = ("fragment", "stride", "samples", "prime", "new_steps", "precision", "threads")
"""Of a preset, what a result depends on beside the variant's recipe."""


def result_path(run: Run, name: str) -> Path:
    """Where a variant's result lies: that of another preset or of changed settings never among those that are
    compared."""
    if run.preset.name != PRESET or run.apart:
        return run.dir / "results" / "ablation" / f"{name}.json"
    return paths.home() / "results" / "ablation" / paths.slug(run.corpus_name) / name / f"seed-{run.seed}.json"


def variant_of(name: str) -> Variant:
    """A variant by name; raises :class:`UserError`."""
    if name not in VARIANTS:
        raise UserError(f"unknown variant {name!r}; choose one of {', '.join(VARIANTS)}.")
    return VARIANTS[name]


def depends_on(run: Run, name: str, precision: str = "") -> dict:
    """Everything that a result depends on, as plain facts; at the run's precision unless another is named."""
    variant = variant_of(name)
    settings = {field: getattr(run.preset, field) for field in SETTINGS}
    return {"variant": name, "seed": run.seed, "code": versions_of(name), "recipe": asdict(variant.recipe(run.preset)),
            "settings": settings | {"precision": precision or run.preset.precision},
            **recipes.music_of(run, variant.build().representation)}


def versions_of(name: str) -> dict[str, int]:
    """The versions that a variant's result depends on, by name."""
    return {"training": provenance.version_of(recipes.LOOP), "ablations": provenance.version_of(__name__),
            f"variant {name}": variant_of(name).version}


def obtain(run: Run, name: str) -> dict:
    """A variant's result at a run's preset, corpus and seed: found done with the same settings and versions, or made.

    Training goes on from its checkpoint.
    """
    variant, path = variant_of(name), result_path(run, name)
    asked, modules = [depends_on(run, name, precision) for precision in run.precisions], modules_of(variant)
    if found := stored.find(path, asked, modules):
        return found
    began = time.process_time()
    network, cost = train(run, name, variant, provenance.digest(asked[0] | stored.files_of(modules)))
    found = {"variant": name, "depends_on": asked[0], "files": stored.files_of(modules),
             "kind": network.kind, "space": network.space, **run.facts(),
             "commit": provenance.commit(), "processor": provenance.processor(), "cost": cost,
             **judged(run, variant, network), **sampled(run, variant, network)}
    found["cost"]["cpu_seconds"] = round(time.process_time() - began, 1)
    return stored.write(path, found)


def modules_of(variant: Variant) -> list[str]:
    """The modules of a variant's network and of the table that says how it is built."""
    return [type(variant.build()).__module__, variants.__name__]


def train(run: Run, name: str, variant: Variant, key: str) -> tuple[Network, dict]:
    """The trained network and what it cost."""
    p, recipe = run.preset, variant.recipe(run.preset)
    network = seeded(variant.build, run.seed).to(run.device)
    fragments = network.representation.fragments(run.splits["train"], p.fragment, p.stride)
    pickups = pickups_of(fragments.pieces)

    def draw(rng: np.random.Generator) -> Batch:
        which, shift = rng.integers(len(fragments), size=recipe.batch), int(rng.integers(SHIFTS[0], SHIFTS[1] + 1))
        return gathered(fragments, pickups, variant, which, shift if variant.shifted else 0)
    task = networks.network_task(name, network, fragments, recipe, None, p.precision, p.threads)
    checkpoint = run.dir / "ablation" / f"{name}.pt"
    fit(replace(task, draw=draw), recipe.iterations, run.seed, 0, checkpoint, key)
    cost = json.loads(checkpoint.with_suffix(".cost.json").read_text())
    return network.eval(), cost | {"parameters": sum(each.numel() for each in network.parameters())}


def pickups_of(pieces: Pieces) -> np.ndarray:
    """Steps before each piece's first bar line ``(piece,)``."""
    return np.array([facts["pickup"] for facts in pieces.facts], int)


def gathered(fragments: Fragments, pickups: np.ndarray, variant: Variant, which: np.ndarray, shift: int = 0) -> Batch:
    """Some fragments as a variant hears them."""
    batch = variant.change(fragments.gather(which, shift))
    return from_the_bar_line(batch, pickups[fragments.places(which)[:, 0]]) if variant.barred else batch


def judged(run: Run, variant: Variant, network: Network) -> dict:
    """The levels of a variant, in nats per step, and sums over each of the test fragments.

    ``level`` is of the steps that five voices can play; ``mixed`` of all steps, the network mixed with the table of
    marginal frequencies by the ``epsilon`` that suits validation (classes only).
    """
    table = baselines.fit_table(run.splits["train"], None)
    nats, tables, weight, classes = _nats(run, variant, network, samples.held_out_pieces(run), FRAGMENTS, table)
    playable = weight & (classes <= VOICES)
    level = float(nats[playable].mean())
    found = {"level": level if np.isfinite(level) else None, "steps": playable.sum(axis=0).tolist(),
             "nats": np.where(playable & np.isfinite(nats), nats, 0).sum(axis=0).round(3).tolist(),
             "impossible": float((~np.isfinite(nats))[weight].mean())}
    if network.space == CLASSES:
        valid, valid_tables, real, _ = _nats(run, variant, network, run.splits["valid"], VALID, table)
        epsilon = mixture.best_epsilon(valid[real], valid_tables[real])
        whole = mixture.mixed(nats, tables, epsilon)
        found |= {"epsilon": epsilon, "mixed": float(whole[weight].mean()), "all steps": weight.sum(axis=0).tolist(),
                  "mixed nats": np.where(weight, whole, 0).sum(axis=0).round(3).tolist(),
                  "marginal": float(tables[weight].mean())}
    return found


def _nats(run: Run, variant: Variant, network: Network, pieces: Pieces, count: int, table: np.ndarray):
    """Of ``count`` fragments spread over ``pieces``: nats of the network and of the table, which steps are real, and
    how many classes are struck, each ``(time - 1, fragment)``."""
    fragments = network.representation.fragments(pieces, run.preset.fragment, run.preset.stride)
    which = np.unique(np.linspace(0, len(fragments) - 1, count).astype(int))
    judge = network_judge(network, **({"particles": PARTICLES} if network.kind == BOUND and network.space == CLASSES
                                      else {}))
    parts = []
    for some in np.array_split(which, -(-len(which) // AT_ONCE)):
        batch = gathered(fragments, pickups_of(fragments.pieces), variant, some)
        parts.append((judge(to_tensors(batch, run.device)), baselines.per_step(table, None, batch), batch.weight > 0,
                      batch.x12[1:].sum(axis=-1)))
    return (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))


def sampled(run: Run, variant: Variant, network: Network) -> dict:
    """How dense and how repetitive continuations of held-out openings are, and the music that they are openings of.

    Their clock counts as the variant's does. Statistics as in :mod:`octavoice.statistics.likeness`, means over samples.
    Nothing of keys given classes, nor of a network that hears durations, since nothing here composes them.
    """
    if network.space == GIVEN or network.representation.durations:
        return {}
    p = run.preset
    pieces, prime = samples.openings(samples.held_out_pieces(run), p.samples, p.prime, run.seed)
    heard = compress(prime) if network.space == CLASSES else prime
    begins = np.array([-piece.pickup for piece in pieces]) if variant.barred else 0
    made = continued(network, torch.from_numpy(heard).float().to(run.device), p.new_steps, run.seed, begins)
    made = made.cpu().numpy()
    real = [compress(piece.roll[p.prime:][:p.new_steps]) for piece in pieces if piece.steps > 2 * p.prime]
    made = made if network.space == CLASSES else compress(made.astype(np.uint8))
    return {"samples": described(list(made.swapaxes(0, 1))), "music": described(real)}


def described(rolls: list[np.ndarray]) -> dict[str, float]:
    """Mean density and repetition of rolls ``(time, pitch_class)``."""
    return {name: round(value, 5) for name, value in
            pd.DataFrame([likeness.density(roll > 0.5) for roll in rolls]).mean().items()}


@torch.no_grad()
def continued(network: Network, prime: torch.Tensor, steps: int, seed: int,
              position: int | np.ndarray = 0) -> torch.Tensor:
    """New steps ``(time, sample, width)`` after ``prime`` ``(time, sample, width)``, all samples at once.

    ``position`` is the number of the prime's first step, or one for each sample.
    """
    rng, made = torch.Generator().manual_seed(seed), []
    state = network.start(prime[0], position=position)
    for t in range(len(prime) - 1 + steps):
        heard = prime[t + 1] if t + 1 < len(prime) else None
        draws = uniforms(rng, prime.shape[1], network.draw_size, device=prime.device)
        state, value, _ = network.step(state, draws, heard)
        made += [value] if heard is None else []
    return torch.stack(made)
