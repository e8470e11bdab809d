"""C2: what an iteration of training costs in 12 classes, and of the same networks on 88 keys (thesis §6.2, §7.4)."""

import time

import numpy as np
import torch

from octavoice.corpus import Fragments, Pieces
from octavoice.model import Network, Tensors
from octavoice.music.roll import KEYS
from octavoice.statistics import intervals
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training.fit import to_tensors, weighted_mean

BATCH, LENGTH, REPEATS = 140, 256, 4
"""§7.2's batch, and how often each network is timed, in turn."""


def measure(pieces: Pieces, batch: int = BATCH, length: int = LENGTH) -> dict:
    """Processor seconds of one iteration (loss and gradient) of each network, and ratios, with intervals over repeats.

    Processor time, since a machine may have other work. The first round warms up and is not counted.

    On 88 keys the same main module and five voices read and decide keys, and no decoder is needed; five voices are
    too few for many chords there, so this is the least that 88 keys would cost.
    """
    t = to_tensors(Fragments(pieces, length).draw(np.random.default_rng(0), batch))
    networks = {"12 classes": (OctaveGenerator(), t), "decoder": (Decoder(), t),
                "88 keys": (OctaveGenerator(classes=KEYS), on_keys(t))}
    seconds = {name: [] for name in networks}
    for _ in range(REPEATS):
        for name, (network, given) in networks.items():
            seconds[name].append(iteration(network, given))
    mean = {name: np.array(values[1:]) for name, values in seconds.items()}
    both = mean["12 classes"] + mean["decoder"]
    return {"seconds": {name: intervals.mean(values) for name, values in mean.items()},
            "88 keys over 12 classes": intervals.mean(mean["88 keys"] / mean["12 classes"]),
            "88 keys over 12 classes and decoder": intervals.mean(mean["88 keys"] / both),
            "batch": batch, "fragment": length, "threads": torch.get_num_threads(),
            "parameters": {name: sum(w.numel() for w in each.parameters()) for name, (each, _) in networks.items()}}


def on_keys(t: Tensors) -> Tensors:
    """The same batch for a network of classes that is told keys in their place."""
    return t._replace(x12=t.x, history=t.past)


def iteration(network: Network, t: Tensors) -> float:
    """Processor seconds of loss and gradient on a batch."""
    began = time.process_time()
    network.zero_grad()
    weighted_mean(network.loss(t, torch.Generator().manual_seed(0)), t.weight).backward()
    return time.process_time() - began
