"""How long one step of the composer takes on one core. Run by hand.

    python benchmarks/live.py [STEPS] [WEIGHTS]     median and 99th percentile over STEPS single steps [2000]

Without a folder of weights the networks are fresh ones: the time does not depend on what they have learnt.
"""

import sys
import time

import numpy as np
import torch

from octavoice import composing
from octavoice.composer import Composer
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator

SIXTEENTH = 125.0
"""Milliseconds of a step at 120 quarters a minute."""
TARGET = 3.0


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


def main(steps: str = "2000", folder: str = "") -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    networks = composing.load_weights(folder) if folder else None
    composer = Composer(networks.generator, networks.decoder) if networks else Composer(OctaveGenerator(), Decoder())
    taken = latencies(composer, int(steps))
    median, slow = np.percentile(taken, (50, 99))
    print(f"{len(taken)} steps on one core: median {median:.2f} ms, 99th percentile {slow:.2f} ms "
          f"(target {TARGET:g}; a sixteenth at 120 quarters a minute lasts {SIXTEENTH:g})")


if __name__ == "__main__":
    main(*sys.argv[1:])
