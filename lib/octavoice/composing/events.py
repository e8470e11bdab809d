"""Continuations by models of events: a melody, a performance. What is written is notes, not steps."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from octavoice.composing.prime import resolve
from octavoice.corpus.sources import READERS
from octavoice.errors import UserError
from octavoice.formats import sound
from octavoice.formats.midi_notes import midi_of
from octavoice.model import Network
from octavoice.music.note_table import NOTE, Notes
from octavoice.music.piece import WRITTEN, Piece
from octavoice.music.roll import LOWEST_MIDI, STEPS_PER_QUARTER
from octavoice.paths import atomic
from octavoice.representations.events import PAST, Events
from octavoice.representations.melody import STEP_SECONDS
from octavoice.training import models
from octavoice.training.weights import Weights

CONTEXT = 512
"""Events of a prime that are heard, at most."""
MOST = 60
"""New events for each sixteenth asked for, at most: a model that never lets time pass must end."""
KINDS = ("midi", "audio")
"""What can be written of events."""


@dataclass(frozen=True)
class Continued:
    """Events ``(time,)``, the prime's before the ``new`` ones, and the piece that all of them tell."""

    events: np.ndarray
    new: int
    piece: Piece


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


def notes_of(piece: Piece) -> Notes:
    """A piece's notes; those of its roll, 4 ticks a quarter, where it tells no others."""
    if piece.notes is not None:
        return piece.notes
    held = piece.held
    rows = [(t, t + int(held[t, k]), k + LOWEST_MIDI, 0, 0, 0) for t, k in np.argwhere(held > 0).tolist()]
    return Notes.of(np.array(rows, NOTE), STEPS_PER_QUARTER)


@torch.no_grad()
def continued(told: Events, network: Network, prime: np.ndarray, steps: int, seed: int, number: int = 1,
              temperature: float = 1.0) -> Continued:
    """Continue ``prime`` ``(time,)`` until as much time has passed as ``steps`` sixteenths at 120 a minute take.

    Variation ``number`` of a ``seed`` draws from a stream of its own; without a prime the network draws the first event
    too.
    """
    network = deepcopy(network).cpu().double().eval()
    network.temperature = temperature
    stream = np.random.Generator(np.random.Philox(key=[seed, number - 1]))
    state = heard(network, told, prime[-CONTEXT:])
    new: list[int] = []
    passed = 0.0
    while passed < steps * STEP_SECONDS and len(new) < MOST * steps:
        state, value, _ = network.step(state, torch.from_numpy(stream.random((1, 1))))
        new.append(int(value))
        passed += float(told.seconds(np.array(new[-1])))
    events = np.concatenate([prime, np.array(new, np.int64)])
    return Continued(events, len(new), told.decode(events))


def heard(network: Network, told: Events, prime: np.ndarray) -> Any:
    """The state after a prime ``(time,)``; of an empty one, before anything."""
    line = torch.from_numpy(np.pad(prime, (PAST + 1, 0), constant_values=told.size))[:, None]
    state = network.start(line[PAST:PAST + 1].T, line[:PAST])
    for t in range(PAST + 1, len(line)):
        state = network.step(state, torch.zeros(1, 1), line[t:t + 1]).state
    return state


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
