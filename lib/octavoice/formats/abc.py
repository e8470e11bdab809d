"""ABC in: a tune or a score of several voices as an onset roll (thesis §2.2, §7.1).

A reader of our own: what stands in a line of music that is no note is dropped (:func:`_clean`), the rest is taken
token by token (:class:`_Voice`), and put in time (:func:`_played`). "Standard" is the ABC standard 2.1. On the
tunes that music21 10.5 carries its reader takes letters of ``!decorations!`` for notes, restrikes tied chords, forgets
accidentals within the bar and of the key field, and mixes up interleaved voices.
"""

import math
import re
from fractions import Fraction
from pathlib import Path

from octavoice.errors import UserError
from octavoice.formats.abc_tempo import tempos_of
from octavoice.formats.musicxml import MAX_TICKS
from octavoice.music.notes import (
    FIFTHS,
    MAX_STEPS,
    MODES,
    SEMITONES,
    bounded_bytes,
    from_notes,
    title_of,
    to_step,
    tonic_name,
)
from octavoice.music.piece import Piece
from octavoice.music.roll import STEPS_PER_QUARTER

MAX_BYTES = 2**17
"""Longest ABC text read; a tune takes some hundred bytes."""
KEY = re.compile(r"\s*([A-G])([#b]?)\s*((?i:m(?![a-z])|(?:min|maj|mix|dor|phr|lyd|loc|aeo|ion|exp)[a-z]{0,9})?)")
"""What a ``K:`` field begins with that names a key; others are bagpipes', clefs or accidentals alone."""
ALTERS = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}
SHIFTS = re.compile(r"\b(?:(?:treble|bass|alto|tenor)\d?([+-]8)|octave=([+-]?\d)|transpose=([+-]?\d{1,2}))(?!\d)", re.A)
"""What of a ``K:`` or ``V:`` field shifts pitch: by an octave, octaves, semitones."""
FIELD = re.compile(r"([A-Zmrsw+]):(?![|:])(.*)")
DROPPED = re.compile(r'"[^"\n]*"|\[[A-Za-z]:[^\]\n]{0,200}\]|\{[^}\n]{0,200}\}|![^!|\s]{1,20}!'
                     r'|\+(?![a-g]*\+)[a-z.]{2,20}\+')
"""In music: chord symbols and annotations, fields without effect, grace notes, decorations."""
OLD_CHORD = re.compile(r"\+([A-Ga-g\d/,'^_=-]{1,200})\+", re.A)
ORNAMENTS = re.compile(r"y\d*|\((?!\d)|[^A-Ga-gxzXZ\d/,'^_=|\[\](<>:\s&-]", re.A)
"""In music: spacing, slurs, bows, dots, one-letter ornaments, and whatever else is no notation of a note."""
BROKEN_CHORD = re.compile(r"(\[[^\[\]|:\n]{0,60})\n([^\[\]|:\n]{0,60}\])")
"""A chord whose line ends within it, as mail breaks lines."""
ENDING = re.compile(r"(?<=[\[|])\s*\d[\d,.-]*", re.A)
"""The numbers of an ending, such as ``[1``, ``|2``, ``[1-3``, ``[1,3``."""
TOKEN = re.compile(r"(?:\[(?P<chord>[^\[\]|]{1,200})\]|(?P<single>(?:\^\^?|__?|=)?[A-Ga-gxz][,']*))(?P<length>[\d/]*)"
                   r"|(?P<bars>[ZX]\d{0,4})|\((?P<tuplet>[\d:]{1,8})|(?P<broken><{1,3}|>{1,3})|(?P<tie>-)"
                   r"|(?P<bar>\||::)|(?P<overlay>&)", re.A)
"""Of a clean line: chords, notes and rests, rests of whole bars, tuplets, broken rhythm, ties, bar lines, overlays."""
NOTE = re.compile(r"(\^\^?|__?|=)?([A-Ga-g])([,']*)([\d/]*)(-?)", re.A)
TUPLETS = {1: 1, 2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
"""In the time of how many a tuplet of so many stands; 5, 7 and 9 in that of 3 in compound metre, else of 2."""


def read_abc(path: Path) -> Piece:
    """Read an ABC file that holds one tune into a :class:`Piece`.

    ``tracks`` counts the voices that hold notes, so a tune on one staff has one; more than two are a reduction. Chord
    symbols and grace notes are left out, repeats are not expanded; clefs with an eight, ``octave=`` and ``transpose=``
    shift what is written, as players of ABC do (the standard on clefs), programs' directives do not. The pickup is
    what stands before the first bar line if that is less than a bar.
    Raises :class:`UserError` for a file that is not ABC, holds several tunes, no notes, accidentals without
    a note or quarter tones, or is longer than ``MAX_STEPS`` or ``MAX_BYTES``.
    """
    path = Path(path)
    text = bounded_bytes(path, MAX_BYTES).decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    tunes = len(re.findall(r"^X:", text, re.M))
    if tunes > 1:
        raise UserError(f"{path}: holds {tunes} tunes; save each in a file of its own.")
    try:
        text = _without_comments(text)
        voices = [found for found in map(_played, _voices(text)) if found[0]]
        ticks = math.lcm(*(time.denominator for rows, *_ in voices for row in rows for time in row[:2]))
        if ticks > MAX_TICKS:
            raise ValueError("its note lengths are absurd")
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as ABC ({error}); mend it or export it again.") from error
    rows = [(int(onset * ticks), int(end * ticks), pitch, struck)
            for found, *_ in voices for onset, end, pitch, struck in found]
    signatures = tuple(dict.fromkeys(pair for _, pairs, _ in voices for pair in pairs)) or ((4, 4),)
    first, (beats, unit) = min((voice[2] for voice in voices), default=0), signatures[0]
    return from_notes(path, rows, ticks, tracks=len(voices), time_signatures=signatures, key=_key(text),
                      title=title_of(*re.findall(r"^T:(.*)$", text, re.M)[:1]), reduction=len(voices) > 2,
                      tempos=tempos_of(text, first, (beats, unit)),
                      pickup=int(to_step(int(first * ticks), ticks)) if first * unit < 4 * beats else 0)


# --- keys and metres --------------------------------------------------------------------------------------------------

def _key(text: str) -> str | None:
    """The key of a tune's first ``K:`` field: ``Am``, ``B♭``, ``D dorian``; None where only accidentals are told."""
    field = re.search(r"^K:(.*)$", text, re.M)
    if not field or not (found := KEY.match(field[1])) or found[3].lower() == "exp":
        return None
    return tonic_name(found[1], found[2], _mode(found[3]))


def _mode(said: str) -> str:
    """The mode that a key field says after its tonic, by its first three letters; major if it says none."""
    if said.lower() in ("m", "min"):
        return "minor"
    return next((name for name in MODES if len(said) >= 3 and name.startswith(said[:3].lower())), "major")


def _accidentals(field: str) -> dict[str, int] | None:
    """What a ``K:`` field raises (1, 2) and lowers (−1, −2), by letter; None for one that tells only a clef.

    Accidentals written after the key change its own, or stand alone after ``exp``, or without a tonic.
    """
    found = KEY.match(field)
    signs = "".join(word for word in field[found.end() if found else 0:].split()
                    if re.fullmatch(r"(?:(?:\^\^?|__?|=)[A-Ga-g])+", word))
    if not found and not signs:
        return {"F": 1, "C": 1} if field.strip()[:2] == "Hp" else {} if re.match(r"\s*(HP|none|$)", field) else None
    alters = {}
    if found and found[3].lower() != "exp":
        sharps = FIFTHS.index(found[1]) - 1 + 7 * {"#": 1, "b": -1, "": 0}[found[2]] - MODES[_mode(found[3])]
        alters = {letter: (sharps - i + 6) // 7 for i, letter in enumerate(FIFTHS)}
    return alters | {letter.upper(): ALTERS[sign] for sign, letter in re.findall(r"([_^=]+)([A-Ga-g])", signs)}


def _metre(field: str) -> tuple[int, int] | None:
    """The metre of an ``M:`` field: C is 4/4, (2+3)/8 5/8, FREI4/4 4/4; None for none."""
    metre = re.search(r"(?<!\d)(\d{1,2}(?:\s*\+\s*\d{1,2}){0,9})\)?\s*/\s*(\d{1,2})\s*$", field, re.A)
    if metre and int(metre[2]) and (beats := sum(map(int, metre[1].split("+")))):
        return beats, int(metre[2])
    if re.search(r"\d", field):
        raise ValueError(f"{field.strip()[:20]!r} is no metre")
    return {"C": (4, 4), "C|": (2, 2)}.get(field.strip())


def _unit(field: str) -> Fraction:
    """The unit length of an ``L:`` field, in quarters."""
    if not (found := re.fullmatch(r"\s*(\d{1,4})(?:\s*/\s*(\d{1,4}))?\s*", field, re.A)) or not int(found[2] or 1):
        raise ValueError(f"{field.strip()[:20]!r} is no length of a note")
    return Fraction(4 * int(found[1]), int(found[2] or 1))


def _multiple(text: str) -> Fraction:
    """The length written after a note, such as 3/2, / or //, in unit lengths."""
    if not (found := re.fullmatch(r"(\d{0,6})(/*)(\d{0,6})", text, re.A)) or (found[3] and not int(found[3])):
        raise ValueError(f"{text[:20]!r} is no length of a note")
    whole, slashes, part = found.groups()
    return Fraction(int(whole or 1), int(part) if part else 2 ** min(len(slashes), 16))


# --- text -------------------------------------------------------------------------------------------------------------

def _without_comments(text: str) -> str:
    """A text without comments, directives and text set between directives; their lines go with them.

    So the line of a comment is not the empty line that ends a tune (standard §2.2.5).
    """
    kept, closing = [], ""
    for line in text.split("\n"):
        if closing:
            closing = "" if line.startswith(closing) else closing
        elif found := re.match(r"%%begin(\w{1,20})", line):
            closing = f"%%end{found[1]}"
        elif not line.lstrip().startswith("%"):
            kept.append(re.sub(r"(?<!\\)%.*", "", line))
    return "\n".join(kept) + "\n"


def _clean(line: str) -> str:
    """A line of music without what is no note."""
    line = ENDING.sub("", ORNAMENTS.sub("", OLD_CHORD.sub(r"[\1]", DROPPED.sub("", line))))
    if re.search("[_^=](?![_^=A-Ga-g])", line):
        raise ValueError("it has an accidental without a note")
    return line


def _voices(text: str) -> list[list[tuple]]:
    """The events of each voice of a tune, which ends at the first empty line after its header.

    Fields before the first ``V:`` and the first note hold for all voices.
    """
    key = re.search(r"^K:.*\n", text, re.M)
    if not key:
        raise ValueError("it has no key field K:")
    start, voices, name = _Voice(), {}, None
    said = {number: text for number, text in re.findall(r"^V:\s*(\S+)(.*)$", text[:key.start()], re.M)}
    for field in re.findall(r"^([LM]):(.*)$", text[:key.start()], re.M):
        start.take(*field)
    start.unit = start.unit or Fraction(1, 4 if start.metre and 4 * start.metre[0] < 3 * start.metre[1] else 2)
    start.take("K", key.group()[2:])
    tune = re.split(r"\n[ \t]*\n", text[key.end():].lstrip("\n"), maxsplit=1)[0]
    tune = BROKEN_CHORD.sub(r"\1 \2", tune)
    for line in re.sub(r"\[([KLMV]:[^\]\n]{0,200})\]", r"\n\1\n", tune).split("\n"):
        field = FIELD.match(line)
        if field and field[1] == "V":
            name, *more = field[2].split() or [""]
            said[name] = " ".join([said.get(name, ""), *more])
        elif field and name is None:
            start.take(*field.groups())
        elif field or (line := _clean(line).strip()):
            name = name or ""
            voice = voices[name] = voices.get(name) or _Voice(start)
            voice.move(said.pop(name, ""))
            voice.take(*field.groups()) if field else voice.read(line)
    return [voice.events for voice in voices.values()]


class _Voice:
    """A voice while its text is read: ``events``, and what holds for the next note.

    Events are lists ``[kind, quarters, value]``: a "note" (or chord, or rest) has its notes
    ``(sign, letter, semitones, holds)``, "key" the accidentals by letter, "metre" a pair, "bars" how many of rest;
    "bar" and "overlay" nothing.
    """

    def __init__(self, start: "_Voice | None" = None):
        self.unit, self.metre, self.shift = (start.unit, start.metre, start.shift) if start else (None, None, 0)
        self.events = [list(event) for event in start.events] if start else []
        self.last, self.written, self.share, self.left, self.factor = None, Fraction(0), 1, 0, Fraction(1)

    def take(self, letter: str, text: str) -> None:
        """Take in a field; only unit length, metre and key matter."""
        if letter == "L":
            self.unit = _unit(text)
        elif letter == "M":
            self.metre = _metre(text)
            self.events.append(["metre", 0, self.metre])
        elif letter == "K":
            self.move(text)
            alters = _accidentals(text)
            self.events += [["key", 0, alters]] if alters is not None else []

    def move(self, text: str) -> None:
        """Take in what a field says of octaves and transposition."""
        if found := SHIFTS.findall(text):
            self.shift = sum(12 * (int(clef or 0) // 8 + int(octave or 0)) + int(steps or 0)
                             for clef, octave, steps in found)

    def read(self, line: str) -> None:
        """Read a clean line of music."""
        for token in TOKEN.finditer(line):
            kind, text = token.lastgroup, token[0]
            if kind == "length":
                self.note(token["chord"] or token["single"], token["length"])
            elif kind == "broken":
                self.break_rhythm(text)
            elif kind == "tuplet":
                self.begin_tuplet(token["tuplet"])
            elif kind == "tie" and self.last:
                self.last[2] = [(*note[:3], True) for note in self.last[2]]
            elif kind != "tie":
                self.events.append([kind, 0, int(text[1:] or 1) if kind == "bars" else None])

    def note(self, text: str, length: str) -> None:
        """A note, rest or chord (as long as its first note) times ``length``."""
        found = NOTE.findall(text)
        self.written = self.unit * _multiple(length) * (_multiple(found[0][3]) if found else 1)
        self.written *= self.factor if self.left else 1
        self.last = ["note", self.written * self.share,
                     [(sign, name, self.shift + 12 * (marks.count("'") - marks.count(",")), tie == "-")
                      for sign, name, marks, _, tie in found]]
        self.events.append(self.last)
        self.left, self.share = max(self.left - 1, 0), 1

    def break_rhythm(self, mark: str) -> None:
        """``>`` lengthens the note before by what it takes from the next one; ``<`` the other way round."""
        if self.last:
            short = Fraction(1, 2 ** len(mark))
            first, self.share = (2 - short, short) if mark[0] == ">" else (short, 2 - short)
            self.last[1] = self.written * first

    def begin_tuplet(self, text: str) -> None:
        """``(p:q:r``: the next r notes, p of them in the time of q."""
        count, time, notes = (int(number or 0) for number in (*text.split(":"), "", "")[:3])
        compound = self.metre and self.metre[0] % 3 == 0 and self.metre[0] > 3
        time = time or TUPLETS.get(count, 3 if compound else 2)
        if not 1 <= count <= 99 or time > 99:
            raise ValueError(f"'({text}' is no tuplet")
        self.left, self.factor = notes or count, Fraction(time, count)


# --- time -------------------------------------------------------------------------------------------------------------

def _played(events: list[list]) -> tuple[list[tuple], list[tuple[int, int]], Fraction]:
    """Notes ``(onset, end, midi_pitch, struck)`` of one voice in quarters, its time signatures, its first bar line.

    A note is tied on if one of the same pitch that ends where it begins carries a tie. An accidental holds to the end
    of the bar, in all octaves, and over a tie.
    """
    rows, signatures, tied, in_bar, key = [], [], {}, {}, {}
    now = bar = end = first = Fraction(0)
    for kind, quarters, value in events:
        if kind == "metre":
            signatures += [value] if value else []
        elif kind == "key":
            key, in_bar = value, {}
        elif kind == "overlay":
            now, in_bar = bar, {}
        elif kind in ("bar", "bars"):
            beats, unit = signatures[-1] if signatures else (4, 4)
            end += Fraction(4 * beats * (value or 0), unit)
            now, bar, first, in_bar = end, end, first or end, {}
        else:
            onset, now = now, now + quarters
            end = max(end, now)
            rows += [(onset, now, pitch, struck) for pitch, struck in _pitches(value, onset, now, key, in_bar, tied)]
        if now.denominator > MAX_TICKS or not 0 <= now <= MAX_STEPS // STEPS_PER_QUARTER:
            raise ValueError(f"it is longer than {MAX_STEPS} steps or finer than any real tune")
    return rows, signatures, first


def _pitches(notes: list[tuple], onset: Fraction, end: Fraction, key: dict, in_bar: dict,
             tied: dict) -> list[tuple[int, bool]]:
    """Each note's MIDI pitch and whether it is struck; ``in_bar`` and ``tied`` are brought up to date.

    ``tied`` has of each written note with a tie, and of each pitch, where it ends and its alteration.
    """
    found, held = [], dict(tied)
    for sign, name, shift, holds in notes:
        letter, (until, alter) = name.upper(), held.get((name, shift), (None, 0))
        if sign:
            in_bar[letter] = ALTERS[sign]
        if letter in in_bar or until != onset:
            alter = in_bar.get(letter, key.get(letter, 0))
        pitch = 60 + 12 * name.islower() + shift + SEMITONES[letter] + alter
        found.append((pitch, held.get(pitch, (None, 0))[0] != onset))
        if holds:
            tied[name, shift] = tied[pitch] = end, alter
    return found
