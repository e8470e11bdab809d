"""An LSTM learns Bach's chorales, from data to nats, in one file: read it from top to bottom.

    python examples/jsb_lstm.py [ITERATIONS [SEED]]

It is the first model of the survey (thesis §4.1 and §4.3) on the JSB Chorales of Boulanger-Lewandowski and others
(2012), whose figures count nats per frame: the lower, the better. Beside it: every key by its own frequency, no past.
Published for such a network: 8.3 to 8.5. It takes about two minutes of one core.
"""

import sys

import numpy as np
import torch
from torch import nn
from tqdm import trange

from octavoice.corpus import Fragments
from octavoice.corpus.benchmarks import load_benchmark, marginal_nll
from octavoice.studies.benchmark_sets import as_pieces
from octavoice.survey.recurrent import lstm
from octavoice.training.fit import to_tensors, weighted_mean

BATCH, LENGTH, RATE, DROPOUT, CLIP, EVERY = 16, 96, 2e-3, 0.5, 1.0, 50


def main(iterations: int = 1500, seed: int = 1) -> dict[str, float]:
    """Train, and return nats per frame from the second on: ``marginal`` and ``lstm`` on test, the best on ``valid``."""

    # 1. The data: three lists of rolls (time, key), 1 where a note sounds, fetched once. A silent frame is put before
    # each, from which the first is predicted; fragments are cut from the training rolls, other rolls are judged whole.
    rolls = load_benchmark("benchmarks/jsb")
    fragments = Fragments(as_pieces(rolls["train"]), LENGTH)
    valid, test = whole(rolls["valid"]), whole(rolls["test"])

    # 2. The network: 88 keys go into an LSTM of 200 units; from its output h_t each key's next value is decided on its
    # own, p(x_{t+1} | x_≤t) = Π_k σ(w_k h_t + b_k), so the likelihood is an exact sum of logarithms.
    torch.manual_seed(seed)
    network = lstm()
    network.dropout = DROPOUT

    # 3. The training: Adam on −log p, at a rate that falls along half a cosine, with gradients that are clipped.
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    choice, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    best, weights = np.inf, None
    for iteration in (bar := trange(iterations, desc="LSTM")):
        batch = to_tensors(fragments.gather(choice.integers(len(fragments), size=BATCH)))
        loss = weighted_mean(network.loss(batch, draws), batch.weight)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        schedule.step()

        # 4. Now and then the validation rolls are judged, and the weights that were best on them are kept.
        if (iteration + 1) % EVERY == 0 or iteration + 1 == iterations:
            held_out = nats_per_frame(network, valid)
            bar.set_postfix(train=f"{loss.item():.2f}", held_out=f"{held_out:.2f}")
            if held_out < best:
                best, weights = held_out, {name: w.clone() for name, w in network.state_dict().items()}

    # 5. The figure: these weights on test rolls that nothing was chosen by, beside frequencies alone.
    network.load_state_dict(weights)
    return {"marginal": marginal_nll(rolls), "lstm": nats_per_frame(network, test), "valid": best}


def whole(rolls: list[np.ndarray]):
    """All rolls at once, each whole; shorter ones are padded with frames of weight 0."""
    pieces = as_pieces(rolls)
    return to_tensors(Fragments(pieces, int(pieces.lengths.max())).gather(np.arange(len(rolls))))


@torch.no_grad()
def nats_per_frame(network, batch) -> float:
    """The mean of −log p(frame | all before) over every frame from the second on, as papers count."""
    return weighted_mean(-network.log_likelihood(batch)[1:], batch.weight[1:]).item()


if __name__ == "__main__":
    found = main(*map(int, sys.argv[1:]))
    print(f"JSB Chorales, nats per frame: frequencies alone {found['marginal']:.2f}, LSTM {found['lstm']:.2f}.")
