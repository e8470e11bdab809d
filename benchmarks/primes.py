"""Whether named primes are continued as held-out pieces are: key, density, keys struck again. Run by hand.

    python benchmarks/primes.py [SEEDS [OTHERS [MODEL [CORPUS]]]]

Every opening is continued by 16 bars in all 24 keys, the first with seeds 1..SEEDS [20], the others with seeds
1..OTHERS [5], by a MODEL that ships [beyond]; beside it the first two bars of the held-out pieces of the CORPUS that it
was trained on [open-keyboard], one continuation each, and those pieces' own next 16 bars. Keys are found by the
estimator of the claims. Prints a table and writes it to ``benchmarks/primes-MODEL.csv``: means, and half a 95 %
interval over primes, whose seeds are averaged first.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from octavoice import composing, corpus
from octavoice.composer import Composer
from octavoice.composing import openings
from octavoice.music.keys import NAMES
from octavoice.music.roll import compress
from octavoice.statistics import harmony, samples

NEW = 256
"""New steps of each continuation: 16 bars."""


def facts(prime: np.ndarray, new: np.ndarray) -> dict[str, float]:
    """How a continuation ``(time, key)`` keeps the key of its prime ``(time, key)``, how dense it is, what it repeats.

    ``struck again``: the share of struck steps that strike a key of the struck step before.
    """
    key, own, struck = harmony.key_of(compress(prime)), harmony.key_of(compress(new)), new[new.any(axis=-1)]
    return {"in the prime's key": harmony.in_key_share(compress(new), key), "same key": float(own == key if own is None
            else own.name == key.name), "onsets a step": len(struck) / len(new), "keys a step": new.sum() / len(new),
            "struck again": (struck[1:] & struck[:-1]).any(axis=-1).mean() if len(struck) > 1 else 0.0}


def continued(composer: Composer, primes: list[composing.Prime], seed: int) -> list[dict[str, float]]:
    """The facts of one continuation of each prime."""
    rolls, held = (np.stack([getattr(prime, name) for prime in primes], axis=1) for name in ("roll", "held"))
    made = composer.compose(rolls, NEW, seed, durations=held)
    return [facts(prime.roll, made.roll[made.start:, i]) for i, prime in enumerate(primes)]


def row(told: list[list[dict[str, float]]]) -> dict[str, float]:
    """Means over primes, and half a 95 % interval, of the facts ``[seed][prime]``."""
    table = pd.concat([pd.DataFrame(facts) for facts in told], keys=range(len(told))).groupby(level=1).mean()
    spread = 1.96 * table.std() / len(table) ** 0.5
    return {"primes": len(table), "seeds": len(told)} | {
        name: value for fact in table for name, value in ((fact, table[fact].mean()), (f"{fact} ±", spread[fact]))}


def held_out(name: str) -> tuple[list[composing.Prime], list[np.ndarray]]:
    """The first two bars of a corpus's test side, and the next 16 of those that have them."""
    pieces = [piece for piece in corpus.load(name).splits()["test"]
              if piece.steps >= openings.STEPS and piece.roll[:openings.STEPS].any()]
    held = samples.held(pieces, openings.STEPS)
    primes = [composing.Prime(piece.label, piece.roll[:openings.STEPS], durations=held[:, i])
              for i, piece in enumerate(pieces)]
    return primes, [piece.roll[openings.STEPS:][:NEW] for piece in pieces]


def main(seeds: str = "20", others: str = "5", model: str = "beyond", name: str = "open-keyboard") -> None:
    """Measure, print, and write the table."""
    torch.set_num_threads(1)
    composer, rows = Composer(*composing.load_weights(model=model).stages), {}
    primes, music = held_out(name)
    whole = [(prime.roll, roll) for prime, roll in zip(primes, music, strict=True) if len(roll) == NEW]
    rows["held-out pieces themselves"] = row([[facts(*pair) for pair in whole]])
    rows["after held-out primes"] = row([continued(composer, primes, 1)])
    for opening in openings.NAMES:
        named = [composing.named(f"{key}, {opening}") for key in NAMES]
        times = range(1, 1 + int(seeds if opening == openings.NAMES[0] else others))
        rows[opening] = row([continued(composer, named, seed) for seed in tqdm(times, desc=opening, disable=None)])
        table = pd.DataFrame(rows).T.round(3)
        table.to_csv(Path(__file__).with_name(f"primes-{model}.csv"), index_label="primes of")
    print(table.to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
