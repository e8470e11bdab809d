"""MIDI in and out (thesis §2.2, §7.1).

Reading is by ticks, never by seconds, with an exact rational grid: the step of an onset at
``q`` quarters is ``floor(4 q + 1/2)`` (the published program rounds half to even).
Writing follows §2.2: a chord sounds until the next step that has an onset.
"""

from pathlib import Path

import numpy as np
import pretty_midi
import symusic

from octavoice.errors import UserError
from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS, LOWEST_MIDI, STEPS_PER_QUARTER
from octavoice.paths import atomic

MAX_STEPS = 200_000
"""Longest piece read, in steps: about seven hours at 120 quarters a minute."""
TICKS_PER_QUARTER = 480


def to_step(ticks: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    """``floor(4 q + 1/2)`` for ``q = ticks / ticks_per_quarter``, in integers."""
    return (2 * STEPS_PER_QUARTER * ticks + ticks_per_quarter) // (2 * ticks_per_quarter)


def off_grid_share(ticks: np.ndarray, ticks_per_quarter: int) -> float:
    """Share of onsets more than 0.2 of a step away from the nearest step."""
    if not len(ticks):
        return 0.0
    away = np.abs(STEPS_PER_QUARTER * ticks - to_step(ticks, ticks_per_quarter) * ticks_per_quarter)
    return float(np.mean(5 * away > ticks_per_quarter))


def read_midi(path: Path) -> Piece:
    """Read a MIDI file into a :class:`Piece`; step 0 is tick 0.

    Drum tracks count as tracks but their notes are not pitches and are left out. The roll ends
    where the last note ends. Raises :class:`UserError` for a file that is not MIDI, is damaged,
    holds no notes, or is longer than ``MAX_STEPS``.
    """
    score = _parse(Path(path))
    tracks = [track for track in score.tracks if len(track.notes)]
    pitched = [track.notes.numpy() for track in tracks if not track.is_drum]
    if not pitched:
        raise UserError(f"{path}: holds no notes; choose a MIDI file with pitched notes.")
    onset, duration, pitch = (np.concatenate([notes[field] for notes in pitched]).astype(np.int64)
                              for field in ("time", "duration", "pitch"))
    end = int(to_step((onset + duration).max(), score.ticks_per_quarter))
    steps = max(int(to_step(onset.max(), score.ticks_per_quarter)) + 1, end)
    if steps > MAX_STEPS or onset.min() < 0:
        raise UserError(f"{path}: spans {steps} steps, more than {MAX_STEPS}; cut it into shorter files.")
    key = pitch - LOWEST_MIDI
    inside = (key >= 0) & (key < KEYS)
    roll = np.zeros((steps, KEYS), dtype=np.uint8)
    roll[to_step(onset[inside], score.ticks_per_quarter), key[inside]] = 1
    signatures = tuple((s.numerator, s.denominator) for s in score.time_signatures) or ((4, 4),)
    return Piece(Path(path).stem, roll, len(tracks), signatures,
                 off_grid_share(onset, score.ticks_per_quarter), int((~inside).sum()))


def _parse(path: Path) -> symusic.Score:
    """symusic's score of a file, every failure turned into one sentence."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    if data[:4] != b"MThd":
        raise UserError(f"{path}: is not a MIDI file; give a file that starts with a MIDI header.")
    if len(data) >= 14 and (data[12] & 0x80 or not int.from_bytes(data[12:14], "big")):
        raise UserError(f"{path}: counts time in seconds (SMPTE), not in beats; re-export it with ticks per quarter.")
    try:
        return symusic.Score.from_midi(data)
    except Exception as error:
        raise UserError(f"{path}: is a damaged MIDI file; export it again.") from error


def chord_notes(roll: np.ndarray) -> list[tuple[int, int, int]]:
    """Notes of a roll ``(time, key)`` written out as §2.2 says: ``(onset, end, midi_pitch)``.

    A chord sounds until the next step that has an onset, the last one until the roll ends.
    """
    struck = np.flatnonzero(roll.any(axis=-1))
    ends = np.append(struck, len(roll))[1:]
    return [(int(t), int(end), int(key) + LOWEST_MIDI)
            for t, end in zip(struck, ends, strict=True) for key in np.flatnonzero(roll[t])]


def to_pretty_midi(roll: np.ndarray, tempo: float = 120.0, velocity: int = 80) -> pretty_midi.PrettyMIDI:
    """A roll ``(time, key)`` as a piano part at ``tempo`` quarters per minute, constant ``velocity``."""
    song = pretty_midi.PrettyMIDI(resolution=TICKS_PER_QUARTER, initial_tempo=tempo)
    song.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0))
    piano = pretty_midi.Instrument(program=0, name="Piano")
    seconds = 60.0 / tempo / STEPS_PER_QUARTER
    piano.notes = [pretty_midi.Note(velocity, pitch, onset * seconds, end * seconds)
                   for onset, end, pitch in chord_notes(roll)]
    song.instruments.append(piano)
    return song


def write_midi(roll: np.ndarray, path: Path, tempo: float = 120.0) -> Path:
    """Write a roll ``(time, key)`` as MIDI, atomically; read back it is the same roll.

    Raises :class:`UserError` for a roll without a single onset, which MIDI cannot hold.
    """
    if not roll.any():
        raise UserError(f"{path}: the roll holds no onset, so there is nothing to write; generate more steps.")
    with atomic(Path(path)) as temporary:
        to_pretty_midi(roll, tempo).write(str(temporary))
    return Path(path)
