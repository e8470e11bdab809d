"""Continuations as files: MIDI, MusicXML, engraved pages, sound, a sheet. All are made first, then written."""

import os
import re
from pathlib import Path

import numpy as np

from octavoice.composer import CONTEXT
from octavoice.composing.continuation import EXCERPT, Continuation, excerpt
from octavoice.composing.prime import Prime
from octavoice.errors import UserError, shown
from octavoice.formats import sound
from octavoice.formats.midi import to_midi
from octavoice.music import keys, score
from octavoice.music.roll import CLOCK_BITS
from octavoice.paths import atomic
from octavoice.thesis.attention import HISTORY

SUFFIXES = {"midi": (".mid", ".midi"), "musicxml": (".musicxml", ".xml"), "svg": (".svg",), "png": (".png",),
            "audio": tuple(sound.SUFFIXES), "sheet": (".png", ".svg")}
"""Kinds of file, and what their names end in."""
CUT = {"musicxml": "score", "svg": "pages", "png": "pictures", "audio": "sound"}
"""Kinds that show the end of a long prime only, and what they are called."""
DYNAMICS = {"pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112}
"""MIDI velocities that programs of notation play these marks with."""
ROWS = 12
"""Pieces on one page of a sheet."""


def check_places(places: dict[str, Path], prime: str = "") -> None:
    """Raise :class:`UserError` unless files of these kinds can be written there; ``prime`` is never written over."""
    for kind, path in places.items():
        if path.suffix.lower() not in SUFFIXES[kind]:
            raise UserError(f"{path}: is no name for {kind}; end it in {' or '.join(SUFFIXES[kind])}.")
        if path.is_dir() or (prime and path.resolve() == Path(prime).resolve()):
            raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'is the prime itself'}; "
                            "give the name of a new file.")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UserError(f"{folder}: is no folder that can be written to; choose another place for {path.name}.")
    for kind in ("svg", "png"):
        if "sheet" in places and kind in places:
            _check_sheet(places["sheet"], places[kind])


def _check_sheet(sheet: Path, pages: Path) -> None:
    """Raise :class:`UserError` if a sheet or its later pages could be called as one of the engraved pages."""
    def could_be(path: Path, other: Path) -> bool:
        return re.fullmatch(rf"{re.escape(other.stem)}(-\d+)?(-page-\d+)?", path.stem) is not None

    together = sheet.suffix == pages.suffix and sheet.resolve().parent == pages.resolve().parent
    if together and (could_be(sheet, pages) or could_be(pages, sheet)):
        raise UserError(f"{sheet}: could be the name of a page of {pages} too; give the sheet another name.")


def write(pieces: list[Continuation], places: dict[str, Path], soundfont: Path | None = None, *,
          whole: bool = False) -> list[list[Path]]:
    """Write every piece in every kind of ``places``; returns the paths of each piece, MIDI first, then the sheet's.

    Of several pieces, number 1 is ``OUT-1.mid`` and so on; pages after the first are ``OUT-page-2.svg``. A MIDI
    file holds the whole prime, the others its last bars unless ``whole``; a sheet is one for all
    pieces. Everything is made before the first file is written.
    """
    kinds = [kind for kind in places if kind != "sheet"]
    named = [{kind: _numbered(places[kind], i, len(pieces)) for kind in kinds} for i in range(len(pieces))]
    made = []
    for piece, names in zip(pieces, named, strict=True):
        files = ((path, _rendered(_shown(piece, kind, whole), kind, path, soundfont)) for kind, path in names.items())
        made.append(dict(page for path, pages in files for page in _paged(path, pages)))
    if "sheet" in places:
        titles = [shown(next(iter(names.values()), places["sheet"]).name) for names in named]
        made.append(dict(_paged(places["sheet"], sheet(pieces, titles, places["sheet"].suffix.lower()[1:]))))
    return _saved(made)


def _numbered(path: Path, index: int, count: int) -> Path:
    """``OUT-1.mid`` for the first of several, ``OUT.mid`` for the only one."""
    return path.with_stem(f"{path.stem}-{index + 1}") if count > 1 else path


def _paged(path: Path, pages: list[bytes]) -> list[tuple[Path, bytes]]:
    """Each page with its path."""
    return [(path if n == 1 else path.with_stem(f"{path.stem}-page-{n}"), data) for n, data in enumerate(pages, 1)]


def _shown(piece: Continuation, kind: str, whole: bool) -> Continuation:
    """What a file of this kind shows of a piece."""
    return excerpt(piece) if kind in CUT and not whole else piece


def _saved(made: list[dict[Path, bytes]]) -> list[list[Path]]:
    """Write the files; returns their paths."""
    try:
        for path, data in (item for files in made for item in files.items()):
            with atomic(path) as temporary:
                temporary.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place.") from error
    return [list(files) for files in made]


def _rendered(piece: Continuation, kind: str, path: Path, soundfont: Path | None) -> list[bytes]:
    """One kind of file, or its pages."""
    if kind == "midi":
        return [midi(piece)]
    if kind == "musicxml":
        return [score.musicxml(score.to_score(piece.roll, **engraving(piece)))]
    if kind == "audio":
        return [sound.encode(*sound.synthesize(piece.roll, piece.tempos, soundfont, piece.durations),
                             sound.format_of(path))]
    pages = score.engrave(piece.roll, **engraving(piece))
    return [score.to_png(page) if kind == "png" else page.encode() for page in pages]


def engraving(piece: Continuation) -> dict:
    """A piece's options for :func:`octavoice.music.score.to_score`: title, mark, metre, tempi, key, bars."""
    return {"title": f"{piece.prime.name}, continued", "mark": piece.mark, "metre": piece.prime.metre,
            "tempo": piece.tempos, "key": written_in(piece), "dynamic": loudness(piece.prime.velocity),
            "first_bar": piece.first_bar, "durations": piece.durations}


def sheet(pieces: list[Continuation], names: list[str], kind: str = "png") -> list[bytes]:
    """Small piano rolls under each other, one row for each piece, as pages (``png`` or ``svg``) to look over.

    Every row shows the last bars of the prime and what was composed, under the piece's name.
    """
    from octavoice.figures import piano_roll, style  # matplotlib is loaded only where something is drawn

    shown = [excerpt(piece) for piece in pieces]
    rows = [(piece.roll, piece.durations, piece.mark, f"{name}: {_notes(piece)}")
            for piece, name in zip(shown, names, strict=True)]
    first, pages = shown[0], [rows[i:i + ROWS] for i in range(0, len(rows), ROWS)]
    titles = [f"{first.prime.name}, continued" + f" (page {n} of {len(pages)})" * (len(pages) > 1)
              for n in range(1, len(pages) + 1)]
    with style.used():
        return [style.render(piano_roll.sheet(page, first.prime.bar, title, first.first_bar))[kind]
                for page, title in zip(pages, titles, strict=True)]


def _notes(piece: Continuation) -> str:
    """Key and number of the notes composed."""
    return f"{int(piece.new.sum())} new notes, in {piece.key}" if piece.key else "silent"


def midi(piece: Continuation) -> bytes:
    """A piece as MIDI, in the prime's key, time signature, tempi and loudness."""
    key = written_in(piece)
    return to_midi(piece.roll, piece.tempos, piece.prime.velocity, piece.durations, metre=piece.prime.metre,
                   key=key and score.midi_key(score.as_key(key)), title=f"{piece.prime.name}, continued")


def loudness(velocity: int) -> str:
    """The dynamic mark nearest to a MIDI velocity, ``mf`` for 80: models know no loudness, so it holds throughout."""
    return min(DYNAMICS, key=lambda mark: abs(DYNAMICS[mark] - velocity))


def written_in(piece: Continuation) -> str | None:
    """The key in whose signature a piece is written in every kind of file: its prime's, or of silence that of the new
    steps; None if these are silent too."""
    key = piece.prime.key or piece.key
    return key and keys.plain(key)


def introduce(prime: Prime, shift: int = 0) -> str:
    """A prime in words, one line each: what it is and its key, what was done to it, what of it is heard."""
    steps, key, (beats, unit) = len(prime.roll), prime.key, prime.metre
    lines = [f"{prime.name}: {steps} steps in {beats}/{unit} at {prime.tempo:.4g} quarters a minute{_swing(prime)}, "
             f"{f'in {key}' if key else 'silent'}", prime.remark]
    if steps > CONTEXT:
        past = min(HISTORY, steps - CONTEXT)
        lines.append(f"the last {CONTEXT} steps are read, with the {past} before them as history")
    lines.append(f"the clock counts from the prime's first onset: the first new step is {steps % 2**CLOCK_BITS} "
                 f"of {2**CLOCK_BITS}")
    if shift:
        lines.append(f"composed {abs(shift)} semitones {'higher' if shift > 0 else 'lower'} and moved back")
    return "\n".join(filter(None, lines))


def _swing(prime: Prime) -> str:
    """What a prime's tempo ranges over, if it changes."""
    tempi = [qpm for _, qpm in prime.tempos]
    return f" for the most part ({min(tempi):.4g} to {max(tempi):.4g})" if tempi[1:] else ""


def describe(piece: Continuation) -> str:
    """What was composed, in one line: steps, where they begin, their key."""
    where = f" from bar {piece.mark // piece.prime.bar + piece.first_bar}" if piece.mark is not None else ""
    struck = int(np.any(piece.new, axis=-1).sum())
    key = f"in {piece.key}" if piece.key else "silent"
    return f"{len(piece.new)} new steps{where}, {struck} of them struck, {key}"


def tell_cut(piece: Continuation, places: dict[str, Path], whole: bool = False) -> str:
    """What of a long prime is left out of which files, in one line; nothing if all of it is in all of them."""
    kinds = [CUT[kind] for kind in CUT if kind in places and _shown(piece, kind, whole).first_bar > piece.first_bar]
    if not kinds:
        return ""
    listed = f"{', '.join(kinds[:-1])} and {kinds[-1]}" if kinds[1:] else kinds[0]
    verb = "show" if kinds[1:] or kinds[0].endswith("s") else "shows"
    return (f"{listed} {verb} the last {EXCERPT} bars of the prime, from bar {excerpt(piece).first_bar} on; "
            "the MIDI file holds all of it, --whole shows it everywhere")
