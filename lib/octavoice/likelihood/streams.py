"""Draws that depend on the piece that is judged, and not on its company."""

import hashlib

import numpy as np
import torch

from octavoice.model import Batch, Streams

VERSION = 2
"""Raised when draws became each piece's own. What was measured by draws of a whole batch lies within their noise, so
nothing that is stored depends on it."""


def streams(t: Batch, seed: int, device: torch.device | str = "cpu") -> Streams:
    """A generator for each fragment of a batch, seeded by its notes and those before it.

    What is drawn for a piece is then the same whatever else is judged, in whatever order, by whatever model.
    Padding does not count.
    """
    notes = np.concatenate([t.past.cpu().numpy(), t.x.cpu().numpy()]) > 0
    lengths = len(t.past) + 1 + (t.weight > 0).sum(dim=0).cpu().numpy()
    return Streams(tuple(_generator(notes[:length, i], seed, device) for i, length in enumerate(lengths)))


def _generator(notes: np.ndarray, seed: int, device: torch.device | str) -> torch.Generator:
    """The generator of one fragment, of its onsets ``(time, key)``."""
    digest = hashlib.sha256(f"{seed} {len(notes)}".encode() + np.packbits(notes).tobytes()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8]) >> 1)
