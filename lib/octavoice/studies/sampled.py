"""Everything that is measured of a run's samples: as many continuations as real fragments, from the same primes."""

from dataclasses import dataclass

import numpy as np

from octavoice.composer import Composer
from octavoice.corpus import Pieces
from octavoice.music.piece import Piece
from octavoice.music.roll import compress
from octavoice.statistics import chords, copies, field, keys, priming, register, rhythm, texture
from octavoice.statistics import decisions as voices
from octavoice.studies import attending
from octavoice.training.weights import Weights

COUNT, PRIME, NEW = 200, 16, 240
"""Fragments that are measured, and their steps; the prime as in the thesis (§7.4), the new ones as in its program."""


@dataclass(frozen=True)
class Sets:
    """Samples beside what the composers wrote: ``(time, fragment, key)`` each, with the same primes, and the trace."""

    samples: np.ndarray
    decided: np.ndarray
    real: np.ndarray
    trace: dict[str, np.ndarray]

    def rolls(self, which: str, compressed: bool = True) -> list[np.ndarray]:
        """The new steps of every fragment, ``(time, pitch_class)``, or ``(time, key)``. Samples' classes as decided."""
        if which == "real":
            new = self.real[PRIME:]
            return list(np.moveaxis(compress(new) if compressed else new, 1, 0))
        return list(np.moveaxis((self.decided if compressed else self.samples)[PRIME:], 1, 0))

    def primes(self) -> list[np.ndarray]:
        """Every prime in classes, ``(16, pitch_class)``."""
        return list(np.moveaxis(compress(self.real[:PRIME]), 1, 0))


def fragments(pieces: list[Piece], count: int, seed: int) -> np.ndarray:
    """Fragments of 256 steps ``(time, fragment, key)``: of every piece the first, then the second of each, and so on.

    Pieces in the order of a shuffle by ``seed``. Fewer than ``count`` if there is no more music.
    """
    whole = Pieces.of(pieces)
    order = np.random.default_rng(seed).permutation(len(whole))
    size = PRIME + NEW
    places = sorted((start, rank, int(i)) for rank, i in enumerate(order)
                    for start in range(0, int(whole.lengths[i]) - size + 1, size))
    return np.stack([whole.window(i, start, start + size) for start, _, i in places[:count]], axis=1)


def compose(weights: Weights, pieces: list[Piece], seed: int, count: int = COUNT) -> Sets:
    """Continue the primes of real fragments by a model's networks."""
    real = fragments(pieces, count, seed)
    music = Composer(*weights.stages).compose(real[:PRIME], NEW, seed)
    return Sets(music.roll, music.x12, real, music.trace)


def measure(weights: Weights, splits: dict, seed: int, count: int = COUNT) -> dict:
    """All measurements of one run's samples by subject. ``splits`` are a corpus's pieces by side."""
    sets = compose(weights, [*splits["test"], *splits["valid"]], seed, count)
    return {"fragments": int(sets.real.shape[1]), **_decided(sets, seed), **_played(sets, seed),
            **_copied(sets, splits["train"])}


def textures(weights: Weights, splits: dict, seed: int, count: int = COUNT) -> dict:
    """What C26 to C28 ask of the same samples: texture, the first voice's pauses, the notes of the harmony."""
    sets = compose(weights, [*splits["test"], *splits["valid"]], seed, count)
    rolls = {name: sets.rolls(name) for name in ("samples", "real")}
    return {"texture": {name: texture.measure(each) for name, each in rolls.items()},
            "first voice": texture.first_voice(sets.trace["choices"]),
            "harmony": {name: texture.memory(each) for name, each in rolls.items()}}


def _decided(sets: Sets, seed: int) -> dict:
    """What can be told from the classes and the draws."""
    ours, real, primes = sets.rolls("samples"), sets.rolls("real"), sets.primes()
    log_q, choices = (np.moveaxis(sets.trace[name], 1, 0) for name in ("log_q", "choices"))
    surprises = [keys.surprise(*pair) for pair in zip(log_q, choices, strict=True)]
    return {"voices": voices.measure(sets.trace["choices"]), "chords": chords.measure(ours, real, seed),
            "keys": {"samples": keys.measure(ours), "real": keys.measure(real)},
            "modulations": keys.association(ours, surprises, seed),
            "prime": priming.measure(primes, ours, real),
            "rhythm": {"samples": rhythm.measure(ours), "real": rhythm.measure(real),
                       "triplet": rhythm.triplet_figure(primes, ours)},
            "attention": attending.statistic(sets.trace["attention"], sets.decided)}


def _played(sets: Sets, seed: int) -> dict:
    """What is told from the keys."""
    ours, real = sets.rolls("samples", False), sets.rolls("real", False)
    return {"register": {"samples": register.measure(ours), "real": register.measure(real)},
            "field": field.measure(ours, real, seed)}


def _copied(sets: Sets, train: list[Piece]) -> dict:
    known = copies.known_windows(train)
    return {"copies": {name: {"within": copies.within(sets.rolls(name)), "survival": copies.survival(sets.rolls(name)),
                              "from training": copies.from_training(sets.rolls(name, False), known)}
                       for name in ("samples", "real")}}
