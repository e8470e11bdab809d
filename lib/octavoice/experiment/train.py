"""Training of both networks (thesis §7.2): Adam, fragments drawn with replacement, one random
transposition per batch, zero states at a fragment's start, no gradient clipping, no regularisation.

Everything random comes from two explicit generators, whose states are in the checkpoint, so a run
that is interrupted and resumed ends as an undisturbed one.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from octavoice.corpus import Batch
from octavoice.errors import UserError
from octavoice.paths import atomic

CHECKPOINT_SECONDS = 30


class Tensors(NamedTuple):
    """A :class:`~octavoice.corpus.Batch` on the training device, same fields and axes."""

    x: Tensor
    x12: Tensor
    history: Tensor
    clock: Tensor
    weight: Tensor


def to_tensors(batch: Batch, device: torch.device | str = "cpu") -> Tensors:
    """Move a batch to a device."""
    return Tensors(*(torch.from_numpy(np.ascontiguousarray(getattr(batch, name))).to(device)
                     for name in Tensors._fields))


def weighted_mean(per_step: Tensor, weight: Tensor) -> Tensor:
    """Mean over the real steps of a batch: ``(time - 1, batch)`` twice, to a scalar."""
    return (per_step * weight).sum() / weight.sum()


def uniforms(rng: torch.Generator, *shape: int, device="cpu") -> Tensor:
    """Uniforms in [0, 1) drawn on the CPU, so that every device sees the same draws."""
    return torch.rand(*shape, generator=rng).to(device)


@dataclass(frozen=True)
class Task:
    """What to train: a module, its loss, where batches come from, and how it is judged.

    ``loss(tensors, rng)`` returns a scalar in nats per step; ``draw(rng)`` a training batch;
    ``evaluate()`` a dictionary of held-out numbers on a fixed panel with fixed draws.
    """

    name: str
    module: nn.Module
    loss: Callable[[Tensors, torch.Generator], Tensor]
    draw: Callable[[np.random.Generator], Batch]
    evaluate: Callable[[], dict[str, float]] = dict
    learning_rate: float = 0.01
    epsilon: float = 1e-8


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a module with PyTorch's default initialisation under ``seed``, disturbing no other stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def fit(task: Task, iterations: int, seed: int, evaluate_every: int = 0,
        checkpoint: Path | None = None, key: str = "") -> pd.DataFrame:
    """Train a task in place and return its metrics, one row per iteration.

    Columns: ``train`` (loss of that batch, nats per step) and the held-out numbers, NaN between
    evaluations. With a ``checkpoint`` path the run can be interrupted (Ctrl-C included) and goes on
    where it was if ``key`` is the same. Raises :class:`UserError` if the loss is not finite.
    """
    loop = _Loop(task, seed, checkpoint, key)
    loop.resume()
    bar = tqdm(total=iterations, initial=loop.done, desc=task.name, unit="it", mininterval=5.0)
    try:
        while loop.done < iterations:
            loop.iterate(evaluate=bool(evaluate_every) and (loop.done + 1) % evaluate_every == 0)
            bar.set_postfix(loop.latest, refresh=False)
            bar.update()
    finally:
        bar.close()
        loop.save()
    return pd.DataFrame(loop.rows).set_index("iteration")


class _Loop:
    """The state of one training: module, optimiser, two random streams, metrics."""

    def __init__(self, task: Task, seed: int, checkpoint: Path | None, key: str):
        self.task, self.checkpoint, self.key = task, checkpoint, key
        self.device = next(task.module.parameters()).device
        self.optimiser = torch.optim.Adam(task.module.parameters(), lr=task.learning_rate, eps=task.epsilon)
        self.batches = np.random.default_rng(seed)
        self.draws = torch.Generator().manual_seed(seed)
        self.rows: list[dict] = []
        self.latest: dict[str, str] = {}
        self._saved = time.monotonic()

    @property
    def done(self) -> int:
        return len(self.rows)

    def iterate(self, evaluate: bool) -> None:
        """One step of Adam; now and then an evaluation and a checkpoint."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.task.loss(to_tensors(self.task.draw(self.batches), self.device), self.draws)
        if not torch.isfinite(loss):
            raise UserError(f"training of {self.task.name} broke down: the loss is {loss.item()} at iteration "
                            f"{self.done + 1}; lower the learning rate or try another seed.")
        loss.backward()
        self.optimiser.step()
        row = {"iteration": self.done + 1, "train": loss.item()}
        if evaluate:
            with torch.no_grad():
                row |= self.task.evaluate()
        self.rows.append(row)
        self.latest |= {name: f"{value:.3f}" for name, value in row.items() if name != "iteration"}
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self.save()

    def save(self) -> None:
        if self.checkpoint is None:
            return
        state = {"key": self.key, "module": self.task.module.state_dict(), "optimiser": self.optimiser.state_dict(),
                 "draws": self.draws.get_state(), "batches": json.dumps(self.batches.bit_generator.state),
                 "rows": json.dumps(self.rows)}
        with atomic(self.checkpoint) as temporary:
            torch.save(state, temporary)
        self._saved = time.monotonic()

    def resume(self) -> None:
        """Take up a checkpoint of the same key; another key's, or a damaged file, is left unused."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        except Exception as error:
            raise UserError(f"{self.checkpoint}: is a damaged checkpoint; delete it to train afresh.") from error
        if state["key"] != self.key:
            return
        self.task.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.draws.set_state(state["draws"].cpu())
        self.batches.bit_generator.state = json.loads(state["batches"])
        self.rows = json.loads(state["rows"])
