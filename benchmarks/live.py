"""How long one step of the composer takes on one core. Run by hand.

    python benchmarks/live.py [STEPS] [MODEL ...]     median and 99th percentile over STEPS single steps [2000]

Without a model's name all are measured, with the networks that ship.
"""

import sys
import time

import numpy as np
import torch

from octavoice import composing
from octavoice.composer import Composer
from octavoice.errors import UserError
from octavoice.model import Model
from octavoice.training import models
from octavoice.training.fit import seeded

SIXTEENTH = 125.0
"""Milliseconds of a step at 120 quarters a minute."""
TARGET = 2.0


def latencies(composer: Composer, steps: int) -> np.ndarray:
    """Milliseconds of each of ``steps`` steps after the first bar of a chord; the first hundred warm up."""
    prime = composing.named("A minor").roll[:, None]
    draws = composer.draws(1, 0, 1, len(prime) + steps + 100)
    state, taken = composer.listen(prime, draws), []
    for draw in draws[len(prime):]:
        began = time.perf_counter()
        state, _ = composer.step(state, draw)
        taken.append(1000 * (time.perf_counter() - began))
    return np.array(taken[100:])


def main(steps: str = "2000", *names: str) -> None:
    """Measure every model in turn and print."""
    torch.set_num_threads(1)
    for name in names or models.MODELS:
        networks = [network.eval() for network in seeded_all(models.named(name))]
        taken = latencies(Composer(*networks), int(steps))
        median, slow = np.percentile(taken, (50, 99))
        print(f"{name}: {len(taken)} steps on one core: median {median:.2f} ms, 99th percentile {slow:.2f} ms "
              f"(target {TARGET:g}; a sixteenth at 120 quarters a minute lasts {SIXTEENTH:g})")


def seeded_all(model: Model) -> list:
    """A model's networks: those that ship if they do, else fresh ones, whose steps may strike more or less."""
    try:
        return list(composing.load_weights(model=model.name).stages)
    except UserError:
        return [seeded(stage.build, 0) for stage in model.stages]


if __name__ == "__main__":
    main(*sys.argv[1:])
