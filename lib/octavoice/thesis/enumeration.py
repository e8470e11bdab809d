"""Every decision path of a small sampler at one step, with its probability (§6.4): the yardstick for sampling."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from octavoice.thesis.rivals import FirstScheme
from octavoice.thesis.voices import VoiceSampler, surrogate


@dataclass(frozen=True)
class Paths:
    """All decision paths of one step from zero recurrent states.

    ``choices`` ``(path, voice)``; ``probability`` ``(path,)``, summing to 1; ``sounds``
    ``(path, pitch_class)``, the step each path ends in; ``log_q`` ``(voice, path, …)``, the
    distributions met along it.
    """

    choices: Tensor
    probability: Tensor
    sounds: Tensor
    log_q: Tensor

    def vectors(self) -> Tensor:
        """Probability of every step vector, ``(2^classes,)``; bit p of the index is pitch class p."""
        return torch.zeros(2 ** self.sounds.shape[1], dtype=self.probability.dtype).index_add(
            0, vector_index(self.sounds), self.probability)

    def marginal(self) -> Tensor:
        """The true probability that each pitch class sounds, ``(pitch_class,)``."""
        return self.probability @ self.sounds

    def mean_surrogate(self) -> Tensor:
        """E[P[p]] of the training objective over the paths, ``(pitch_class,)``."""
        return self.probability @ surrogate(self.log_q)[0].exp()

    def mean_path_sum(self) -> Tensor:
        """E[Σ_v q_v(p, sounds)] over the paths, ``(pitch_class,)``: the unbiased estimate's mean."""
        return self.probability @ self.log_q[:, :, 0].exp().sum(dim=0)


def vector_index(sounds: Tensor) -> Tensor:
    """A step vector ``(…, pitch_class)`` as an integer ``(…)``; bit p is pitch class p."""
    return (sounds.long() * 2 ** torch.arange(sounds.shape[-1])).sum(dim=-1)


@torch.no_grad()
def voice_paths(sampler: VoiceSampler, features: Tensor) -> Paths:
    """Enumerate the V! · C(classes, V) · 2^V paths of the proposed sampler for ``features (130,)``."""
    sounds = silent = features.new_zeros(1, sampler.classes)
    choices, log_p = torch.zeros(1, 0, dtype=torch.long), features.new_zeros(1)
    met = []
    for _ in range(sampler.voices):
        log_q, _ = sampler.voice(features.expand(1, len(sounds), -1), sounds[None], silent[None])
        parent, choice = torch.nonzero(torch.isfinite(log_q[0].flatten(1)), as_tuple=True)
        log_p = log_p[parent] + log_q[0].flatten(1)[parent, choice]
        choices = torch.cat([choices[parent], choice[:, None]], dim=1)
        met = [q[parent] for q in [*met, log_q[0]]]
        sounds, silent = sampler.pass_on(sounds[parent], silent[parent], choice, None)
    return Paths(choices, log_p.exp(), sounds, torch.stack(met))


@torch.no_grad()
def first_scheme_paths(scheme: FirstScheme, features: Tensor) -> Paths:
    """Enumerate the (classes + 1)^V paths of scheme one for ``features (130,)``."""
    union, choices, log_p = features.new_zeros(1, scheme.classes), torch.zeros(1, 0, dtype=torch.long), \
        features.new_zeros(1)
    met = []
    for v in range(scheme.voices):
        log_q = scheme.voice(v, features.expand(1, len(union), -1), union[None])[0]
        parent, choice = torch.nonzero(torch.isfinite(log_q), as_tuple=True)
        log_p = log_p[parent] + log_q[parent, choice]
        choices = torch.cat([choices[parent], choice[:, None]], dim=1)
        met = [q[parent] for q in [*met, log_q]]
        chosen = functional.one_hot(choice, scheme.classes + 1)[:, : scheme.classes].to(union.dtype)
        union = torch.maximum(union[parent], chosen)
    return Paths(choices, log_p.exp(), union, torch.stack(met))
