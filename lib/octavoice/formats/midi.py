"""MIDI in and out (thesis §2.2, §7.1).

Reading is by ticks, never by seconds, on the grid of :mod:`octavoice.music.notes`. A note lasts as long as its key
is down: the sustain pedal (controller 64) is left out, since it tells how long strings sound, not what hands hold.
Writing gives each hand a track. It follows §2.2, where a chord sounds until the next step that has an onset, unless
durations are given.
"""

import io
import re
from pathlib import Path

import mido
import numpy as np
import symusic

from octavoice.errors import UserError
from octavoice.formats.midi_events import unended, unwrapped
from octavoice.music.durations import next_onset, sounding
from octavoice.music.hands import Chord, hands
from octavoice.music.notes import LOST, bounded_bytes, from_notes, key_name, title_of
from octavoice.music.piece import PLAYED, UNTOLD, WRITTEN, Piece
from octavoice.music.roll import LOWEST_MIDI, STEPS_PER_QUARTER
from octavoice.music.tempo import TEMPO, Tempos, constant, tempo_map
from octavoice.paths import atomic

MAX_BYTES = 2**24
"""Longest MIDI file read: a hundred times the longest of piano-midi.de."""
TICKS_PER_QUARTER = 480
HANDS = ("Piano, right hand", "Piano, left hand")
"""Names of the tracks that are written."""
STUCK = 512
"""A note still held after so many steps is not believed: a minute at 128 quarters, when a string is long silent."""
PLAYED_SHARE = 0.4
"""A share of onsets :func:`_between` above this is a performance's: chance gives 0.67, a pianist's performance of a
Mozart variation 0.60; of the 2257 files of piano-midi.de, Nottingham and POP909 none has more than 0.19."""
UNTOLD_SHARE, UNTOLD_NOTES = 0.95, 32
"""A file of so many notes, this share of which last equally long whatever follows, says nothing of their ends."""
SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
"""Of MIDI files; ``.kar`` has the words of a song too, ``.rmi`` is wrapped in RIFF."""
NO_TITLE = re.compile(r"(untitled|unnamed|soft karaoke|((new|midi|tempo|control|conductor|master) ?)*"
                      r"(track|sequence|score|song)?)[ #\d]*", re.IGNORECASE)
"""What programs write for the title where nobody gave one."""


def read_midi(path: Path) -> Piece:
    """Read a MIDI file, wrapped in RIFF or not, into a :class:`Piece`; step 0 is tick 0.

    Drum tracks count as tracks but their notes are not pitches and are left out. The roll ends
    where the last note ends. Of a key pressed twice the first release ends the first note; a note that is never
    released, or still held after ``STUCK`` steps, is mended (:func:`from_notes`). Whether ends are
    written, played or untold :func:`note_ends_of` says. The title is what :func:`_title` finds; of the key signature
    that a file says is major only the accidentals are kept, since most programs say so whatever the mode.
    Raises :class:`UserError` for a file that is not MIDI, is damaged, holds more than ``MAX_BYTES``
    or no notes, or is longer than ``MAX_STEPS``.
    """
    path = Path(path)
    data = unwrapped(bounded_bytes(path, MAX_BYTES))
    score = _parse(path, data)
    tracks = [track for track in score.tracks if len(track.notes)]
    pitched = [track.notes.numpy() for track in tracks if not track.is_drum]
    onset, duration, pitch = (np.concatenate([np.zeros(0, np.int64), *(notes[field] for notes in pitched)])
                              for field in ("time", "duration", "pitch"))
    others = unended(data)
    added = [(note.onset, LOST if note.end is None else note.end, note.pitch, 1) for note in others]
    rows = np.concatenate([np.stack([onset, onset + duration, pitch, np.ones_like(onset)], axis=1),
                           np.array(added, np.int64).reshape(-1, 4)])
    signatures = tuple((s.numerator, s.denominator) for s in score.time_signatures) or ((4, 4),)
    key = next((key_name(s.key, "minor" if s.tonality else None) for s in score.key_signatures), None)
    ends = note_ends_of(onset, duration, score.ticks_per_quarter)
    if sum(note.end is None for note in others) >= UNTOLD_SHARE * len(rows):
        ends = UNTOLD
    parts = len(tracks) + sum(note.alone for note in others)
    return from_notes(path, rows, score.ticks_per_quarter, ends, STUCK, tracks=parts, time_signatures=signatures,
                      key=key, tempos=_tempos(score), title=_title(data, {track.name.strip() for track in tracks}))


def _tempos(score: symusic.Score) -> Tempos:
    """The tempo map of a MIDI file; what comes before the first tempo told is at ``TEMPO``."""
    told = [(STEPS_PER_QUARTER * tempo.time / score.ticks_per_quarter, tempo.qpm) for tempo in score.tempos]
    return tempo_map([(0, TEMPO), *told]) if told else ()


def note_ends_of(onset: np.ndarray, duration: np.ndarray, ticks_per_quarter: int) -> str:
    """Where the ends of a MIDI file's notes ``(note,)`` come from: ``written``, ``played`` or ``untold``.

    ``untold``: of ``UNTOLD_NOTES`` or more a share of ``UNTOLD_SHARE`` or more last equally many ticks, though for
    most of all notes the next onset in any key is more than half a step earlier or later, and that many are not whole
    steps: somebody's grid of sixteenths is believed. ``played``: more than ``PLAYED_SHARE`` of the onsets lie between
    the places of written music, which needs 48 ticks to the quarter or more.
    """
    if len(onset) >= UNTOLD_NOTES:
        lengths, counts = np.unique(duration, return_counts=True)
        usual = lengths[counts.argmax()]
        apart = np.abs(next_onset(onset, onset.max() + usual) - onset - usual)
        off_grid = STEPS_PER_QUARTER * usual % ticks_per_quarter or not usual
        if off_grid and counts.max() >= UNTOLD_SHARE * len(onset) and (8 * apart > ticks_per_quarter).mean() > 0.5:
            return UNTOLD
    return PLAYED if _between(onset, ticks_per_quarter) > PLAYED_SHARE else WRITTEN


def _between(onset: np.ndarray, ticks_per_quarter: int) -> float:
    """Share of onsets more than 1/96 quarter away from every thirty-second and every sixteenth of a triplet."""
    away = np.ones(len(onset), dtype=bool)
    for parts in (8, 12):
        rest = parts * onset % ticks_per_quarter
        away &= 96 * np.minimum(rest, ticks_per_quarter - rest) > parts * ticks_per_quarter
    return float(away.mean()) if len(onset) else 0.0


def _parse(path: Path, data: bytes) -> symusic.Score:
    """symusic's score of a file, every failure turned into one sentence."""
    if data[:4] != b"MThd":
        raise UserError(f"{path}: is not a MIDI file; give a file that starts with a MIDI header.")
    if len(data) >= 14 and (data[12] & 0x80 or not int.from_bytes(data[12:14], "big")):
        raise UserError(f"{path}: counts time in seconds (SMPTE), not in beats; re-export it with ticks per quarter.")
    try:
        return symusic.Score.from_midi(data)
    except Exception as error:
        raise UserError(f"{path}: is a damaged MIDI file; export it again.") from error


def _title(data: bytes, sounding: set[str]) -> str | None:
    """The title of a MIDI file: the names with which its first track opens (symusic drops tracks without notes).

    A name that a track with notes bears, such as "Piano right", is that part's; ``NO_TITLE`` is nobody's.
    """
    place = 8 + int.from_bytes(data[4:8], "big") + 8
    names = []
    while data[place:place + 2] == b"\0\xff" and len(data) > place + 3 and data[place + 3] < 0x80:
        kind, size = data[place + 2], data[place + 3]
        text = data[place + 4:place + 4 + size]
        names += [_decoded(text).strip()] if kind == 3 else []
        place += 4 + size
    return title_of(*(name for name in names if name not in sounding and not NO_TITLE.fullmatch(name)))


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def chord_notes(roll: np.ndarray, durations: np.ndarray | None = None) -> list[tuple[int, int, int]]:
    """Notes of a roll ``(time, key)`` as ``(onset, end, midi_pitch)``, by onset and then by pitch.

    They are held as the grid ``durations`` ``(time, key)`` says, until their key is struck again or the roll ends at
    the latest; without a grid, as §2.2 says: a chord sounds until the next step that has an onset.
    """
    grid = sounding(roll, durations)
    onset, key = np.nonzero(grid)
    return list(zip(onset.tolist(), (onset + grid[onset, key]).tolist(), (key + LOWEST_MIDI).tolist(), strict=True))


def to_midi(roll: np.ndarray, tempo: float | Tempos = TEMPO, velocity: int = 80, durations: np.ndarray | None = None,
            *, metre: tuple[int, int] = (4, 4), key: str | None = None, title: str = "") -> bytes:
    """A roll ``(time, key)`` as the bytes of a MIDI file: two tracks of a piano, right hand and left, after the facts.

    ``tempo`` is in quarters per minute, or a map of them; ``velocity`` 1..127 is every note's, since models know
    no loudness. ``durations`` as in :func:`chord_notes`. ``key`` is MIDI's name of the key signature, as ``F#m``.
    """
    song = mido.MidiFile(ticks_per_beat=TICKS_PER_QUARTER, charset="utf-8")
    facts = [(0, mido.MetaMessage("time_signature", numerator=metre[0], denominator=metre[1]))]
    facts += [(0, mido.MetaMessage("key_signature", key=key))] if key else []
    facts += [(step, mido.MetaMessage("set_tempo", tempo=round(6e7 / qpm))) for step, qpm in constant(tempo)]
    song.tracks.append(_track(title.encode("utf-8", "replace").decode(), facts))
    for name, chords in zip(HANDS, hands(roll, durations=durations), strict=True):
        song.tracks.append(_track(name, [(0, mido.Message("program_change")), *_events(chords, velocity)]))
    handle = io.BytesIO()
    song.save(file=handle)
    return handle.getvalue()


def _events(chords: list[Chord], velocity: int) -> list[tuple[int, mido.Message]]:
    """``(step, message)`` of the notes of chords, by time; a key is let go of before it is struck again."""
    on = [(chord.start, 1, note) for chord in chords for note in chord.notes]
    off = [(chord.end, 0, note) for chord in chords for note in chord.notes]
    return [(step, mido.Message("note_on", note=note, velocity=velocity * struck))
            for step, struck, note in sorted(on + off)]


def _track(name: str, events: list[tuple[float, mido.Message]]) -> mido.MidiTrack:
    """A track of ``(step, message)``, which are in order, under a name if it has one."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)] if name else [])
    now = 0
    for step, message in events:
        tick = round(step * TICKS_PER_QUARTER / STEPS_PER_QUARTER)
        message.time, now = tick - now, tick
        track.append(message)
    return track


def write_midi(roll: np.ndarray, path: Path, tempo: float | Tempos = TEMPO,
               durations: np.ndarray | None = None) -> Path:
    """Write a roll ``(time, key)`` as MIDI, atomically; read back it is the same roll, with the same ``durations``.

    MIDI ends where its last note ends: steps of a roll after that are not read back. Raises :class:`UserError` for a
    roll without a single onset, which MIDI cannot hold.
    """
    if not roll.any():
        raise UserError(f"{path}: the roll holds no onset, so there is nothing to write; generate more steps.")
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(to_midi(roll, tempo, durations=durations))
    return Path(path)
