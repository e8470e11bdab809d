"""Humdrum **kern in: the keyboard part of a score as an onset roll (thesis §2.2, §7.1).

No reader at hand takes real collections whole, so this is one of our own; what it takes a token for is
declared at :func:`_note`, when a line sounds at :class:`_Timeline`, what counts as the keyboard part
at :func:`keyboard_staves`. Time is exact: integer ticks, the least common multiple of all durations.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from octavoice.errors import UserError
from octavoice.formats.humdrum import Line, Strand, decoded, read_lines
from octavoice.formats.musicxml import HAND_NAME, KEYBOARD_NAME
from octavoice.music.durations import tied
from octavoice.music.notes import (
    MAX_STEPS,
    MODES,
    SEMITONES,
    bounded_bytes,
    from_notes,
    key_name,
    title_of,
    to_step,
    tonic_name,
)
from octavoice.music.piece import Piece
from octavoice.music.roll import STEPS_PER_QUARTER
from octavoice.music.tempo import tempo_map

MAX_BYTES = 2**21
"""Longest kern text read: 9 times the longest of the Polish and Chopin scores."""
MAX_TOKEN = 1000
"""Longest token read: chords have some hundred characters."""
MAX_TICKS = 10**12
"""Finest grid of a score in ticks per quarter; cadenzas of 41 or 76 notes to the bar need fine ones."""
KEYBOARD_CODE = re.compile(r"\*I(piano|forte|p?orga?n|reedo|physh|regal|clav|cemba|clest|hammd|rhode|C(klav|piano))")
OTHER_CLASS = re.compile(r"\*IC(vox|str|ww|bras|perc|idio)")
"""Humdrum's codes of keyboard instruments and their class, and classes that are none."""
METRE = re.compile(r"\*M(\d{1,3}(?:\+\d{1,3})*)/(\d{1,3})")
TITLE = re.compile(r"(?:^|[\r\n])!!!OTL[^:\r\n]{0,20}:([^\r\n]*)")
"""The title among the reference records, whatever language it is said to be in."""
KEY = re.compile(r"\*([A-Ga-g])([#-]?):(\w{0,12})")
TEMPO = re.compile(r"\*MM(\d{1,4}(?:\.\d{1,9})?)")
"""Quarters per minute."""
SIGNATURE = re.compile(r"\*k\[((?:[a-g][#-]){0,7})\]")
DURATION = re.compile(r"(0{1,4}|[1-9]\d{0,8})(?:%([1-9]\d{0,8}))?", re.ASCII)
DOTS = 6
"""Most dots of a note."""


def read_kern(path: Path, reduce: bool = True, ties: Callable = tied) -> Piece:
    """Read the keyboard part of a Humdrum file (.krn) into a :class:`Piece`.

    Step 0 is the first written position; ``tracks`` counts the staves that hold notes; what stands
    before the first bar line is a pickup if it is shorter than a bar. Time signatures are those of the
    keyboard part, and so is the key: the designation before the first notes, else the signature. The roll ends where
    the last note ends. A score without a keyboard part is read whole, as a ``reduction``, unless ``reduce`` is False.
    ``ties`` is how tied notes are joined. Raises :class:`UserError` for a file that is not whole Humdrum, has
    voices that contradict each other in time, no notes (in a keyboard part), or more than ``MAX_STEPS``.
    """
    path = Path(path)
    data = bounded_bytes(path, MAX_BYTES)
    try:
        text = decoded(data)
        lines = list(read_lines(text))
        found = keyboard_staves(lines)
        staves = found or {strand.staff for strand in lines[0].strands if reduce and strand.kind == "**kern"}
        if not staves:
            raise UserError(f"{path}: has no keyboard part; choose a score for or with piano, organ or harpsichord.")
        score = _Timeline(lines, staves)
        score.read(lines)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as Humdrum kern ({error}); mend it or get a whole copy.") from error
    rows = ties(score.rows, score.ticks, score.repeats)
    return from_notes(path, rows, score.ticks, tracks=len(score.sounding), time_signatures=score.metres(),
                      pickup=score.pickup(), reduction=not found, key=_key(score.keys),
                      title=title_of(*TITLE.findall(text)[:1]), tempos=tempo_map(score.tempos))


# --- which staves -----------------------------------------------------------------------------------------------------

class _Staff(NamedTuple):
    """A **kern column of the first line: its number, ``*part``, and what instrument it is said to be.

    ``said`` is "keyboard", "other" by code or class, "title" for any other name (often that of the
    piece), or "" if nothing is said (nor do ``*Iempty`` and ``LH``); ``cut_out`` by its ``*staff`` or ``*part``,
    which is not the first.
    """

    number: int
    part: str
    said: str
    cut_out: bool


def keyboard_staves(lines: list[Line]) -> set[int]:
    """The numbers of the keyboard's staves, by what stands before the first notes of all ``lines``.

    A staff is the keyboard's (1) by an instrument code or class (``*Ipiano``, ``*Iforte``, ``*Iorgan``,
    ``*ICklav`` …) that no other class contradicts, or by its name where it has no code; so are the staves of the
    same ``*part``, and one of which nothing is said below such a staff, or above if it would else be alone.
    (2) In a score without codes: the parts of two or more staves, or else, if nothing is said of any
    of them, all. A staff that bears another number than 1 (``*staff2``, ``*part2``) while it stands alone is
    cut out of a score, and nobody's. Several keyboards are read as one. The set is empty if there is none.
    """
    staves = _described(lines)
    chosen = {staff.number for staff in staves if staff.said == "keyboard"}
    if chosen:
        return _completed(chosen, staves)
    if all(staff.said in ("", "title") for staff in staves):
        parts = [staff.part for staff in staves]
        chosen = {staff.number for staff in staves if staff.part and parts.count(staff.part) > 1}
        if not chosen and not any(staff.said or (len(staves) == 1 and staff.cut_out) for staff in staves):
            chosen = {staff.number for staff in staves}
    return chosen


def _completed(chosen: set[int], staves: list[_Staff]) -> set[int]:
    """The keyboard's staves with those that belong to them; ``staves`` go from the lowest up."""
    parts = {staff.part for staff in staves if staff.number in chosen and staff.part}
    above = None
    for staff in reversed(staves):
        same = staff.part in parts and staff.said != "other"
        if same or (not staff.said and above in chosen):
            chosen = chosen | {staff.number}
        above = staff.number
    if len(chosen) == 1:
        place = [staff.number in chosen for staff in staves].index(True) + 1
        chosen = chosen | {staff.number for staff in staves[place:place + 1] if not staff.said}
    return chosen


def _described(lines: list[Line]) -> list[_Staff]:
    """The staves of a score, lowest first."""
    tags = {strand.staff: [] for strand in lines[0].strands if strand.kind == "**kern"}
    for line in lines:
        if line.tokens[0][:1] not in "*=":
            break
        for token, strand in zip(line.tokens, line.strands, strict=True):
            if strand.staff in tags:
                tags[strand.staff].append(token)
    return [_Staff(number, next((t for t in found if t.startswith("*part")), ""), _said(found),
                   any(re.fullmatch(r"\*(staff|part)0*([2-9]|1\d)", tag) for tag in found))
            for number, found in tags.items()]


def _said(tags: list[str]) -> str:
    """What a staff's interpretations say of its instrument, as :class:`_Staff` has it."""
    codes = [tag for tag in tags if re.match(r"\*I[A-Za-z]", tag) and not re.match(r"\*I(empty|Tr|G)", tag)]
    if codes:
        keyboard = any(map(KEYBOARD_CODE.match, codes)) and not any(map(OTHER_CLASS.match, codes))
        return "keyboard" if keyboard else "other"
    name = " ".join(tag.split('"', 1)[1].strip('" ') for tag in tags if re.match(r'\*m?I"', tag)).strip()
    return "keyboard" if KEYBOARD_NAME.search(name) else "title" if name and not HAND_NAME.fullmatch(name) else ""


# --- notes ------------------------------------------------------------------------------------------------------------

class _Note(NamedTuple):
    """A note or rest: ``quarters`` (None if not given), MIDI ``pitch`` (None for a rest), its ties, whether grace."""

    quarters: Fraction | None
    pitch: int | None
    tied: bool
    opens: bool
    grace: bool


class _Token(NamedTuple):
    """A chord, note or rest: ``quarters`` it lasts (None for grace notes: no time), and its notes."""

    quarters: Fraction | None
    notes: tuple[_Note, ...]


@lru_cache(maxsize=2**15)
def _note(text: str) -> _Note:
    """One note or rest, such as ``(16.ee-/LL``, ``[2GG#``, ``32%3r``, ``0c``.

    The duration is the first number, 1/4 for ``4``, 3/32 for ``32%3``, two, four … wholes for ``0``, ``00``;
    a stray number later is passed over; dots count wherever they stand. What has neither the letter of a
    note nor ``r`` is a rest. Hidden notes (``yy``) sound and are kept, as are notes in small print and tremolos
    as they are written out; octave lines shift nothing, since pitch is written as it sounds.
    """
    number = re.search(r"[\d%]+", text)
    given = number and DURATION.fullmatch(number[0])
    if number and (not given or re.search(r"\d\.+\d", text)):
        raise ValueError(f"{text[:20]!r} has no proper duration")
    quarters = given and _quarters(*given.groups(), text.count("."))
    return _Note(quarters, _pitch(text), "]" in text or "_" in text, "[" in text or "_" in text, "q" in text.lower())


def _quarters(recip: str, over: str | None, dots: int) -> Fraction:
    """A duration in quarters: ``over``/``recip`` of a whole note, lengthened by ``dots``."""
    if dots > DOTS:
        raise ValueError(f"a note has {dots} dots")
    wholes = Fraction(2 ** len(recip)) if recip[0] == "0" else Fraction(int(over or 1), int(recip))
    return 4 * wholes * (2 - Fraction(1, 2**dots))


def _pitch(text: str) -> int | None:
    """The MIDI number of a note, None without the letter of one: ``c`` is 60, ``cc`` 72, ``C`` 48.

    Real files hold slips such as ``24ede-`` for ``24eee-``: the first letter names the note and their number
    gives the octave, as in the editors' own toolkit.
    """
    letters = re.findall(r"[a-gA-G]", text)
    if "r" in text or not letters:
        return None
    lower = letters[0].islower()
    count = sum(letter.islower() == lower for letter in letters)
    if count > 8:
        raise ValueError(f"{text[:20]!r} is not a note")
    return 12 * (4 + count if lower else 5 - count) + SEMITONES[letters[0].upper()] + text.count("#") - text.count("-")


@lru_cache(maxsize=2**15)
def _token(text: str) -> _Token:
    """A token of a **kern strand; notes of a chord may leave out the duration of the first.

    If they contradict it (52 of 147 568 chords of real files do), the first is believed, for the time and for all.
    A rest without a duration takes no time, as grace notes; a note without one raises :class:`ValueError`.
    """
    if len(text) > MAX_TOKEN:
        raise ValueError(f"a token has more than {MAX_TOKEN} characters")
    notes = tuple(_note(part) for part in text.split(" ") if part)
    if any(note.grace for note in notes):
        return _Token(None, notes)
    quarters = next((note.quarters for note in notes if note.quarters), None)
    if quarters is None and any(note.pitch is not None for note in notes):
        raise ValueError(f"{text[:20]!r} has no duration")
    return _Token(quarters, notes)


# --- time -------------------------------------------------------------------------------------------------------------

class _Timeline:
    """A score while it is read: ``rows`` as :func:`tied` wants them, ``ticks`` per quarter, ``sounding`` staves.

    A line is at the tick where the strands with a token on it ended before. These must agree, and
    come after the line before; but a strand that was over by an earlier line has rested since, unwritten
    (2027 real files need that once). A note tied to one before is not struck (:func:`tied`), unless that is a
    grace note: then it stands for it. Grace notes are left out. A note's end is where the last one tied to it ends.
    """

    def __init__(self, lines: list[Line], staves: set[int]):
        self.staves, self.tokens = staves, {}
        self.rows, self.sounding, self.signatures, self.graces, self.keys = [], set(), [], set(), []
        self.repeats, self.tempos, self.last, self.bar = set(), [], -1, None
        for line in lines:
            for _, token in self.cells(line, self.columns(line.strands)):
                if token not in self.tokens:
                    self.tokens[token] = _at(line, _token, token)
        self.ticks = 1
        for token in self.tokens.values():
            self.ticks = math.lcm(self.ticks, token.quarters.denominator if token.quarters else 1)
            if self.ticks > MAX_TICKS:
                raise ValueError("its durations are absurd")
        self.lasting = {name: int((token.quarters or 0) * self.ticks) for name, token in self.tokens.items()}

    def columns(self, strands: list[Strand]) -> list[tuple[int, Strand]]:
        """The places and strands of the keyboard among all strands."""
        return [(i, s) for i, s in enumerate(strands) if s.staff in self.staves and s.kind == "**kern"]

    @staticmethod
    def cells(line: Line, columns: list[tuple[int, Strand]]) -> list[tuple[Strand, str]]:
        """The strands in ``columns`` that have a note or rest on a line, with its token."""
        if line.tokens[0][:1] in ("*", "="):
            return []
        return [(strand, token) for i, strand in columns if (token := line.tokens[i]) not in (".", "")]

    def read(self, lines: list[Line]) -> None:
        """Read all lines, in order."""
        limit = self.ticks * (MAX_STEPS // STEPS_PER_QUARTER + 1)
        strands = columns = None
        for line in lines:
            if line.strands is not strands:
                strands = line.strands
                columns = self.columns(strands)
                for _, strand in columns:
                    strand.end = max([strand.end, *(parent.end for parent in strand.parents)])
            if line.tokens[0][:1] == "*":
                self.read_tempo(line, columns)
                said = [line.tokens[i] for i, _ in columns]
                if self.last < 0:
                    self.keys += [token for token in said if KEY.fullmatch(token) or SIGNATURE.fullmatch(token)]
                metres = (_metre(token) for token in said if METRE.fullmatch(token))
                self.signatures += [metre for metre in metres if all(metre)]
            elif line.tokens[0][:1] == "=":
                self.read_bar(line, columns)
            elif (cells := self.cells(line, columns)) and self.read_notes(line, cells) > limit:
                raise ValueError(f"it is longer than {MAX_STEPS} steps")

    def read_tempo(self, line: Line, columns: list[tuple[int, Strand]]) -> None:
        """Note a tempo, in whichever spine it is told, at the tick where the keyboard's next line will be."""
        told = next(filter(None, map(TEMPO.fullmatch, line.tokens)), None)
        if told:
            now = min((strand.end for _, strand in columns if strand.end > self.last), default=0)
            self.tempos.append((STEPS_PER_QUARTER * now / self.ticks, float(told[1])))

    def read_notes(self, line: Line, cells: list[tuple[Strand, str]]) -> int:
        """Read a line's notes and rests; returns the tick where the longest of them ends."""
        lasting = [(strand, self.lasting[token]) for strand, token in cells if self.lasting[token]]
        now = max((strand.end for strand, _ in lasting), default=self.last)
        if lasting and (now <= self.last or any(self.last < strand.end < now for strand, _ in lasting)):
            raise ValueError(f"on line {line.number} its voices disagree about the time")
        for strand, token in cells:
            self.keep(strand, token, now)
        for strand, ticks in lasting:
            strand.end = now + ticks
        if lasting:
            self.last = now
        return max(strand.end for strand, _ in cells)

    def keep(self, strand: Strand, token: str, now: int) -> None:
        """Keep the notes of a token at tick ``now`` that count; remember grace notes that are tied on."""
        ticks = self.lasting[token]
        for note in self.tokens[token].notes:
            if note.pitch is not None and ticks:
                closes = note.tied and (now, note.pitch) not in self.graces
                self.rows.append((now, now + ticks, note.pitch, closes, note.opens))
                self.sounding.add(strand.staff)
            elif note.pitch is not None and note.opens:
                self.graces.add((strand.end, note.pitch))

    def read_bar(self, line: Line, columns: list[tuple[int, Strand]]) -> None:
        """Note where the music goes back, and where the first bar line stands that has music before it."""
        if ":|" in line.tokens[0]:
            self.repeats.add(max((strand.end for _, strand in columns), default=0))
        if self.bar is None and self.last >= 0:
            self.bar = min((strand.end for _, strand in columns if strand.end > self.last), default=None)

    def metres(self) -> tuple[tuple[int, int], ...]:
        """Every time signature of the keyboard part, in order of first appearance; 4/4 if there is none."""
        return tuple(dict.fromkeys(self.signatures)) or ((4, 4),)

    def pickup(self) -> int:
        """Steps before the first bar line if they are less than a bar of the first time signature, else 0."""
        beats, unit = self.metres()[0]
        short = self.bar is not None and self.bar * unit < 4 * beats * self.ticks
        return int(to_step(self.bar, self.ticks)) if short else 0


def _at(line: Line, read, text: str):
    """``read(text)``, its errors told with the number of the line."""
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"on line {line.number} {error}") from error


def _metre(text: str) -> tuple[int, int]:
    """The time signature of a ``*M`` interpretation: 3+2/8 is 5/8, 2/0 (two breves) is 4/1."""
    beats, unit = METRE.fullmatch(text).groups()
    beats, unit = sum(map(int, beats.split("+"))), int(unit)
    return (beats, unit) if unit else (2 * beats, 1)


def _key(said: list[str]) -> str | None:
    """The key of ``*f#:`` or ``*d:dor``, the first of them, else that of the first ``*k[…]``."""
    for found in filter(None, map(KEY.fullmatch, said)):
        letter, accidental, mode = found.groups()
        full = next((name for name in MODES if mode and name.startswith(mode[:3])), None)
        return tonic_name(letter, accidental, full or ("major" if letter.isupper() else "minor"))
    signs = next((found[1] for found in map(SIGNATURE.fullmatch, said) if found), None)
    return None if signs is None else key_name(signs.count("#") - signs.count("-"))
