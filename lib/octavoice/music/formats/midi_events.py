"""The events of a MIDI file one by one, for the notes that nothing ends: a reader of whole notes passes over them."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

DRUMS = 9
SILENCERS = (120, 123)
"""Controllers that end every note of a channel: all sound off, all notes off."""


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
    which an earlier one was given that was struck again by then, or where its whole channel is silenced.
    """
    return [note for track in _tracks(data) for note in _unended_of(track)]


def _unended_of(track: bytes) -> Iterator[Unended]:
    onsets, offs, silenced = defaultdict(list), defaultdict(list), defaultdict(list)
    for tick, status, first, second in _events(track):
        kind, channel = status >> 4, status & 15
        if kind == 9 and second:
            onsets[channel, first].append(tick)
        elif kind in (8, 9):
            if len(offs[channel, first]) < len(onsets[channel, first]):  # else it ends nothing
                offs[channel, first].append(tick)
        elif kind == 11 and first in SILENCERS:
            silenced[channel].append(tick)
    sounding = {channel for (channel, _), ticks in offs.items() if ticks}
    for (channel, pitch), ticks in onsets.items():
        ends = sorted(offs[channel, pitch] + silenced[channel])
        for onset in ticks[len(offs[channel, pitch]):] if channel != DRUMS else ():
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
    """``(tick, status, data, data)`` of every message of a channel, up to the end or to what is no event."""
    place, tick, status = 0, 0, 0
    while place < len(track):
        delta, place = _number(track, place)
        tick += delta
        if place < len(track) and track[place] & 0x80:
            status, place = track[place], place + 1
        if status >= 0xF0:
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
    """A number of seven bits a byte, and the place after it."""
    value = 0
    while place < len(data):
        byte, place = data[place], place + 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, place
