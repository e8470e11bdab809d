"""How well a decoder decodes (thesis §6.2): trivial baselines, likelihoods, and the keys it strikes.

Everything here is about x_{t+1} given the true classes x'_{t+1} and the true keys before, and within
the mask: outside it silence is certain. Log-likelihoods are in nats per step.
"""

from copy import copy

import numpy as np
import torch
from torch import Tensor

from octavoice.model import Tensors, uniforms
from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, KEYS, compress, mask
from octavoice.rbm import free_energy, gibbs_step, pseudo_likelihood
from octavoice.thesis import exact
from octavoice.thesis.decoder import Decoder, keys_log_likelihood
from octavoice.training.fit import weighted_mean

OCTAVES = 8


def octave_memory(x: np.ndarray) -> np.ndarray:
    """What is known of every key before each step: ``(time, …, key)`` to integers of the same axes.

    0: its pitch class has not sounded yet; 1: when its class last sounded, only other octaves were
    struck; 2: when its class last sounded, this key was struck.
    """
    time = np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    last = np.maximum.accumulate(np.where(mask(compress(x)) > 0, time, -1), axis=0)
    last = np.concatenate([np.full_like(last[:1], -1), last[:-1]])
    struck = np.take_along_axis(x, np.maximum(last, 0), axis=0)
    return np.where(last < 0, 0, 1 + struck.astype(int))


def key_frequencies(pieces: list[Piece], remember: bool) -> np.ndarray:
    """P(key struck | its class sounds), ``(memory, key)``, counted in the pieces as they stand.

    With ``remember`` there is one row for each :func:`octave_memory`, each with one count of the
    plain frequency added; without it all three rows are the plain frequency, to which one class
    that sounds in one of its eight octaves is added.
    """
    struck, sounding = np.zeros((2, 3, KEYS))
    for piece in pieces:
        memory, allowed = octave_memory(piece.roll), mask(compress(piece.roll))
        for m in range(3):
            struck[m] += ((memory == m) & (piece.roll > 0)).sum(axis=0)
            sounding[m] += ((memory == m) & (allowed > 0)).sum(axis=0)
    plain = (struck.sum(axis=0) + 1 / OCTAVES) / (sounding.sum(axis=0) + 1)
    return (struck + plain) / (sounding + 1) if remember else np.tile(plain, (3, 1))


def baseline_probability(pieces: list[Piece], t: Tensors, remember: bool) -> Tensor:
    """A baseline's probability of every key of a batch, times the mask, ``(time - 1, batch, key)``.

    Fitted on ``pieces`` by :func:`key_frequencies`; keys are independent. Without ``remember``: how
    often a key is struck when its class sounds. With it: also whether the class keeps its octave.
    """
    return table_probability(key_frequencies(pieces, remember), t)


def table_probability(frequencies: np.ndarray, t: Tensors) -> Tensor:
    """:func:`baseline_probability` of a table that was fitted before."""
    memory = octave_memory(t.x.cpu().numpy())[1:]
    return torch.from_numpy(frequencies[memory, np.arange(KEYS)]).to(t.x) * mask(t.x12[1:])


def judge_baseline(p: Tensor, t: Tensors) -> dict[str, float]:
    """The entries of :func:`judge` for independent keys of probability ``p``, for which all likelihoods agree."""
    per_step = keys_log_likelihood(p, t.x[1:], mask(t.x12[1:]))
    everywhere, one_class = weighted_mean(per_step, t.weight).item(), per_step[_one_class(t)].mean().item()
    return {"pseudo-likelihood": everywhere, "as generated": everywhere, "one class: pseudo-likelihood": one_class,
            "one class: likelihood": one_class, "one class: as generated": one_class}


def judge(decoder: Decoder, t: Tensors, chains: int, seed: int) -> dict[str, float]:
    """A decoder on a batch, in nats per step.

    ``pseudo-likelihood``: :func:`~octavoice.thesis.decoder.pseudo_likelihood`; ``as generated``:
    :func:`sampling_log_likelihood` of one Gibbs step; and both again on the steps in which one class
    sounds, beside the ``likelihood`` there, which is exact (NaN where there is no such step).
    """
    likelihood, pseudo = one_class_log_likelihood(decoder, t)
    as_generated = sampling_log_likelihood(decoder, t, 1, chains, seed)
    everywhere = decoder.on_panel(t, torch.Generator())["held_out_pseudo"]
    return {"pseudo-likelihood": weighted_mean(everywhere, t.weight).item(),
            "as generated": weighted_mean(as_generated, t.weight).item(),
            "one class: pseudo-likelihood": pseudo.mean().item(), "one class: likelihood": likelihood.mean().item(),
            "one class: as generated": as_generated[_one_class(t)].mean().item()}


def sampling_log_likelihood(decoder: Decoder, t: Tensors, gibbs_steps: int, chains: int, seed: int) -> Tensor:
    """:meth:`octavoice.thesis.decoder.Decoder.log_likelihood` at these settings, ``(time - 1, batch)``."""
    judged = copy(decoder)
    judged.gibbs_steps, judged.chains = gibbs_steps, chains
    return judged.log_likelihood(t, torch.Generator().manual_seed(seed))


@torch.no_grad()
def one_class_log_likelihood(decoder: Decoder, t: Tensors) -> tuple[Tensor, Tensor]:
    """Exact ``log p(x | silence outside the mask)`` where one class sounds, and the pseudo-likelihood there.

    A class has seven or eight keys, so all their patterns can be summed. Both ``(step,)``.
    """
    b, c, _ = decoder(t.x12[1:], t.x[:-1])
    here, W = _one_class(t), decoder.W
    x, b, c, allowed = t.x[1:][here], b[here], c[here], mask(t.x12[1:][here])
    pitch_class = t.x12[1:][here].argmax(dim=-1)
    log_z = torch.full_like(x[:, 0], torch.nan)
    for p in pitch_class.unique().tolist():
        rows = pitch_class == p
        patterns = x.new_zeros(2 ** len(range(p, KEYS, CLASSES)), KEYS)
        patterns[:, p::CLASSES] = exact.states(len(range(p, KEYS, CLASSES)), x.dtype).to(x.device)
        log_z[rows] = (-free_energy(patterns, b[rows, None], c[rows, None], W)).logsumexp(dim=-1)
    return -free_energy(x, b, c, W) - log_z, pseudo_likelihood(x, b, c, W, allowed)


def _one_class(t: Tensors) -> Tensor:
    """Which steps to predict have exactly one class and carry weight: ``(time - 1, batch)`` bool."""
    return (t.x12[1:].sum(dim=-1) == 1) & (t.weight > 0)


@torch.no_grad()
def decode(decoder: Decoder, t: Tensors, gibbs_steps: int, seed: int) -> tuple[Tensor, Tensor]:
    """Decode a batch from its true classes, each step from the keys decoded before it (Fig. 18).

    The first step's keys are given. Returns keys and probabilities (after the mask) of the rest,
    both ``(time - 1, batch, key)``.
    """
    rng = torch.Generator().manual_seed(seed)
    x, state, steps = t.x[0], None, []
    for x12 in t.x12[1:]:
        u = uniforms(rng, gibbs_steps, len(x), decoder.hidden + KEYS, device=x.device)
        x, probability, state = decoder.decode(x12, x, u, state)
        steps.append((x, probability))
    return tuple(torch.stack(series) for series in zip(*steps, strict=True))


@torch.no_grad()
def before_mask(decoder: Decoder, t: Tensors, seed: int) -> Tensor:
    """Raw p(x | h) of one Gibbs step from the true keys before, not masked: ``(time - 1, batch, key)``."""
    b, c, _ = decoder(t.x12[1:], t.x[:-1])
    u = uniforms(torch.Generator().manual_seed(seed), *b.shape[:2], decoder.hidden + KEYS, device=b.device)
    return gibbs_step(t.x[:-1], b, c, decoder.W, u)[1]


def strikes(p: Tensor, t: Tensors) -> dict[str, float]:
    """What independent keys of probability ``p`` ``(time - 1, batch, key)`` strike, as expected numbers over a batch.

    A roll of 0 and 1 counts as its own certainty. Keys struck, those of them that are true, and the
    share of sounding classes that get no key.
    """
    none = torch.nn.functional.pad(1 - p, (0, OCTAVES * CLASSES - KEYS), value=1.0)
    none = none.unflatten(-1, (OCTAVES, CLASSES)).prod(dim=-2)
    lost, sounding = (none * t.x12[1:]).sum().item(), t.x12[1:].sum().item()
    return {"keys struck": p.sum().item(), "truly struck": (p * t.x[1:]).sum().item(),
            "classes without a key": lost / max(sounding, 1)}


def generation_study(decoder: Decoder, t: Tensors, gibbs_steps: int, chains: int, seed: int) -> dict[str, float]:
    """What k Gibbs steps are worth: held-out log-likelihood as generated, and :func:`strikes` of one decoding."""
    per_step = sampling_log_likelihood(decoder, t, gibbs_steps, chains, seed)
    keys, _ = decode(decoder, t, gibbs_steps, seed)
    return {"likelihood": weighted_mean(per_step, t.weight).item()} | strikes(keys, t)
