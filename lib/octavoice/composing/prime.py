"""What a continuation starts from: a music file, a named key or chord, or silence.

A file is read by the readers of a corpus, but none of the filters of §7.1 is applied: whatever it is,
it is put on the grid and continued, and :attr:`Prime.remark` says what had to be done.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import symusic

from octavoice.composing import openings
from octavoice.corpus.filters import MAX_TRACKS, STRICT_OFF_GRID, foreign_times
from octavoice.corpus.sources import READERS, read_score
from octavoice.errors import UserError, shown
from octavoice.formats.midi_events import unwrapped
from octavoice.music import keys
from octavoice.music.durations import until_next
from octavoice.music.piece import Piece, bar_steps
from octavoice.music.roll import KEYS, STEPS_PER_BAR, STEPS_PER_QUARTER, trim
from octavoice.music.tempo import TEMPO, Tempos, cut, prevailing

VELOCITY = 80
"""MIDI loudness where the prime tells none (scores tell none here)."""
BUILT_IN = "bwv66.6"
"""A chorale that comes with music21; its upbeat and first two bars are the notebook's prime."""


@dataclass(frozen=True)
class Prime:
    """What is continued. ``roll`` ``(time, key)`` begins with the first onset: there the clock starts.

    ``lead``      steps of rest that belong before it, from the bar line on
    ``metre``     (beats, unit) in force at its end
    ``tempo``     quarters per minute that hold longest in it
    ``velocity``  mean loudness of its notes, 1..127
    ``remark``    what had to be done to it, one sentence, or nothing
    ``durations`` the steps for which its notes are held, a grid ``(time, key)``, beyond its end too; by the thesis's
                  rule if None
    ``declared``  its key, ``F♯ minor``, or signature, ``3 sharps``, if it has one
    ``tempos``    where which tempo holds, ``(step, quarters per minute)``; empty if it is ``tempo`` throughout
    """

    name: str
    roll: np.ndarray
    lead: int = 0
    metre: tuple[int, int] = (4, 4)
    tempo: float = TEMPO
    velocity: int = VELOCITY
    remark: str = ""
    durations: np.ndarray | None = None
    declared: str | None = None
    tempos: Tempos = ()

    @property
    def key(self) -> str | None:
        """Its key, ``F♯ minor``: the declared one, else see :func:`octavoice.music.keys.name_key`; None of silence."""
        return keys.name_key(self.held, self.declared)

    @property
    def held(self) -> np.ndarray:
        """``durations``, or what the thesis's rule makes of them."""
        return until_next(self.roll) if self.durations is None else self.durations

    @property
    def bar(self) -> int:
        """Steps of one bar."""
        return bar_steps(self.metre)


def resolve(text: str) -> Prime:
    """A prime from what a user gives: a music file's path, the name of a key or chord, or "" for silence."""
    if Path(text).suffix.lower() in READERS or Path(text).is_file():
        return read(Path(text))
    return named(text) if text else silence()


def silence() -> Prime:
    """One bar of rests."""
    return Prime("silence", np.zeros((STEPS_PER_BAR, KEYS), np.uint8))


def named(text: str) -> Prime:
    """The written-out opening of a key (``A minor``, ``F#``) or chord (``G7``), two bars of 4/4.

    After a comma may stand which, ``A minor, march``: see :mod:`octavoice.composing.openings`. Raises
    :class:`UserError` for a text that is neither key nor chord, nor a music file that exists, or another opening.
    """
    try:
        durations, key = openings.written(text)
    except ValueError as error:
        raise UserError(f"{text!r} is neither a music file nor a key or chord; give a file that exists "
                        f"({', '.join(READERS)}), or a name such as C, F#, \"A minor\" or G7, and after a comma, if "
                        f"you like, an opening: {', '.join(openings.NAMES)}.") from error
    return Prime(text.strip(), (durations > 0).astype(np.uint8), durations=durations, declared=key)


def built_in() -> Prime:
    """The first bars of a chorale by Bach that comes with music21."""
    from music21 import corpus

    piece = read_score(Path(corpus.getWork(BUILT_IN)))
    end = piece.pickup + 2 * STEPS_PER_BAR
    return Prime(f"BWV {BUILT_IN[3:]}", piece.roll[:end], -piece.pickup % STEPS_PER_BAR, durations=piece.held[:end],
                 declared=keys.name_key(piece.held, piece.key))


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
    metre, line, velocity = (_from_midi(path) if midi
                             else (_metre(piece.time_signatures[-1]), piece.pickup, VELOCITY))
    roll = trim(piece.roll)
    silence, name = piece.steps - len(roll), shown(path.name)
    lead, tempos = (silence - line) % bar_steps(metre), cut(piece.tempos, silence, piece.steps)
    return Prime(name, roll, lead, metre, prevailing(tempos, len(roll)), velocity, _remark(name, piece, metre, midi),
                 piece.held[-len(roll):], keys.name_key(piece.held, piece.key, unasked=midi), tempos)


def _from_midi(path: Path) -> tuple[tuple[int, int], int, int]:
    """Time signature at the end of a MIDI file, a step with a bar line, and the mean velocity."""
    score = symusic.Score.from_midi(unwrapped(path.read_bytes()))
    notes = [track.notes.numpy() for track in score.tracks if len(track.notes) and not track.is_drum]
    last = max((int(part["time"].max()) for part in notes), default=score.end())  # else nothing ends a note in it
    signature = max((s for s in score.time_signatures if s.time <= last), key=lambda s: s.time, default=None)
    loudness = np.concatenate([part["velocity"] for part in notes] or [[VELOCITY]]).mean()
    line = round(STEPS_PER_QUARTER * signature.time / score.ticks_per_quarter) if signature else 0
    return (_metre((signature.numerator, signature.denominator) if signature else (4, 4)), line,
            int(np.clip(round(float(loudness)), 1, 127)))


def _metre(pair: tuple[int, int]) -> tuple[int, int]:
    """A time signature whose bar is whole sixteenths; 4/4 for any other."""
    try:
        bar_steps(pair)
    except ValueError:
        return 4, 4
    return tuple(pair)


def _remark(name: str, piece: Piece, metre: tuple[int, int], midi: bool) -> str:
    """One sentence on what is unlike the music that the networks know, and what was done; or nothing."""
    odd = foreign_times(piece)
    found = [f"is in {odd} where the networks know 4/4"] if odd else []
    if piece.reduction:
        found.append(f"has no keyboard part, so all its parts (staves with notes: {piece.tracks}) are read")
    if piece.off_grid > STRICT_OFF_GRID:
        found.append(f"has {piece.off_grid:.0%} of its onsets off the grid of sixteenths")
    if piece.tracks > MAX_TRACKS and midi:
        found.append(f"has {piece.tracks} tracks")
    if piece.outside:
        found.append(f"has {piece.outside} notes outside the piano's 88 keys, which are left out")
    done = f"it was quantised to sixteenths, is written in {metre[0]}/{metre[1]} and continued as one piano part"
    return f"{name} {', '.join(found[:-1])}{' and ' if found[1:] else ''}{found[-1]}; {done}." if found else ""
