"""How music is told to networks as arrays: one small interface.

A :class:`Representation` takes a piece to arrays and back, equal after the loss that it declares, and cuts many pieces
into batches. A network names the one that it hears (:attr:`octavoice.model.Network.representation`); training,
judging and composing ask it for everything that they need of the music. Each lives in a file of
:mod:`octavoice.representations`, its unit of likelihood beside it: two models may be compared where they are the same.
"""

from typing import Any, Protocol

import numpy as np

from octavoice.errors import UserError
from octavoice.music.piece import Piece
from octavoice.music.pieces import Pieces


class Cut(Protocol):
    """Fragments of some pieces, by number."""

    pieces: Pieces

    def __len__(self) -> int:
        """How many there are."""

    def draw(self, rng: np.random.Generator, size: int) -> Any:
        """A training batch: ``size`` fragments drawn with replacement, varied as training varies them."""

    def gather(self, which: np.ndarray) -> Any:
        """The batch of the fragments with the numbers ``which`` ``(batch,)``, as they are."""

    def places(self, which: np.ndarray) -> np.ndarray:
        """Piece and first place of these fragments, ``(batch, 2)``."""

    def panel(self, size: int) -> Any:
        """A fixed batch of at most ``size`` fragments, spread evenly over all of them."""


class Representation(Protocol):
    """See the module."""

    @property
    def name(self) -> str:
        """In words."""

    @property
    def unit(self) -> str:
        """What a likelihood is of one of: a step, an event."""

    @property
    def loss(self) -> str:
        """What :meth:`encode` leaves out, in words."""

    @property
    def hears_durations(self) -> bool:
        """Whether how long notes are held is told."""

    def encode(self, piece: Piece) -> np.ndarray:
        """A piece as an array, time first."""

    def decode(self, line: np.ndarray) -> Piece:
        """The piece that an array tells."""

    def usable(self, pieces: Pieces) -> Pieces:
        """The pieces that can be told so, as long as there is one."""

    def cut(self, pieces: Pieces, length: int, stride: int) -> Cut:
        """Fragments of ``length`` places, one every ``stride``."""

    def tile(self, pieces: Pieces, length: int) -> Cut:
        """Fragments end to end: every place of a piece but its first is predicted exactly once."""


def check_comparable(first: Representation, second: Representation) -> None:
    """Raises :class:`UserError` unless likelihoods under both are numbers of the same unit of the same music."""
    if (first.unit, first.name) != (second.unit, second.name):
        raise UserError(f"nats per {first.unit} of {first.name} and nats per {second.unit} of {second.name} are not "
                        "numbers of the same thing; compare models that hear music alike.")
