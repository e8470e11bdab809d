"""Continuations of held-out primes, and what notebook 07 reads from them (thesis §7.3–7.4)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from octavoice.composer import Composer, Composition
from octavoice.music.piece import Piece
from octavoice.music.roll import compress, mask
from octavoice.rbm import hidden_given_visible, visible_given_hidden
from octavoice.statistics import harmony
from octavoice.statistics.rolls import decisions, roll_summary
from octavoice.training import networks, weights
from octavoice.training.networks import Networks
from octavoice.training.run import Run


def networks_of(run: Run, folder: str = "", model: str = "thesis") -> Networks:
    """The run's networks, trained if need be, or those of a ``folder`` of weights, which come without metrics."""
    if not folder:
        return networks.obtain(run, model)
    read = weights.load(Path(folder).expanduser(), model)
    stages = tuple(network.to(run.device) for network in read.stages)
    return Networks(read.model, stages, (pd.DataFrame(),) * len(stages))


def held_out_pieces(run: Run) -> list[Piece]:
    """Pieces no network has seen: the test side, or in a tiny corpus the validation side."""
    return run.splits["test"] or run.splits["valid"]


def primes(run: Run) -> tuple[list[Piece], np.ndarray]:
    """Opening bars of held-out pieces as primes, see :func:`openings`."""
    return openings(held_out_pieces(run), run.preset.samples, run.preset.prime, run.seed)


def openings(pieces: Sequence[Piece], count: int, steps: int, seed: int) -> tuple[list[Piece], np.ndarray]:
    """The first ``steps`` steps of ``count`` pieces: the pieces, and ``(step, sample, key)``, silent after short ones.

    Pieces in the order of a shuffle by ``seed``, again from the front if there are too few.
    """
    order = np.random.default_rng(seed).permutation(len(pieces))
    chosen = [pieces[int(i)] for i in np.resize(order, count)]
    rolls = [np.pad(piece.roll[:steps], ((0, max(0, steps - piece.steps)), (0, 0))) for piece in chosen]
    return chosen, np.stack(rolls, axis=1)


def held(pieces: Sequence[Piece], steps: int) -> np.ndarray:
    """How long the notes of the pieces' first ``steps`` steps are held: a grid ``(step, sample, key)``."""
    grids = [piece.held[:steps] for piece in pieces]
    return np.stack([np.pad(grid, ((0, steps - len(grid)), (0, 0))) for grid in grids], axis=1)


def of(durations: np.ndarray | None, sample: int) -> np.ndarray | None:
    """One sample's durations ``(time, key)`` of a composition's ``(time, sample, key)``, None where there are none."""
    return None if durations is None else durations[:, sample]


def continue_primes(run: Run, networks: Networks, prime: np.ndarray, durations: np.ndarray | None = None,
                    **settings) -> tuple[Composer, Composition]:
    """Continue each prime ``(prime, sample, key)`` by the preset's new steps, all at once.

    ``durations`` are the primes' as :func:`held` gives them. ``settings`` are a
    :class:`~octavoice.composer.Composer`'s: a temperature, or of the thesis's model ``truthful=False``, which feeds the
    voices their own samples while the prime is read [published program].
    """
    composer = Composer(*networks.stages, **settings)
    bar = lambda steps: tqdm(steps, desc="composing", unit="step", mininterval=2.0)  # noqa: E731
    return composer, composer.compose(prime, run.preset.new_steps, run.seed, progress=bar, durations=durations)


def read_by_own(run: Run, networks: Networks, prime: np.ndarray) -> Composition | None:
    """The same primes with the voices fed their own samples while they are read; nothing of a model without voices."""
    if not any(hasattr(network, "truthful") for network in networks.stages):
        return None
    return continue_primes(run, networks, prime, truthful=False)[1]


def triad_step(composition: Composition) -> tuple[int, int]:
    """``(sample, new step)`` at which the voices decide a triad, for Fig. 15.

    The first one whose three classes sound, whatever the voices' order; if no step is a triad, the
    first with the most classes.
    """
    new = composition.x12[composition.start:]
    for sample in range(new.shape[1]):
        for step in np.flatnonzero(new[:, sample].sum(axis=-1) == 3):
            if harmony.is_triad(np.flatnonzero(new[step, sample])):
                return sample, int(step)
    step, sample = np.unravel_index(new.sum(axis=-1).argmax(), new.shape[:2])
    return int(sample), int(step)


def decoding_stages(composer: Composer, composition: Composition, seed: int, sample: int, step: int) -> dict:
    """Fig. 18: one new step on its way from 12 classes to 88 keys.

    The decoder runs over the whole sample again in sequence form, and the step's own random draws
    give its hidden units. Returns ``classes (pitch_class,)``, and ``mask``, ``unmasked``,
    ``masked``, ``keys``, each ``(key,)``.
    """
    t, decoder = composition.start + step, composer.networks[1]
    x12, keys = (torch.from_numpy(a[:, sample:sample + 1]).double() for a in (composition.x12, composition.roll))
    with torch.no_grad():
        b, c, _ = decoder(x12[1:], keys[:-1])
        draws = composer.draws(seed, sample, 1, t)[t - 1, 0, composer.sizes[0]:]
        p_hidden = hidden_given_visible(keys[t - 1], c[t - 1], decoder.W)
        h = (draws[: decoder.hidden] < p_hidden).double()
        unmasked = visible_given_hidden(h, b[t - 1], decoder.W)[0].numpy()
    allowed = mask(composition.x12[t, sample])
    return {"classes": composition.x12[t, sample], "mask": allowed, "unmasked": unmasked,
            "masked": unmasked * allowed, "keys": composition.roll[t, sample]}


def judge_keys(prime: np.ndarray, composition: Composition, pieces: list[Piece],
               fed_own: Composition | None = None) -> pd.DataFrame:
    """How well music stays in key: share of onsets in the scale, for samples and for real pieces.

    ``fed_own`` continues the same primes with the voices fed their own samples while they are read.

    One row per set, means over pieces: in the scale of the *prime's* key, of the piece's own key, of
    the best of the 24 keys in each window of 64 steps; and the share of exact triads among
    steps with three or more classes. Real pieces are judged after their own first bar, over as many steps.
    """
    start, steps = composition.start, len(composition.x12) - composition.start
    heard = [compress(prime[:, i]) for i in range(prime.shape[1])]
    ours, own = ([(heard[i], c.x12[start:, i]) for i in range(len(heard)) if c] for c in (composition, fed_own))
    real = [(compress(p.roll[:start]), compress(p.roll[start:start + steps])) for p in pieces if p.steps > 2 * start]
    shuffled = [(ours[i][0], ours[i - 1][1]) for i in range(len(ours))]
    sets = {"samples": ours, "held-out pieces": real, "samples, another's prime": shuffled,
            "samples, prime read by own decisions": own}
    return pd.DataFrame({name: pd.DataFrame([key_shares(*pair) for pair in pairs]).mean()
                         for name, pairs in sets.items() if pairs}).T.rename_axis("set")


def key_shares(prime12: np.ndarray, x12: np.ndarray) -> dict[str, float]:
    """How well ``x12`` ``(time, pitch_class)`` stays in key, by the measures of :func:`judge_keys`."""
    prime_key, own_key = harmony.key_of(prime12), harmony.key_of(x12)
    windows = [(start, key) for start, key in harmony.keys_over_time(x12) if key is not None]
    local = [harmony.in_key_share(x12[start:start + 64], key) for start, key in windows]
    return {"in prime's key": harmony.in_key_share(x12, prime_key) if prime_key else np.nan,
            "in own key": harmony.in_key_share(x12, own_key) if own_key else np.nan,
            "in key by window": float(np.mean(local)) if local else np.nan,
            "triads": harmony.triad_share(x12)}


def judge_rhythm(composition: Composition, pieces: list[Piece]) -> pd.DataFrame:
    """Density and rhythm (see :func:`~octavoice.statistics.rolls.roll_summary`), samples beside real pieces."""
    new = composition.x12[composition.start:]
    ours = [roll_summary(new[:, i]) for i in range(new.shape[1]) if new[:, i].any()]
    real = [roll_summary(compress(piece.roll)) for piece in pieces]
    return pd.DataFrame({"samples": pd.DataFrame(ours).mean(), "held-out pieces": pd.DataFrame(real).mean()}).T


def voice_order(composition: Composition, sample: int, step: int) -> pd.DataFrame:
    """What each voice decided at one step: pitch class index and whether it sounds, with its probability."""
    classes, sounds = decisions(composition.trace["choices"][step, sample])
    log_q = composition.trace["log_q"][step, sample]
    q = [float(np.exp(log_q[v, 0 if sounds[v] else 1, classes[v]])) for v in range(len(classes))]
    return pd.DataFrame({"pitch class": classes, "sounds": sounds, "probability": q},
                        index=pd.Index(np.arange(1, len(classes) + 1), name="voice"))


def key_picture(x12: np.ndarray, window: int = 64) -> dict:
    """What Fig. 17 draws of one sample ``(time, pitch_class)``: the key of each window of ``window`` steps.

    Returns ``x12``; ``scale`` ``(time, pitch_class)``, true inside the key's scale; ``keys``, where a
    new key begins and its name; ``triads``, the steps that strike an exact triad; ``harmonies``, the named chords.
    """
    scale, keys = np.zeros(x12.shape, dtype=bool), []
    for start in range(0, len(x12), window):
        key = harmony.key_of(x12[start:start + window])
        if key is not None:
            scale[start:start + window, sorted(harmony.scale_classes(key))] = True
            keys += [(start, key.name)] if not keys or keys[-1][1] != key.name else []
    triads = [t for t in range(len(x12)) if harmony.is_triad(np.flatnonzero(x12[t]))]
    return {"x12": x12, "scale": scale, "keys": keys, "triads": np.array(triads, dtype=int),
            "harmonies": harmony.progression(x12)}
