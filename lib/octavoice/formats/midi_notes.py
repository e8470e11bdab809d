"""A piece's notes as MIDI, as they were told: ticks, velocities, parts, programs, pedals and tempi."""

import io

import mido
import numpy as np
import symusic

from octavoice.errors import UserError
from octavoice.music.note_table import DRUMS, NOTE, PEDAL, TEMPO, UNTOLD, Notes

VELOCITY = 64
"""Of a note whose source tells none."""
SUSTAIN, DRUM_CHANNEL = 64, 9
LAST = 2**32 - 1
"""The last tick that a note can have; such files are refused for their length."""


def notes_of(score: symusic.Score, unended: np.ndarray) -> Notes:
    """The notes of a parsed file, drums among them, and ``unended`` ``(onset, end, pitch, …)`` that are not in it.

    One that its file does not end at all has no length.
    """
    rows, pedals = [np.zeros(0, NOTE)], [np.zeros(0, PEDAL)]
    for part, track in enumerate([track for track in score.tracks if len(track.notes)]):
        program = DRUMS if track.is_drum else track.program
        rows.append(_table(NOTE, track.notes.numpy(), part=min(part, 255), program=program))
        pedals.append(_table(PEDAL, track.pedals.numpy(), part=min(part, 255)))
    others = np.zeros(len(unended), NOTE)
    others["onset"] = np.minimum(unended[:, 0], LAST)
    others["end"] = np.minimum(unended[:, :2].max(axis=1), LAST)
    others["pitch"], others["part"], others["program"] = unended[:, 2], 255, UNTOLD
    rows.append(others)
    tempos = [(tempo.time, round(6e7 / tempo.qpm)) for tempo in score.tempos]
    return Notes.of(np.concatenate(rows), score.ticks_per_quarter, np.concatenate(pedals), np.array(tempos, TEMPO))


def _table(kind: np.dtype, columns: dict, **same) -> np.ndarray:
    """symusic's columns as rows; it tells durations in place of ends."""
    table = np.zeros(len(columns["time"]), kind)
    table["onset"], table["end"] = columns["time"], columns["time"] + columns["duration"]
    for name in ("pitch", "velocity"):
        if name in kind.names:
            table[name] = columns[name]
    for name, value in same.items():
        table[name] = value
    return table


def midi_of(notes: Notes, metre: tuple[int, int] = (4, 4), title: str = "") -> bytes:
    """Notes as the bytes of a MIDI file, a track for each part after one of tempi; read again they are the same.

    Raises :class:`UserError` without a note, which MIDI cannot hold.
    """
    if not len(notes.rows):
        raise UserError("there are no notes to write as MIDI; generate more.")
    song = mido.MidiFile(ticks_per_beat=notes.ticks, charset="utf-8")
    facts = [(0, 0, mido.MetaMessage("track_name", name=title)),
             (0, 0, mido.MetaMessage("time_signature", numerator=metre[0], denominator=metre[1]))]
    facts += [(int(tick), 1, mido.MetaMessage("set_tempo", tempo=int(tempo))) for tick, tempo in notes.tempos]
    song.tracks.append(_track(facts))
    channels = [channel for channel in range(16) if channel != DRUM_CHANNEL]
    for number, part in enumerate(np.unique(notes.rows["part"])):
        rows = notes.rows[notes.rows["part"] == part]
        pedals = notes.pedals[notes.pedals["part"] == part]
        drums = rows["program"][0] == DRUMS
        song.tracks.append(_part(rows, pedals, DRUM_CHANNEL if drums else channels[number % len(channels)]))
    handle = io.BytesIO()
    song.save(file=handle)
    return handle.getvalue()


def _part(rows: np.ndarray, pedals: np.ndarray, channel: int) -> mido.MidiTrack:
    """One part's track. At one tick notes end before others begin, but for those without any length."""
    program = int(rows["program"][0])
    events = [(0, 0, mido.Message("program_change", channel=channel, program=program if program < DRUMS else 0))]
    for onset, end, pitch, velocity, _, _ in rows.tolist():
        on = mido.Message("note_on", channel=channel, note=pitch, velocity=velocity or VELOCITY)
        off = mido.Message("note_off", channel=channel, note=pitch)
        events += [(onset, 2, on), (end, 1 if end > onset else 3, off)]
    for onset, end, _ in pedals.tolist():
        events += [(tick, 0 if not value else 1, mido.Message("control_change", channel=channel, control=SUSTAIN,
                                                              value=value)) for tick, value in ((onset, 127), (end, 0))]
    return _track(events)


def _track(events: list[tuple[int, int, mido.Message]]) -> mido.MidiTrack:
    """A track of ``(tick, place among those of its tick, message)``."""
    track, now = mido.MidiTrack(), 0
    for tick, _, message in sorted(events, key=_place):
        message.time, now = tick - now, tick
        track.append(message)
    return track


def _place(event: tuple[int, int, mido.Message]) -> tuple[int, int]:
    return event[:2]
