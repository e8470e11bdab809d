"""ABC in, through music21: a tune or a multi-voice score as an onset roll (thesis §2.2, §7.1).

music21 10.5 reads plain tunes well, but takes letters of ``!decorations!`` for notes, restrikes tied
chords, forgets accidentals within the bar and broken rhythm across a bow or slur, and mixes up interleaved
voices. So the text is first put into a form that it reads exactly (:func:`_voices`), its tokens are taken
note by note (:func:`_read_voice`), and what it cannot read is refused.
"""

import math
import re
from fractions import Fraction
from functools import cache
from pathlib import Path

from octavoice.errors import UserError
from octavoice.music.formats.abc_tempo import tempos_of
from octavoice.music.formats.musicxml import MAX_TICKS
from octavoice.music.notes import MAX_STEPS, MODES, bounded_bytes, from_notes, title_of, to_step, tonic_name
from octavoice.music.piece import Piece
from octavoice.music.roll import STEPS_PER_QUARTER

MAX_BYTES = 2**17
"""Longest ABC text read; a tune takes some hundred bytes, music21 some seconds for a text as long as this."""
KEY = re.compile(r"\s*([A-G])([#b]?)\s*([A-Za-z]{0,12})")
"""What a ``K:`` field begins with; other fields of that name are bagpipes', clefs or none."""
MAX_FIELDS = 2000
"""Most changes of voice, key, metre and unit length: each costs music21 as much as a hundred notes."""
DROPPED = re.compile(r'"[^"\n]*"|\[[A-Za-z]:[^\]\n]{0,200}\]|\{[^}\n]{0,200}\}|![^!|\s]{1,20}!|\+[a-z.]{2,20}\+')
"""In music: chord symbols and annotations, fields without effect, grace notes, decorations."""
ORNAMENTS = re.compile(r"y\d*|\((?!\d)|[^A-Ga-gxz\d/,'^_=|\[\](<>:\s&XZ+-]", re.A)
"""In music: spacing, slurs, bows, dots, one-letter ornaments, and whatever else is no notation of a note."""
METRE = re.compile("^M:(.*)$", re.M)
BARS = re.compile(r":+\||\|:+|(?<!\(\d)::")
"""Bar lines with repeat signs."""
TIED_BROKEN = re.compile(r"([A-Ga-g][,']*)([\d/]*)(?:-\s*([<>]{1,3})|([<>]{1,3})\s*-)\s*([_^=]*[A-Ga-g][,']*)([\d/]*)")
"""Two tied notes in broken rhythm, such as ``c->c``."""
WRITTEN = re.compile(r"^[A-Z]:.*$|(?P<bar>\|)|(?P<sign>\^\^?|__?|=)?(?P<note>[A-Ga-g][,']*)"
                     r"(?P<tied>(?=[\d/]*-|[^\[\]|\n]{0,100}\][\d/]*-))?", re.M)
"""What :func:`_spell_out` looks at: fields, bar lines, notes with their accidental and tie."""


def read_abc(path: Path) -> Piece:
    """Read an ABC file that holds one tune into a :class:`Piece`.

    ``tracks`` counts the voices that hold notes, so a tune on one staff has one. Chord symbols and
    grace notes are left out, repeats are not expanded, pitch is as written (clefs and ``transpose=``
    shift nothing). The pickup is what stands before the first bar line if that is less than a bar.
    Raises :class:`UserError` for a file that is not ABC, holds several tunes, no notes, a notation
    that is not read (voice overlays ``&``, rests of whole bars ``Z``, chords as ``+CEG+``), or is
    longer than ``MAX_STEPS`` or ``MAX_BYTES``.
    """
    path = Path(path)
    text = bounded_bytes(path, MAX_BYTES).decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    tunes = len(re.findall(r"^X:", text, re.M))
    if tunes > 1:
        raise UserError(f"{path}: holds {tunes} tunes; save each in a file of its own.")
    try:
        voices = [voice for voice in map(_read_voice, _voices(text)) if voice[0]]
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
                      title=title_of(*re.findall(r"^T:(.*)$", text, re.M)[:1]),
                      tempos=tempos_of(text, first, (beats, unit)),
                      pickup=int(to_step(int(first * ticks), ticks)) if first * unit < 4 * beats else 0)


def _key(text: str) -> str | None:
    """The key of a tune's first ``K:`` field: ``Am``, ``B♭``, ``D dorian``."""
    field = re.search(r"^K:(.*)$", text, re.M)
    if not field or not (found := KEY.match(field[1])):
        return None
    letter, accidental, said = found.groups()
    mode = "minor" if said.lower() in ("m", "min") else next(
        (name for name in MODES if len(said) >= 3 and name.startswith(said[:3].lower())), "major")
    return tonic_name(letter, accidental, mode)


def _voices(text: str) -> list[str]:
    """Each voice of a tune as an ABC text of its own that music21 reads exactly.

    The header keeps metre, unit length and key; the tune ends at the first empty line after it.
    """
    text = re.sub(r"(?<!\\)%.*", "", text) + "\n"
    key = re.search(r"^K:.*\n", text, re.M)
    if not key:
        raise ValueError("it has no key field K:")
    header, body = text[:key.start()], text[key.end():]
    fields = METRE.sub(_metre, "".join(re.findall(r"^[ML]:.*\n", header, re.M)))
    if not re.search(r"^L:|^M:\s*C|^M:.*/", fields, re.M):
        fields += "L:1/8\n"
    tune = re.split(r"\n[ \t]*\n", body.lstrip("\n"), maxsplit=1)[0]
    tune = re.sub(r"\[([KLMV]:[^\]\n]{0,200})\]", r"\n\1\n", tune)
    tune = METRE.sub(_metre, tune)
    if len(re.findall("^[KLMV]:", tune, re.M)) > MAX_FIELDS:
        raise ValueError(f"it changes voice, key or metre more than {MAX_FIELDS} times")
    lines, name = {}, ""
    for line in tune.split("\n"):
        if line.startswith("V:"):
            name = (line[2:].split() or [""])[0]
        elif not re.match("[A-Zmrsw+]:", line):
            lines.setdefault(name, []).append(_clean(line))
        elif line[0] in "MLK":
            lines.setdefault(name, []).append(line)
    return [_spell_out("\n".join([f"X:1\n{fields}{key.group()}", *voice, ""])) for voice in lines.values()]


def _metre(found: re.Match) -> str:
    """A metre field as music21 reads it: (2+3)/8 as 5/8, FREI4/4 as 4/4."""
    metre = re.search(r"(?<!\d)(\d{1,2}(?:\s*\+\s*\d{1,2}){0,9})\)?\s*/\s*(\d{1,2})\s*$", found[1], re.A)
    if metre:
        return f"M:{sum(map(int, metre[1].split('+')))}/{metre[2]}"
    if re.search(r"\d", found[1]):
        raise ValueError(f"{found[1].strip()[:20]!r} is no metre")
    return found.group() if re.fullmatch(r"\s*C\|?\s*", found[1]) else "M:none"


def _clean(line: str) -> str:
    """A line of music without what is no note, every repeat sign a plain bar line."""
    line = BARS.sub("|", ORNAMENTS.sub("", DROPPED.sub("", line))).replace("x", "z")
    line = TIED_BROKEN.sub(_break_rhythm, line)
    if unread := re.search("[&XZ+]", line):
        raise ValueError(f"{unread.group()!r} is a notation that is not read here")
    if re.search("[_^=](?![_^=A-Ga-g])", line):
        raise ValueError("it has an accidental without a note")
    return line


def _break_rhythm(found: re.Match) -> str:
    """Two tied notes with their broken rhythm written out; music21 heeds only the tie or the rhythm."""
    first, length, mark, other, second, last = found.groups()
    mark = mark or other
    short = Fraction(1, 2 ** len(mark))
    shares = (2 - short, short) if mark[0] == ">" else (short, 2 - short)
    length, last = (_multiple(text) * share for text, share in zip((length, last), shares, strict=True))
    return f"{first}{length}-{second}{last}"


def _multiple(text: str) -> Fraction:
    """The length written after a note, such as 3/2, / or //, in unit lengths."""
    if not (found := re.fullmatch(r"(\d{0,6})(/*)(\d{0,6})", text, re.A)) or (found[3] and not int(found[3])):
        raise ValueError(f"{text[:20]!r} is no length of a note")
    whole, slashes, part = found.groups()
    return Fraction(int(whole or 1), int(part) if part else 2 ** min(len(slashes), 16))


def _spell_out(text: str) -> str:
    """Write at every note the accidental that holds there: from earlier in the bar, in any octave, or over a tie."""
    in_bar, tied = {}, {}

    def spell(found: re.Match) -> str:
        name = found["note"]
        if found["bar"]:
            in_bar.clear()
        if name is None:
            return found.group()
        sign = found["sign"] or in_bar.get(name[0].lower()) or tied.get(name, "")
        tied.pop(name, None)
        if found["sign"]:
            in_bar[name[0].lower()] = sign
        if found["tied"] is not None:
            tied[name] = sign
        return sign + name
    return WRITTEN.sub(spell, text)


def _read_voice(text: str) -> tuple[list[tuple], list[tuple[int, int]], Fraction]:
    """Notes ``(onset, end, midi_pitch, struck)`` of one voice in quarters, its time signatures, its first bar line.

    A note is tied on if one of the same pitch that ends where it begins carries a tie.
    """
    from music21 import abcFormat

    handler = abcFormat.ABCHandler()
    try:
        handler.process(text)
        events = [_event(token, abcFormat) for token in handler.tokens]
    except Exception as error:
        raise ValueError("music21 does not understand it") from error
    rows, signatures, tied, now, first = [], [], {}, Fraction(0), Fraction(0)
    for kind, value, pitches in events:
        if kind == "metre":
            signatures.append(value)
        elif kind == "bar":
            first = first or now
        elif kind == "note":
            onset, now = now, now + value
            if now.denominator > MAX_TICKS or not onset <= now <= MAX_STEPS // STEPS_PER_QUARTER:
                raise ValueError(f"it is longer than {MAX_STEPS} steps or finer than any real tune")
            rows += [(onset, now, pitch, tied.get(pitch) != onset) for pitch, _ in pitches]
            tied = {pitch: now for pitch, holds in pitches if holds}
    return rows, signatures, first


def _event(token, abcFormat) -> tuple:
    """What a token of music21's says: a metre, a bar line, a note or rest with its quarters and pitches, or nothing."""
    if isinstance(token, abcFormat.ABCBar):
        return "bar", None, ()
    if isinstance(token, abcFormat.ABCMetadata) and token.isMeter() and token.getTimeSignatureParameters():
        return "metre", token.getTimeSignatureParameters()[:2], ()
    if not isinstance(token, abcFormat.ABCNote):
        return "nothing", None, ()
    tuplet = token.activeTuplet
    length = Fraction(token.quarterLength) * (Fraction(tuplet.tupletMultiplier()) if tuplet else 1)
    notes = getattr(token, "subTokens", [token])
    holds = re.findall(r"[A-Ga-g][,'\d/]*(-?)", token.src.split("]")[0])
    all_hold = token.tie in ("start", "continue")
    return "note", length, [(_midi(note.pitchName), all_hold or hold == "-")
                            for note, hold in zip(notes, holds, strict=False) if not note.isRest]


@cache
def _midi(name: str) -> int:
    from music21.pitch import Pitch

    return int(Pitch(name).ps)
