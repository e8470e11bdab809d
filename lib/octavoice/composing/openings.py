"""Written-out openings, two bars of 4/4 in any key or on any chord, from which a continuation starts.

They are ours, and were chosen because continuations of them by the model that ships keep their key as well as those of
the first two bars of held-out pieces, and come near to them in density, the first of them nearest:
``benchmarks/primes.py`` measures it.
"""

import re

import numpy as np
from music21 import harmony

from octavoice.music.notes import SEMITONES, tonic_name
from octavoice.music.roll import CLASSES, KEYS, LOWEST_MIDI, STEPS_PER_BAR

STEPS = 2 * STEPS_PER_BAR
OPENINGS = {
    "aria": """\
        G5/6 F5/1 E5 F5/4 E5 | D5/3 C5/1 B4/2 D5 C5/8
        E5/6 D5/1 C5 D5/4 C5
        C3/2 G3 E3 G3 F3 C4 A3 C4 | G3 D4 B3 G3 C3 G3 E3 C3""",
    "nocturne": """\
        r/4 E5/6 D5/2 C5/4 | D5/4 E5/1 D5 C5 B4 C5/8
        r/4 G4/6 F4/2 F4/4 | F4/8 E4
        r/6 C4/4 r/6 | r/4 B3/4
        C3/2 G3 C4 G3 F3 C4 A3 C4 | G2 D3 G3 D3 C3 G3 C4 G3""",
    "chorale": """\
        C5/4 C5/2 D5 B4/4 C5/2 D5 | E5/2 F5 D5 E5 D5/4 C5
        G4/4 A4 G4 G4 | G4/2 F4 A4 G4 F4 D4 E4/4
        E4/4 F4 D4/2 F4 E4/4 | C4/4 F4/2 E4 D4 B3 C4/4
        C3/2 E3 F3 D3 G3/4 C3/2 B2 | C3/2 E3 F3 C3 G3/4 C3""",
    "march": """\
        C5/4 C5/3 C5/1 E5/4 C5 | F5/3 E5/1 D5/2 B4 C5/8
        G4/4 G4/3 G4/1 C5/4 G4 | A4/4 F4 G4/8
        E4/4 E4/3 E4/1 G4/4 E4 | F4/4 D4 E4/8
        C3/2 C4 G3 C4 C3 C4 G3 C4 | F3 C4 G3 B3 C3 G3 C3""",
}
"""Voices in C major, one a line from the top: a note with its octave (``r`` a rest), and after ``/`` the steps that it
and the next ones last. In C minor E and A are flat; the leading note stays."""
NAMES = tuple(OPENINGS)
CHORD = (0, 2, 1, 3, 2, 3, 1, 2)
"""Which note of a chord, counted up through the octaves, is struck on each eighth of a bar above the held bass."""
BASS = 48
"""MIDI number of the C around which basses lie: from G, five semitones below, up to F sharp."""
NAMED = re.compile(r"([A-Ga-g])(#|b|-|♯|♭)?\s*(.*)")
SIGNS, SIGNED = str.maketrans("b♭♯", "--#"), {"": 0, "#": 1, "-": -1}
"""Accidentals as music21 writes them, and the semitones that they mean."""
MODES = {"": "major", "major": "major", "M": "major", "minor": "minor", "m": "minor"}


def written(text: str) -> tuple[np.ndarray, str | None]:
    """The durations ``(time, key)`` of an opening, and its key; of a chord that is no key's, such as ``G7``, no key.

    ``text`` is ``A minor``, ``Am``, ``F#`` or ``G7``; of a key ``A minor, march`` takes another opening than the first.
    Raises ValueError for any other text.
    """
    name, comma, opening = (part.strip() for part in text.partition(","))
    found = NAMED.fullmatch(name)
    if not found or (comma and opening.lower() not in OPENINGS):
        raise ValueError(f"{text!r} names no opening")
    letter, accidental, kind = found[1].upper(), (found[2] or "").translate(SIGNS), found[3]
    tonic, mode = (SEMITONES[letter] + SIGNED[accidental]) % CLASSES, MODES.get(kind if kind == "M" else kind.lower())
    if mode:
        return _in_key(OPENINGS[opening.lower() or NAMES[0]], tonic, mode), tonic_name(letter, accidental, mode)
    if comma:
        raise ValueError(f"{name!r} is a chord, and openings are in a key")
    return _broken(_chord(letter + accidental + kind), tonic), None


def _shift(tonic: int) -> int:
    """Semitones from C to a tonic, −5..6."""
    return (tonic + 5) % 12 - 5


def _in_key(voices: str, tonic: int, mode: str) -> np.ndarray:
    """An opening in a key, as a grid of durations."""
    grid = np.zeros((STEPS, KEYS), np.uint16)
    for voice in voices.splitlines():
        at = lasting = 0
        for note in voice.replace("|", " ").split():
            note, _, length = note.partition("/")
            lasting = int(length or lasting)
            if note != "r":
                lowered = mode == "minor" and note[0] in "EA"
                midi = SEMITONES[note[0]] + 12 * (int(note[1]) + 1) - lowered + _shift(tonic)
                grid[at, midi - LOWEST_MIDI] = lasting
            at += lasting
    return grid


def _chord(symbol: str) -> list[int]:
    """The MIDI numbers of a chord, from its bass; raises ValueError for what is none."""
    try:
        return [pitch.midi for pitch in harmony.ChordSymbol(symbol).pitches]
    except Exception as error:  # music21 raises many kinds
        raise ValueError(f"{symbol!r} is no chord") from error


def _broken(chord: list[int], tonic: int) -> np.ndarray:
    """A chord broken in eighths over its held bass, in both bars, as a grid of durations."""
    grid, bass = np.zeros((STEPS, KEYS), np.uint16), BASS + _shift(tonic)
    upper = [bass + 12 * octave + midi - min(chord) for octave in (1, 2) for midi in chord]
    grid[::STEPS_PER_BAR, bass - LOWEST_MIDI] = STEPS_PER_BAR
    for eighth in range(1, STEPS // 2):
        if eighth % 8:
            grid[2 * eighth, upper[CHORD[eighth % 8]] - LOWEST_MIDI] = 2
    return grid
