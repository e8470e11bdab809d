"""Octavoice: a reproducible replication of S. M. Ivanov, "Neural Music Generation" (MSU, 2018).

Rooms, lowest floor first; imports run downward only:

``music``            what a piece is here: rolls, octave compression, the clock, durations, tempo, keys
``formats``          readers and writers of files
``representations``  how music is told to networks as arrays
``corpus``           where pieces come from: reading, filters, the packed store, fragments
``survey``           the models of §5, a file each
``thesis``           the proposed model, one file per subsection of §6, and its variants
``beyond``           our own model
``training``         presets, runs, the training loop, weights
``statistics``       of music and of samples
``likelihood``       levels, and tables of frequencies beside them
``studies``          trainings beside the main ones, and what is measured of them
``results``          stored results read into tables, claims and verdicts
``composing``        continuations of a user's own piece, and the listening test
``laboratory``       what notebooks are driven by: parameters, manifests, hand-over

Beside them ``figures``, drawing only: data in, a matplotlib Figure out; ``composing`` (its sheet) and ``laboratory``
use it. Below all lie ``errors``, ``paths`` and ``provenance``; above them ``cli``. What may import what is a
table in ``tests/test_rooms.py``.

``octavoice.runs()`` is the table of all runs, see :mod:`octavoice.laboratory.runs`.
"""

import importlib

__version__ = "0.1.0"


def __getattr__(name: str):
    """``runs``, fetched when it is asked for: nothing below depends on it."""
    if name == "runs":
        return importlib.import_module("octavoice.laboratory.runs").table
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
