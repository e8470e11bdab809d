"""The packed store: a corpus read once, kept as bits on disk, mapped into memory, never used when stale.

A store is a folder: ``onsets.bits``, all steps of all pieces, 11 bytes each; ``durations.u16``, two bytes for each
note, little end first; ``facts.jsonl``, a line for each piece: title, key, collection, licence and the rest of
:class:`~octavoice.music.piece.Piece`; and ``index.json``, where each piece lies, its side of the split, and a verdict
on every file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from octavoice import paths, provenance
from octavoice.corpus import duplicates, filters
from octavoice.corpus.filters import Verdict, cut_silence, judge
from octavoice.corpus.pieces import BYTES, Facts, Pieces, facts_of, line_of, pack
from octavoice.corpus.sources import STRICT, Source, sources
from octavoice.corpus.splits import SHARES, content_hash, sides_of
from octavoice.errors import UserError, shown
from octavoice.music.piece import Piece

CODE = ("formats/midi.py", "formats/midi_events.py", "formats/musicxml.py",
        "formats/humdrum.py", "formats/kern.py", "formats/abc.py", "music/notes.py",
        "music/durations.py", "music/piece.py", "music/roll.py", "corpus/sources.py", "corpus/catalogue.toml",
        "corpus/filters.py", "corpus/duplicates.py", "corpus/splits.py", "corpus/pieces.py", "corpus/store.py")
"""What decides how files become pieces: a store made by other code is made again."""
BITS, DURATIONS, FACTS = "onsets.bits", "durations.u16", "facts.jsonl"
COLUMNS = tuple(field.name for field in fields(Verdict))
CONTENT = 16
"""Characters of a content hash that are kept."""
FEW = 64
"""Files that are read in this process, at once and without a progress bar."""


@dataclass(frozen=True)
class Corpus:
    """A corpus after the filters: ``pieces`` kept, one verdict per file in ``report``, and a hash.

    ``sha256`` is that of the music itself, the notes of all pieces and their sides, however they were read.
    ``sides`` holds each piece's side of the split: train, valid or test; ``contents`` the beginning of each
    piece's content hash, which decides its side.
    """

    name: str
    pieces: Pieces
    report: list[Verdict]
    sides: list[str]
    contents: list[str]
    sha256: str

    @cached_property
    def durations_sha256(self) -> str:
        """SHA-256 of how long the notes are held, in the order of ``pieces``: music too, to a model that hears it."""
        digest = hashlib.sha256()
        for i in range(len(self.pieces)):
            digest.update(self.pieces.lasting(i).astype("<u2").tobytes())
        return digest.hexdigest()

    def funnel(self) -> dict[str, int]:
        """Files by the filter that stopped them, in the filters' order; ``kept`` last."""
        return {reason: sum(v.reason == reason for v in self.report) for reason in filters.REASONS}

    def strict(self) -> "Corpus":
        """The strict view of a plain corpus: the same readings, asked for length and grid as well.

        Which copy of a work counts is decided before. A piece keeps its side, but for corpora so small that one
        would be empty.
        """
        report = [filters.judge_strictly(verdict) for verdict in self.report]
        kept = np.flatnonzero([after.reason == "kept" for before, after in zip(self.report, report, strict=True)
                               if before.reason == "kept"])
        contents = [self.contents[i] for i in kept]
        return Corpus(self.name + STRICT, self.pieces.subset(kept), report, sides_of(contents), contents,
                      hashlib.sha256((self.sha256 + STRICT).encode()).hexdigest())

    def splits(self) -> dict[str, Pieces]:
        """Pieces by side; of two different pieces none is left for ``test``. Raises :class:`UserError` for fewer."""
        if len(set(self.contents)) < 2:
            raise UserError(f"corpus {self.name} keeps fewer than two different pieces; "
                            "add files, since one must train and another validate.")
        return {side: self.pieces.subset(np.flatnonzero(np.array(self.sides) == side)) for side in SHARES}


@dataclass(frozen=True)
class Reading:
    """What one file gave: a verdict, and of a piece that is kept the packed roll ``(time, 11)``, the notes' durations
    ``(note,)``, facts and hash."""

    verdict: Verdict
    bits: np.ndarray | None = None
    durations: np.ndarray | None = None
    facts: dict | None = None
    content: str = ""


def load(name: str, limit: int | None = None) -> Corpus:
    """Load a corpus by name (see :mod:`octavoice.corpus.sources`), reading its files if needed.

    ``limit`` keeps only the first so many files. One bad file never stops a corpus: it is
    skipped, counted and listed in the report. Raises :class:`UserError` for an unknown name,
    an empty folder, or a corpus in which nothing survives the filters.
    """
    if name.startswith("benchmarks/"):
        return _benchmark(name, limit)
    plain = name.removesuffix(STRICT)
    files = sources(plain)[:limit]
    key = _key(plain, files)
    folder = paths.store_dir() / f"{paths.slug(plain)}-{key[:16]}"
    corpus = open_store(folder, plain, key)
    if corpus is None:
        write_store(folder, key, _read(plain, files))
        corpus = open_store(folder, plain, key)
    if name != plain:
        corpus = corpus.strict()
    if not len(corpus.pieces):
        reasons = ", ".join(f"{count} stopped by {reason}" for reason, count in corpus.funnel().items() if count)
        first = corpus.report[0]
        raise UserError(f"corpus {name}: none of its {len(files)} files survives the filters of §7.1 ({reasons}; "
                        f"{first.name}: {first.detail.removeprefix(f'{first.name}: ').removesuffix('.')}); "
                        "add pieces in 4/4 on at most two tracks.")
    return corpus


def _benchmark(name: str, limit: int | None) -> Corpus:
    """A benchmark set by its own splits, unfiltered: rolls of *sounding* notes on their own grids.

    The periods H and the clock lose their meaning on such rolls; it is here to be looked at and for
    likelihoods. ``limit`` takes an even sample.
    """
    from octavoice.corpus.benchmarks import load_benchmark

    rolls = [(side, i, roll) for side, part in load_benchmark(name).items() for i, roll in enumerate(part)]
    rolls = rolls[:: -(-len(rolls) // limit) if limit else 1]
    pieces = [Piece(f"{side} {i:04d}", roll, 1, ((4, 4),)) for side, i, roll in rolls]
    report = [Verdict(piece.name, "kept", "sounding notes, not filtered", piece.steps) for piece in pieces]
    packed, sides = Pieces.of(pieces), [side for side, _, _ in rolls]
    contents = [content_hash(roll)[:CONTENT] for _, _, roll in rolls]
    return Corpus(name, packed, report, sides, contents, hashlib.sha256(packed.bits).hexdigest())


def _key(name: str, files: list[Source]) -> str:
    """Hash of everything a store depends on: the code that reads, the files' names and bytes."""
    digest = hashlib.sha256(f"{name} {code_state()}".encode())
    for source in files:
        known = [source.name, source.sha256 or _hash(source.file), source.merge, source.facts]
        digest.update(json.dumps(known).encode())
    return digest.hexdigest()


def code_state() -> str:
    """A hash of the code that decides how files become pieces."""
    return hashlib.sha256(b"".join((paths.PACKAGE / file).read_bytes() for file in CODE)).hexdigest()


def _hash(path: Path) -> str:
    try:
        return provenance.sha256(path)
    except OSError:
        return "unreadable"


def _read_one(source: Source) -> Reading:
    try:
        piece = source.read(source.file)
    except UserError as error:
        return Reading(Verdict(source.name, "unreadable", str(error).replace(shown(source.file), source.name)))
    piece = cut_silence(replace(piece, name=source.name, reduction=piece.reduction or source.merge, **source.facts))
    verdict = judge(piece)
    if verdict.reason != "kept":
        return Reading(verdict)
    return Reading(verdict, pack(piece.roll), piece.held[piece.roll > 0], facts_of(piece),
                   content_hash(piece.roll)[:CONTENT])


def _read(name: str, files: list[Source]) -> Iterator[Reading]:
    """Read every file; where there are many, by two processes and with a progress bar."""
    if len(files) < FEW:
        yield from map(_read_one, files)
        return
    with ProcessPoolExecutor(max_workers=2) as pool:
        yield from tqdm(pool.map(_read_one, files, chunksize=8), total=len(files), desc=f"reading {name}",
                        unit="file", mininterval=1.0)


def write_store(folder: Path, key: str, readings: Iterable[Reading]) -> None:
    """Write a store, one reading at a time, and put it in place whole.

    Pieces that are an earlier one's work stay in the bits but not in the index.
    """
    with paths.replaced(folder) as fresh:
        report, contents, lengths, counts, sizes = [], [], [], [], []
        with (open(fresh / BITS, "wb") as bits, open(fresh / DURATIONS, "wb") as durations,
              open(fresh / FACTS, "wb") as facts):
            for reading in readings:
                report.append(reading.verdict)
                if reading.bits is not None:
                    bits.write(reading.bits.tobytes())
                    durations.write(reading.durations.astype("<u2").tobytes())
                    sizes.append(facts.write(line_of(reading.facts)))
                    contents.append(reading.content)
                    lengths.append(len(reading.bits))
                    counts.append(len(reading.durations))
        lengths, counts, sizes = (np.array(each, np.int64) for each in (lengths, counts, sizes))
        pieces = _mapped(fresh, np.cumsum(lengths) - lengths, lengths, np.cumsum(counts) - counts, np.cumsum(sizes),
                         sizes)
        index = {"key": key, "bytes": _bytes(fresh), **_without_copies(pieces, contents, report)}
        (fresh / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _bytes(folder: Path) -> list[int]:
    """How many bytes a store's files hold, its index left out."""
    return [(folder / name).stat().st_size for name in (BITS, DURATIONS, FACTS)]


def _mapped(folder: Path, starts, lengths, notes, ends, sizes) -> Pieces:
    """The pieces of a store's files, mapped and not read; each array ``(piece,)`` says where a piece lies."""
    return Pieces(_map(folder / BITS).reshape(-1, BYTES), starts, lengths, Facts(_map(folder / FACTS), ends, sizes),
                  _map(folder / DURATIONS, "<u2"), notes)


def _without_copies(pieces: Pieces, contents: list[str], report: list[Verdict]) -> dict:
    """What the index holds of pieces and report once later copies of a work are left out."""
    copies = duplicates.find(pieces)
    said = {pieces.facts[i]["name"]: f"{share:.0%} of its windows are in {pieces.facts[first]['name']}"
            for i, (first, share) in copies.items()}
    report = [replace(v, reason="duplicate", detail=said[v.name]) if v.name in said else v for v in report]
    kept = [i for i in range(len(pieces)) if i not in copies]
    pieces, contents = pieces.subset(np.array(kept, np.int64)), [contents[i] for i in kept]
    return {"starts": pieces.starts.tolist(), "lengths": pieces.lengths.tolist(), "notes": pieces.notes.tolist(),
            "ends": pieces.facts.ends.tolist(), "sizes": pieces.facts.sizes.tolist(), "sides": sides_of(contents),
            "contents": contents, "music": _music_hash(pieces, sides_of(contents)),
            "report": {name: [getattr(verdict, name) for verdict in report] for name in COLUMNS}}


def _music_hash(pieces: Pieces, sides: list[str]) -> str:
    """SHA-256 of what training sees: every piece's steps, in order, and its side."""
    digest = hashlib.sha256(json.dumps([pieces.lengths.tolist(), sides]).encode())
    for start, length in zip(pieces.starts, pieces.lengths, strict=True):
        digest.update(pieces.bits[start:start + length].tobytes())
    return digest.hexdigest()


def _map(path: Path, dtype="u1") -> np.ndarray:
    """The numbers in a file, mapped and not read."""
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)


def open_store(folder: Path, name: str, key: str) -> Corpus | None:
    """The corpus stored in ``folder``, or None if there is none, it is damaged, or it has another key."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if index["key"] != key or index["bytes"] != _bytes(folder):
            return None
        pieces = _mapped(folder, *(np.array(index[field], np.int64)
                                   for field in ("starts", "lengths", "notes", "ends", "sizes")))
        report = [Verdict(*row) for row in zip(*(index["report"][name] for name in COLUMNS), strict=True)]
        return Corpus(name, pieces, report, index["sides"], index["contents"], index["music"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
