"""RNN-RBM: an RBM for every step, its biases from a recurrent net (Boulanger-Lewandowski 2012; §5.3 of the thesis).

    u_t = LSTM(x_t, u_{t-1});    b_t = b + W_b u_t,  c_t = c + W_c u_t;    W does not depend on time
    p(x_{t+1} | x_≤t) = e^{-F(x_{t+1}; b_t, c_t, W)} / Z_t

Trained by contrastive divergence with k Gibbs steps; §5.3 starts them from x_t, the paper and this file from the
data x_{t+1}. Z_t is estimated, so the likelihood is too (оценка): it is too high on average.
"""

import torch
from torch import Tensor, nn

from octavoice.model import ESTIMATE, Model, Stage, precise
from octavoice.music.roll import KEYS
from octavoice.rbm import contrast, free_energy, gibbs_step, log_partition
from octavoice.survey.chords import BENCHMARKS, SPARSE, Chords, Head, SurveyCard, recipe_of
from octavoice.survey.recurrent import Recurrent


class RBM(Head):
    """An RBM whose biases are a linear function of the features.

    ``gibbs_steps`` of generation, ``contrasted`` of training; ``chains`` and ``rungs`` of the estimate of Z.
    """

    kind = ESTIMATE
    gibbs_steps, contrasted, chains, rungs = 25, 5, 16, 100

    def __init__(self, size: int, keys: int, units: int):
        super().__init__()
        self.visible, self.hidden = nn.Linear(size, keys), nn.Linear(size, units)
        self.W = nn.Parameter(0.01 * torch.randn(units, keys))
        nn.init.constant_(self.visible.bias, SPARSE)

    @property
    def draw_size(self) -> int:
        """A uniform for every unit and key in each Gibbs step."""
        return self.gibbs_steps * sum(self.W.shape)

    def biases(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """b ``(…, key)`` and c ``(…, unit)`` of every step."""
        return precise(self.visible(h)), precise(self.hidden(h))

    def loss(self, h: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """CD-k, a difference of free energies: no likelihood."""
        return contrast(x, *self.biases(h), self.W, self.contrasted, rng)

    def nats(self, h: Tensor, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`: an estimate."""
        return self._nats(h, x, rng, self.chains, self.rungs)

    def held_out(self, h: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """The same by fewer chains, cheap enough to be watched."""
        return -self._nats(h, x, rng, 4, 20)

    def _nats(self, h: Tensor, x: Tensor, rng: torch.Generator, chains: int, rungs: int) -> Tensor:
        b, c = self.biases(h)
        log_z = log_partition(b.flatten(0, 1), c.flatten(0, 1), self.W, rng, chains, rungs)
        return -free_energy(x, b, c, self.W) - log_z.view(x.shape[:2])

    def sample(self, h: Tensor, draws: Tensor, x: Tensor, temperature: float) -> Tensor:
        """See :class:`octavoice.survey.chords.Head`: Gibbs steps from the step before; the energy over temperature."""
        b, c = (bias / temperature for bias in self.biases(h))
        for u in draws.unflatten(-1, (self.gibbs_steps, -1)).unbind(dim=1):
            x, _ = gibbs_step(x, b, c, self.W / temperature, u)
        return x


class Energies(Chords):
    """A network whose head draws by Gibbs steps; how many can be set on it."""

    @property
    def gibbs_steps(self) -> int:
        """Gibbs steps of generation."""
        return self.head.gibbs_steps

    @gibbs_steps.setter
    def gibbs_steps(self, count: int) -> None:
        self.head.gibbs_steps = count


def rnn_rbm(keys: int = KEYS, size: int = 200, units: int = 150) -> Energies:
    """LSTM and RBM."""
    return Energies(Recurrent(keys, size), RBM(size, keys, units))


MODEL = Model("rnn-rbm", SurveyCard(
    title="RNN-RBM: an RBM for every step",
    source="N. Boulanger-Lewandowski, Y. Bengio, P. Vincent: Modeling temporal dependencies in high-dimensional "
           "sequences, ICML 2012",
    section="§4.4, §5.3",
    equations=("b_t = b + W_b u_t;  c_t = c + W_c u_t", "F(x) = -b_tᵀx - Σ_i log(1 + e^{(c_t + W x)_i})",
               "loss = F(x_{t+1}) - F(x*), x* after k Gibbs steps from x_{t+1}"),
    deviations=("an LSTM where the paper has plain recurrent units", "five Gibbs steps in training, 25 in generation",
                "no pretraining; Adam with clipped gradients",
                "§5.3 starts the Gibbs steps of training from x_t; here from the data, as (5) asks"),
    size="tuned for each set", data=BENCHMARKS),
    (Stage("rnn_rbm", "keys", rnn_rbm, recipe_of(1e-3)),))
