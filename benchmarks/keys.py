"""How often the key that is named is the one that is declared, on corpora that declare it. Run by hand.

    python benchmarks/keys.py [DATA]     DATA is a folder with nifc-polish, nifc-chopin and piano-midi [$OCTAVOICE_DATA]

Declared keys: the mode and signature of music21's chorales, the designations (``*f#:``) of the kern files, the titles
of piano-midi that name a key ("Sonate in Es-Dur"; later movements left out). The same pieces for every column, in one
run: ``onsets`` counts onsets by the estimator of the claims (what was named before), ``music21`` is the default of its
analysis of keys by sounding time, ``held`` and ``signature`` are :func:`octavoice.music.keys.name_key` without and with
the file's signature, which it is given without the mode. Whole pieces, and their first 256 steps. Prints a table and
writes it to ``benchmarks/keys.csv``.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from music21.analysis.discrete import AardenEssen

from octavoice.corpus.sources import READERS, sources
from octavoice.errors import UserError
from octavoice.music import keys
from octavoice.music.notes import key_name, tonic_name
from octavoice.music.piece import Piece
from octavoice.music.roll import compress
from octavoice.music.score import as_key, find_key, note, stream

FIRST = 256
DESIGNATION = re.compile(r"(?:^|\t)\*([A-Ga-g])([#-]?):(?=\t|\r|$)", re.MULTILINE)
SIGNATURE = re.compile(r"\*k\[([^\]]*)\]")
TITLE = re.compile(r"\b([A-H])(s|es|is|[ -]?flat|[ -]?sharp)?[ -](dur|moll|major|minor)\b", re.IGNORECASE)
LATER = re.compile(r"\b([2-9]|II|III|IV)\.* *(satz|movement)", re.IGNORECASE)


def of_title(title: str) -> str | None:
    """The key that a title names, in German or English; None of a later movement's."""
    found = TITLE.search(title)
    if not found or LATER.search(title):
        return None
    letter, sign, mode = found[1].upper(), (found[2] or "").lower().strip(" -"), found[3].lower()
    if letter in "BH" and mode in ("dur", "moll"):
        letter, sign = "B", sign if letter == "H" else "s"
    return tonic_name(letter, {"s": "b", "es": "b", "flat": "b", "is": "#", "sharp": "#"}.get(sign, ""),
                      {"dur": "major", "moll": "minor"}.get(mode, mode))


def declared(data: Path) -> Iterator[tuple[str, Piece, str, str | None]]:
    """Corpus, piece, declared key, and the signature alone as the reader tells it."""
    for source in sources("bach"):
        piece = source.read(source.file)
        if piece.key and piece.key.endswith(("major", "minor")):
            yield "chorales", piece, piece.key, key_name(keys.signature_of(piece.key))
    for name, suffix in (("nifc-polish", ".krn"), ("nifc-chopin", ".krn"), ("piano-midi", ".mid")):
        for path in sorted((data / name).rglob(f"*{suffix}")):
            try:
                piece = READERS[suffix](path)
            except UserError:
                continue
            text = path.read_text("utf-8", "replace") if suffix == ".krn" else ""
            said, signs = DESIGNATION.search(text), SIGNATURE.search(text)
            if said and signs:
                key = tonic_name(said[1], said[2], "major" if said[1].isupper() else "minor")
                yield name, piece, key, key_name(signs[1].count("#") - signs[1].count("-"))
            elif key := of_title(piece.title or ""):
                yield name, piece, key, piece.key


def music21s(durations: np.ndarray) -> str:
    """The key by which music21's analysis names it, of the time for which each pitch class is held."""
    held = keys.held_time(durations)
    notes = [note.Note(60 + n, quarterLength=int(length)) for n, length in enumerate(held) if length]
    tonic, mode, _ = AardenEssen().process(stream.Stream(notes))[0]
    return f"{tonic.name} {mode}"


def same(name: str, key: str) -> bool:
    """Whether two names are of one key, however it is spelled."""
    one, other = (as_key(text) for text in (name, key))
    return (one.tonic.pitchClass, one.mode) == (other.tonic.pitchClass, other.mode)


def judged(piece: Piece, key: str, signature: str | None, midi: bool, steps: int | None) -> dict[str, bool]:
    """Which estimators name the declared key of a piece's first ``steps``, all if None."""
    found, durations = find_key(compress(piece.roll[:steps])), piece.held[:steps]
    return {"onsets": same(f"{found.tonic.name} {found.mode}", key), "music21": same(music21s(durations), key),
            "held": same(keys.name_key(durations), key),
            "signature": same(keys.name_key(durations, signature, unasked=midi), key)}


def main(data: str = "") -> None:
    """Measure, print, and write the table."""
    rows = []
    for corpus, piece, key, signature in declared(Path(data or os.environ["OCTAVOICE_DATA"])):
        for part, steps in (("whole", None), ("first 256 steps", FIRST)):
            if piece.roll[:steps].any():
                rows.append({"corpus": corpus, "of": part, "pieces": 1,
                             **judged(piece, key, signature, corpus == "piano-midi", steps)})
    table = pd.DataFrame(rows).groupby(["corpus", "of"], sort=False).agg(
        {"pieces": "sum"} | dict.fromkeys(("onsets", "music21", "held", "signature"), "mean")).round(3)
    table.to_csv(Path(__file__).with_name("keys.csv"))
    print(table.to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
