"""What readers of whole notes leave out of MIDI files: their wrapper, and notes that nothing ends."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

DRUMS = 9
SILENCERS = (120, 123)
"""Controllers that end every note of a channel: all sound off, all notes off."""
END_OF_TRACK = 0xFF2F


def unwrapped(data: bytes) -> bytes:
    """A MIDI file out of its RIFF wrapper (``.rmi``); any other data as it is."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    place = 12
    while place + 8 <= len(data):
        size = int.from_bytes(data[place + 4:place + 8], "little")
        if data[place:place + 4] == b"data":
            return data[place + 8:place + 8 + size]
        place += 8 + size + size % 2
    return b""


class Unended(NamedTuple):
    """A note without a note-off of its own: its ``onset`` and MIDI ``pitch``, the ``end`` that it is given after all
    (in ticks; None where nothing tells), and whether it is ``alone``: its track has no note with a note-off in its
    channel, and this is the first."""

    onset: int
    pitch: int
    end: int | None
    alone: bool


def unended(data: bytes) -> list[Unended]:
    """The notes of a MIDI file that no note-off of their own ends, drums left out.

    Note-offs end a key's notes in their order. One that is left over ends at the first note-off of its key after it,
    which an earlier one was given that was struck again by then, or where its whole channel is silenced. Files of some
    programs go on after what they say is a track's end: notes that begin or end there are left over too.
    """
    return [note for track in _tracks(data) for note in _unended_of(track)]


def _unended_of(track: bytes) -> Iterator[Unended]:
    onsets, offs, silenced, ended, over = defaultdict(list), defaultdict(list), defaultdict(list), Counter(), False
    for tick, status, first, second in _events(track):
        kind, channel = status >> 4, status & 15
        if kind == 9 and second:
            onsets[channel, first].append(tick)
        elif kind in (8, 9):
            offs[channel, first].append(tick)
            ended[channel, first] += not over and ended[channel, first] < len(onsets[channel, first])
        elif kind == 11 and first in SILENCERS:
            silenced[channel].append(tick)
        over |= status == END_OF_TRACK
    sounding = {channel for (channel, _), notes in ended.items() if notes}
    for (channel, pitch), ticks in onsets.items():
        ends = sorted(offs[channel, pitch] + silenced[channel])
        for onset in ticks[ended[channel, pitch]:] if channel != DRUMS else ():
            after = bisect_right(ends, onset)
            yield Unended(onset, pitch, ends[after] if after < len(ends) else None, channel not in sounding)
            sounding.add(channel)


def _tracks(data: bytes) -> Iterator[bytes]:
    """The track chunks of a MIDI file; the last one may be cut short."""
    place = 8 + int.from_bytes(data[4:8], "big")
    while place + 8 <= len(data):
        begin, size = place + 8, int.from_bytes(data[place + 4:place + 8], "big")
        if data[place:place + 4] == b"MTrk":
            yield data[begin:begin + size]
        place = begin + size


def _events(track: bytes) -> Iterator[tuple[int, int, int, int]]:
    """``(tick, status, data, data)`` of every message of a channel, and of a track's end, up to what is no event."""
    place, tick, status = 0, 0, 0
    while place < len(track):
        delta, place = _number(track, place)
        tick += delta
        if place < len(track) and track[place] & 0x80:
            status, place = track[place], place + 1
        if status >= 0xF0:
            if track[place - 1:place + 1] == b"\xff\x2f":
                yield tick, END_OF_TRACK, 0, 0
            place += status == 0xFF
            size, place = _number(track, place)
            place, status = place + size, 0
        elif status:
            size = 1 if status >> 4 in (12, 13) else 2
            if place + size > len(track):
                return
            yield tick, status, track[place], track[place + 1] if size == 2 else 0
            place += size
        else:
            return


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, of at most four bytes, and the place after it."""
    value = 0
    for byte in data[place:place + 4]:
        value, place = value << 7 | byte & 0x7F, place + 1
        if byte < 0x80:
            break
    return value, place
