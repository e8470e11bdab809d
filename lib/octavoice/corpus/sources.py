"""Where the files of a corpus lie and which reader they need.

``bach``          the Bach chorales that music21 carries (four parts, read as a keyboard reduction)
``folder:PATH``   every music file below PATH: MIDI, MusicXML, Humdrum kern, ABC
a catalogued one  such as ``open-keyboard``, fetched by name (:mod:`octavoice.corpus.catalogue`)

``@strict`` after a name keeps only pieces of at least 256 steps with at most 5 % of onsets off the grid
(:meth:`octavoice.corpus.store.Corpus.strict`); its files are those of the plain corpus.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from octavoice.corpus import catalogue
from octavoice.errors import UserError, shown
from octavoice.formats.abc import read_abc
from octavoice.formats.kern import read_kern
from octavoice.formats.midi import SUFFIXES, read_midi
from octavoice.formats.musicxml import read_musicxml
from octavoice.music.durations import as_marked, tied
from octavoice.music.notes import from_notes, key_name, title_of, to_step
from octavoice.music.piece import Piece

READERS = {**dict.fromkeys(SUFFIXES, read_midi), ".mxl": read_musicxml, ".musicxml": read_musicxml,
           ".xml": read_musicxml, ".krn": read_kern, ".abc": read_abc}
STRICT = "@strict"
MUSIC21 = "as music21"
"""The licence of the chorales: they are part of that library."""
TICKS = 10080
"""Ticks per quarter used for exact offsets of scores: divisible by every tuplet up to 10."""


@dataclass(frozen=True)
class Source:
    """One file of a corpus: a name that is unique in it, where it lies, and the reader for it.

    ``sha256`` is given where the file's bytes were verified already; ``merge`` says that its tracks
    are one keyboard's, however many there are; ``facts`` are the fields of a piece that the file
    itself does not tell: collection, path within it, licence.
    """

    name: str
    file: Path
    read: Callable[[Path], Piece]
    sha256: str = ""
    merge: bool = False
    facts: dict = field(default_factory=dict)


def known() -> list[str]:
    """The names of all corpora but folders."""
    return ["bach", *catalogue.names()]


def check(corpus: str) -> None:
    """Raise :class:`UserError` unless ``corpus`` names a corpus that can be read. Fetches nothing."""
    name = corpus.removesuffix(STRICT)
    if name in known():
        return
    if not name.startswith("folder:"):
        raise UserError(f"unknown corpus {name!r}; known are {', '.join(known())}, and 'folder:PATH' for a folder "
                        "of music files.")
    folder = _folder(name)
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; give 'folder:' and the path of a folder of music files.")
    if not _music_files(folder):
        raise UserError(f"{folder}: holds no music file ({', '.join(READERS)}); put some there or name another folder.")


def sources(corpus: str) -> list[Source]:
    """Every file of a corpus, in an order that is the same everywhere.

    A catalogued corpus that is not here yet is downloaded: it was asked for by name.
    Raises as :func:`check` and :func:`octavoice.corpus.fetch.fetch`.
    """
    check(corpus)
    name = corpus.removesuffix(STRICT)
    if name == "bach":
        return _chorales()
    if name.startswith("folder:"):
        folder = _folder(name)
        return [_source(shown(path.relative_to(folder).as_posix(), "backslashreplace"), path)
                for path in _music_files(folder)]
    from octavoice.corpus import fetch

    several, ties = bool(catalogue.entry(name).parts), as_marked if catalogue.entry(name).ties_as_marked else tied
    return [_keyboards(ties, f"{found.file.corpus}/{found.name}" if several else found.name, found.path, found.sha256,
                    catalogue.entry(found.file.corpus).merge,
                    corpus=found.file.corpus, path=found.name, licence=found.file.licence)
            for found in fetch.fetch(name) if found.path.suffix.lower() in READERS]


def _keyboards(ties: Callable, *known, **facts) -> Source:
    """A file of a catalogued corpus, which takes only keyboard parts and joins ``ties`` in its own way."""
    source = _source(*known, **facts)
    only = source.read in (read_musicxml, read_kern)
    return replace(source, read=partial(source.read, reduce=False, ties=ties)) if only else source


def _source(name: str, file: Path, sha256: str = "", merge: bool = False, **facts) -> Source:
    return Source(name, file, READERS[file.suffix.lower()], sha256, merge, facts)


def in_full(corpus: str, base: Path | None = None) -> str:
    """A corpus's name, the path of a folder as seen from ``base`` (else the working directory) in full."""
    if not corpus.startswith("folder:"):
        return corpus
    strict = STRICT if corpus.endswith(STRICT) else ""
    return f"folder:{(base or Path.cwd()) / _folder(corpus.removesuffix(STRICT))}{strict}"


def _folder(corpus: str) -> Path:
    return Path(corpus.removeprefix("folder:")).expanduser()


def _music_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in READERS and path.is_file())


def _chorales() -> list[Source]:
    from music21 import corpus as library
    from music21.corpus.chorales import Iterator

    works = tuple(Path(name).name for name in Iterator(numberingSystem="bwv", returnType="filename"))
    files = [path for path in map(Path, library.getComposer("bach")) if path.name.startswith(works)]
    by_name = {path.stem: path for path in sorted(files, key=lambda path: path.suffix != ".krn")}
    return [Source(name, path, read_score, facts={"corpus": "bach", "path": path.name, "licence": MUSIC21})
            for name, path in sorted(by_name.items())]


def read_score(path: Path) -> Piece:
    """Read a score with music21 and merge its parts into one keyboard roll ``(time, key)``.

    Tied notes sound once, over the length of all; grace notes are left out, but a note that one is tied to is struck.
    Repeats are not expanded; step 0 is the first written position, so a pickup of one quarter puts the first bar line
    at step 4. Raises :class:`UserError` if music21 cannot read the file.
    """
    from music21 import converter

    path = Path(path)
    try:
        score = converter.parse(path, forceSource=True, storePickle=False)
        rows = _rows(score)
    except Exception as error:
        raise UserError(f"{path}: cannot be read as a score; export it again.") from error
    return from_notes(path, rows, TICKS, tracks=len(score.parts), time_signatures=_signatures(score),
                      pickup=_pickup(score), reduction=len(score.parts) > 2, title=_title(score), key=_key(score))


def _rows(score) -> list[tuple[int, int, int, bool]]:
    """The notes of a music21 score, as :func:`from_notes` wants them."""
    rows, graces = [], set()
    for part in score.parts:
        for element in part.flatten().notes:
            offset = Fraction(element.offset)
            start, end = (int(at * TICKS) for at in (offset, offset + Fraction(element.quarterLength)))
            for note in getattr(element, "notes", [element]):
                tie, place = note.tie.type if note.tie else "", (start, note.pitch.midi)
                if element.duration.isGrace:
                    graces |= {place} if tie == "start" else set()
                else:
                    closes = tie in ("stop", "continue") and place not in graces
                    rows.append((start, end, note.pitch.midi, closes, tie in ("start", "continue")))
    return tied(rows, TICKS)


def _signatures(score) -> tuple[tuple[int, int], ...]:
    found = [(s.numerator, s.denominator) for s in score.recurse().getElementsByClass("TimeSignature")]
    return tuple(dict.fromkeys(found)) or ((4, 4),)


def _title(score) -> str | None:
    """The title of a music21 score; one that only repeats the file's name is none."""
    said = [score.metadata.title, score.metadata.movementName] if score.metadata else []
    return title_of(*(text for text in said if text and Path(text).suffix.lower() not in READERS))


def _key(score) -> str | None:
    """The first key of a music21 score, with its mode if that is said."""
    found = score.recurse().getElementsByClass("KeySignature").first()
    return key_name(found.sharps, getattr(found, "mode", None)) if found else None


def _pickup(score) -> int:
    """Steps before the first bar line of a music21 score, 0 for a full first bar."""
    first = score.parts[0].getElementsByClass("Measure").first()
    if first is None or not first.paddingLeft:
        return 0
    quarters = Fraction(first.barDuration.quarterLength) - Fraction(first.paddingLeft)
    return int(to_step(int(quarters * TICKS), TICKS))
