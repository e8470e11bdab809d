"""From a prime to its continuations, and the hour of music (thesis §7.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from octavoice.composer import CONTEXT, Composer
from octavoice.composing.prime import Prime
from octavoice.corpus.fragments import SHIFTS
from octavoice.errors import UserError
from octavoice.evidence import harmony, samples
from octavoice.model import HISTORY, Network, Tensors
from octavoice.music.piece import Piece
from octavoice.music.roll import CLOCK_BITS, KEYS, clock, compress, transpose
from octavoice.training import weights
from octavoice.training.presets import MAX_SEED

HOUR_FRAGMENTS, HOUR_PRIME, HOUR_NEW, HOUR_EMPTY, HOUR_STEPS = 120, 16, 240, 24, 28_760
"""The hour of music as the thesis's author submitted it [published program]; all but the first in steps."""
LIMITS = {"steps": (int, 1, HOUR_STEPS), "bars": (int, 1, HOUR_STEPS), "variations": (int, 1, 1000),
          "temperature": (float, 0.01, 100), "decoder-temperature": (float, 0.01, 100), "gibbs-steps": (int, 1, 64),
          "seed": (int, 0, MAX_SEED)}
"""Kind of each number that a user gives, the smallest and the largest."""
AT_ONCE = 30_000
"""New steps composed in one batch, over all its pieces; more would only take memory."""
SEARCH_DRAWS = 4
"""Random draws over which the search for a transposition takes the mean."""
EXCERPT = 4
"""Bars of the prime that a score, a picture or sound shows before the bar in which the new steps begin."""


@dataclass(frozen=True)
class Continuation:
    """A prime continued. ``roll`` ``(time, key)`` is what is written: rests up to the first onset, prime, new steps.

    ``mark`` is the first new step in it; without the prime there is none. ``key`` is that of the new steps
    (music21's analysis), None if they are silent. ``first_bar`` is the number of the bar with which ``roll`` begins.
    """

    prime: Prime
    roll: np.ndarray
    new: np.ndarray
    mark: int | None
    key: harmony.Key | None
    first_bar: int = 1


def check_number(name: str, given: str | int | float) -> int | float:
    """A number that a user gives, by its text or value; raises :class:`UserError` beyond its ``LIMITS``."""
    kind, low, high = LIMITS[name]
    try:
        number = kind(given)
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        raise UserError(f"{name} {given!r} is not a {'whole ' * (kind is int)}number from {low} to {high}; give one.")
    return number


def load_weights(folder: Path | str = "", model: str = "") -> weights.Weights:
    """The networks in ``folder``, or those that come with the package: of ``model``, else of the newest model there.

    Raises :class:`UserError` for a folder without them, or a model that there is not.
    """
    if not folder and not weights.SHIPPED.is_dir():
        raise UserError("this copy of octavoice comes without weights; name a folder of your own, for instance the "
                        "results of `make reproduce`: results/quick/bach/seed-1.")
    place = Path(folder) if folder else weights.SHIPPED
    return weights.load(place, model or (weights.held(place) or ["thesis"])[-1])


def heard(roll: np.ndarray) -> np.ndarray:
    """The end of a roll ``(time, key)`` that a composer needs: 256 steps, the 128 before, and up to 63 more.

    What is cut off is a multiple of 64 steps, so the clock, which counts from the prime's own
    first step modulo 64, shows the same.
    """
    period = 2**CLOCK_BITS
    return roll[max(0, len(roll) - CONTEXT - HISTORY) // period * period:]


def continuations(composer: Composer, prime: Prime, steps: int, variations: int, seed: int, *, keep: bool = True,
                  shift: int = 0, progress=iter) -> list[Continuation]:
    """Continue a prime by ``steps`` new steps, in ``variations`` ways; the i-th draws from stream (``seed``, i).

    ``keep`` writes the prime too (silence never). ``shift`` semitones the prime is moved by while it is continued,
    see :func:`best_shift`. ``progress`` wraps the loop over steps (tqdm).
    """
    listened, pieces = transposed(heard(prime.roll), shift), []
    most = max(1, AT_ONCE // steps)
    for first in range(0, variations, most):
        batch = np.repeat(listened[:, None], min(most, variations - first), axis=1)
        composition = composer.compose(batch, steps, seed, first_index=first, progress=progress)
        new = transposed(composition.roll[composition.start:], -shift)
        pieces += [_continuation(prime, new[:, i], keep and bool(prime.roll.any())) for i in range(new.shape[1])]
    return pieces


def _continuation(prime: Prime, new: np.ndarray, keep: bool) -> Continuation:
    """What is written begins at a bar line, so that bar lines stay where the prime has them."""
    before = prime.roll if keep else prime.roll[:0]
    rests = prime.lead if keep else (prime.lead + len(prime.roll)) % prime.bar
    roll = np.concatenate([np.zeros((rests, KEYS), np.uint8), before, new])
    return Continuation(prime, roll, new, rests + len(before) if keep else None, harmony.key_of(compress(new)))


def excerpt(piece: Continuation, bars: int = EXCERPT) -> Continuation:
    """A piece from the bar line that lies ``bars`` bars before the bar in which its new steps begin."""
    bar = piece.prime.bar
    left_out = max(0, (piece.mark or 0) // bar - bars)
    return replace(piece, roll=piece.roll[left_out * bar:], first_bar=piece.first_bar + left_out,
                   mark=None if piece.mark is None else piece.mark - left_out * bar)


def transposed(x: np.ndarray, semitones: int) -> np.ndarray:
    """A roll ``(..., key)`` moved by ``semitones``; what would fall off the keyboard moves by an octave less."""
    stays = transpose(np.ones(KEYS, x.dtype), -semitones)
    return transpose(x * stays, semitones) | transpose(x * (1 - stays), semitones - 12 * int(np.sign(semitones)))


@torch.no_grad()
def best_shift(network: Network, roll: np.ndarray, seed: int) -> int:
    """The transposition in semitones, −6..5, in which a model's first network finds a prime ``(time, key)`` likeliest.

    By its log-likelihood of what is heard of it; of equal ones the nearest, so a prime of one step stays where it is.
    """
    tail = heard(roll)
    first = max(0, len(tail) - CONTEXT)
    if len(tail) - first < 2:
        return 0
    shifts = sorted(range(SHIFTS[0], SHIFTS[1] + 1), key=abs)
    nats = [network.log_likelihood(_fragment(transposed(tail, shift), first), torch.Generator().manual_seed(seed)).sum()
            for shift in shifts]
    return shifts[int(torch.stack(nats).argmax())]


def _fragment(roll: np.ndarray, first: int) -> Tensors:
    """A roll ``(time, key)`` from its step ``first`` on, as a batch of one fragment with what lies before it."""
    x = torch.from_numpy(np.pad(roll, ((HISTORY, 0), (0, 0)))[first:, None]).float()
    x12 = torch.from_numpy(compress(x.numpy()))
    steps = np.arange(first, len(roll))
    return Tensors(x[HISTORY:], x12[HISTORY:], x12[:HISTORY], torch.from_numpy(clock(steps))[:, None],
                   torch.ones(len(steps) - 1, 1), x[:HISTORY], torch.tensor([[first]]), x[:0])


def hour(composer: Composer, pieces: Sequence[Piece], seed: int, progress=iter) -> np.ndarray:
    """An hour of music at 120 quarters a minute, as a roll ``(28 760, key)`` [published program].

    120 fragments one after the other, each of 240 new steps and 24 empty ones; the primes, the first 16
    steps of ``pieces`` in the order of :func:`~octavoice.evidence.samples.openings`, are dropped.
    """
    _, prime = samples.openings(pieces, HOUR_FRAGMENTS, HOUR_PRIME, seed)
    new = composer.compose(prime, HOUR_NEW, seed, progress=progress).roll[HOUR_PRIME:]
    spaced = np.pad(new, ((0, HOUR_EMPTY), (0, 0), (0, 0))).transpose(1, 0, 2).reshape(-1, KEYS)
    return spaced[:HOUR_STEPS]
