"""From a prime to its continuations, and the hour of music (thesis §7.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from octavoice.composer import CONTEXT, Composer, Progress
from octavoice.composing.prime import Prime
from octavoice.errors import UserError
from octavoice.model import HISTORY, Batch, Network
from octavoice.music import keys
from octavoice.music.durations import clipped, remaining, until_next
from octavoice.music.piece import Piece
from octavoice.music.roll import CLOCK_BITS, KEYS, STEPS_PER_QUARTER, clock, compress, transpose
from octavoice.music.tempo import Tempos, constant, tempo_map
from octavoice.representations.steps import SHIFTS
from octavoice.statistics import samples
from octavoice.training import weights
from octavoice.training.presets import MAX_SEED

HOUR_FRAGMENTS, HOUR_PRIME, HOUR_NEW, HOUR_EMPTY, HOUR_STEPS = 120, 16, 240, 24, 28_760
"""The hour of music as the thesis's author submitted it [published program]; all but the first in steps."""
LIMITS = {"steps": (int, 1, HOUR_STEPS), "bars": (int, 1, HOUR_STEPS), "variations": (int, 1, 1000),
          "temperature": (float, 0.01, 100), "decoder-temperature": (float, 0.01, 100), "gibbs-steps": (int, 1, 64),
          "seed": (int, 0, MAX_SEED), "only": (int, 1, 1000)}
"""Kind of each number that a user gives, the smallest and the largest."""
AT_ONCE = 30_000
"""New steps composed in one batch, over all its pieces; more would only take memory."""
SEARCH_DRAWS = 4
"""Random draws over which the search for a transposition takes the mean."""
DURATIONS = ("held", "thesis")
"""How long notes are held: as the prime's file and the model say, or all of them as in the thesis."""
EXCERPT = 4
"""Bars of the prime that a score, a picture or sound shows before the bar in which the new steps begin."""


@dataclass(frozen=True)
class Continuation:
    """A prime continued. ``roll`` ``(time, key)`` is what is written: rests up to the first onset, prime, new steps.

    ``mark`` is the first new step in it; without the prime there is none. ``key`` is that of the new steps, such as
    ``F♯ minor`` (:func:`octavoice.music.keys.name_key`), None if they are silent. ``first_bar`` is the number of the
    bar with which ``roll`` begins.
    ``durations`` ``(time, key)`` are the steps for which its notes are held, by the thesis's rule if None.
    """

    prime: Prime
    roll: np.ndarray
    new: np.ndarray
    mark: int | None
    key: str | None
    first_bar: int = 1
    durations: np.ndarray | None = None

    @property
    def tempos(self) -> Tempos:
        """The tempo map: the prime keeps its own, the new steps take what holds longest there."""
        own, mark = constant(self.prime.tempos or self.prime.tempo), self.mark or 0
        begin = mark - len(self.prime.roll)
        return tempo_map([*((begin + step, qpm) for step, qpm in own), (mark, self.prime.tempo)])


def check_durations(given: str) -> bool:
    """Whether notes are held rather than as long as in the thesis; raises :class:`UserError` for another word."""
    if given not in DURATIONS:
        raise UserError(f"durations {given!r} are neither {' nor '.join(DURATIONS)}; give one of these words.")
    return given == DURATIONS[0]


def check_number(name: str, given: str | int | float) -> int | float:
    """A number that a user gives, by its text or value; raises :class:`UserError` beyond its ``LIMITS``."""
    kind, low, high = LIMITS[name]
    wanted = f"{'whole ' * (kind is int)}number from {low} to {high}"
    try:
        number: int | float = kind(given)
    except ValueError as error:
        raise UserError(f"{name} {given!r} is not a {wanted}; give one.") from error
    if not low <= number <= high:
        raise UserError(f"{name} {given!r} is not a {wanted}; give one.")
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


def continuations(composer: Composer, prime: Prime, steps: int, variations: int, seed: int, *, first: int = 1,
                  keep: bool = True, held: bool = True, shift: int = 0,
                  progress: Progress = iter) -> list[Continuation]:
    """Continue a prime by ``steps`` new steps, in ``variations`` ways; each draws from a random stream of its own.

    They are numbered from ``first`` on, and number i of a ``seed`` is the same music however many are asked for.
    ``keep`` writes the prime too (silence never). ``held`` gives the prime's notes the durations of its file and the
    new ones those that the model decides, if it does; else all have the thesis's. ``shift`` semitones the prime is
    moved by while it is continued, see :func:`best_shift`. ``progress`` wraps the loop over steps (tqdm).
    """
    listened, lasts, pieces = transposed(heard(prime.roll), shift), transposed(heard(prime.held), shift), []
    most, end = max(1, AT_ONCE // steps), first + variations
    for number in range(first, end, most):
        batch, lasting = (np.repeat(x[:, None], min(most, end - number), axis=1) for x in (listened, lasts))
        composition = composer.compose(batch, steps, seed, number - 1, progress, lasting)
        new, decided = transposed(composition.roll[composition.start:], -shift), None
        if composition.durations is not None:
            decided = transposed(composition.durations[composition.start:], -shift)
        for i in range(new.shape[1]):
            told = until_next(new[:, i]) if decided is None else decided[:, i]
            pieces.append(_continuation(prime, new[:, i], told if held else None, keep and bool(prime.roll.any())))
    return pieces


def _continuation(prime: Prime, new: np.ndarray, lasting: np.ndarray | None, keep: bool) -> Continuation:
    """What is written begins at a bar line, so that bar lines stay where the prime has them.

    ``lasting`` ``(time, key)`` are the durations of the ``new`` steps; without them all have the thesis's. What of the
    prime is held beyond its end goes on until its own, or until its key is struck again.
    """
    rests = prime.lead if keep else (prime.lead + len(prime.roll)) % prime.bar
    silence = np.zeros((rests, KEYS), np.uint8)
    roll = np.concatenate([silence, prime.roll, new] if keep else [silence, new])
    durations = None
    if lasting is not None:
        durations = clipped(np.concatenate([silence, prime.held, lasting] if keep else [silence, lasting]))
    mark = rests + len(prime.roll) if keep else None
    key = keys.name_key(until_next(new) if lasting is None else lasting)
    return Continuation(prime, roll, new, mark, key, durations=durations)


def excerpt(piece: Continuation, bars: int = EXCERPT) -> Continuation:
    """A piece from the bar line that lies ``bars`` bars before the bar in which its new steps begin.

    A note that is held over that line for a quarter or longer is struck there anew, so that the harmony is whole; the
    rest of a shorter one is left out, as are all of them where notes are as long as in the thesis.
    """
    bar = piece.prime.bar
    left_out = max(0, (piece.mark or 0) // bar - bars)
    roll, durations = piece.roll[left_out * bar:], piece.durations
    if durations is not None and left_out:
        going_on = remaining(durations)[left_out * bar]
        roll, durations = roll.copy(), durations[left_out * bar:].copy()
        durations[0] = np.where((durations[0] > 0) | (going_on >= STEPS_PER_QUARTER), going_on, 0)
        roll[0] = durations[0] > 0
    return replace(piece, roll=roll, first_bar=piece.first_bar + left_out, durations=durations,
                   mark=None if piece.mark is None else piece.mark - left_out * bar)


def transposed(x: np.ndarray, semitones: int) -> np.ndarray:
    """A roll ``(..., key)`` moved by ``semitones``; what would fall off the keyboard moves by an octave less.

    A grid of durations moves likewise; of two notes on one key the longer is kept.
    """
    stays = transpose(np.ones(KEYS, x.dtype), -semitones)
    folded = transpose(x * (1 - stays), semitones - 12 * int(np.sign(semitones)))
    moved: np.ndarray = np.maximum(transpose(x * stays, semitones), folded)
    return moved


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


def _fragment(roll: np.ndarray, first: int) -> Batch:
    """A roll ``(time, key)`` from its step ``first`` on, as a batch of one fragment with what lies before it."""
    x = torch.from_numpy(np.pad(roll, ((HISTORY, 0), (0, 0)))[first:, None]).float()
    x12 = torch.from_numpy(compress(x.numpy()))
    steps = np.arange(first, len(roll))
    return Batch(x[HISTORY:], x12[HISTORY:], x12[:HISTORY], torch.from_numpy(clock(steps))[:, None],
                 torch.ones(len(steps) - 1, 1), x[:HISTORY], torch.tensor([[first]]), x[:0],
                 torch.from_numpy(roll[:first, None].astype(np.int16)))


def hour(composer: Composer, pieces: Sequence[Piece], seed: int, held: bool = True,
         progress: Progress = iter) -> tuple[np.ndarray, np.ndarray | None]:
    """An hour of music at 120 quarters a minute, as a roll ``(28 760, key)`` and its durations [published program].

    120 fragments one after the other, each of 240 new steps and 24 empty ones; the primes, the first 16
    steps of ``pieces`` in the order of :func:`~octavoice.statistics.samples.openings`, are dropped. The durations
    ``(28 760, key)`` are what the model decides; None, for the thesis's, if it does not or is not asked (``held``).
    """
    chosen, prime = samples.openings(pieces, HOUR_FRAGMENTS, HOUR_PRIME, seed)
    composition = composer.compose(prime, HOUR_NEW, seed, 0, progress, samples.held(chosen, HOUR_PRIME))
    if composition.durations is None or not held:
        return _in_a_row(composition.roll), None
    return _in_a_row(composition.roll), clipped(_in_a_row(composition.durations))


def _in_a_row(x: np.ndarray) -> np.ndarray:
    """The new steps of the hour's fragments ``(time, fragment, key)`` one after the other, empty ones between them."""
    spaced = np.pad(x[HOUR_PRIME:], ((0, HOUR_EMPTY), (0, 0), (0, 0))).transpose(1, 0, 2).reshape(-1, KEYS)
    return spaced[:HOUR_STEPS]
