"""The named corpora: where each comes from, its licence, its files with their SHA-256.

``catalogue.toml`` says what a corpus is; ``manifest.csv.xz`` lists size and SHA-256 of every file
(columns ``source, path, bytes, sha256``). Both hold facts, none holds music. The licence is the
same for all files of a source and stands once, in the first.
"""

import csv
import io
import lzma
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from urllib.parse import quote

from octavoice.errors import UserError

RAW = "https://raw.githubusercontent.com"
"""Where the pinned files are downloaded from: ``RAW/<owner>/<repository>/<commit>/<path>``."""


@dataclass(frozen=True)
class Entry:
    """A named corpus.

    ``parts``   names of the corpora it is put together from; empty for one that has files of its own
    ``folder``  the folder its files lie in, below the data folder or the cache
    ``paths``   patterns of the files taken, relative to the repository; ``*`` crosses folders
    ``take``    in words, what of these files is taken
    ``merge``   the tracks of a file are one keyboard's, however many there are
    ``ties_as_marked`` a note that closes a tie is not struck, even where none was begun: an earlier reading, kept so
                that what was made with it can be made again
    ``counted`` pieces and steps by an independent count, empty where there is none, and why ours may
                be others: ``differs``
    The fields that describe a source are empty for a corpus put together from parts, except
    ``licence``, which then lists the licences of all parts.
    """

    name: str
    title: str
    take: str
    licence: str
    parts: tuple[str, ...] = ()
    folder: str = ""
    repository: str = ""
    commit: str = ""
    attribution: str = ""
    paths: tuple[str, ...] = ()
    merge: bool = False
    ties_as_marked: bool = False
    counted: dict[str, int] = field(default_factory=dict)
    differs: str = ""

    @property
    def home(self) -> str:
        """The page of the source repository at the pinned commit."""
        return f"https://github.com/{self.repository}/tree/{self.commit}"


@dataclass(frozen=True)
class File:
    """A file of a corpus: its ``path`` in the source repository, and what it must be."""

    corpus: str
    path: str
    sha256: str
    bytes: int
    licence: str


def names() -> list[str]:
    """The names of all corpora, in the catalogue's order."""
    return list(_table()["corpora"])


@cache
def entry(name: str) -> Entry:
    """The corpus called ``name``; raises :class:`UserError` for a name the catalogue does not hold."""
    if name not in names():
        raise UserError(f"unknown corpus {name!r}; known are {', '.join(names())}.")
    row = dict(_table()["corpora"][name])
    if "parts" in row:
        row["parts"] = tuple(row["parts"])
        row["licence"] = ", ".join(dict.fromkeys(entry(part).licence for part in row["parts"]))
        return Entry(name, **row)
    folder = row.pop("source")
    return Entry(name, folder=folder, **{**row, "paths": tuple(row["paths"])}, **_table()["sources"][folder])


def parts(name: str) -> list[Entry]:
    """The corpora with files of their own that ``name`` consists of; raises as :func:`entry`."""
    found = entry(name)
    return [entry(part) for part in found.parts] or [found]


def files(name: str) -> list[File]:
    """Every file of a corpus, part by part, in the manifest's order; raises as :func:`entry`."""
    return [File(part.name, path, sha256, size, part.licence) for part in parts(name)
            for path, size, sha256 in _manifest()[part.folder]
            if any(fnmatchcase(path, pattern) for pattern in part.paths)]


def url(file: File, base: str = RAW) -> str:
    """Where a file is downloaded from: percent-encoded, at the pinned commit, below ``base``."""
    source = entry(file.corpus)
    return f"{base}/{source.repository}/{source.commit}/{quote(file.path)}"


def table() -> list[dict]:
    """One row for each corpus: its name, number of files, megabytes to fetch, licence and title."""
    return [{"corpus": name, "files": len(files(name)), "MB": round(_megabytes(name), 1),
             "licence": entry(name).licence, "title": entry(name).title} for name in names()]


def describe(name: str) -> str:
    """What there is to know about a corpus, in a few lines; raises as :func:`entry`."""
    found = entry(name)
    lines = [f"{name}: {found.title}",
             f"files: {len(files(name))}, {_megabytes(name):.1f} MB",
             f"taken: {found.take}"]
    if found.counted:
        lines += ["independent count: {pieces:,} pieces, {steps:,} steps".format(**found.counted)]
    for part in parts(name):
        lines += [f"part: {part.name}, {len(files(part.name))} files"] if found.parts else []
        lines += [f"source: {part.home}", f"licence: {part.licence}", f"attribution: {part.attribution}"]
    return "\n".join(lines)


def notice() -> str:
    """Licences and attributions of all corpora with files of their own, as a Markdown page."""
    rows = [f"| {name} | {len(files(name))} | {entry(name).licence} | [{entry(name).repository}]({entry(name).home}) "
            f"| {entry(name).attribution} |" for name in names() if not entry(name).parts]
    return "\n".join([
        "# Licences and attribution", "",
        "No file of these corpora is part of this project; they are fetched by name from their repositories.",
        "Whoever passes on a corpus, or music made from it, keeps to its licence and names its source.", "",
        "| corpus | files | licence | source | attribution |", "|---|---|---|---|---|", *rows]) + "\n"


def _megabytes(name: str) -> float:
    return sum(file.bytes for file in files(name)) / 1e6


def _resource(name: str) -> bytes:
    return resources.files("octavoice.corpus").joinpath(name).read_bytes()


@cache
def _table() -> dict:
    return tomllib.loads(_resource("catalogue.toml").decode())


@cache
def _manifest() -> dict[str, list[tuple[str, int, str]]]:
    """``(path, bytes, sha256)`` of every file, by source."""
    found = {}
    for row in csv.DictReader(io.StringIO(lzma.decompress(_resource("manifest.csv.xz")).decode())):
        found.setdefault(row["source"], []).append((row["path"], int(row["bytes"]), row["sha256"]))
    return found
