"""RNN-DBN: a stack of two RBMs for every step (Goel, Vohra and Sahoo 2014; §5.3 of the thesis).

    u_t = LSTM(x_t, u_{t-1});    b¹_t, c¹_t, b²_t, c²_t linear in u_t;    W¹, W² do not depend on time
    p(x, h¹, h²) = p(x | h¹) p(h¹, h²):  σ(b¹_t + W¹ᵀ h¹) below, an RBM (b²_t, c²_t, W²) above
    greedy:  CD on (x; b¹, c¹, W¹), and CD on (h¹ ~ p(h¹ | x); b², c², W²), which teaches nothing below it

log p(x) ≥ E_q log[p(x | h¹) p(h¹) / q(h¹ | x)] with q the first RBM's posterior; the mean of several draws inside the
logarithm is nearer. As p(h¹) needs a Z that is estimated, the number is an estimate (оценка), not a bound.
"""

import math

import torch
from torch import Tensor, nn

from octavoice.model import ESTIMATE, Model, Stage, precise, uniforms
from octavoice.music.roll import KEYS
from octavoice.rbm import contrast, free_energy, gibbs_step, log_partition
from octavoice.survey.chords import BENCHMARKS, SPARSE, Head, SurveyCard, bernoulli, recipe_of
from octavoice.survey.recurrent import Recurrent
from octavoice.survey.rnn_rbm import Energies


class DBN(Head):
    """Two RBMs, all four biases a linear function of the features.

    ``gibbs_steps`` of generation, ``contrasted`` of training; ``chains`` and ``rungs`` of the estimate of Z, and
    ``posteriors`` draws of h¹ for each step.
    """

    kind = ESTIMATE
    gibbs_steps, contrasted, chains, rungs, posteriors = 25, 5, 16, 100, 16

    def __init__(self, size: int, keys: int, lower: int, upper: int):
        super().__init__()
        self.sizes = (keys, lower, lower, upper)
        self.biases = nn.ModuleList(nn.Linear(size, width) for width in self.sizes)
        self.lower = nn.Parameter(0.01 * torch.randn(lower, keys))
        self.upper = nn.Parameter(0.01 * torch.randn(upper, lower))
        nn.init.constant_(self.biases[0].bias, SPARSE)

    @property
    def draw_size(self) -> int:
        """Uniforms for h¹ and for the keys, and for both upper layers in each Gibbs step."""
        keys, lower, _, upper = self.sizes
        return lower + keys + self.gibbs_steps * (lower + upper)

    def loss(self, h: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """CD-k of both machines; nothing of the upper one's reaches the lower one or the trunk."""
        b1, c1 = (precise(bias(h)) for bias in self.biases[:2])
        b2, c2 = (precise(bias(h.detach())) for bias in self.biases[2:])
        below = contrast(x, b1, c1, self.lower, self.contrasted, rng)
        q = torch.sigmoid(c1 + x @ self.lower.T).detach()
        first = (uniforms(rng, *q.shape, device=q.device) < q).to(x.dtype)
        return below + contrast(first, b2, c2, self.upper, self.contrasted, rng)

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`: an estimate."""
        return self._nats(h, x, rng, self.chains, self.rungs, self.posteriors)

    def held_out(self, h: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """The same by fewer draws, cheap enough to be watched."""
        return -self._nats(h, x, rng, 4, 20, 4)

    def _nats(self, h: Tensor, x: Tensor, rng: torch.Generator, chains: int, rungs: int, posteriors: int) -> Tensor:
        b1, c1, b2, c2 = (precise(bias(h)) for bias in self.biases)
        field, total = c1 + x @ self.lower.T, torch.full(x.shape[:2], -torch.inf, dtype=b1.dtype, device=x.device)
        for _ in range(posteriors):
            first = (uniforms(rng, *field.shape, device=x.device) < torch.sigmoid(field)).to(x.dtype)
            joint = bernoulli(b1 + first @ self.lower, x) - free_energy(first, b2, c2, self.upper)
            total = torch.logaddexp(total, joint - bernoulli(field, first))
        log_z = log_partition(b2.flatten(0, 1), c2.flatten(0, 1), self.upper, rng, chains, rungs)
        return total - math.log(posteriors) - log_z.view(total.shape)

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`: Gibbs steps above, begun from the step before; then down."""
        b1, c1, b2, c2 = (precise(bias(h)) / temperature for bias in self.biases)
        keys, lower, _, upper = self.sizes
        start, steps, last = draws.split([lower, self.gibbs_steps * (lower + upper), keys], dim=-1)
        first = (start < torch.sigmoid(c1 + x @ self.lower.T / temperature)).to(h.dtype)
        for u in steps.unflatten(-1, (self.gibbs_steps, -1)).unbind(dim=1):
            first, _ = gibbs_step(first, b2, c2, self.upper / temperature, u)
        return (last < torch.sigmoid(b1 + first @ self.lower / temperature)).to(h.dtype)


def rnn_dbn(keys: int = KEYS, size: int = 200, lower: int = 150, upper: int = 100) -> Energies:
    """LSTM and a stack of two RBMs."""
    return Energies(Recurrent(keys, size), DBN(size, keys, lower, upper))


MODEL = Model("rnn-dbn", SurveyCard(
    title="RNN-DBN: a stack of two RBMs for every step",
    source="K. Goel, R. Vohra, J. K. Sahoo: Polyphonic music generation by modeling temporal dependencies using a "
           "RNN-DBN, ICANN 2014",
    section="§5.3",
    equations=("b¹_t, c¹_t, b²_t, c²_t linear in u_t", "p(x, h¹, h²) = p(x | h¹) p(h¹, h²)",
               "loss = CD(x; b¹, c¹, W¹) + CD(h¹; b², c², W²), each for its own machine"),
    deviations=("an LSTM where the paper has plain recurrent units",
                "both machines are trained at once, the upper one's loss reaching nothing below: greedy in what it "
                "teaches, not in time", "Adam with clipped gradients",
                "the paper's own figures are left out here: none was at hand to check them against"),
    size="two hidden layers", data=BENCHMARKS),
    (Stage("rnn_dbn", "keys", rnn_dbn, recipe_of(1e-3)),))
