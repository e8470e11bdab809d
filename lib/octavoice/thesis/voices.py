"""The voice-by-voice polyphonic sampler and its objective (thesis §6.4, Fig. 13).

At every step voices v = 1..V decide in turn. A decision is final: a pitch class and whether it
sounds. All voices share one LSTM and one linear head; each keeps its own recurrent state along
time. Voice v sees ``[F_t ; S ; B]``: the features, the classes decided to sound by earlier voices
of this step, and those decided to be silent.

Axes: ``q`` has ``(…, 2, pitch_class)``, where index 0 of the middle axis is "sounds" and 1
"is silent"; a whole step has a leading ``voice`` axis.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from octavoice.model import precise

VOICES = 5
FORCING = ("truth", "own", "ordered")
"""What later voices are fed in training (§6.4, claim C8).

``truth``    each voice samples a class; the true decision for it is passed on (the thesis's choice)
``own``      each voice's own sampled decision is passed on
``ordered``  voice v receives the first v-1 of: sounding classes ascending, then silent ascending
"""


def choose(log_q: Tensor, uniforms: Tensor) -> Tensor:
    """Draw from categorical distributions by inversion, so that a draw is a function of a uniform.

    ``log_q`` ``(…, choice)``, normalised or not, ``uniforms`` ``(…)`` in [0, 1); returns indices
    ``(…)``. A choice of probability 0 is never drawn.
    """
    mass = torch.softmax(log_q.detach().double(), dim=-1).cumsum(dim=-1)
    index = (mass <= uniforms.double()[..., None] * mass[..., -1:]).sum(dim=-1)
    return index.clamp(max=log_q.shape[-1] - 1)


def ordered_decisions(target: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` of: sounding classes ascending, then silent ones ascending.

    ``target`` ``(…, pitch_class)`` of 0 and 1; returns ``S`` and ``B`` of the same shape.
    """
    order = torch.argsort(1 - target, dim=-1, stable=True)[..., :count]
    decided = torch.zeros_like(target).scatter(-1, order, 1.0)
    return decided * target, decided * (1 - target)


class VoiceSampler(nn.Module):
    """One LSTM and one linear head shared by all voices (§6.4, Fig. 13)."""

    def __init__(self, features: int = 130, classes: int = 12, hidden: int = 100, voices: int = VOICES):
        super().__init__()
        self.classes, self.voices = classes, voices
        self.lstm = nn.LSTM(features + 2 * classes, hidden)
        self.linear = nn.Linear(hidden, 2 * classes)

    def voice(self, features: Tensor, sounds: Tensor, silent: Tensor, state=None, temperature: float = 1.0):
        """One voice over ``time`` steps: log q, and its recurrent state at the end.

        ``features`` ``(time, batch, 130)``; ``sounds`` (S) and ``silent`` (B)
        ``(time, batch, pitch_class)``; returns ``(time, batch, 2, pitch_class)``, minus infinity
        where the class is already decided. A ``temperature`` above 1 makes q more even, below 1 more certain.
        """
        output, state = self.lstm(torch.cat([features, sounds, silent], dim=-1), state)
        logits = precise(self.linear(output)).div(temperature).unflatten(-1, (2, self.classes))
        logits = logits.masked_fill((sounds + silent).bool().unsqueeze(-2), -torch.inf)
        return torch.log_softmax(logits.flatten(-2), dim=-1).unflatten(-1, (2, self.classes)), state

    def forward(self, features: Tensor, uniforms: Tensor, target: Tensor | None = None,
                forcing: str = "truth", states: list | None = None, temperature: float = 1.0):
        """All voices in turn, each over all steps at once.

        ``features`` ``(time, batch, 130)``, ``uniforms`` ``(voice, time, batch)`` in [0, 1),
        ``target`` ``(time, batch, pitch_class)``: x'_{t+1}, or None to sample freely (then
        every voice is fed what it decided, as ``forcing="own"``). Returns ``log_q``
        ``(voice, time, batch, 2, pitch_class)``, the choices ``(voice, time, batch)`` (class, plus
        the number of classes if silent), S of the last voice, and the states. Choices are
        not differentiated through.
        """
        if target is None:
            forcing = "own"
        sounds = precise(features).new_zeros(*features.shape[:2], self.classes)
        silent, log_q, choices, ends = sounds, [], [], []
        for v in range(self.voices):
            if forcing == "ordered":
                sounds, silent = ordered_decisions(target, v)
            log_q_v, end = self.voice(features, sounds, silent, states[v] if states else None, temperature)
            choice = choose(log_q_v.flatten(-2), uniforms[v])
            sounds, silent = self.pass_on(sounds, silent, choice, target if forcing == "truth" else None)
            log_q, choices, ends = [*log_q, log_q_v], [*choices, choice], [*ends, end]
        return torch.stack(log_q), torch.stack(choices), sounds, ends

    def pass_on(self, sounds: Tensor, silent: Tensor, choice: Tensor, target: Tensor | None):
        """S and B after one more voice: its own decision, or the true one for the class it chose."""
        chosen = torch.zeros_like(sounds).scatter(-1, (choice % self.classes).unsqueeze(-1), 1.0)
        truth = target if target is not None else (choice < self.classes).to(sounds.dtype)[..., None]
        return sounds + chosen * truth, silent + chosen * (1 - truth)


def log_not(log_q: Tensor) -> Tensor:
    """``log(1 - q)`` of normalised log-probabilities ``(…, choice)``, exact near q = 0 and q = 1.

    For the likeliest choice it is the log of the others' sum, else ``log1p(-q)``.
    """
    top = functional.one_hot(log_q.argmax(dim=-1), log_q.shape[-1]).bool()
    others = torch.logsumexp(log_q.masked_fill(top, -torch.inf), dim=-1, keepdim=True)
    return torch.where(top, others, torch.log1p(-log_q.masked_fill(top, -torch.inf).exp()))


def log_any(log_q: Tensor, log_not_q: Tensor) -> Tensor:
    """``log(1 - Π_v (1 - q_v))`` over the leading voice axis, without cancellation.

    The sum over v of "v is the first": ``q_v Π_{u<v} (1 - q_u)``.
    """
    before = torch.cumsum(log_not_q, dim=0) - log_not_q
    return torch.logsumexp(log_q + before, dim=0)


def surrogate(log_q: Tensor) -> tuple[Tensor, Tensor]:
    """``log P[p]`` and ``log(1 - P[p])`` of the objective [published program], in log space.

        P_on[p] = 1 - Π_v (1 - q_v(p,1));  P_off[p] = 1 - Π_v (1 - q_v(p,0))
        P[p] = P_on[p] (1 - P_off[p])

    ``log_q`` ``(voice, …, 2, pitch_class)`` to two tensors ``(…, pitch_class)``. P is a surrogate,
    not the marginal of the sampling process.
    """
    log_not_q = log_not(log_q.flatten(-2)).unflatten(-1, log_q.shape[-2:])
    log_on, log_off = log_any(log_q, log_not_q).unbind(-2)
    log_not_on, log_not_off = log_not_q.sum(dim=0).unbind(-2)
    return log_on + log_not_off, torch.logaddexp(log_not_on, log_on + log_off)


def objective(log_q: Tensor, target: Tensor) -> Tensor:
    """The training loss per step, in nats, summed over pitch classes (§6.4; Fig. 14 plots its negative).

        loss = - Σ_p [ y_p log P[p] + (1 - y_p) log(1 - P[p]) ],  y = x'_{t+1}

    ``log_q`` ``(voice, time, batch, 2, pitch_class)``, ``target`` ``(time, batch, pitch_class)``;
    returns ``(time, batch)``.
    """
    log_p, log_not_p = surrogate(log_q)
    return -torch.where(target > 0.5, log_p, log_not_p).sum(dim=-1)
