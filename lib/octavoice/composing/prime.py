"""What a continuation starts from: a music file, a named pitch class or chord, or silence.

A file is read by the readers of a corpus, but none of the filters of §7.1 is applied: whatever it is,
it is put on the grid and continued, and :attr:`Prime.remark` says what had to be done.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import symusic
from music21 import harmony

from octavoice.corpus.filters import MAX_TRACKS, STRICT_OFF_GRID, foreign_times
from octavoice.corpus.sources import READERS, read_score
from octavoice.errors import UserError, shown
from octavoice.music.durations import until_next
from octavoice.music.formats import musicxml
from octavoice.music.formats.midi_events import unwrapped
from octavoice.music.piece import Piece, bar_steps
from octavoice.music.roll import KEYS, LOWEST_MIDI, STEPS_PER_BAR, STEPS_PER_QUARTER, trim

TEMPO, VELOCITY = 120.0, 80
"""Quarters per minute and MIDI loudness where the prime tells none (scores tell no loudness here)."""
SLOWEST, FASTEST = 10.0, 1000.0
"""Tempi beyond these are taken for slips, and ``TEMPO`` for them."""
LOWEST_ROOT = 55
"""Named notes begin at or above this MIDI number, the G below middle C."""
BUILT_IN = "bwv66.6"
"""A chorale that comes with music21; its upbeat and first two bars are the notebook's prime."""
TEMPI = {".krn": rb"^\*MM()()(\d+(?:\.\d+)?)", ".abc": rb"^Q:\s*(?:\"[^\"\n]*\"\s*)?(?:(\d+)/(\d+)\s*=\s*)?(\d+)",
         ".xml": rb"<sound\b[^>]*\btempo=\"()()(\d+(?:\.\d+)?)\""}
"""Where scores tell the tempo: a beat as a fraction of a whole note, if it is not a quarter, and beats per minute."""
NAMED = re.compile(r"([A-Ga-g])(#|b|-|♯|♭)?\s*(.*)")


@dataclass(frozen=True)
class Prime:
    """What is continued. ``roll`` ``(time, key)`` begins with the first onset: there the clock starts.

    ``lead``      steps of rest that belong before it, from the bar line on
    ``metre``     (beats, unit) in force at its end
    ``tempo``     quarters per minute in force at its end
    ``velocity``  mean loudness of its notes, 1..127
    ``remark``    what had to be done to it, one sentence, or nothing
    ``durations`` the steps for which its notes are held, a grid ``(time, key)``, beyond its end too; by the thesis's
                  rule if None
    """

    name: str
    roll: np.ndarray
    lead: int = 0
    metre: tuple[int, int] = (4, 4)
    tempo: float = TEMPO
    velocity: int = VELOCITY
    remark: str = ""
    durations: np.ndarray | None = None

    @property
    def held(self) -> np.ndarray:
        """``durations``, or what the thesis's rule makes of them."""
        return until_next(self.roll) if self.durations is None else self.durations

    @property
    def bar(self) -> int:
        """Steps of one bar."""
        return bar_steps(self.metre)


def resolve(text: str) -> Prime:
    """A prime from what a user gives: a music file's path, the name of a pitch class or chord, or "" for silence."""
    if Path(text).suffix.lower() in READERS or Path(text).is_file():
        return read(Path(text))
    return named(text) if text else silence()


def silence() -> Prime:
    """One bar of rests."""
    return Prime("silence", np.zeros((STEPS_PER_BAR, KEYS), np.uint8))


def named(text: str) -> Prime:
    """A pitch class (``C``, ``F#``, ``Bb``) or chord (``A minor``, ``G7``, ``Bbmaj7``), held for one bar.

    Raises :class:`UserError` for a text that is neither, nor a music file that exists.
    """
    try:
        letter, accidental, kind = NAMED.fullmatch(text.strip()).groups()
        root = letter.upper() + (accidental or "").translate({ord("b"): "-", ord("♭"): "-", ord("♯"): "#"})
        quality = {"major": "", "minor": "m"}.get(kind.lower(), kind)
        pitches = [pitch.midi for pitch in harmony.ChordSymbol(root + quality).pitches]
    except Exception as error:  # music21 raises many kinds for what is no chord
        raise UserError(f"{text!r} is neither a music file nor a pitch class or chord; give a file that exists "
                        f"({', '.join(READERS)}), or a name such as C, F#, \"A minor\" or G7.") from error
    pitches = pitches if kind else pitches[:1]
    roll = np.zeros((STEPS_PER_BAR, KEYS), np.uint8)
    roll[0, np.array(pitches) + -(-(LOWEST_ROOT - min(pitches)) // 12) * 12 - LOWEST_MIDI] = 1
    return Prime(text.strip(), roll, durations=until_next(roll))


def built_in() -> Prime:
    """The first bars of a chorale by Bach that comes with music21."""
    from music21 import corpus

    piece = read_score(Path(corpus.getWork(BUILT_IN)))
    end = piece.pickup + 2 * STEPS_PER_BAR
    return Prime(f"BWV {BUILT_IN[3:]}", piece.roll[:end], -piece.pickup % STEPS_PER_BAR, durations=piece.held[:end])


def read(path: Path) -> Prime:
    """A prime from a MIDI, MusicXML, Humdrum or ABC file, without any filter.

    Raises :class:`UserError` for a file that cannot be read, of another kind, or without a note on the 88 keys.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise UserError(f"{path}: is no music file this program reads; give one that ends in {', '.join(READERS)}.")
    piece = READERS[path.suffix.lower()](path)
    if not piece.roll.any():
        raise UserError(f"{path}: holds no note on the 88 keys of the piano; transpose it.")
    midi = READERS[path.suffix.lower()] is READERS[".mid"]
    metre, line, tempo, velocity = _from_midi(path, piece) if midi else _from_score(path, piece)
    roll = trim(piece.roll)
    lead = (piece.steps - len(roll) - line) % bar_steps(metre)
    return Prime(shown(path.name), roll, lead, metre, tempo, velocity, _remark(shown(path.name), piece, metre, midi),
                 piece.held[-len(roll):])


def _from_midi(path: Path, piece: Piece) -> tuple[tuple[int, int], int, float, int]:
    """Time signature at the end of a MIDI file, a step with a bar line, the tempo there, and the mean velocity."""
    score = symusic.Score.from_midi(unwrapped(path.read_bytes()))
    notes = [track.notes.numpy() for track in score.tracks if len(track.notes) and not track.is_drum]
    last = max((int(part["time"].max()) for part in notes), default=score.end())  # else nothing ends a note in it
    signature = max((s for s in score.time_signatures if s.time <= last), key=lambda s: s.time, default=None)
    tempo = max((t for t in score.tempos if t.time <= last), key=lambda t: t.time, default=None)
    loudness = np.concatenate([part["velocity"] for part in notes] or [[VELOCITY]]).mean()
    line = round(STEPS_PER_QUARTER * signature.time / score.ticks_per_quarter) if signature else 0
    return (_metre((signature.numerator, signature.denominator) if signature else (4, 4)), line,
            _tempo(tempo.qpm if tempo else TEMPO), int(np.clip(round(float(loudness)), 1, 127)))


def _from_score(path: Path, piece: Piece) -> tuple[tuple[int, int], int, float, int]:
    """The last new time signature of a score, its first bar line, the tempo that it tells last, and ``VELOCITY``."""
    suffix = path.suffix.lower()
    told = re.findall(TEMPI.get(suffix, TEMPI[".xml"]), _text(path), re.MULTILINE)
    over, under, beats = told[-1] if told else (b"", b"", TEMPO)
    tempo = float(beats) * (4 * int(over) / max(1, int(under)) if over else 1)
    return _metre(piece.time_signatures[-1]), piece.pickup, _tempo(tempo), VELOCITY


def _text(path: Path) -> bytes:
    """The text of a score that its reader has accepted, unpacked by the reader's own rules."""
    data = path.read_bytes()
    return musicxml.unpacked(data) if data[:2] == b"PK" else data


def _metre(pair: tuple[int, int]) -> tuple[int, int]:
    """A time signature whose bar is whole sixteenths; 4/4 for any other."""
    try:
        bar_steps(pair)
    except ValueError:
        return 4, 4
    return tuple(pair)


def _tempo(quarters: float) -> float:
    return float(quarters) if SLOWEST <= quarters <= FASTEST else TEMPO


def _remark(name: str, piece: Piece, metre: tuple[int, int], midi: bool) -> str:
    """One sentence on what is unlike the music that the networks know, and what was done; or nothing."""
    odd = foreign_times(piece)
    found = [f"is in {odd} where the networks know 4/4"] if odd else []
    if piece.off_grid > STRICT_OFF_GRID:
        found.append(f"has {piece.off_grid:.0%} of its onsets off the grid of sixteenths")
    if piece.tracks > MAX_TRACKS and midi:
        found.append(f"has {piece.tracks} tracks")
    if piece.outside:
        found.append(f"has {piece.outside} notes outside the piano's 88 keys, which are left out")
    done = f"it was quantised to sixteenths, is written in {metre[0]}/{metre[1]} and continued as one piano part"
    return f"{name} {', '.join(found[:-1])}{' and ' if found[1:] else ''}{found[-1]}; {done}." if found else ""
