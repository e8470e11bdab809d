"""MusicXML in: the keyboard part of a score as an onset roll (thesis §2.2, §7.1).

Read straight from the element tree, since no library at hand is both exact and fast enough: on 39 of the
OpenScore Lieder music21 10.5 agrees but for a note that a grace note is tied to, and takes twelve times as
long; partitura 1.9 adds 15 notes to 25 900, in six songs, and takes seven times as long. The grid is exact:
time is counted in integer ticks, the least common multiple of all ``<divisions>`` to the quarter.
What counts as the keyboard part is declared at :func:`keyboard_parts`, what counts as a note at
:class:`_Part`, what a file may not do at :func:`_tree` and :func:`unpacked`.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from octavoice.errors import UserError
from octavoice.formats.musicxml_tempo import tempos_of
from octavoice.music.durations import tied
from octavoice.music.notes import MAX_STEPS, SEMITONES, bounded_bytes, from_notes, key_name, title_of, to_step
from octavoice.music.piece import Piece
from octavoice.music.roll import STEPS_PER_QUARTER

MAX_BYTES = 2**25
"""Longest MusicXML text read, packed or not: 14 times the longest of the OpenScore Lieder."""
MAX_RATIO = 200
"""Most bytes that one byte of an .mxl may unpack to: scores reach 60, a zip bomb 1000."""
MAX_ELEMENTS = 10**6
"""Most elements of one file, by its tags: 13 times as many as the largest of the OpenScore Lieder has."""
MAX_TICKS = 10**7
"""Finest grid of a score in ticks per quarter; the finest of the OpenScore Lieder is 6240."""
KEYBOARD_NAME = re.compile(r"pian|klavier|clav(i|ec)|cembal|harpsich|keyboard|celest|harmonium|\borg(an|el|ue|ano)\b",
                           re.IGNORECASE)
HAND_NAME = re.compile(r"([rl]\W{0,2}h|m\W{0,2}[dsg]|(right|left|rechte|linke)( hand)?|main (droite|gauche)|"
                       r"mano (destra|sinistra)|(upper|lower)( staff| manual)?|man(ual\w*)?|ped(al\w*)?)\W*\d*",
                       re.IGNORECASE)
"""What a part is called that is one hand's, or the feet's, of a keyboard named elsewhere."""
NO_NAME = re.compile(r"((music ?xml )?(part|staff|track|instrument|p)?[ _#-]*\d*)", re.IGNORECASE)
"""What programs write for the name of a part that has none."""
KEYBOARD_PROGRAMS = {str(program) for program in (*range(1, 9), *range(17, 22))}
"""General MIDI programs, counted from 1: pianos, harpsichord and clavinet; organs and harmonium."""


def read_musicxml(path: Path, reduce: bool = True, ties: Callable = tied) -> Piece:
    """Read the keyboard part of a MusicXML file (.mxl, .musicxml, .xml) into a :class:`Piece`.

    Step 0 is the first written position; ``tracks`` counts the staves that hold notes; a first bar
    shorter than its time signature is a pickup, whether marked implicit or not. Time signatures are
    those of the keyboard part, hidden ones too; 3+2/8 is 5/8. The roll ends where the last note ends. The
    title is the work's and the movement's; the key is the keyboard part's first. A score without a keyboard part is
    read whole, as a ``reduction``, unless ``reduce`` is False. ``ties`` is how tied notes are joined.
    Raises :class:`UserError` for a file that is not MusicXML laid out part by part, is damaged,
    unsafe or too large, has no notes (in a keyboard part), or is longer than ``MAX_STEPS``.
    """
    try:
        data = bounded_bytes(Path(path), MAX_BYTES)
        root = _tree(unpacked(data) if data[:2] == b"PK" else data)
        if root.tag != "score-partwise":
            raise ValueError(f"its root is {root.tag[:40]!r}, not 'score-partwise'")
        elements, said = keyboard_parts(root)
        if not (elements and (said or reduce)):
            raise ValueError("it has no keyboard part" if elements else "it has no part")
        parts, pickup, bars = _walk(elements)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as MusicXML ({error}); export it again.") from error
    signatures = tuple(dict.fromkeys(pair for part in parts for pair in part.signatures))
    staves = {(id(part), staff) for part in parts for staff in part.staves}
    rows = ties([row for part in parts for row in part.rows], parts[0].ticks, parts[0].repeats)
    return from_notes(Path(path), rows, parts[0].ticks,
                      tracks=len(staves), time_signatures=signatures or ((4, 4),), pickup=pickup, reduction=not said,
                      title=title_of(root.findtext("work/work-title"), root.findtext("movement-title")),
                      key=next((part.key for part in parts if part.key), None),
                      tempos=tempos_of(root, [Fraction(bar, parts[0].ticks) for bar in bars]))


def keyboard_parts(root: ElementTree.Element) -> tuple[list[ElementTree.Element], bool]:
    """The ``<part>`` elements of the keyboard, read together as one instrument, and whether there is one.

    The first of these that holds for any part decides for the whole score: (1) an
    ``<instrument-sound>`` that begins with "keyboard.", or none and a part or instrument name that
    contains a keyboard's; (2) such a name; (3) a keyboard's ``<midi-program>``. Its other hand may be a part of its own
    (:func:`_completed`). A score of one or two parts that states neither sounds nor programs is taken for keyboard
    music; in any other without a keyboard all parts are given. Parts called "Ossia" are alternatives to
    another and left out; all other keyboard parts are read: hands written as two parts, a part
    continued by a second, two pianos.
    """
    described = {about.get("id"): about for about in root.iter("score-part")}
    parts = [(part, described.get(part.get("id"), part)) for part in root.findall("part")]
    parts = [(part, about) for part, about in parts if "ossia" not in _text(about, "part-name").lower()]
    for holds in (lambda about: _sounds(about) or (not _text(about, "instrument-sound") and _named(about)), _named,
                  lambda about: KEYBOARD_PROGRAMS & set(_text(about, "midi-program").split())):
        if chosen := {number for number, (_, about) in enumerate(parts) if holds(about)}:
            return [parts[number][0] for number in sorted(_completed(chosen, parts))], True
    stated = any(_text(about, "instrument-sound", "midi-program") for _, about in parts)
    return [part for part, _ in parts], not stated and len(parts) <= 2


def _sounds(about: ElementTree.Element) -> bool:
    return _text(about, "instrument-sound").startswith("keyboard.")


def _named(about: ElementTree.Element) -> bool:
    return bool(KEYBOARD_NAME.search(_text(about, "part-name", "instrument-name")))


def _completed(chosen: set[int], parts: list[tuple]) -> set[int]:
    """The numbers of the keyboard's parts with those of its other hand or its pedals, from the top down.

    Beside a keyboard's part that are the ones called so (``LH``, ``Pedal``); and below, or else above a single one, a
    part without a name, if the keyboard's has one staff. None of them states a sound or program that is no keyboard's.
    """
    def states_another(about):
        programs = set(_text(about, "midi-program").split())
        return (_text(about, "instrument-sound") and not _sounds(about)) or programs - KEYBOARD_PROGRAMS

    free = {number: _text(about, "part-name") for number, (_, about) in enumerate(parts)
            if number not in chosen and not states_another(about)}
    for number in sorted(free, reverse=True) + sorted(free):
        if HAND_NAME.fullmatch(free[number]) and {number - 1, number + 1} & chosen:
            chosen = chosen | {number}
    for place in (1, -1):
        if len(chosen) == 1:
            [only] = chosen
            beside = free.get(only + place)
            if beside is not None and NO_NAME.fullmatch(beside) and not _two_staves(parts[only][0]):
                chosen = chosen | {only + place}
    return chosen


def _two_staves(part: ElementTree.Element) -> bool:
    return any(_whole(staves.text) > 1 for staves in part.iter("staves"))


def _text(element: ElementTree.Element, *tags: str) -> str:
    """The texts of all descendants of these tags, in one line."""
    return " ".join(text.text.strip() for tag in tags for text in element.iter(tag) if text.text and text.text.strip())


def _walk(elements: list[ElementTree.Element]) -> tuple[list["_Part"], int, list[int]]:
    """Read ``<part>`` elements bar by bar, in step; returns the parts, the pickup in steps, and the tick at which
    each bar begins.

    A bar is as long as the longest of these parts fills it, whatever its time signature says.
    """
    ticks = 1
    for divisions in {_whole(text.text) for element in elements for text in element.iter("divisions")}:
        ticks = math.lcm(ticks, divisions)
        if not 0 < ticks <= MAX_TICKS:
            raise ValueError("its divisions of the quarter are absurd")
    parts = [_Part(ticks) for _ in elements]
    end, first, starts = 0, 0, []
    for number, bars in enumerate(zip_longest(*(element.iterfind("measure") for element in elements))):
        starts.append(end)
        end = max(part.read_bar(bar, end) for part, bar in zip(parts, bars, strict=True) if bar is not None)
        first = first if number else end
    beats, unit = next((part.signatures[0] for part in parts if part.signatures), (4, 4))
    return parts, int(to_step(first, ticks)) if first * unit < 4 * beats * ticks else 0, starts


class _Part:
    """One part while it is read: notes ``rows`` as :func:`tied` wants them, ``staves``, ``signatures``, ``key``.

    Notes are what is written and sounds: chord notes, hidden and headless ones included, at
    concert pitch (``<transpose>``); quarter tones are rounded up to a key. Left out are grace
    notes, cue notes (they show another's part, or an easier version) and unpitched ones. A note
    tied to one before is not struck (:func:`tied`), unless the tie comes from a grace note: then it stands for it.
    A ``<backup>`` past the start of the bar stops there, as a few real files need. A tremolo sign, like
    a trill, adds no strikes: the note stands once on the page, and how often it is struck is the
    player's (kern files write tremolos out note by note, and are read as they write).
    """

    def __init__(self, ticks: int):
        self.ticks = self.scale = ticks
        self.limit = ticks * (MAX_STEPS // STEPS_PER_QUARTER + 1)
        self.now = self.last = self.transposed = 0
        self.rows, self.staves, self.signatures, self.graces = [], set(), [], set()
        self.key, self.repeats = None, set()

    def read_bar(self, measure: ElementTree.Element, start: int) -> int:
        """Read a bar that starts at tick ``start``; returns the tick where it ends."""
        self.now = self.last = end = start
        for element in measure:
            if element.tag == "note":
                self.read_note({child.tag: child for child in element}, element)
            elif element.tag == "backup":
                self.now = max(start, self.now - self.length(element.find("duration")))
            elif element.tag == "forward":
                self.now += self.length(element.find("duration"))
            elif element.tag == "attributes":
                self.read_attributes(element)
            end = max(end, self.now)
            if end > self.limit:
                raise ValueError(f"it is longer than {MAX_STEPS} steps")
        if measure.find("barline/repeat[@direction='backward']") is not None:
            self.repeats.add(end)
        return end

    def read_note(self, fields: dict, element: ElementTree.Element) -> None:
        """Advance by a ``<note>`` whose children by tag are ``fields``, and keep it if it counts."""
        length = 0 if "grace" in fields else self.length(fields.get("duration"))
        if "chord" not in fields:
            self.last, self.now = self.now, self.now + length
        if "pitch" not in fields or "cue" in fields:
            return
        pitch = _pitch(fields["pitch"]) + self.transposed
        ties = {tie.get("type") for tie in element.iterfind("tie" if "tie" in fields else "notations/tied")}
        if "grace" in fields:
            self.graces |= {(self.last, pitch)} if "start" in ties else set()
            return
        closes = "stop" in ties and (self.last, pitch) not in self.graces
        self.rows.append((self.last, self.last + length, pitch, closes, "start" in ties))
        self.staves |= {fields["staff"].text if "staff" in fields else "1"}

    def read_attributes(self, element: ElementTree.Element) -> None:
        """Take in ``<divisions>``, ``<transpose>``, ``<time>`` and the first ``<key>``."""
        for divisions in element.iterfind("divisions"):
            self.scale = self.ticks // _whole(divisions.text)
        for shift in element.iterfind("transpose"):
            self.transposed = _semitones(shift.findtext("chromatic")) + 12 * _semitones(shift.findtext("octave-change"))
        for time in element.iterfind("time"):
            for beats, unit in zip(time.iterfind("beats"), time.iterfind("beat-type"), strict=False):
                pair = sum(_whole(term) for term in (beats.text or "").split("+")), _whole(unit.text)
                self.signatures += [pair] if all(pair) else []
        for key in element.iterfind("key"):
            self.key = self.key or _key(key)

    def length(self, duration: ElementTree.Element | None) -> int:
        """A ``<duration>`` in ticks."""
        return self.scale * _whole(None if duration is None else duration.text)


@lru_cache(maxsize=4096)
def _whole(text: str | None) -> int:
    """A count of at most nine digits."""
    if not re.fullmatch(r"\s*\d{1,9}(\.0*)?\s*", text or "", re.A):
        raise ValueError(f"{(text or '').strip()[:20]!r} stands where a whole number should")
    return int(text.split(".")[0])


@lru_cache(maxsize=4096)
def _semitones(text: str | None) -> int:
    """A signed number of at most three digits, rounded to the nearest integer, halves up; none is 0."""
    if not re.fullmatch(r"\s*(-?\d{1,3}(\.\d*)?)?\s*", text or "", re.A):
        raise ValueError(f"{text.strip()[:20]!r} stands where a number of semitones should")
    return math.floor(float(text) + 0.5) if text and text.strip() else 0


def _pitch(element: ElementTree.Element) -> int:
    """The MIDI number of a ``<pitch>``."""
    step = (element.findtext("step") or "").strip()
    if step not in SEMITONES:
        raise ValueError(f"{step[:20]!r} stands where the letter of a note should")
    octave = _whole(element.findtext("octave"))
    return 12 * (octave + 1) + SEMITONES[step] + _semitones(element.findtext("alter"))


def _key(element: ElementTree.Element) -> str | None:
    """The name of a ``<key>``; None for one that does not count fifths."""
    fifths = (element.findtext("fifths") or "").strip()
    return key_name(int(fifths), (element.findtext("mode") or "").strip()) if re.fullmatch("-?[0-7]", fifths) else None


def unpacked(data: bytes) -> bytes:
    """The score in a packed file (.mxl): the first rootfile its container names, in memory, nothing else.

    Where the container is not whole XML (93 of 502 lead sheets have an apostrophe in it), the only score there is.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _entry(archive, _rootfile(archive))
    except (zipfile.BadZipFile, KeyError, RuntimeError, zlib.error, EOFError, OSError) as error:
        raise ValueError("it is a damaged or locked zip file, or not a packed score") from error


def _rootfile(archive: zipfile.ZipFile) -> str:
    """The name of the score in an archive."""
    container = _entry(archive, "META-INF/container.xml")
    try:
        rootfile = _tree(container).find(".//{*}rootfile")
    except ValueError:
        scores = [name for name in archive.namelist() if not name.startswith("META-INF/")
                  and name.lower().endswith((".xml", ".musicxml"))]
        if len(scores) != 1:
            raise
        return scores[0]
    return "" if rootfile is None else rootfile.get("full-path", "")


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of an archive, refused if it would unpack to more than it should."""
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is packed in an unusual way")
    if entry.file_size > min(MAX_BYTES, MAX_RATIO * entry.compress_size):
        raise ValueError("it unpacks to far more than a score needs")
    with archive.open(entry) as file:
        return file.read(MAX_BYTES)


def _tree(data: bytes) -> ElementTree.Element:
    """The root of an XML text without a document type of its own, of about ``MAX_ELEMENTS`` at most.

    Entities and default attributes can only be declared in such a type, so none is ever expanded
    or fetched; a mere reference to MusicXML's public type is skipped.
    """
    if data.count(b"<") > 2 * MAX_ELEMENTS:
        raise ValueError(f"it has more than {MAX_ELEMENTS:,} elements")
    prolog = expat.ParserCreate()
    prolog.XmlDeclHandler, prolog.StartDoctypeDeclHandler, prolog.StartElementHandler = _declared, _typed, _begun
    try:
        prolog.Parse(data, True)
    except StopIteration:
        pass
    except (expat.ExpatError, LookupError) as error:
        raise ValueError("it is not whole XML") from error
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError("it is not whole XML") from error


def _declared(version, encoding, standalone):
    if encoding and b"<" not in "<".encode(encoding):
        raise ValueError("its encoding is unusual")


def _typed(name, system, public, own):
    if own:
        raise ValueError("it declares entities of its own")


def _begun(name, attributes):
    raise StopIteration
