"""The packed store: a corpus read once, kept as bits on disk, mapped into memory, never used when stale.

A store is a folder: ``onsets.bits``, all steps of all pieces, 11 bytes each; and ``index.json``, where
each piece lies, its facts, its side of the split, and a verdict on every file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from octavoice import paths
from octavoice.corpus import duplicates, filters
from octavoice.corpus.filters import Verdict, cut_silence, judge
from octavoice.corpus.pieces import BYTES, Pieces, facts_of, pack
from octavoice.corpus.sources import STRICT, Source, sources
from octavoice.corpus.splits import SHARES, content_hash, sides_of
from octavoice.errors import UserError
from octavoice.music.piece import Piece

CODE = ("music/midi.py", "music/musicxml.py", "music/humdrum.py", "music/kern.py", "music/abc.py", "music/roll.py",
        "corpus/sources.py", "corpus/filters.py", "corpus/duplicates.py", "corpus/splits.py", "corpus/store.py")
"""What decides how files become pieces: a store made by other code is made again."""
FEW = 64
"""Files that are read in this process, at once and without a progress bar."""


@dataclass(frozen=True)
class Corpus:
    """A corpus after the filters: ``pieces`` kept, one verdict per file in ``report``, and a hash.

    ``sides`` holds each piece's side of the split: train, valid or test.
    """

    name: str
    pieces: Pieces
    report: list[Verdict]
    sides: list[str]
    sha256: str

    def funnel(self) -> dict[str, int]:
        """Files by the filter that stopped them, in the filters' order; ``kept`` last."""
        return {reason: sum(v.reason == reason for v in self.report) for reason in filters.REASONS}

    def splits(self) -> dict[str, Pieces]:
        """Pieces by side. Raises :class:`UserError` where fewer than two pieces are left."""
        if len(self.pieces) < 2:
            raise UserError(f"corpus {self.name} keeps fewer than two different pieces; "
                            "add files, since one must train and another validate.")
        return {side: self.pieces.subset(np.flatnonzero(np.array(self.sides) == side)) for side in SHARES}


@dataclass(frozen=True)
class Reading:
    """What one file gave: a verdict, and of a piece that is kept the packed roll, facts and content hash."""

    verdict: Verdict
    bits: np.ndarray | None = None
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
    files = sources(name)[:limit]
    key = _key(name, files)
    folder = paths.store_dir() / f"{paths.slug(name)}-{key[:16]}"
    corpus = open_store(folder, name, key)
    if corpus is None:
        write_store(folder, key, _read(name, files))
        corpus = open_store(folder, name, key)
    if not len(corpus.pieces):
        reasons = ", ".join(f"{count} stopped by {reason}" for reason, count in corpus.funnel().items() if count)
        raise UserError(f"corpus {name}: none of its {len(files)} files survives the filters of §7.1 ({reasons}); "
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
    packed = Pieces.of(pieces)
    return Corpus(name, packed, report, [side for side, _, _ in rolls], hashlib.sha256(packed.bits).hexdigest())


def _key(name: str, files: list[Source]) -> str:
    """Hash of everything a store depends on: the code that reads, the files' names and bytes."""
    digest = hashlib.sha256(name.encode())
    for file in CODE:
        digest.update((paths.PACKAGE / file).read_bytes())
    for source in files:
        digest.update(source.name.encode() + b"\0" + (source.sha256 or _hash(source.path)).encode())
    return digest.hexdigest()


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def _read_one(source: Source, strict: bool) -> Reading:
    try:
        piece = replace(source.read(source.path), name=source.name)
    except UserError as error:
        return Reading(Verdict(source.name, "unreadable", str(error).replace(str(source.path), source.name)))
    piece = cut_silence(replace(piece, reduction=piece.reduction or source.merge))
    verdict = judge(piece, strict)
    if verdict.reason != "kept":
        return Reading(verdict)
    return Reading(verdict, pack(piece.roll), facts_of(piece), content_hash(piece.roll))


def _read(name: str, files: list[Source]) -> Iterator[Reading]:
    """Read every file; where there are many, by two processes and with a progress bar."""
    read = partial(_read_one, strict=name.endswith(STRICT))
    if len(files) < FEW:
        yield from map(read, files)
        return
    with ProcessPoolExecutor(max_workers=2) as pool:
        yield from tqdm(pool.map(read, files, chunksize=8), total=len(files), desc=f"reading {name}",
                        unit="file", mininterval=1.0)


def write_store(folder: Path, key: str, readings: Iterable[Reading]) -> None:
    """Write a store, one reading at a time, and put it in place whole.

    Pieces that are an earlier one's work stay in the bits but not in the index.
    """
    with paths.replaced(folder) as fresh:
        report, facts, hashes, lengths = [], [], [], []
        with open(fresh / "onsets.bits", "wb") as file:
            for reading in readings:
                report.append(reading.verdict)
                if reading.bits is not None:
                    file.write(reading.bits.tobytes())
                    facts.append(reading.facts)
                    hashes.append(reading.content)
                    lengths.append(len(reading.bits))
        pieces = Pieces(_map(fresh), np.cumsum([0, *lengths[:-1]])[: len(lengths)], np.array(lengths, np.int64), facts)
        index = {"key": key, **_without_copies(pieces, hashes, report)}
        (fresh / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _without_copies(pieces: Pieces, hashes: list[str], report: list[Verdict]) -> dict:
    """What the index holds of pieces and report once later copies of a work are left out."""
    copies = duplicates.find(pieces)
    said = {pieces.facts[i]["name"]: f"{share:.0%} of its windows are in {pieces.facts[first]['name']}"
            for i, (first, share) in copies.items()}
    report = [replace(v, reason="duplicate", detail=said[v.name]) if v.name in said else v for v in report]
    kept = [i for i in range(len(pieces)) if i not in copies]
    return {"starts": pieces.starts[kept].tolist(), "lengths": pieces.lengths[kept].tolist(),
            "facts": [pieces.facts[i] for i in kept], "sides": sides_of([hashes[i] for i in kept]),
            "report": [asdict(verdict) for verdict in report]}


def _map(folder: Path) -> np.ndarray:
    """The bits of a store ``(time, 11)``, mapped and not read."""
    path = folder / "onsets.bits"
    if not path.stat().st_size:
        return np.zeros((0, BYTES), np.uint8)
    return np.memmap(path, np.uint8, "r").reshape(-1, BYTES)


def open_store(folder: Path, name: str, key: str) -> Corpus | None:
    """The corpus stored in ``folder``, or None if there is none, it is damaged, or it has another key."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if index["key"] != key:
            return None
        starts, lengths = (np.array(index[field], np.int64) for field in ("starts", "lengths"))
        bits = _map(folder)
        if len(starts) and (starts + lengths).max() > len(bits):
            return None
    except (OSError, ValueError, KeyError):
        return None
    report = [Verdict(**row) for row in index["report"]]
    return Corpus(name, Pieces(bits, starts, lengths, index["facts"]), report, index["sides"], key)
