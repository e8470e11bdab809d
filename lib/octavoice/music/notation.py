"""What a pianist expects on the page and a roll does not say: tidy ends of notes, octave lines, rests in their place.

The sound stays what it is: only a score is written so (thesis §2.2 engraves each note for as long as it sounds).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from octavoice.music.hands import Chord
from octavoice.music.notes import SEMITONES

LEDGER = {"1": (72, 88), "2": (29, 48)}
"""By staff, MIDI numbers: the treble's note that an octave line may still bring down (C5, drawn as C4) and the last
above it that is read without (E6, on three ledger lines); of the bass the last below it (F1, on the fourth) and C3."""
SHORT = ("eighth", "16th")
"""Rests that do not part an octave line."""
VOICES = {"1": {}, "2": {"1": "3", "2": "3"}}
"""What a staff's voices are called instead, so that none is on both: where a bar has one,
music21 goes on counting."""
MIDDLE = {"1": ("B", "4"), "2": ("D", "3")}
"""Step and octave of a staff's middle line, treble and bass."""


def tidied(chords: list[Chord], size: int) -> list[Chord]:
    """A hand's chords with ends that are read at once, in bars of ``size`` steps: none moves by more than a step.

    An end between two eighths, with which nothing begins, moves back to what begins a step before it (a finger's
    legato), else on to the eighth: a sixteenth before a sixteenth's rest is an eighth, a dotted eighth a quarter. An
    eighth that stands alone ends where something begins in its middle.
    """
    onsets = Counter(chord.start for chord in chords)
    rows = sorted((chord.start, _tidy(chord, onsets, size), note) for chord in chords for note in chord.notes)
    return sorted(Chord(*span, tuple(note for *_, note in notes))
                  for span, notes in groupby(rows, lambda row: row[:2]))


def _tidy(chord: Chord, onsets: Counter, size: int) -> int:
    """Where a chord ends on the page."""
    end, overlaps = chord.end, chord.start < chord.end - 1 and chord.end - 1 in onsets
    if overlaps and end - chord.start == 2 and onsets[chord.start] == 1:
        return end - 1
    if end % size % 2 == 0 or end in onsets:
        return end
    return end - 1 if overlaps else end + 1


class _Event(NamedTuple):
    """Notes of a staff that only stand together under an octave line: a chord with what is tied to it, or a bar of two
    voices. ``notes`` are its elements in order of the document, ``low`` and ``high`` MIDI numbers, 0 for rests.
    """

    notes: list[Element]
    low: int
    high: int


def finished(data: bytes) -> bytes:
    """A piano's part in MusicXML, told what music21 does not say.

    Octave lines where many ledger lines would be, rests that do not float, voices that stay on their staff, and tempi
    that are only played as such.
    """
    begin = data.index(b"<score-partwise")
    root = ElementTree.fromstring(data[begin:])
    for part in root.iterfind("part"):
        for measure in part.iterfind("measure"):
            _hide_tempi(measure)
        for staff in MIDDLE:
            bars = [[note for note in measure.iterfind("note") if note.findtext("staff") == staff]
                    for measure in part.iterfind("measure")]
            for notes in bars:
                _rename(notes, VOICES[staff])
                _place_rests(notes, MIDDLE[staff])
            places = {note: measure for measure in part.iterfind("measure") for note in measure}
            for first, last in _far(_events(bars), staff):
                _octave_line(places[first], first, staff, "down" if staff == "1" else "up")
                _octave_line(places[last], last, staff, "stop")
    return data[:begin] + ElementTree.tostring(root, encoding="unicode").encode() + b"\n"


def _hide_tempi(measure: Element) -> None:
    """Turn directions that only say how fast to play into sounds between the notes, where no program draws them."""
    for direction in measure.findall("direction"):
        words = direction.find("direction-type/words")
        if words is not None and not words.text and (sound := direction.find("sound")) is not None:
            place, rest = list(measure).index(direction), 0
            measure.remove(direction)
            if (offset := direction.findtext("offset")) is not None:
                place, rest = _place_of(measure, int(offset))
            if rest:
                ElementTree.SubElement(sound, "offset").text = str(rest)
            measure.insert(place, sound)


def _place_of(measure: Element, time: int) -> tuple[int, int]:
    """Before which element of a bar its first voice has come to ``time``, and what is left until it, in divisions."""
    found, now = (0, time), 0
    for i, element in enumerate(measure):
        if element.tag == "backup" or now > time:
            break
        if element.tag == "note" and element.find("chord") is None:
            found, now = (i, time - now), now + int(element.findtext("duration"))
    return found


def _rename(notes: list[Element], names: dict[str, str]) -> None:
    for voice in (voice for note in notes for voice in note.iterfind("voice")):
        voice.text = names.get(voice.text, voice.text)


def _place_rests(notes: list[Element], middle: tuple[str, str]) -> None:
    """Put a bar's visible rests on a staff's middle line if there are two voices and neither sounds there."""
    if len({note.findtext("voice") for note in notes}) < 2:
        return
    spans = list(_spans(notes))
    for start, end, note in spans:
        alone = all(other is note or other.find("rest") is not None or not (begin < end and start < until)
                    for begin, until, other in spans)
        if (rest := note.find("rest")) is not None and alone:
            for tag, text in zip(("display-step", "display-octave"), middle, strict=True):
                ElementTree.SubElement(rest, tag).text = text


def _spans(notes: list[Element]) -> Iterator[tuple[int, int, Element]]:
    """``(start, end, note)`` of a bar's notes on a staff, in divisions; every voice fills the bar."""
    now, begun, voice = 0, 0, None
    for note in notes:
        now = 0 if note.findtext("voice") != voice else now
        voice = note.findtext("voice")
        if note.find("chord") is None:
            begun, now = now, now + int(note.findtext("duration"))
        yield begun, now, note


def _events(bars: list[list[Element]]) -> list[_Event]:
    """A staff's notes in order, as :class:`_Event` groups them."""
    groups = []
    for notes in bars:
        split = len({note.findtext("voice") for note in notes}) < 2
        for i, note in enumerate(notes):
            tied = any(tie.get("type") == "stop" for tie in note.iterfind("tie"))
            if groups and (tied or note.find("chord") is not None or (i and not split)):
                groups[-1].append(note)
            else:
                groups.append([note])
    return [_Event(notes, min(pitches, default=0), max(pitches, default=0)) for notes in groups
            for pitches in [[_midi(pitch) for note in notes for pitch in note.iterfind("pitch")]]]


def _midi(pitch: Element) -> int:
    return (12 * (int(pitch.findtext("octave")) + 1) + SEMITONES[pitch.findtext("step")]
            + int(pitch.findtext("alter") or 0))


def _far(events: Iterable[_Event], staff: str) -> Iterator[tuple[Element, Element]]:
    """First and last note of each stretch that an octave line brings nearer: from its first note too far to its last.

    Nothing within is so near that the line would take it too far to the other side, and no rest a quarter or longer. It
    holds three notes too far, or one value of a quarter or longer: lines shall not flicker.
    """
    low, high = LEDGER[staff]
    stretch = []
    for event in [*events, _Event([], 60, 60)]:
        near = event.low < low if staff == "1" else event.high > high
        if not near if event.high else event.notes[0].findtext("type") in SHORT:
            stretch.append(event)
            continue
        far = [i for i, one in enumerate(stretch) if one.high and (one.high > high if staff == "1" else one.low <= low)]
        notes = [note for one in stretch[far[0]:far[-1] + 1] for note in one.notes] if far else []
        if {note.findtext("type") for note in notes} - {*SHORT} or len(far) > 2:
            yield notes[0], notes[-1]
        stretch = []


def _octave_line(measure: Element, note: Element, staff: str, kind: str) -> None:
    """Begin (``down``, ``up``) or ``stop`` an octave line at a note."""
    direction = Element("direction", placement="above" if staff == "1" else "below")
    ElementTree.SubElement(ElementTree.SubElement(direction, "direction-type"), "octave-shift",
                           type=kind, size="8", number=staff)
    ElementTree.SubElement(direction, "staff").text = staff
    measure.insert(list(measure).index(note) + (kind == "stop"), direction)
