"""What a representation is: how music is told as arrays, with its unit of likelihood.

A :class:`Representation` takes a piece to an array and back, equal after the loss that it declares, and cuts batches
from many pieces: of random fragments for training, of a fixed panel for the held-out curve, and of whole pieces, end
to end, for levels. A stage of a model names its representation; training, checkpoints, recipes, levels and weights ask
it for batches and know no more of it. Every field of a batch has the batch as its second axis, and ``weight``
``(time - 1, batch)`` says which predictions count.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from octavoice.errors import UserError

HISTORY = 128
"""Steps, or events, before a fragment that come with it: the longest period in H."""


class Batch(NamedTuple):
    """A batch of fragments of steps, time first. The first step of a fragment is given, the others are predicted.

    Arrays of numpy as they are cut, tensors once :func:`octavoice.training.fit.to_tensors` has moved them.

    ``x``        onset rolls ``(time, batch, key)`` of 0 and 1
    ``x12``      their octave compression ``(time, batch, pitch_class)``
    ``history``  the 128 compressed steps before ``(128, batch, pitch_class)``, zero before the piece
    ``clock``    ``(time, batch, 6)``, counted from the fragment's start
    ``weight``   ``(time - 1, batch)``: 1 where the next step belongs to the piece, 0 in padding
    ``past``     the 128 steps before ``(128, batch, key)``, zero before the piece
    ``position`` ``(1, batch)``: how many steps of the piece lie before the fragment
    ``durations`` ``(128 + time, batch, key)``, from the first step of ``past`` on: the steps for which each note is
                  held, 0 where none begins; no steps at all unless a network hears them
    ``whole``    ``(steps, batch, key)``, int16: the durations of all notes before the fragments, as far back as the one
                  with the longest past, 0 where none begins; no steps at all unless a network remembers them
    """

    x: Any
    x12: Any
    history: Any
    clock: Any
    weight: Any
    past: Any
    position: Any
    durations: Any
    whole: Any


class Cut(Protocol):
    """Fragments of many pieces, numbered: what batches are drawn from."""

    length: int

    def __len__(self) -> int: ...

    def places(self, which: np.ndarray) -> np.ndarray:
        """Piece and first step, or event, of the fragments numbered ``which (batch,)``: ``(batch, 2)``."""

    def gather(self, which: np.ndarray) -> Any:
        """The fragments numbered ``which (batch,)``."""

    def draw(self, rng: np.random.Generator, size: int) -> Any:
        """A batch of ``size`` for training, drawn with replacement."""

    def panel(self, size: int) -> Any:
        """At most ``size`` fragments spread evenly over all of them, as they are in the pieces."""


class Representation(Protocol):
    """How music is told as arrays. ``unit`` is what its likelihoods are told for: a step, a note, an event.

    ``loss`` says in words what of a piece its arrays do not tell; ``music`` what beside the onset rolls they do:
    "durations", "notes".
    """

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def loss(self) -> str: ...

    @property
    def music(self) -> tuple[str, ...]: ...

    def encode(self, piece: Any) -> np.ndarray:
        """A :class:`~octavoice.music.piece.Piece` as an array, time first. Raises UserError if it cannot be told."""

    def decode(self, told: np.ndarray) -> Any:
        """The piece that an array tells. ``encode`` of it is that array again, whatever ``encode`` gave it."""

    def told(self, pieces: Sequence[Any]) -> Sequence[Any]:
        """Those of the ``pieces`` that a network of this representation can learn from and be judged by."""

    def fragments(self, pieces: Sequence[Any], length: int, stride: int) -> Cut:
        """Fragments of ``length``, one beginning every ``stride``, of :meth:`told` pieces or others."""

    def tiling(self, pieces: Sequence[Any], length: int) -> Cut:
        """Fragments end to end, so that all of every piece but its beginning is predicted exactly once."""


def comparable(*units: tuple[Representation, str]) -> str:
    """The unit in which likelihoods of the same music may be compared, each of a representation and of a kind.

    Raises :class:`UserError`, in one sentence, where numbers would not mean the same: other information, other
    units, or a kind (a pseudo-likelihood, none) that bounds nothing.
    """
    first = units[0][0]
    for told, kind in units:
        if (told.name, told.unit) != (first.name, first.unit):
            raise UserError(f"nats per {first.unit} of {first.name} and per {told.unit} of {told.name} tell of other "
                            "things; compare models of one representation.")
        if kind in ("pseudo", "none") and len({other for _, other in units}) > 1:
            raise UserError(f"a likelihood that is {kind} cannot stand beside others; compare models whose "
                            "likelihoods are exact, bounds or estimates.")
        if kind == "none":
            raise UserError("these models have no likelihood; compare their samples.")
    return f"nats per {first.unit}"
