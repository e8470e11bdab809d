"""Continuations by models of events: a melody, a performance. What is written is notes, not steps."""

from pathlib import Path
from typing import cast

import numpy as np

from octavoice.composing.prime import resolve
from octavoice.corpus.sources import READERS
from octavoice.errors import UserError
from octavoice.formats import sound
from octavoice.formats.midi_notes import midi_of
from octavoice.music.piece import WRITTEN, Piece
from octavoice.paths import atomic
from octavoice.representations.events import Events
from octavoice.statistics.event_samples import continued, notes_of
from octavoice.training import models
from octavoice.training.weights import Weights

KINDS = ("midi", "audio")
"""What can be written of events."""


def speaks_events(weights: Weights) -> bool:
    """Whether a model continues events rather than steps."""
    return not models.in_steps(weights.model)


def prime_of(told: Events, source: str) -> np.ndarray:
    """The events of a file or of a named opening; none of silence. Raises :class:`UserError` as readers do."""
    path = Path(source)
    if source and path.suffix.lower() in READERS and path.is_file():
        return told.encode(READERS[path.suffix.lower()](path))
    prime = resolve(source)
    if not prime.roll.any():
        return np.zeros(0, np.int64)
    piece = Piece(prime.name, prime.roll, 1, (prime.metre,), durations=prime.held[prime.roll > 0], note_ends=WRITTEN)
    return told.encode(Piece(**{**vars(piece), "notes": notes_of(piece)}))


def write(piece: Piece, places: dict[str, Path], soundfont: Path | None = None) -> list[Path]:
    """Write a piece's notes as MIDI and as sound. Raises :class:`UserError` for another kind, or without a note."""
    if other := [kind for kind in places if kind not in KINDS]:
        raise UserError(f"--{other[0]} shows steps, and this model tells events; ask for MIDI and --audio.")
    notes = notes_of(piece)
    for kind, path in places.items():
        data = midi_of(notes, piece.time_signatures[0])
        if kind == "audio":
            data = sound.encode(*sound.synthesize_notes(notes, soundfont), sound.format_of(path))
        with atomic(path) as temporary:
            temporary.write_bytes(data)
    return list(places.values())


def compose(weights: Weights, source: str, places: dict[str, Path], steps: int, numbers: range, seed: int,
            temperature: float, soundfont: Path | None = None) -> list[str]:
    """What ``octavoice compose`` does with a model of events; returns a line for every variation."""
    (network,) = weights.stages
    told = cast(Events, network.representation)
    prime, lines = prime_of(told, source), []
    for number in numbers:
        made = continued(told, network, prime, steps, seed, number, temperature)
        if not made.piece.roll.any():
            raise UserError(f"variation {number} of seed {seed} holds no note; give another seed, or more bars.")
        named = {kind: path.with_stem(f"{path.stem}-{number}") if len(numbers) > 1 else path
                 for kind, path in places.items()}
        written = write(made.piece, named, soundfont)
        lines.append(f"{', '.join(map(str, written))}: {made.new} new {told.unit}s of a {told.name}")
    return lines
