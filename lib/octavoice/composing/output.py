"""Continuations as files: MIDI, MusicXML, engraved pages, sound. All are made first, then written."""

import io
import os
from pathlib import Path

import numpy as np
import pretty_midi

from octavoice.composer import CONTEXT
from octavoice.composing.continuation import Continuation
from octavoice.composing.prime import Prime
from octavoice.errors import UserError
from octavoice.evidence.harmony import key_of
from octavoice.music import score, sound
from octavoice.music.formats.midi import to_pretty_midi
from octavoice.music.roll import CLOCK_BITS, compress
from octavoice.paths import atomic
from octavoice.thesis.attention import HISTORY

SUFFIXES = {"midi": (".mid", ".midi"), "musicxml": (".musicxml", ".xml"), "svg": (".svg",), "png": (".png",),
            "audio": tuple(sound.SUFFIXES)}
"""Kinds of file, and what their names end in."""


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


def write(pieces: list[Continuation], places: dict[str, Path], soundfont: Path | None = None) -> list[list[Path]]:
    """Write every piece in every kind of ``places``; returns the paths of each piece, MIDI first.

    Of several pieces, number 1 is ``OUT-1.mid`` and so on; the pages of a score after the first are
    ``OUT-page-2.svg``. Everything is made before the first file is written.
    """
    made = [{} for _ in pieces]
    for i, piece in enumerate(pieces):
        for kind, path in places.items():
            path = path.with_stem(f"{path.stem}-{i + 1}") if len(pieces) > 1 else path
            for n, data in enumerate(_rendered(piece, kind, path, soundfont), 1):
                made[i][path if n == 1 else path.with_stem(f"{path.stem}-page-{n}")] = data
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
        return [sound.encode(*sound.synthesize(piece.roll, piece.prime.tempo, soundfont), sound.format_of(path))]
    pages = score.engrave(piece.roll, **engraving(piece))
    return [score.to_png(page) if kind == "png" else page.encode() for page in pages]


def engraving(piece: Continuation) -> dict:
    """A piece's options for :func:`octavoice.music.score.to_score`: title, mark, metre, tempo."""
    return {"title": f"{piece.prime.name}, continued", "mark": piece.mark, "metre": piece.prime.metre,
            "tempo": piece.prime.tempo}


def midi(piece: Continuation) -> bytes:
    """A piece as MIDI, in the prime's time signature, tempo and loudness."""
    song = to_pretty_midi(piece.roll, piece.prime.tempo, piece.prime.velocity)
    song.time_signature_changes = [pretty_midi.TimeSignature(*piece.prime.metre, 0)]
    handle = io.BytesIO()
    song.write(handle)
    return handle.getvalue()


def introduce(prime: Prime, shift: int = 0) -> str:
    """A prime in words, one line each: what it is and its key, what was done to it, what of it is heard."""
    steps, key, (beats, unit) = len(prime.roll), key_of(compress(prime.roll)), prime.metre
    lines = [f"{prime.name}: {steps} steps in {beats}/{unit} at {prime.tempo:.4g} quarters a minute, "
             f"{f'in {key.name}' if key else 'silent'}", prime.remark]
    if steps > CONTEXT:
        past = min(HISTORY, steps - CONTEXT)
        lines.append(f"the last {CONTEXT} steps are read, with the {past} before them as history")
    lines.append(f"the clock counts from the prime's first onset: the first new step is {steps % 2**CLOCK_BITS} "
                 f"of {2**CLOCK_BITS}")
    if shift:
        lines.append(f"composed {abs(shift)} semitones {'higher' if shift > 0 else 'lower'} and moved back")
    return "\n".join(filter(None, lines))


def describe(piece: Continuation) -> str:
    """What was composed, in one line: steps, where they begin, their key."""
    where = f" from bar {piece.mark // piece.prime.bar + 1}" if piece.mark is not None else ""
    struck = int(np.any(piece.new, axis=-1).sum())
    key = f"in {piece.key.name}" if piece.key else "silent"
    return f"{len(piece.new)} new steps{where}, {struck} of them struck, {key}"
