"""Harmony of compressed rolls: keys, scales and chords (claims C11 and C13; thesis §7.4, Fig. 17).

Rolls have axes ``(time, pitch_class)`` with class 0 = A. Keys, scales and chord names are music21's
(whose class 0 is C); here they are only counted. A step's chord is what is *struck* at that step.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from music21 import harmony, pitch, scale

from octavoice.music.roll import CLASS_NAMES, CLASSES, LOWEST_MIDI
from octavoice.music.score import find_key, nearest_key

SCALES = {"major": scale.MajorScale, "natural minor": scale.MinorScale,
          "harmonic minor": scale.HarmonicMinorScale, "melodic minor": scale.MelodicMinorScale}
"""The seven-note forms that claim C13 speaks of; the melodic minor is the ascending one."""
TRIADS = ("major", "minor", "diminished", "augmented")
SEVENTHS = ("dominant-seventh", "major-seventh", "minor-seventh", "half-diminished-seventh",
            "diminished-seventh", "minor-major-seventh", "augmented-seventh", "augmented-major-seventh")
"""Kinds of chord by music21's names."""


@dataclass(frozen=True)
class Key:
    """A key: ``name`` such as "F major", ``tonic`` as pitch class (0 = A), ``mode``, and how well it fits.

    ``correlation`` is that of the onsets with the Krumhansl profile of the key, −1..1.
    """

    name: str
    tonic: int
    mode: str
    correlation: float


def to_class(note: pitch.Pitch) -> int:
    """music21's pitch as a pitch class of ours (0 = A)."""
    return (note.pitchClass - LOWEST_MIDI) % CLASSES


def _name(tonic: pitch.Pitch, form: str) -> str:
    """``"B♭ major"`` for music21's B- and ``major``."""
    return f"{tonic.name.replace('-', '♭').replace('#', '♯')} {form}"


def key_of(x12: np.ndarray) -> Key | None:
    """The key of a compressed roll ``(time, pitch_class)`` by music21's Krumhansl–Schmuckler analysis.

    Every onset counts once. None if there is no onset.
    """
    found = find_key(x12)
    if found is None:
        return None
    return Key(_name(found.tonic, found.mode), to_class(found.tonic), found.mode, found.correlationCoefficient)


def keys_over_time(x12: np.ndarray, window: int = 64, hop: int = 32) -> list[tuple[int, Key | None]]:
    """``(first step, key)`` of each window of ``window`` steps, every ``hop`` steps, that fits ``(time, pitch_class)``.

    A roll shorter than one window is a window of its own.
    """
    starts = range(0, max(1, len(x12) - window + 1), hop)
    return [(start, key_of(x12[start:start + window])) for start in starts]


@cache
def scale_forms() -> dict[str, frozenset[int]]:
    """Every major and minor form, ``"E♭ harmonic minor"`` to its seven pitch classes: 12 × 4 of them.

    A natural minor is the same set as its relative major, so 36 sets are different.
    """
    forms = {}
    for form in SCALES:
        for p in range(CLASSES):
            tonic = nearest_key(pitch.Pitch(LOWEST_MIDI + p), form.split()[-1]).tonic
            forms[_name(tonic, form)] = _scale(tonic, form)
    return forms


def _scale(tonic: pitch.Pitch, form: str) -> frozenset[int]:
    """Pitch classes of one octave of music21's scale, ascending."""
    low = pitch.Pitch(tonic.name, octave=4)
    high = pitch.Pitch(tonic.name, octave=5)
    steps = SCALES[form](low).getPitches(low, high, direction=scale.Direction.ASCENDING)
    return frozenset(to_class(p) for p in steps)


@cache
def _natural_scale(tonic: int, mode: str) -> frozenset[int]:
    return _scale(pitch.Pitch(LOWEST_MIDI + tonic), "major" if mode == "major" else "natural minor")


def scale_classes(key: Key) -> frozenset[int]:
    """The seven pitch classes of a key's scale, for a minor key of the natural minor.

    The other minor forms are in :func:`scale_forms`.
    """
    return _natural_scale(key.tonic, key.mode)


def in_key_share(x12: np.ndarray, key: Key) -> float:
    """Share of the onsets of ``(time, pitch_class)`` that belong to the key's (natural) scale; NaN without onsets."""
    counts = np.asarray(x12).sum(axis=0, dtype=np.int64)
    return float(counts[sorted(scale_classes(key))].sum() / counts.sum()) if counts.any() else float("nan")


@cache
def chord_table() -> dict[frozenset[int], str]:
    """Pitch-class sets of all triads and sevenths, to names such as ``"B♭ major triad"``.

    music21 builds each kind on A and names its quality; the other roots follow by rotation, spelled as
    in ``CLASS_NAMES``. A set with several roots (augmented triad, diminished seventh) is named after
    the one nearest above A.
    """
    table = {}
    for kind in TRIADS + SEVENTHS:
        on_a = harmony.ChordSymbol(root="A", kind=kind)
        for p in range(CLASSES):
            classes = frozenset((to_class(note) + p) % CLASSES for note in on_a.pitches)
            table.setdefault(classes, f"{CLASS_NAMES[p]} {on_a.commonName}")
    return table


def chord_names(x12: np.ndarray) -> list[str | None]:
    """The triad or seventh struck at each step of ``(time, pitch_class)``; None where it is neither."""
    table = chord_table()
    return [table.get(frozenset(np.flatnonzero(step).tolist())) for step in np.asarray(x12)]


SYMBOLS = {"major triad": "", "minor triad": "m", "diminished triad": "°", "augmented triad": "+",
           "dominant seventh chord": "7", "major seventh chord": "maj7", "minor seventh chord": "m7",
           "half-diminished seventh chord": "ø7", "diminished seventh chord": "°7", "augmented seventh chord": "+7",
           "minor-augmented tetrachord": "m(maj7)", "augmented major tetrachord": "+(maj7)"}
"""How lead sheets write the kinds of chord, by music21's names."""


def progression(x12: np.ndarray) -> list[tuple[int, str]]:
    """The harmonies of ``(time, pitch_class)`` in order, named as on a lead sheet: ``(step, "F♯m7")``.

    A triad or seventh that is struck exactly, each once until another comes; what lies between is passed over.
    """
    found = [(t, name) for t, name in enumerate(chord_names(x12)) if name]
    return [(t, name.partition(" ")[0] + SYMBOLS[name.partition(" ")[2]])
            for i, (t, name) in enumerate(found) if not i or name != found[i - 1][1]]


def is_triad(classes) -> bool:
    """True if these pitch classes are exactly a major, minor, diminished or augmented triad."""
    return chord_table().get(frozenset(classes), "").endswith(" triad")


def triad_share(x12: np.ndarray) -> float:
    """Share of exact triads among the steps of ``(time, pitch_class)`` that strike three classes or more.

    NaN if no step does.
    """
    chords = [np.flatnonzero(step).tolist() for step in np.asarray(x12)]
    dense = [classes for classes in chords if len(classes) >= 3]
    return sum(map(is_triad, dense)) / len(dense) if dense else float("nan")
