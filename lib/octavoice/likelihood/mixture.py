"""Any model's likelihood on every step, those that it cannot make included.

A sampler of V voices gives steps of more than V classes probability zero. To set different V on one axis each is mixed
with the table of marginal frequencies, ``p̃ = (1 - ε) p + ε · marginal``, with ε fitted on validation pieces: what it
costs to leave a back door open is then part of its level. Nats per step, any axes.
"""

import numpy as np
from scipy.optimize import minimize_scalar

LEAST = 1e-9
"""A back door is never quite shut: a step that validation did not show still has a probability."""


def mixed(log_p: np.ndarray, log_marginal: np.ndarray, epsilon: float) -> np.ndarray:
    """``log p̃`` of every step; ``log_p`` may be minus infinity, ``epsilon`` lies in (0, 1)."""
    return np.logaddexp(np.log1p(-epsilon) + log_p, np.log(epsilon) + log_marginal)


def best_epsilon(log_p: np.ndarray, log_marginal: np.ndarray) -> float:
    """The ε that makes validation steps likeliest; the level is concave in ε, so there is one."""
    def cost(log_epsilon: float) -> float:
        return -mixed(log_p, log_marginal, float(np.exp(log_epsilon))).mean()
    found = minimize_scalar(cost, bounds=(np.log(LEAST), np.log1p(-LEAST)), method="bounded",
                            options={"xatol": 1e-6})
    return float(np.exp(found.x))
