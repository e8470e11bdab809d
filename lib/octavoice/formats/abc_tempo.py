"""The tempi of an ABC tune: its ``Q:`` fields, in the header or between bars (standard 2.1, §3.1.8)."""

import re
from fractions import Fraction

from octavoice.music.roll import STEPS_PER_QUARTER
from octavoice.music.tempo import Tempos, tempo_map

TEMPO = re.compile(r"((?:\d{1,3}/\d{1,3}\s+)*)(?:(\d{1,3}/\d{1,3})\s*=\s*)?(\d{1,4}(?:\.\d{1,9})?)\s*", re.ASCII)
"""Of a field without its words: beats as fractions of a whole note, if they are not a quarter, and how many a minute.
"""
VOICE = re.compile(r"(?:^|\[)V:[ \t]{0,9}([^\s\]]{0,99})[^\]\n]{0,200}\]?", re.M)
MUSIC = re.compile(r"(?P<field>\[Q:[^\]\n]{0,200}\]|^Q:.*$)|^[A-Zmrsw+]:.*$|\"[^\"\n]{0,200}\""
                   r"|\[[A-Za-z]:[^\]\n]{0,200}\]|![^!|\s]{1,20}!|(?P<bar>\||::)|(?P<note>[A-Ga-gxz])", re.M)
"""What of a tune matters here: tempo fields, bar lines, notes; what hides letters of notes is passed over."""


def tempos_of(text: str, first: Fraction, metre: tuple[int, int]) -> Tempos:
    """The tempo map of a tune, whose first bar line stands at ``first`` quarters.

    A field inside the tune is taken to stand at the bar line before it, in the voice that the tune begins with, and
    every bar after the first to be a full one of ``metre``, the first.
    """
    header, _, body = text.partition("\nK:")
    told = [(0, _quarters(field)) for field in re.findall(r"^Q:(.*)$", header, re.M)]
    opening, *voices = VOICE.split(body.partition("\n")[2])
    first_voice = opening + "".join(lines for name, lines in zip(voices[::2], voices[1::2], strict=True)
                                    if name == voices[0])
    bars = notes = 0
    for found in MUSIC.finditer(first_voice):
        notes += found["note"] is not None
        if found["bar"] and notes:
            bars, notes = bars + 1, 0
        if found["field"]:
            quarters = first + (bars - 1) * Fraction(4 * metre[0], metre[1]) if bars else 0
            told.append((STEPS_PER_QUARTER * quarters, _quarters(found["field"].strip("[]")[2:])))
    return tempo_map(told)


def _quarters(field: str) -> float:
    """Quarters per minute of a field, 0 for one that tells a tempo in words only: ``1/4 3/8=40``, ``"slow" 1/8=80``."""
    found = TEMPO.fullmatch(re.sub(r'"[^"\n]*"', "", field).strip())
    if not found:
        return 0.0
    beats = re.findall(r"(\d+)/(\d+)", f"{found[1]} {found[2] or ''}")
    wholes = sum(Fraction(int(over), max(1, int(under))) for over, under in beats) or Fraction(1, 4)
    return float(4 * wholes) * float(found[3])
