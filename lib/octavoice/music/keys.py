"""The key of music as it is named to a reader: from what sounds, for how long, and what the file declares.

Claims measure keys by :func:`octavoice.statistics.harmony.key_of`, which counts onsets and is told nothing.
"""

import re

import numpy as np
from music21.analysis.discrete import SimpleWeights

from octavoice.music.notes import FIFTHS, MODES, key_name
from octavoice.music.roll import CLASSES, LOWEST_MIDI

UNASKED = 0.2
"""What a signature without accidentals is worth where programs write it unasked, as a correlation is measured."""
KEY = re.compile(rf"([A-G])([♯♭]?) ({'|'.join(MODES)})")
SIGNATURE = re.compile(r"(\d) (sharp|flat)s?|no accidentals")
NAMES = tuple(key_name(sharps, mode) for sharps in sorted(range(-6, CLASSES - 5), key=abs)
              for mode in ("major", "minor") if sharps != {"major": -6, "minor": 6}[mode])
"""The 24 keys, plain ones first, each spelled with six accidentals at most: D♭ major, F♯ major, E♭ minor."""


def name_key(durations: np.ndarray, declared: str | None = None, *, unasked: bool = False) -> str | None:
    """The key of notes held as a grid ``(time, key)`` says, such as ``F♯ minor``; None of silence.

    A ``declared`` key is believed. Of a declared signature, ``3 sharps``, that of its two keys is named which fits
    better, without any the best of all 24: see :func:`fit`. ``unasked`` says that no accidentals may be what a program
    writes for want of a signature, and then only counts for ``UNASKED``.
    """
    if declared and KEY.fullmatch(declared):
        return declared
    names, sharps = NAMES, signature_of(declared)
    if sharps is not None and (sharps or not unasked):
        names = key_name(sharps, "major"), key_name(sharps, "minor")
    held = held_time(durations)
    found = {name: fit(held, name) + UNASKED * (signature_of(name) == sharps) for name in names}
    return max(found, key=found.get) if held.any() else None


def held_time(durations: np.ndarray) -> np.ndarray:
    """The steps for which each pitch class is held ``(pitch_class,)``, 0 = C, of a grid ``(time, key)``."""
    keys = np.sum(durations, axis=0, dtype=np.int64)
    return np.bincount((np.arange(len(keys)) + LOWEST_MIDI) % CLASSES, keys, CLASSES)


def fit(held: np.ndarray, name: str) -> float:
    """How well a key fits the time for which pitch classes are held ``(pitch_class,)``: a correlation, −1..1.

    It is that with music21's ``SimpleWeights`` of the key: one for the notes of its scale, two for tonic and fifth. 0
    if all classes are held equally long.
    """
    weights = np.roll(SimpleWeights().getWeights(KEY.fullmatch(name)[3]), 7 * _fifths(name) % CLASSES)
    return float(np.corrcoef(weights, held)[0, 1]) if np.ptp(held) else 0.0


def signature_of(name: str | None) -> int | None:
    """How many sharps ``F♯ minor``, ``D dorian`` or ``3 sharps`` have, flats below 0; None of anything else."""
    if found := SIGNATURE.fullmatch(name or ""):
        return int(found[1] or 0) * (-1 if found[2] == "flat" else 1)
    found = KEY.fullmatch(name or "")
    return _fifths(name) - MODES[found[3]] if found else None


def plain(name: str) -> str:
    """A major or minor key itself, of another mode the major key of its signature: what scores and MIDI know."""
    return name if name.endswith(("major", "minor")) else key_name(signature_of(name), "major")


def _fifths(name: str) -> int:
    """The place of a key's tonic on the line of fifths, C = 0."""
    letter, accidentals, _ = KEY.fullmatch(name).groups()
    return FIFTHS.index(letter) - 1 + 7 * (accidentals.count("♯") - accidentals.count("♭"))
