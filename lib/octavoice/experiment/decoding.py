"""How well a decoder decodes (thesis §6.2): trivial baselines, likelihoods, and what it strikes.

All numbers are about x_{t+1} given the true classes x'_{t+1}, within the mask: what lies outside is
known to be silent. Log-likelihoods in nats per step.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from octavoice.experiment.train import Tensors, uniforms, weighted_mean
from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, KEYS, compress, mask
from octavoice.thesis.decoder import (
    Decoder,
    free_energy,
    gibbs_step,
    hidden_given_visible,
    pseudo_likelihood,
    visible_given_hidden,
)
from octavoice.thesis.exact import states

MEMORIES = 3
"""What a baseline may remember of a key; see :func:`octave_memory`."""


def octave_memory(x: np.ndarray) -> np.ndarray:
    """What is known of every key before each step: ``(time, …, key)`` to integers of the same axes.

    0: its pitch class has not sounded yet; 1: when its class last sounded, another octave was
    struck; 2: when its class last sounded, this key was struck.
    """
    time = np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    last = np.maximum.accumulate(np.where(mask(compress(x)) > 0, time, -1), axis=0)
    last = np.concatenate([np.full_like(last[:1], -1), last[:-1]])
    struck = np.take_along_axis(x, np.maximum(last, 0), axis=0)
    return np.where(last < 0, 0, 1 + struck.astype(int))


def key_frequencies(pieces: list[Piece], remember: bool) -> np.ndarray:
    """P(key struck | its class sounds), ``(memory, key)``, counted in pieces as they stand (not transposed).

    With ``remember`` one row for each :func:`octave_memory`, else the three rows agree. A class of
    which nothing was counted gets one key in eight; a row is drawn towards the plain frequency.
    """
    struck, sounding = np.zeros((2, MEMORIES, KEYS))
    for piece in pieces:
        memory, allowed = octave_memory(piece.roll), mask(compress(piece.roll))
        for m in range(MEMORIES):
            struck[m] += ((memory == m) * piece.roll).sum(axis=0)
            sounding[m] += ((memory == m) * allowed).sum(axis=0)
    plain = (struck.sum(axis=0) + 1 / 8) / (sounding.sum(axis=0) + 1)
    return (struck + plain) / (sounding + 1) if remember else np.tile(plain, (MEMORIES, 1))


def baseline(frequencies: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A baseline's probability of every key given the steps before, ``(time - 1, …, key)``; see :func:`key_frequencies`."""
    return frequencies[octave_memory(x)[1:], np.arange(KEYS)]


def keys_log_likelihood(probability: Tensor, x: Tensor, allowed: Tensor) -> Tensor:
    """Log-likelihood of keys ``x`` that are independent given ``probability``, over the allowed keys: ``(…, key)`` to ``(…)``."""
    p = torch.where(x > 0.5, probability, 1 - probability)
    return (allowed * p.clamp_min(1e-12).log()).sum(dim=-1)


@torch.no_grad()
def sampling_log_likelihood(decoder: Decoder, t: Tensors, gibbs_steps: int, chains: int, seed: int) -> Tensor:
    """How probable the true keys are under what generation does, ``(time - 1, batch)``.

    Generation draws h, then x, starting from the previous step's keys (here the true ones): keys are
    independent given the last h, so log p is the log of a mean over ``chains`` draws of h. The log of
    a mean over few draws is too low on average; with more chains it rises to the true value.
    """
    rng = torch.Generator().manual_seed(seed)
    b, c, _ = decoder(t.x12[1:], t.x[:-1])
    allowed = mask(t.x12[1:])
    total = torch.full(b.shape[:-1], -torch.inf, device=b.device)
    for _ in range(chains):
        x = t.x[:-1]
        for _ in range(gibbs_steps - 1):
            x, _ = gibbs_step(x, b, c, decoder.W, uniforms(rng, *c.shape[:2], decoder.hidden + KEYS, device=b.device), allowed)
        h = hidden_given_visible(x, c, decoder.W)
        h = (uniforms(rng, *h.shape, device=b.device) < h).to(h.dtype)
        total = torch.logaddexp(total, keys_log_likelihood(visible_given_hidden(h, b, decoder.W), t.x[1:], allowed))
    return total - np.log(chains)


@torch.no_grad()
def exact_log_likelihood(decoder: Decoder, t: Tensors) -> tuple[Tensor, Tensor]:
    """Exact ``log p(x | outside the mask silent)`` where one class sounds, and the pseudo-likelihood there.

    One class has seven or eight keys, so the sum over all key patterns is short. Both ``(step,)``,
    over those steps of the batch that carry weight.
    """
    b, c, _ = decoder(t.x12[1:], t.x[:-1])
    single = (t.x12[1:].sum(dim=-1) == 1) & (t.weight > 0)
    x, b, c, allowed = t.x[1:][single], b[single], c[single], mask(t.x12[1:][single])
    octaves = torch.arange(8, device=x.device) * CLASSES
    patterns = states(8, x.dtype).to(x.device)
    log_z = []
    for b_t, c_t, a_t in zip(b, c, allowed, strict=True):
        keys = a_t.argmax() + octaves
        fits = patterns[(patterns[:, keys >= KEYS] == 0).all(dim=-1)][:, keys < KEYS]
        every = x.new_zeros(len(fits), KEYS)
        every[:, keys[keys < KEYS]] = fits
        log_z.append((-free_energy(every, b_t, c_t, decoder.W)).logsumexp(dim=0))
    log_p = -free_energy(x, b, c, decoder.W) - torch.stack(log_z)
    return log_p, pseudo_likelihood(x, b, c, decoder.W, allowed)
