"""Independent notes (thesis §3.3, §4.1): each pitch class of the next step on its own, the rival of claim C19."""

from torch import Tensor, nn
from torch.nn import functional


class IndependentClasses(nn.Module):
    """``P(p sounds) = σ(linear(F))_p`` for every class, given the features alone: an exact likelihood."""

    def __init__(self, features: int = 130, classes: int = 12):
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def objective(self, features: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood per step, nats: ``(time, batch, 130)`` and ``(time, batch, pitch_class)`` to
        ``(time, batch)``."""
        return functional.binary_cross_entropy_with_logits(self.linear(features), target, reduction="none").sum(dim=-1)
