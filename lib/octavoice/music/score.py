"""Engraving: an onset roll as a piano score on two staves (thesis §2.2).

A roll has axes ``(time, key)``, one step per sixteenth; a bar is 4/4 unless said otherwise. As §2.2 says,
a chord sounds until the next step that has an onset in any key, so both staves change together.
music21 holds the score, verovio draws it, resvg turns the drawing into pixels; none of them
needs a screen, and the same roll gives the same bytes.
"""

import re
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import resvg_py
import verovio
from music21 import bar, chord, clef, expressions, instrument, layout, metadata, meter, note, pitch, stream, tie
from music21 import key as keys
from music21 import tempo as tempos
from music21.analysis.discrete import KrumhanslSchmuckler
from music21.musicxml.m21ToXml import GeneralObjectExporter

from octavoice.errors import UserError
from octavoice.music.piece import bar_steps
from octavoice.music.roll import CLASSES, KEYS, LOWEST_MIDI, STEPS_PER_QUARTER, compress
from octavoice.paths import atomic

REACH = 9
"""The split may wander this many semitones from where it was asked for."""
CROSSING = 4
"""Price of a staff falling silent or waking up: that of a note four semitones on the wrong side of the split."""
STRETCH = 16
"""Widest chord that one hand takes without extra cost, in semitones."""
VALUES = {1, 2, 3, 4, 6, 8, 12, 16, 24}
"""Lengths in steps that one note can have, dotted ones included."""
FINGERS = 3
"""Most notes that one hand takes without extra cost."""
DRAWING = {
    "pageWidth": 2400, "pageHeight": 3300, "scale": 40, "adjustPageHeight": True, "breaks": "auto",
    "footer": "none", "font": "Bravura", "smuflTextFont": "none", "spacingSystem": 8, "svgViewBox": False,
    "minLastJustification": 0.5, "staffLineWidth": 0.2, "stemWidth": 0.25, "xmlIdSeed": 2018,
}
"""verovio's options; lengths in its own unit, a tenth of a millimetre on paper."""


def find_key(x12: np.ndarray) -> keys.Key | None:
    """The key of a compressed roll ``(time, pitch_class)``, by music21's Krumhansl–Schmuckler analysis.

    music21 weighs a class by its sounding time; here by its onsets, as a roll has no lengths.
    ``correlationCoefficient`` of the result says how well the profile fits. None without an onset.
    """
    onsets = np.asarray(x12).reshape(-1, CLASSES).sum(axis=0, dtype=np.int64)
    if not onsets.any():
        return None
    histogram = stream.Stream([note.Note(LOWEST_MIDI + p, quarterLength=int(n)) for p, n in enumerate(onsets) if n])
    (tonic, mode, correlation), _ = KrumhanslSchmuckler().process(histogram)
    found = nearest_key(tonic, mode)
    found.correlationCoefficient = float(correlation)
    return found


def nearest_key(tonic: pitch.Pitch, mode: str) -> keys.Key:
    """music21's key on a tonic, respelled where that saves more than six accidentals (D♭ major, not C♯ major)."""
    found = keys.Key(tonic.name, mode)
    return found if abs(found.sharps) <= 6 else keys.Key(tonic.getEnharmonic().name, mode)


def as_key(name: str | keys.Key) -> keys.Key:
    """``"F♯ minor"`` or ``"B- major"`` as music21's key; a key stays what it is, another text is a UserError."""
    if isinstance(name, keys.Key):
        return name
    tonic, _, mode = name.replace("♭", "-").replace("♯", "#").partition(" ")
    if tonic[:1] not in tuple("ABCDEFG") or tonic[1:] not in ("", "#", "-") or mode not in ("major", "minor"):
        raise UserError(f"{name!r} is not a key; write it as in \"F# minor\" or \"B- major\".")
    return keys.Key(tonic, mode)


def spell(midi: int, signature: keys.Key) -> pitch.Pitch:
    """A MIDI number spelled in a key: its scale, and outside it a near neighbour on the line of fifths.

    Twelve neighbours on that line serve, from three fifths below the tonic of a major key (E♭ in C)
    to eight above (G♯); a minor key reaches one fifth higher than its relative (D♯ in A minor). Of double
    accidentals only a leading tone's is kept (F𝄪 in G♯ minor, but D in F♯ major, not C𝄪).
    """
    lowest = signature.sharps - (3 if signature.mode == "major" else 2)
    fifths = lowest + (7 * midi - lowest) % 12
    leading = signature.sharps + (5 if signature.mode == "major" else 8)
    if fifths > 12 and fifths != leading:  # beyond B♯, 12 fifths above C, lie the double sharps
        fifths -= 12
    elif fifths < -8:  # beyond F♭ the double flats
        fifths += 12
    letter, alter = "FCGDAEB"[(fifths + 1) % 7], (fifths + 1) // 7
    octave = (midi - alter) // 12 - 1
    return pitch.Pitch(letter + ("#" * alter if alter > 0 else "-" * -alter), octave=octave)


def split_points(roll: np.ndarray, split: int = 60) -> np.ndarray:
    """Where the treble staff begins at each struck step: MIDI numbers ``(struck,)`` near ``split``.

    The cheapest path (Viterbi) through the points within ``REACH`` of ``split``: a note pays for being
    on the wrong side of ``split``, by the square of the distance; a hand pays beyond ``STRETCH`` or
    ``FINGERS``; the point pays for moving, and a staff for falling silent or waking up. So a line that
    crosses ``split`` for a moment stays on its staff.
    """
    points = np.arange(split - REACH, split + REACH + 1)
    moving = np.abs(points[:, None] - points)
    total, came_from, before = np.zeros(len(points)), [], None
    for step in roll[roll.any(axis=-1)]:
        cost, sounding = _hands(np.flatnonzero(step) + LOWEST_MIDI, points, split)
        change = 0 if before is None else CROSSING * (before[:, None] != sounding[None]).sum(axis=-1)
        reached = total[:, None] + moving + change
        came_from.append(reached.argmin(axis=0))
        total, before = reached.min(axis=0) + cost, sounding
    path = [int(total.argmin())]
    for back in reversed(came_from):
        path.append(int(back[path[-1]]))
    return points[path[-2::-1]]


def _hands(notes: np.ndarray, points: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
    """What a chord (MIDI numbers, ascending) costs at each split point, and which hands play: ``(point, 2)``."""
    right = notes >= points[:, None]
    beyond = np.where(right, np.maximum(split - notes, 0), np.maximum(notes - split + 1, 0))
    cost = (beyond**2).sum(axis=-1) / 4
    for hand in (right, ~right):
        high, low = np.where(hand, notes, -999).max(axis=-1), np.where(hand, notes, 999).min(axis=-1)
        cost += 2 * np.maximum(high - low - STRETCH, 0) + 2 * np.maximum(hand.sum(axis=-1) - FINGERS, 0)
    return cost, np.stack([right.any(axis=-1), (~right).any(axis=-1)], axis=-1)


def _divided(parts: tuple) -> int | tuple:
    """Parts of a bar as a tree: halves as long as there are four or more; a number where all below is halves."""
    if len(set(parts)) == 1 and isinstance(parts[0], int) and len(parts) & (len(parts) - 1) == 0:
        return sum(parts)
    half = (len(parts) + 1) // 2
    return parts if len(parts) <= 3 else (_divided(parts[:half]), _divided(parts[half:]))


@cache
def beats_of(metre: tuple[int, int]) -> int | tuple:
    """How a bar divides: 16 in 4/4 (halves of halves), (4, 4, 4) in 3/4, two times (2, 2, 2) in 6/8, 3 + 2 in 5/4."""
    steps, count = bar_steps(metre) // metre[0], metre[0]
    threes = count > 3 and count % 3 == 0
    return _divided(((steps,) * 3,) * (count // 3) if threes else (steps,) * count)


def _length(node: int | tuple) -> int:
    return node if isinstance(node, int) else sum(map(_length, node))


def values(start: int, end: int, rest: bool = False, metre: tuple[int, int] = (4, 4)) -> list[tuple[int, int]]:
    """Cut the steps ``[start, end)`` into note values, ``(start, length)`` each, that show the beat.

    Every bar line cuts. The smallest part of the bar that holds a stretch (bar, half, beat, eighth) is made of two
    or three equal parts, or uneven ones. A stretch is one value if it fills some of them. Over two
    neighbours it is also one if it fills three quarters of them, or their middle half (a syncopation);
    else the first border after its start, or if it starts on one the last before its end, cuts. A
    rest may only fill a part, or be the first three quarters of a beat.
    """
    size = bar_steps(metre)
    bar = start // size * size
    if end > bar + size:
        return values(start, bar + size, rest, metre) + values(bar + size, end, rest, metre)
    if rest and (start, end) == (bar, bar + size):
        return [(start, size)]
    return [(bar + at, length) for at, length in _cut(start - bar, end - bar, beats_of(metre), rest)]


def _cut(start: int, end: int, node: int | tuple, rest: bool) -> list[tuple[int, int]]:
    """:func:`values` within one part of a bar, counted from its beginning."""
    parts = (node // 2, node // 2) if isinstance(node, int) and node > 1 else node if node != 1 else ()
    borders = list(accumulate(map(_length, parts), initial=0)) if parts else [0, 1]
    for at, part in zip(borders, parts, strict=False):
        if at <= start and end <= at + _length(part) < at + borders[-1]:
            return [(at + place, length) for place, length in _cut(start - at, end - at, part, rest)]
    whole = {start, end} <= set(borders) and end - start in VALUES and (not rest or end - start == borders[-1])
    if whole or any(_one_value(start - at, end - start, left, right, rest)
                    for at, left, right in zip(borders, parts, parts[1:], strict=False)):
        return [(start, end - start)]
    cut = max(b for b in borders if b < end) if start in borders else min(b for b in borders if b > start)
    return _cut(start, cut, node, rest) + _cut(cut, end, node, rest)


def _one_value(offset: int, length: int, left: int | tuple, right: int | tuple, rest: bool) -> bool:
    """Whether a stretch is three quarters or the middle half of two equal neighbours that halve."""
    if left != right or not isinstance(left, int) or not 0 <= offset <= 2 * left - length:
        return False
    dotted = 2 * length == 3 * left and (not rest or (offset == 0 and left <= STEPS_PER_QUARTER // 2))
    return dotted or (length == left == 2 * offset and not rest)


def _events(roll: np.ndarray, split: int, size: int) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...]]]:
    """``(start, end, right, left)`` of each chord, and of silence before the first and to the end of the last bar."""
    struck = np.flatnonzero(roll.any(axis=-1))
    steps = max(1, -(-len(roll) // size)) * size
    events = [(0, int(struck[0]) if len(struck) else steps, (), ())]
    ends = np.append(struck, len(roll))[1:]
    for t, end, point in zip(struck, ends, split_points(roll, split), strict=True):
        notes = [int(k) + LOWEST_MIDI for k in np.flatnonzero(roll[t])]
        events.append((int(t), int(end), tuple(n for n in notes if n >= point), tuple(n for n in notes if n < point)))
    events.append((events[-1][1], steps, (), ()))
    return [event for event in events if event[0] < event[1]]


def _stretches(events: list[tuple[int, int, tuple[int, ...]]]) -> list[tuple[int, int, tuple[int, ...]]]:
    """One staff's ``(start, end, notes)``, its neighbouring rests made one."""
    merged = []
    for start, end, notes in events:
        if merged and not notes and not merged[-1][2]:
            start = merged.pop()[0]
        merged.append((start, end, notes))
    return merged


def _written(notes: tuple[int, ...], length: int, signature: keys.Key, link: str | None) -> note.GeneralNote:
    """A rest, note or chord of ``length`` steps, tied as ``link`` says (start, continue, stop or None)."""
    quarters = length / STEPS_PER_QUARTER
    pitches = [spell(n, signature) for n in notes]
    if not notes:
        return note.Rest(quarterLength=quarters)
    if len(notes) == 1:
        written = note.Note(pitches[0], quarterLength=quarters)
    else:
        written = chord.Chord(pitches, quarterLength=quarters)
    if link:
        written.tie = tie.Tie(link)
    return written


def _staff(events: list, steps: int, signature: keys.Key, metre: tuple[int, int], sign: clef.Clef,
           name: str, first_bar: int) -> stream.PartStaff:
    """One staff in full bars of ``metre`` from its ``(start, end, notes)`` over ``steps`` steps."""
    size = bar_steps(metre)
    bars = [stream.Measure(number=first_bar + n) for n in range(steps // size)]
    bars[0].append([sign, keys.KeySignature(signature.sharps), meter.TimeSignature("{}/{}".format(*metre))])
    for start, end, notes in _stretches(events):
        parts = values(start, end, not notes, metre)
        links = [None] if len(parts) == 1 else ["start", *["continue"] * (len(parts) - 2), "stop"]
        for (at, length), link in zip(parts, links, strict=True):
            bars[at // size].insert(at % size / STEPS_PER_QUARTER, _written(notes, length, signature, link))
    bars[-1].rightBarline = bar.Barline("final")
    staff = stream.PartStaff(bars, id=name)
    staff.partName = staff.partAbbreviation = ""
    staff.makeNotation(inPlace=True)
    return staff


def _piano() -> instrument.Instrument:
    """music21's piano with names of its own, where music21 would draw random ones."""
    piano = instrument.Piano()
    piano.partId, piano.instrumentId, piano.midiChannel = "P1", "P1-I1", 0
    return piano


def to_score(roll: np.ndarray, *, title: str = "", key: str | keys.Key | None = None, split: int = 60,
             mark: int | None = None, metre: tuple[int, int] = (4, 4), tempo: float | None = None,
             first_bar: int = 1) -> stream.Score:
    """A roll ``(time, key)`` as a piano score, every chord held until the next onset (§2.2).

    ``key`` (a name such as ``"F♯ minor"`` or music21's key) spells the notes; without it the roll's
    own key is found. ``split`` is the MIDI number near which the staves part. ``mark`` is the step
    over which "continuation" is written. ``metre`` is (beats, unit), its first bar begins at step 0, and the
    last bar is filled with rests. ``tempo`` in quarters per minute stands over the first bar if given, which is
    numbered ``first_bar``. Raises ValueError for another shape, a mark outside the bars, or a metre that is
    not of whole sixteenths.
    """
    if roll.ndim != 2 or roll.shape[1] != KEYS:
        raise ValueError(f"a roll has axes (time, {KEYS}), not {roll.shape}")
    signature, size = as_key(key or find_key(compress(roll)) or "C major"), bar_steps(metre)
    events = _events(roll, split, size)
    steps = events[-1][1]
    if mark is not None and not 0 <= mark < steps:
        raise ValueError(f"mark {mark} lies outside the {steps} steps of the score")
    hands = [_staff([(event[0], event[1], event[hand]) for event in events], steps, signature, metre, sign, name,
                    first_bar) for hand, sign, name in ((2, clef.TrebleClef(), "right"), (3, clef.BassClef(), "left"))]
    if tempo is not None:
        hands[0].measure(first_bar).insert(0, tempos.MetronomeMark(number=round(tempo), referent="quarter"))
    if mark is not None:
        text = expressions.TextExpression("continuation")
        text.placement = "above"
        hands[0].measure(first_bar + mark // size).insert(mark % size / STEPS_PER_QUARTER, text)
    hands[0].insert(0, _piano())
    score = stream.Score([*hands, layout.StaffGroup(hands, symbol="brace", barTogether=True)])
    score.metadata = metadata.Metadata(title=title or None)
    return score


def musicxml(score: stream.Score) -> bytes:
    """A score as MusicXML, without the date and music21's stand-ins, so that equal scores give equal bytes."""
    data = GeneralObjectExporter(score).parse()
    for element in (rb"encoding-date>.*?", rb"movement-title>Music21 Fragment", rb'creator type="composer">Music21'):
        data = re.sub(rb"\s*<" + element + rb"</[a-z-]+>", b"", data)
    return data


def to_musicxml(roll: np.ndarray, path: Path, **options) -> Path:
    """Write a roll ``(time, key)`` as MusicXML, atomically; ``options`` are those of :func:`to_score`."""
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(musicxml(to_score(roll, **options)))
    return Path(path)


def engrave(roll: np.ndarray, **options) -> list[str]:
    """A roll ``(time, key)`` as SVG pages, 960 pixels wide; ``options`` are those of :func:`to_score`."""
    verovio.enableLog(verovio.LOG_ERROR)
    toolkit = verovio.toolkit()
    toolkit.setOptions({**DRAWING, "header": "auto" if options.get("title") else "none"})
    toolkit.loadData(musicxml(to_score(roll, **options)).decode())
    pages = [toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]
    return [_portable(page) for page in pages]


def _portable(page: str) -> str:
    """A page without the titles that browsers pop up, and with the metronome's quarter as a letter any font has."""
    page = re.sub(r'\s*<title class="labelAttr">.*?</title>', "", page)
    return re.sub(r'<tspan font-family="Bravura" font-size="\d+px">\ueca5<', '<tspan font-size="405px">♩<', page)


def to_png(svg: str, width: int = 1600) -> bytes:
    """One SVG page as PNG on white, ``width`` pixels wide; at 1600 staff lines are 12 pixels apart, all alike.

    Letters come from the STIX fonts that matplotlib brings along (as wide as the Times that verovio
    reckons with), those that STIX lacks from its DejaVu; fonts of the system play no part.
    """
    import matplotlib  # only here: a score that is not drawn does without

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = [f"STIXGeneral{style}.ttf" for style in ("", "Bol", "Italic", "BolIta")] + ["DejaVuSerif.ttf"]
    return bytes(resvg_py.svg_to_bytes(
        svg_string=svg, width=width, background="white", skip_system_fonts=True,
        font_files=[str(fonts / name) for name in names],
        font_family="STIXGeneral", serif_family="STIXGeneral", sans_serif_family="STIXGeneral"))
