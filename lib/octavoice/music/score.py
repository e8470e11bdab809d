"""Engraving: an onset roll as a piano score on two staves (thesis §2.2).

A roll has axes ``(time, key)``, one step per sixteenth; a bar is 4/4 unless said otherwise. Notes are held as a grid
of durations says, in up to two voices a staff; without one, as in §2.2, a chord sounds until the next step that has an
onset in any key, so both staves change together.
music21 holds the score, verovio draws it, resvg turns the drawing into pixels; none of them
needs a screen, and the same roll gives the same bytes.
"""

import re
from pathlib import Path

import numpy as np
import resvg_py
import verovio
from music21 import (
    bar,
    chord,
    clef,
    dynamics,
    expressions,
    instrument,
    layout,
    metadata,
    meter,
    note,
    pitch,
    stream,
    tie,
)
from music21 import key as keys
from music21 import tempo as tempos
from music21.analysis.discrete import KrumhanslSchmuckler
from music21.musicxml.m21ToXml import GeneralObjectExporter

from octavoice.errors import UserError
from octavoice.music.hands import hands
from octavoice.music.notation import finished, tidied
from octavoice.music.piece import bar_steps
from octavoice.music.roll import CLASSES, KEYS, LOWEST_MIDI, STEPS_PER_QUARTER, compress
from octavoice.music.tempo import Tempos, by_bars, constant
from octavoice.music.voices import Written, in_bars, shared, shortened
from octavoice.paths import atomic

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


def midi_key(key: keys.Key | None) -> str | None:
    """MIDI's name of a key, ``F#m``, ``Bb``; None for none."""
    return None if key is None else key.tonic.name.upper().replace("-", "b") + "m" * (key.mode == "minor")


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


def _note(written: Written, signature: keys.Key) -> note.GeneralNote:
    """music21's rest, note or chord for what is written in a bar."""
    quarters = written.length / STEPS_PER_QUARTER
    pitches = [spell(n, signature) for n in written.notes]
    if not pitches:
        made = note.Rest(quarterLength=quarters)
        made.style.hideObjectOnPrint = written.hidden
    elif len(pitches) == 1:
        made = note.Note(pitches[0], quarterLength=quarters)
    else:
        made = chord.Chord(pitches, quarterLength=quarters)
    if written.link:
        made.tie = tie.Tie(written.link)
    return made


def _fill(measure: stream.Stream, voice: list[Written], signature: keys.Key, stems: str | None = None) -> None:
    """Put what is written in a bar into music21's."""
    for written in voice:
        made = _note(written, signature)
        if stems and written.notes:
            made.stemDirection = stems
        measure.insert(written.at / STEPS_PER_QUARTER, made)


def _staff(bars: list[list[list[Written]]], signature: keys.Key, metre: tuple[int, int], sign: clef.Clef, name: str,
           first_bar: int, first_voice: int | None) -> stream.PartStaff:
    """One staff from its ``[bar][voice]``; voices are numbered from ``first_voice``, or not at all if None."""
    measures = [stream.Measure(number=first_bar + n) for n in range(len(bars))]
    measures[0].append([sign, keys.KeySignature(signature.sharps), meter.TimeSignature("{}/{}".format(*metre))])
    for measure, voices in zip(measures, bars, strict=True):
        if first_voice is None:
            _fill(measure, voices[0], signature)
            continue
        for place, voice in enumerate(voices):
            inner = stream.Voice(id=first_voice + place)
            _fill(inner, voice, signature, ("up", "down")[place] if voices[1:] else None)
            measure.insert(0, inner)
    measures[-1].rightBarline = bar.Barline("final")
    staff = stream.PartStaff(measures, id=name)
    staff.partName, staff.partAbbreviation = "Piano", ""
    staff.makeNotation(inPlace=True)
    return staff


def _piano() -> instrument.Instrument:
    """music21's piano with names of its own, where music21 would draw random ones."""
    piano = instrument.Piano()
    piano.partId, piano.instrumentId, piano.midiChannel = "P1", "P1-I1", 0
    return piano


def to_score(roll: np.ndarray, *, title: str = "", key: str | keys.Key | None = None, split: int = 60,
             mark: int | None = None, metre: tuple[int, int] = (4, 4), tempo: float | Tempos | None = None,
             first_bar: int = 1, durations: np.ndarray | None = None, dynamic: str = "") -> stream.Score:
    """A roll ``(time, key)`` as a piano score, its notes held as the grid ``durations`` ``(time, key)`` says.

    Without a grid every chord is held until the next onset (§2.2); ends are written as :func:`tidied`. ``key`` (a name
    such as ``"F♯ minor"`` or music21's key) spells the notes; without it the roll's own key is found. ``split`` is the
    MIDI number near which the staves part. ``mark`` is the step over which "continuation" is written. ``metre`` is
    (beats, unit), its first bar begins at step 0, and the last bar is filled with rests. ``tempo`` in quarters per
    minute, or a map, stands over the bars if given, the first of which is numbered ``first_bar``; ``dynamic``, such as
    ``mf``, under the first. ``editorial.shortened`` of the result counts the notes that do not fit into two voices a
    staff whole. Raises ValueError for another shape, a mark outside the bars, or a metre that is not of whole
    sixteenths.
    """
    if roll.ndim != 2 or roll.shape[1] != KEYS:
        raise ValueError(f"a roll has axes (time, {KEYS}), not {roll.shape}")
    signature, size = as_key(key or find_key(compress(roll)) or "C major"), bar_steps(metre)
    steps = max(1, -(-len(roll) // size)) * size
    if mark is not None and not 0 <= mark < steps:
        raise ValueError(f"mark {mark} lies outside the {steps} steps of the score")
    staves, cut = _staves(roll, split, durations, steps, signature, metre, first_bar)
    for step, mark_of in _metronome_marks(constant(tempo), steps, size) if tempo is not None else ():
        staves[0].measure(first_bar + int(step) // size).insert(step % size / STEPS_PER_QUARTER, mark_of)
    if dynamic:
        loudness = dynamics.Dynamic(dynamic)
        loudness.placement = "below"
        staves[0].measure(first_bar).insert(0, loudness)
    if mark is not None:
        text = expressions.TextExpression("continuation")
        text.placement = "above"
        staves[0].measure(first_bar + mark // size).insert(mark % size / STEPS_PER_QUARTER, text)
    staves[0].insert(0, _piano())
    score = stream.Score([*staves, layout.StaffGroup(staves, symbol="brace", barTogether=True)])
    score.metadata = metadata.Metadata(title=title or None)
    score.editorial.shortened = cut
    return score


def _metronome_marks(told: Tempos, steps: int, size: int) -> list[tuple[float, tempos.MetronomeMark]]:
    """``(step, mark)`` of each tempo :func:`by_bars`; drawn are the first and the steady ones."""
    made = []
    for step, qpm, steady in by_bars(told, steps, size):
        mark = tempos.MetronomeMark(number=round(qpm) if steady or not made else None, numberSounding=round(qpm, 3),
                                    referent="quarter")
        mark.placement = "above"
        made.append((step, mark))
    return made


def _staves(roll: np.ndarray, split: int, durations: np.ndarray | None, steps: int, signature: keys.Key,
            metre: tuple[int, int], first_bar: int) -> tuple[list[stream.PartStaff], int]:
    """Right and left hand as staves, and how many notes were shortened. Voices are told apart if a bar needs two."""
    chords = [tidied(hand, bar_steps(metre)) for hand in hands(roll, split, durations)]
    voices = [shared(hand, upper_first=hand is chords[0]) for hand in chords]
    bars = [in_bars(*pair, steps, metre) for pair in voices]
    numbers = (1, 3) if any(len(bar) > 1 for staff in bars for bar in staff) else (None, None)
    staves = [_staff(staff, signature, metre, sign, name, first_bar, number) for staff, sign, name, number in
              zip(bars, (clef.TrebleClef(), clef.BassClef()), ("right", "left"), numbers, strict=True)]
    return staves, sum(shortened(hand, *pair) for hand, pair in zip(chords, voices, strict=True))


def musicxml(score: stream.Score) -> bytes:
    """A score as MusicXML, without the date and music21's stand-ins, so that equal scores give equal bytes."""
    data = GeneralObjectExporter(score).parse()
    for element in (rb"encoding-date>.*?", rb"movement-title>Music21 Fragment", rb'creator type="composer">Music21'):
        data = re.sub(rb"\s*<" + element + rb"</[a-z-]+>", b"", data)
    return finished(data)


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
