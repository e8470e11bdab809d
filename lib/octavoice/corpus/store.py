"""The packed store: a corpus read once, kept as bits, never used when stale."""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from octavoice import paths
from octavoice.corpus import filters
from octavoice.corpus.filters import Verdict, cut_silence, judge
from octavoice.corpus.sources import Source, sources
from octavoice.errors import UserError
from octavoice.music.piece import Piece

VERSION = 1
"""Raised whenever reading or filtering changes, so that older stores are made again."""


@dataclass(frozen=True)
class Corpus:
    """A corpus after the filters: ``pieces`` kept, one verdict per file in ``report``, and a hash."""

    name: str
    pieces: list[Piece]
    report: list[Verdict]
    sha256: str

    def funnel(self) -> dict[str, int]:
        """Files by the filter that stopped them, in the filters' order; ``kept`` last."""
        return {reason: sum(v.reason == reason for v in self.report) for reason in filters.REASONS}


def load(name: str, limit: int | None = None) -> Corpus:
    """Load a corpus by name (see :mod:`octavoice.corpus.sources`), reading its files if needed.

    ``limit`` keeps only the first so many files. One bad file never stops a corpus: it is
    skipped, counted and listed in the report. Raises :class:`UserError` for an unknown name,
    an empty folder, or a corpus in which nothing survives the filters.
    """
    files = sources(name)[:limit]
    key = _key(name, files)
    path = paths.store_dir() / f"{paths.slug(name)}-{key[:16]}.npz"
    corpus = _read_store(path, name, key) if path.exists() else None
    if corpus is None:
        corpus = _build(name, files, key)
        _write_store(path, corpus)
    if not corpus.pieces:
        raise UserError(f"corpus {name}: none of its {len(files)} files survives the filters of §7.1 "
                        f"({_first_reasons(corpus)}); add pieces in 4/4 on at most two tracks.")
    return corpus


def _first_reasons(corpus: Corpus) -> str:
    return ", ".join(f"{count} stopped by {reason}" for reason, count in corpus.funnel().items() if count)


def _key(name: str, files: list[Source]) -> str:
    """Hash of everything a store depends on: its version, the files' names and bytes."""
    digest = hashlib.sha256(f"{VERSION} {name}".encode())
    for source in files:
        digest.update(source.name.encode() + b"\0" + hashlib.sha256(_bytes(source.path)).digest())
    return digest.hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b"unreadable"


def _read_one(source: Source) -> tuple[Piece | None, Verdict]:
    try:
        piece = source.read(source.path)
    except UserError as error:
        return None, Verdict(source.name, "unreadable", str(error).replace(str(source.path), source.name))
    return replace(cut_silence(piece), name=source.name), replace(judge(piece), name=source.name)


FEW = 64
"""Files that are read in this process, at once and without a progress bar."""


def _build(name: str, files: list[Source], key: str) -> Corpus:
    """Read every file; where there are many, by two processes and with a progress bar."""
    if len(files) < FEW:
        results = [_read_one(source) for source in files]
    else:
        with ProcessPoolExecutor(max_workers=2) as pool:
            results = list(tqdm(pool.map(_read_one, files, chunksize=8), total=len(files), desc=f"reading {name}",
                                unit="file", mininterval=1.0))
    pieces = [piece for piece, verdict in results if verdict.reason == "kept"]
    return Corpus(name, pieces, [verdict for _, verdict in results], key)


def _write_store(path: Path, corpus: Corpus) -> None:
    rolls = [piece.roll for piece in corpus.pieces]
    facts = [{k: v for k, v in vars(piece).items() if k != "roll"} for piece in corpus.pieces]
    text = json.dumps({"key": corpus.sha256, "pieces": facts, "report": [asdict(v) for v in corpus.report]})
    with paths.atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, bits=np.packbits(np.concatenate(rolls or [np.zeros((0, 88), np.uint8)]), axis=1),
                 steps=np.array([len(roll) for roll in rolls], np.int64),
                 facts=np.frombuffer(text.encode(), np.uint8))


def _read_store(path: Path, name: str, key: str) -> Corpus | None:
    """The corpus packed at ``path``, or None if the file is damaged or is another corpus's."""
    try:
        with np.load(path, allow_pickle=False) as store:
            facts = json.loads(store["facts"].tobytes())
            rolls = np.split(np.unpackbits(store["bits"], axis=1), np.cumsum(store["steps"])[:-1])
    except Exception:
        return None
    if facts["key"] != key:
        return None
    pieces = [Piece(roll=roll, **{**fact, "time_signatures": tuple(map(tuple, fact["time_signatures"]))})
              for roll, fact in zip(rolls, facts["pieces"], strict=False)]
    return Corpus(name, pieces, [Verdict(**row) for row in facts["report"]], key)
