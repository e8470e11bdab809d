"""A blind listening test: which of two clips is better, heard without knowing where they come from (C22).

The thesis had its music judged on the CrowdAI platform, in pairs, by TrueSkill. Here are the pairs, the
answers and the ratings; :mod:`~octavoice.composing.listening_panel` plays them. What a rating's interval covers are
these clips and listeners, not all that a model could compose.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd
from openskill.models import ThurstoneMostellerFull
from scipy.stats import binomtest

from octavoice import paths
from octavoice.composer import Composer
from octavoice.composing.continuation import load_weights
from octavoice.errors import UserError
from octavoice.formats import sound
from octavoice.formats.midi import SUFFIXES, read_midi
from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS, trim
from octavoice.statistics import samples
from octavoice.training import networks
from octavoice.training.run import PARAMETERS as RUN_PARAMETERS
from octavoice.training.run import Run, check_types

PARAMETERS = {"sets": dict, "clips": int, "rounds": int, "steps": int, "listener": str, "reveal": bool}
"""What the notebook takes besides the parameters of a run."""
CHOICES = ("left", "right", "cannot say")
LOUDNESS = 0.05
"""Root mean square of every clip, unless its peak would pass 1."""
BETA = 25 / 6
"""How much a clip's impression scatters around its set's rating, in points; ratings begin at 25 ± 25/3."""
MARGIN = NormalDist().inv_cdf(0.55) * sqrt(2) * BETA
"""Differences below this cannot be told: one time in ten between equals, as TrueSkill assumes."""


class Clip(NamedTuple):
    """Clip ``index`` of the set called ``name``."""

    name: str
    index: int


class Pair(NamedTuple):
    """What a listener compares."""

    left: Clip
    right: Clip


def parameters(namespace: dict) -> dict:
    """Check :data:`PARAMETERS` in the notebook's ``globals()``, and return what is left of them for its run.

    Raises :class:`UserError` for an unknown name, a wrong type or a senseless value.
    """
    given = check_types(namespace, RUN_PARAMETERS | PARAMETERS)
    if len(given["sets"]) < 2 or not all(isinstance(text, str) for pair in given["sets"].items() for text in pair):
        raise UserError(f"parameter sets={given['sets']!r} must name two sets or more and say where each comes from.")
    if small := [name for name in ("clips", "rounds", "steps") if given[name] < 1]:
        raise UserError(f"parameter {small[0]}={given[small[0]]} must be at least 1.")
    if not re.fullmatch(r"[\w-]{1,64}", given["listener"]):
        raise UserError(f"parameter listener={given['listener']!r} names a file; use letters, digits, - and _ only.")
    return {name: value for name, value in namespace.items() if name not in PARAMETERS}


def clips(run: Run, source: str, count: int, steps: int) -> np.ndarray:
    """At most ``count`` clips ``(clip, time, key)`` of ``steps`` steps.

    ``source`` is ``data`` (held-out pieces of the run's corpus), ``run`` (the run's networks), ``weights`` (those
    that come with the package), ``weights:DIR`` (a folder, such as an imported model), ``table`` (a first-order
    table of frequencies) or ``folder:DIR`` (MIDI files; ``folder:DIR/sample_*.mid`` takes some of them). Paths
    are relative to :func:`~octavoice.paths.home`.

    The first bar is never heard: networks continue the openings of the very pieces whose next bars are
    ``data``, and of a file it is dropped as if it were a prime. Raises :class:`UserError`.
    """
    kind, _, place = source.partition(":")
    if source not in ("data", "run", "table", "weights") and not (place and kind in ("weights", "folder")):
        raise UserError(f"unknown set {source!r}; give data, run, table, weights, weights:DIR or folder:DIR.")
    folder, prime = paths.home() / Path(place).expanduser(), run.preset.prime
    if kind == "table":
        return table_clips(run.splits["train"], count, steps, run.seed)
    if kind == "folder":
        return excerpts(_midi_rolls(folder), count, prime + steps, run.seed, folder)[:, prime:]
    pieces = excerpts([p.roll for p in samples.held_out_pieces(run)], count, prime + steps, run.seed, run.corpus_name)
    if kind == "data":
        return pieces[:, prime:]
    nets = networks.obtain(run) if kind == "run" else load_weights(folder if place else "")
    music = Composer(*nets.stages).compose(pieces[:, :prime].swapaxes(0, 1), steps, run.seed)
    return music.roll[prime:].swapaxes(0, 1)


def excerpts(rolls: list[np.ndarray], count: int, steps: int, seed: int, place) -> np.ndarray:
    """The first ``steps`` steps of ``count`` random rolls ``(time, key)`` that are as long: ``(clip, time, key)``."""
    long = [roll for roll in rolls if len(roll) >= steps]
    if not long:
        raise UserError(f"{place}: has no piece of {steps} steps to take clips from; ask for fewer.")
    chosen = np.random.default_rng(seed).permutation(len(long))[:count]
    return np.stack([long[i][:steps] for i in chosen])


def table_clips(pieces: list[Piece], count: int, steps: int, seed: int) -> np.ndarray:
    """Music by chance ``(clip, time, key)``: each key as often as in ``pieces``, given it was struck a step before."""
    counts, keys = np.zeros((2, KEYS, 2)), np.arange(KEYS)
    for piece in pieces:
        np.add.at(counts, (piece.roll[:-1].astype(int), keys, piece.roll[1:].astype(int)), 1)
    chance = counts[..., 1] / np.maximum(counts.sum(axis=-1), 1)
    u = np.random.default_rng(seed).random((steps, count, KEYS))
    line = [np.zeros((count, KEYS), dtype=np.uint8)]
    for t in range(steps):
        line.append((u[t] < chance[line[-1].astype(int), keys]).astype(np.uint8))
    return np.stack(line[1:], axis=1)


def _midi_rolls(place: Path) -> list[np.ndarray]:
    files = place.parent.glob(place.name) if "*" in place.name else place.rglob("*")
    rolls = [trim(read_midi(path).roll) for path in sorted(files) if path.suffix.lower() in SUFFIXES]
    if not rolls:
        raise UserError(f"{place}: there are no MIDI files; give a folder with some.")
    return rolls


def schedule(sizes: dict[str, int], rounds: int, seed: list[int]) -> list[Pair]:
    """Every two sets meet once a round, in random order, so that whoever stops early leaves a balanced record.

    ``sizes`` tells how many clips a set has; its clips take turns, in an order shuffled anew each time all
    were heard. Of two rounds one has each couple the other way round.
    """
    rng = np.random.default_rng(seed)
    couples, decks = list(combinations(sizes, 2)), {name: _deal(size, rng) for name, size in sizes.items()}
    turned = rng.random((rounds + 1, len(couples))) < 0.5
    pairs = []
    for number in range(rounds):
        for i in rng.permutation(len(couples)):
            pair = Pair(*(Clip(name, next(decks[name])) for name in couples[i]))
            pairs.append(Pair(*pair[::-1]) if turned[number // 2, i] ^ number % 2 else pair)
    return pairs


def _deal(size: int, rng: np.random.Generator):
    while True:
        yield from rng.permutation(size).tolist()


@dataclass(frozen=True)
class ListeningTest:
    """Sets of clips ``(clip, time, key)`` by name, how often every two sets meet, and where answers are kept."""

    sets: dict[str, np.ndarray]
    rounds: int
    seed: int
    folder: Path

    @cached_property
    def sha256(self) -> str:
        """A hash of all clips, by which a listener's file knows its test."""
        total = hashlib.sha256()
        for name, clips in self.sets.items():
            total.update(f"{name} {clips.shape}".encode() + np.packbits(clips).tobytes())
        return total.hexdigest()

    def pairs(self, listener: str) -> list[Pair]:
        """This listener's pairs in order; every listener has another order."""
        return schedule({name: len(clips) for name, clips in self.sets.items()}, self.rounds,
                        [self.seed, *listener.encode()])

    def header(self, listener: str) -> dict:
        """The first line of a listener's file."""
        return {"listener": listener, "seed": self.seed, "rounds": self.rounds, "sets": sorted(self.sets),
                "clips": self.sha256}

    def sound(self, clip: Clip) -> bytes:
        """A clip as the bytes of an MP3 file that tells nothing but the music."""
        return sound.encode(*level(*sound.synthesize(self.sets[clip.name][clip.index])))

    def answers(self) -> pd.DataFrame:
        """What all listeners of this test have answered: columns listener, left, right (sets) and choice.

        Files of other tests that lie in the same folder are left out.
        """
        frames = [pd.DataFrame(columns=["listener", "left", "right", "choice"])]
        for path in sorted(self.folder.glob("*.jsonl")):
            if _lines(path)[:1] == [self.header(path.stem)]:
                frames.append(Sitting(self, path.stem).answers())
        return pd.concat(frames, ignore_index=True)


def level(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Samples ``(time,)`` made as loud as every other clip (see :data:`LOUDNESS`), and their rate in Hz."""
    if not samples.any():
        return samples, rate
    gain = min(LOUDNESS / np.sqrt(np.mean(np.square(samples))), 1 / np.abs(samples).max())
    return samples * np.float32(gain), rate


class Sitting:
    """One listener's pairs and answers so far, kept in a file of one JSON line each.

    The file names the pairs by number only, so that it tells nothing to a listener who looks. Raises
    :class:`UserError` if the file belongs to another test or is damaged.
    """

    def __init__(self, test: ListeningTest, listener: str):
        self.listener, self.pairs, self.header = listener, test.pairs(listener), test.header(listener)
        self.path = test.folder / f"{listener}.jsonl"
        self.choices = self._stored()

    @property
    def done(self) -> bool:
        """Whether every pair is answered."""
        return len(self.choices) == len(self.pairs)

    def choose(self, choice: str) -> None:
        """Answer the next pair, on the disk before this returns. A half-written last line is dropped first."""
        if choice not in CHOICES or self.done:
            raise ValueError(choice)
        if self._stored() != self.choices:
            raise UserError(f"{self.path}: is being answered in another window; run this notebook again.")
        if not _lines(self.path):
            with paths.atomic(self.path) as temporary:
                temporary.write_text(json.dumps(self.header) + "\n", encoding="utf-8")
        os.truncate(self.path, self.path.read_bytes().rfind(b"\n") + 1)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"pair": len(self.choices), "choice": choice}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.choices.append(choice)

    def answers(self) -> pd.DataFrame:
        """The answers so far with the sets behind them: columns listener, left, right and choice."""
        rows = [(self.listener, pair.left.name, pair.right.name, choice)
                for pair, choice in zip(self.pairs, self.choices, strict=False)]
        return pd.DataFrame(rows, columns=["listener", "left", "right", "choice"])

    def _stored(self) -> list[str]:
        header, *rows = _lines(self.path) or [self.header]
        if header != self.header:
            raise UserError(f"{self.path}: belongs to a test with other clips, rounds or seed; "
                            "name another listener, or move the file away.")
        choices = [row.get("choice") if isinstance(row, dict) else None for row in rows]
        numbered = [{"pair": i, "choice": choice} for i, choice in enumerate(choices)]
        if rows != numbered or len(rows) > len(self.pairs) or not set(choices) <= set(CHOICES):
            raise UserError(f"{self.path}: holds lines that are no answers in order; mend it or move it away.")
        return choices


def _lines(path: Path) -> list:
    """The whole lines of a file of JSON lines, none if there is no such file; None for a line that is no JSON."""
    def parsed(line: bytes):
        try:
            return json.loads(line)
        except ValueError:
            return None
    return [parsed(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def ratings(answers: pd.DataFrame, names) -> pd.DataFrame:
    """TrueSkill of each set, best first, with 95 % intervals, in points about a mean of 25.

    openskill's Thurstone–Mosteller model with ``gamma`` 1 is TrueSkill's update for a pair; ``tau`` is 0, for
    sets do not change while they are heard. Answers compare sets and tell nothing of their common level, so
    that ratings and intervals hold against the mean of the sets: taken as absolute, an interval promises
    more than it keeps. A set never heard has 25 ± 16.3.
    """
    model = ThurstoneMostellerFull(beta=BETA, epsilon=MARGIN, tau=0.0, gamma=lambda *_: 1.0)
    players = {name: model.rating() for name in names}
    for left, right, choice in answers[["left", "right", "choice"]].itertuples(index=False):
        ranks = {"left": [1, 2], "right": [2, 1], "cannot say": [1, 1]}[choice]
        (players[left],), (players[right],) = model.rate([[players[left]], [players[right]]], ranks=ranks)
    table = pd.DataFrame({"rating": [p.mu for p in players.values()]}, index=pd.Index(players, name="set"))
    table["rating"] += 25 - table["rating"].mean()
    half = 1.96 * np.array([p.sigma for p in players.values()])
    table["low"], table["high"] = table["rating"] - half, table["rating"] + half
    table["heard"] = [int((answers[["left", "right"]] == name).to_numpy().sum()) for name in names]
    return table.sort_values("rating", ascending=False, kind="stable")


def head_to_head(answers: pd.DataFrame, names) -> pd.DataFrame:
    """How often the first of two sets was preferred, of the pairs where a preference was told, and Wilson's 95 %.

    A check on the ratings that assumes nothing about scales or order; the share is NaN if nothing was told.
    """
    rows = []
    for first, second in combinations(names, 2):
        met = answers[answers.left.isin((first, second)) & answers.right.isin((first, second))]
        told = met[met.choice != "cannot say"]
        wins = int((told.left.where(told.choice == "left", told.right) == first).sum())
        low, high = binomtest(wins, len(told)).proportion_ci(method="wilson") if len(told) else (0.0, 1.0)
        rows.append({"first": first, "second": second, "heard": len(met), "cannot say": len(met) - len(told),
                     "first preferred": wins / len(told) if len(told) else np.nan, "low": low, "high": high})
    return pd.DataFrame(rows).set_index(["first", "second"])


def simulate(pairs: list[Pair], strengths: dict[str, float], rng: np.random.Generator) -> pd.DataFrame:
    """The answers of a made-up listener for whom sets have known ``strengths`` in points of a rating.

    Every impression scatters by :data:`BETA`; differences below :data:`MARGIN` are not told.
    """
    rows = []
    for left, right in pairs:
        difference = strengths[left.name] - strengths[right.name] + rng.normal(0, sqrt(2) * BETA)
        choice = "cannot say" if abs(difference) < MARGIN else "left" if difference > 0 else "right"
        rows.append(("simulated", left.name, right.name, choice))
    return pd.DataFrame(rows, columns=["listener", "left", "right", "choice"])
