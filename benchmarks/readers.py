"""Every reader beside a second, independent one. Run by hand; prints what differs, file by file, and counts.

    python benchmarks/readers.py FOLDER [EVERY]     every so many-th music file below FOLDER

What is compared is which key is struck at which step. The second reader of MIDI is a loop over mido's messages, that of
MusicXML and Humdrum is music21, that of ABC abc2midi (through symusic) with repeats, grace notes and ornaments taken
out of its text first, since it plays them. Known differences that are not ours: music21 loses notes where the spines
of a Humdrum file split, and a note that a grace note is tied to; abc2midi swings hornpipes, lengthens fermatas, heeds
``%%MIDI`` directives and no broken rhythm between unequal notes.
"""

import re
import sys
import warnings
from collections import Counter
from fractions import Fraction
from pathlib import Path

import mido
import symusic

from octavoice.corpus.sources import READERS
from octavoice.errors import UserError
from octavoice.formats import humdrum, kern, musicxml
from octavoice.music.durations import tied
from octavoice.music.notes import to_step
from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS, LOWEST_MIDI

TICKS = 10080
"""Ticks to the quarter of music21's offsets here."""


def ours(piece: Piece) -> set[tuple[int, int]]:
    """Steps and MIDI numbers of the onsets of a piece."""
    return {(int(step), int(key) + LOWEST_MIDI) for step, key in zip(*piece.roll.nonzero(), strict=True)}


def by_mido(path: Path, piece: Piece) -> set[tuple[int, int]]:
    """A MIDI file's onsets; drums are left out."""
    file = mido.MidiFile(path)
    found = set()
    for track in file.tracks:
        now = 0
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity and message.channel != 9:
                found.add((int(to_step(now, file.ticks_per_beat)), message.note))
    return found


def by_music21(path: Path, piece: Piece) -> set[tuple[int, int]]:
    """The onsets of a score's keyboard part, ties joined by our own rule."""
    from music21 import converter

    wanted = _parts(path)
    score = converter.parse(path, forceSource=True, storePickle=False)
    rows = []
    for part in score.parts:
        if wanted and not any(str(part.id) == name or str(part.id).startswith(f"{name}-") for name in wanted):
            continue
        for element in part.flatten().notes:
            silent = element.duration.isGrace or "ChordSymbol" in element.classes
            for note in () if silent else getattr(element, "notes", [element]):
                tie, start = note.tie.type if note.tie else "", Fraction(element.offset) * TICKS
                rows.append((int(start), int(start + Fraction(element.quarterLength) * TICKS), int(note.pitch.ps),
                             tie in ("stop", "continue"), tie in ("start", "continue")))
    return {(int(to_step(onset, TICKS)), pitch) for onset, _, pitch, struck in tied(rows, TICKS) if struck}


def _parts(path: Path) -> list[str]:
    """The identifiers of the parts that our reader takes from a MusicXML file; raises ValueError for what music21
    cannot be asked for."""
    if path.suffix != ".krn":
        data = path.read_bytes()
        root = musicxml._tree(musicxml.unpacked(data) if data[:2] == b"PK" else data)
        taken = musicxml.keyboard_parts(root)[0]
        return [part.get("id") for part in taken] if len(taken) < len(root.findall("part")) else []
    text = humdrum.decoded(path.read_bytes())
    lines = list(humdrum.read_lines(text))
    if "*^" in text or len(kern.keyboard_staves(lines)) not in (0, lines[0].tokens.count("**kern")):
        raise ValueError("spines split, or there are other parts")
    return []


def by_abc2midi(path: Path, piece: Piece) -> set[tuple[int, int]]:
    """The onsets of a tune, its repeats not played."""
    head, _, tune = path.read_text("utf-8", "replace").replace("\r\n", "\n").partition("\nK:")
    key, _, music = tune.partition("\n")
    head = re.sub(r"(?m)^([PQRV]:|%%).*\n", "", head)
    for said, instead in ((r"(?m)^[Pws]:.*\n", ""), (r'"[^"\n]*"|\{[^}\n]*\}|![^!|\s]{1,20}!', ""),
                          (r"\[\s*(?=\d)", " "), (r"(?<=\|)\s*\d[\d,.-]*|(?<=[ ])\d[\d,.-]*(?=\s)", ""),
                          (r":+\||\|:+|::", "|"), (r"(?<![\[A-Za-z])[.~uvTHLMPSJ](?=[A-Ga-g_^=\[({.])", "")):
        music = re.sub(said, instead, music)
    score = symusic.Score.from_abc(f"{head}\nK:{key}\n{music}")
    return {(int(to_step(note.time - 1, score.ticks_per_quarter)), note.pitch)
            for track in score.tracks for note in track.notes}


SECOND = {".mid": by_mido, ".midi": by_mido, ".mxl": by_music21, ".musicxml": by_music21, ".xml": by_music21,
          ".krn": by_music21, ".abc": by_abc2midi}


def compared(path: Path) -> str:
    """What comes of one file, in a word."""
    try:
        piece = READERS[path.suffix.lower()](path)
    except UserError as error:
        print(f"{path.name}: refused ({str(error).replace(str(path), '')[:100]})")
        return "refused"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = SECOND[path.suffix.lower()](path, piece)
    except Exception as error:
        print(f"{path.name}: no second reading ({type(error).__name__}: {str(error)[:60]})")
        return "not read by the second"
    theirs = {(step, pitch) for step, pitch in theirs if LOWEST_MIDI <= pitch < LOWEST_MIDI + KEYS}
    if (mine := ours(piece)) == theirs:
        return "same"
    more, less = sorted(mine - theirs), sorted(theirs - mine)
    print(f"{path.name}: {len(mine)} notes; {len(more)} only ours {more[:4]}; {len(less)} only theirs {less[:4]}")
    return "other"


def main() -> None:
    folder, every = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SECOND)[::every]
    counts = Counter((path.suffix.lower(), compared(path)) for path in files)
    print(*(f"{suffix} {word}: {count}" for (suffix, word), count in sorted(counts.items())), sep="\n")


if __name__ == "__main__":
    main()
