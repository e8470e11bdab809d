"""The sampler's rivals in §6.4: the first scheme, which collapses, and a softmax over all step vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.thesis.voices import VOICES, choose, log_any, log_not


class FirstScheme(nn.Module):
    """Scheme one of §6.4: each voice is categorical over the pitch classes and a pause.

    Voices are fed the union of the classes earlier voices sampled; the last choice is the pause.
    §6.4 does not say whether voices of this scheme share weights. With ``shared`` weights voices
    that pause hand on nothing, so the next voice sees what they saw and must answer alike; with a
    net of its own each voice can take a part of its own.
    """

    def __init__(self, features: int = 130, classes: int = 12, hidden: int = 100, voices: int = VOICES,
                 shared: bool = False):
        super().__init__()
        self.classes, self.voices = classes, voices
        nets = 1 if shared else voices
        self.lstms = nn.ModuleList(nn.LSTM(features + classes, hidden) for _ in range(nets))
        self.linears = nn.ModuleList(nn.Linear(hidden, classes + 1) for _ in range(nets))

    def voice(self, v: int, features: Tensor, union: Tensor) -> Tensor:
        """Voice ``v`` over all steps from a zero state: ``log_q`` ``(time, batch, pitch_class + 1)``.

        ``features`` ``(time, batch, 130)``, ``union`` ``(time, batch, pitch_class)``.
        """
        net = v % len(self.lstms)
        output, _ = self.lstms[net](torch.cat([features, union], dim=-1))
        return torch.log_softmax(self.linears[net](output), dim=-1)

    def forward(self, features: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Voices in turn over all steps.

        ``features`` ``(time, batch, 130)``, ``uniforms`` ``(voice, time, batch)``; returns ``log_q``
        ``(voice, time, batch, pitch_class + 1)`` and the choices ``(voice, time, batch)``.
        """
        union = features.new_zeros(*features.shape[:2], self.classes)
        log_q, choices = [], []
        for v in range(self.voices):
            log_q.append(self.voice(v, features, union))
            choices.append(choose(log_q[-1], uniforms[v]))
            chosen = functional.one_hot(choices[-1], self.classes + 1)[..., : self.classes]
            union = torch.maximum(union, chosen.to(union.dtype))
        return torch.stack(log_q), torch.stack(choices)


def first_scheme_estimate(q: Tensor) -> Tensor:
    """The one-sample Monte-Carlo estimate of p(n_m | F) in §6.4.

        p(n_m|F) ≈ p(n¹=m) + (1 - p(n¹=m)) [ p(n²=m|n̂¹) + (1 - p(n²=m|n̂¹)) [ … ] ] = 1 - Π_v (1 - q_v(m))

    ``q`` ``(voice, …, choice)`` along one sampled path; returns ``(…, choice)``.
    """
    return 1 - torch.prod(1 - q, dim=0)


def first_scheme_objective(log_q: Tensor, target: Tensor, pause_penalty: float = 0.0) -> Tensor:
    """Cross-entropy per note of scheme one, per step, with the optional penalty on pauses (§6.4, C7).

    ``log_q`` ``(voice, time, batch, pitch_class + 1)``, ``target`` ``(time, batch, pitch_class)``;
    the penalty is ``pause_penalty`` times the summed pause probability of all voices. ``(time, batch)``.
    """
    log_not_q = log_not(log_q)
    log_sounds = log_any(log_q, log_not_q)[..., :-1]
    log_silent = log_not_q.sum(dim=0)[..., :-1]
    cross_entropy = -torch.where(target > 0.5, log_sounds, log_silent).sum(dim=-1)
    return cross_entropy + pause_penalty * log_q[..., -1].exp().sum(dim=0)


class JointSoftmax(nn.Module):
    """A softmax over all 2^12 step vectors on the features (§6.4): rejected there, exact likelihood here."""

    def __init__(self, features: int = 130, classes: int = 12):
        super().__init__()
        self.classes = classes
        self.linear = nn.Linear(features, 2**classes)

    def objective(self, features: Tensor, target: Tensor) -> Tensor:
        """Exact negative log-likelihood per step, in nats: ``(time, batch)``."""
        weights = 2 ** torch.arange(self.classes, device=target.device)
        index = (target.long() * weights).sum(dim=-1)
        return -torch.log_softmax(self.linear(features), dim=-1).gather(-1, index[..., None])[..., 0]
