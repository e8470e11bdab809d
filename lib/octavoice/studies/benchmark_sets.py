"""The field's benchmark sets as pieces: controls that need no training, frames seen in training, whole pieces judged.

A silent frame is set before every piece, so that its first frame is predicted too, from silence. Figures of papers
score either every frame or those from the second; both are told.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from octavoice.corpus import Fragments, Pieces
from octavoice.corpus.benchmarks import SMOOTHING
from octavoice.model import Tensors
from octavoice.music.piece import Piece
from octavoice.training.fit import to_tensors

WINDOW = 8
"""Frames of a window that is looked for in the training pieces."""
FRAMES = 4096
"""Frames that are judged at once, padding included."""

Rolls = list[np.ndarray]
Judge = Callable[[Tensors], np.ndarray]


def first_order_nll(splits: dict[str, Rolls]) -> float:
    """Test nats per frame from the second, every key on its own given itself a frame before; counts are smoothed."""
    before, now = (np.concatenate([roll[part].astype(bool) for roll in splits["train"]])
                   for part in (slice(None, -1), slice(1, None)))
    p = [((now & was).sum(axis=0) + SMOOTHING) / (was.sum(axis=0) + 2 * SMOOTHING) for was in (~before, before)]
    before, now = (np.concatenate([roll[part] for roll in splits["test"]])
                   for part in (slice(None, -1), slice(1, None)))
    chance = np.where(before, p[1], p[0])
    return float(-np.log(np.where(now, chance, 1 - chance)).sum(axis=1).mean())


def seen(train: Rolls, test: Rolls, transposed: bool = False) -> Rolls:
    """For every frame of the test rolls whether it lies in a window of eight that occurs in training: ``(time,)`` bool.

    ``transposed``: windows are the same if one is the other moved along the keyboard.
    """
    known = {window for roll in train for window in _windows(roll, transposed)}
    found = []
    for roll in test:
        at = np.flatnonzero([window in known for window in _windows(roll, transposed)])
        marks = np.zeros(len(roll), bool)
        marks[(at[:, None] + np.arange(WINDOW)).ravel()] = True
        found.append(marks)
    return found


def _windows(roll: np.ndarray, transposed: bool) -> Iterator[bytes]:
    """Every window of a roll in a form that can be compared."""
    for start in range(len(roll) - WINDOW + 1):
        window = roll[start:start + WINDOW]
        keys = np.flatnonzero(window.any(axis=0))
        yield np.packbits(np.roll(window, -keys[0], axis=1) if transposed and len(keys) else window).tobytes()


def as_pieces(rolls: Rolls) -> Pieces:
    """Rolls as pieces, a silent frame before each."""
    return Pieces.of([Piece(str(i), np.pad(roll, ((1, 0), (0, 0))), 1, ((4, 4),)) for i, roll in enumerate(rolls)])


def spread(pieces: Pieces, frames: int) -> Pieces:
    """About ``frames`` frames of whole pieces, evenly over all of them; all, if they are fewer."""
    share = min(1.0, frames / pieces.lengths.sum())
    return pieces.subset(np.unique(np.linspace(0, len(pieces) - 1, max(1, round(share * len(pieces)))).astype(int)))


def judge_whole(judge: Judge, pieces: Pieces, device: torch.device | str = "cpu") -> Rolls:
    """Nats of every frame of every piece but its first, whole pieces at once: ``(time - 1,)`` each."""
    order, found, at = np.argsort(pieces.lengths), [None] * len(pieces), 0
    while at < len(order):
        size = 1
        while at + size < len(order) and (size + 1) * pieces.lengths[order[at + size]] <= FRAMES:
            size += 1
        which = order[at:at + size]
        batch = Fragments(pieces.subset(which), int(max(2, pieces.lengths[which].max()))).gather(np.arange(size))
        with torch.no_grad():
            nats = judge(to_tensors(batch, device))
        for column, piece in enumerate(which):
            found[piece] = nats[:pieces.lengths[piece] - 1, column]
        at += size
    return found
