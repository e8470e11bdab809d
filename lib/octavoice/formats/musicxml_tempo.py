"""The tempi of a MusicXML score, whichever of its parts tells them: a singer's often does so for the piano."""

import re
from collections.abc import Iterator
from fractions import Fraction
from xml.etree import ElementTree

from octavoice.music.roll import STEPS_PER_QUARTER
from octavoice.music.tempo import Tempos, tempo_map

UNITS = {"breve": 8, "whole": 4, "half": 2, "quarter": 1, "eighth": Fraction(1, 2), "16th": Fraction(1, 4),
         "32nd": Fraction(1, 8)}
"""Quarters of a metronome mark's beat."""
NUMBER = re.compile(r"\s*\d{1,6}(\.\d{1,9})?\s*", re.ASCII)


def tempos_of(root: ElementTree.Element, bars: list[Fraction]) -> Tempos:
    """The tempo map of a score whose bars begin at ``bars``, in quarters.

    A tempo is told by ``<sound tempo>``, in a direction or beside it, or else by a metronome mark such as ♩. = 60.
    """
    told = []
    for part in root.findall("part"):
        if part.find(".//sound[@tempo]") is not None or part.find(".//metronome") is not None:
            divisions = 1
            for measure, start in zip(part.iterfind("measure"), bars, strict=False):
                divisions = _number(measure.findtext("attributes/divisions")) or divisions
                told += [(STEPS_PER_QUARTER * (start + at), tempo) for at, tempo in _of_bar(measure, divisions)]
    return tempo_map(told)


def _of_bar(measure: ElementTree.Element, divisions: Fraction) -> Iterator[tuple[Fraction, float]]:
    """``(quarters from the bar's beginning, quarters per minute)`` of each tempo that a bar tells."""
    now = Fraction(0)
    for element in measure:
        length = (_number(element.findtext("duration")) or 0) / divisions
        if element.tag == "backup":
            now = max(Fraction(0), now - length)
        elif element.tag == "forward" or (element.tag == "note" and element.find("chord") is None
                                          and element.find("grace") is None):
            now += length
        elif element.tag in ("sound", "direction") and (tempo := _told(element)):
            offset = _signed(element.findtext("offset")) / divisions
            yield max(Fraction(0), now + offset), float(tempo)


def _told(element: ElementTree.Element) -> Fraction | None:
    """Quarters per minute that a ``<sound>`` or ``<direction>`` tells, if it does."""
    sound = element if element.tag == "sound" else element.find("sound")
    if sound is not None and (tempo := _number(sound.get("tempo"))):
        return tempo
    metronome = element.find("direction-type/metronome")
    if metronome is None or len(metronome.findall("beat-unit")) != 1:
        return None
    beats = _number(metronome.findtext("per-minute"))
    unit = UNITS.get((metronome.findtext("beat-unit") or "").strip())
    return beats and unit and beats * unit * (2 - Fraction(1, 2 ** min(4, len(metronome.findall("beat-unit-dot")))))


def _number(text: str | None) -> Fraction | None:
    """A number above 0 of at most nine digits; None for another text."""
    return (Fraction(text.strip()) or None) if text and NUMBER.fullmatch(text) else None


def _signed(text: str | None) -> Fraction:
    text = (text or "").strip()
    return -(_number(text[1:]) or Fraction(0)) if text.startswith("-") else _number(text) or Fraction(0)
