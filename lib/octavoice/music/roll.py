"""The onset piano roll, octave compression and the clock (thesis §2.2, §6.2, §6.3).

A roll ``x`` has axes ``(time, key)``: ``x[t, k] == 1`` if key ``k`` is struck at step ``t``
(a held key is 0). A step is a sixteenth note. Key 0 is MIDI 21 (A0), key 87 is MIDI 108 (C8).
The compressed roll ``x'`` has axes ``(time, pitch_class)``; pitch class 0 is A.
"""

import numpy as np

KEYS = 88
LOWEST_MIDI = 21
CLASSES = 12
STEPS_PER_QUARTER = 4
STEPS_PER_BAR = 16
CLOCK_BITS = 6
CLASS_NAMES = ("A", "B♭", "B", "C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "G♯")


def compress(x: np.ndarray) -> np.ndarray:
    """Octave compression (§6.2): ``x'[..., p] = OR_o x[..., 12 o + p]``.

    ``x`` has axes ``(..., key)`` with 88 keys; the result has axes ``(..., pitch_class)``
    and the same dtype. The eighth octave has four keys and is included (the published
    program leaves it out).
    """
    if x.shape[-1] != KEYS:
        raise ValueError(f"a roll has {KEYS} keys on its last axis, not {x.shape[-1]}")
    octaves = np.zeros((*x.shape[:-1], 8 * CLASSES), dtype=x.dtype)
    octaves[..., :KEYS] = x
    return octaves.reshape(*x.shape[:-1], 8, CLASSES).max(axis=-2)


def mask(x12):
    """The decoder's mask (§6.2): ``M(x')[..., k] = x'[..., k mod 12]``, 88 keys wide.

    Works on numpy arrays and torch tensors alike: axes ``(..., pitch_class)`` to ``(..., key)``.
    """
    octaves = -(-KEYS // CLASSES)
    return (np.tile(x12, octaves) if isinstance(x12, np.ndarray) else x12.tile(octaves))[..., :KEYS]


def transpose(x: np.ndarray, semitones: int) -> np.ndarray:
    """Shift a roll ``(..., key)`` by ``semitones``; what falls off the keyboard is lost (§7.2)."""
    shifted = np.zeros_like(x)
    if semitones >= 0:
        shifted[..., semitones:] = x[..., : KEYS - semitones]
    else:
        shifted[..., :semitones] = x[..., -semitones:]
    return shifted


def transpose_classes(x12: np.ndarray, semitones: int) -> np.ndarray:
    """Roll a compressed roll ``(..., pitch_class)`` cyclically by ``semitones`` (§7.2)."""
    return np.roll(x12, semitones, axis=-1)


def clock(steps) -> np.ndarray:
    """The clock ``τ_t`` (§6.3): ``t mod 64`` as 6 bits, most significant first.

    ``steps`` is an integer array ``(...)`` of step numbers; returns ``(..., 6)`` float32.
    """
    t = np.asarray(steps)[..., None] % 2**CLOCK_BITS
    return ((t >> np.arange(CLOCK_BITS - 1, -1, -1)) & 1).astype(np.float32)


def trim(x: np.ndarray) -> np.ndarray:
    """Cut the empty steps before the first onset of a roll ``(time, key)``."""
    struck = np.flatnonzero(x.any(axis=-1))
    return x[struck[0]:] if len(struck) else x[:0]


def polyphony(x: np.ndarray) -> np.ndarray:
    """Onsets per step: ``(time, key or pitch_class)`` to ``(time,)`` integers."""
    return x.sum(axis=-1, dtype=np.int64)
