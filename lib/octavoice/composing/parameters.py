"""What compose.ipynb needs: its parameters checked, and where its files go."""

import re
from pathlib import Path
from typing import Any

from octavoice import paths
from octavoice.composing.continuation import check_number
from octavoice.training.run import check_types

PARAMETERS = {"prime": str, "variations": int, "bars": int, "seed": int, "temperature": float, "weights": str,
              "model": str}


def parameters(namespace: dict[str, Any]) -> dict[str, Any]:
    """The notebook's parameters, checked; ``namespace`` is its ``globals()`` after the parameters cell.

    Raises :class:`UserError` for an unknown name, a wrong type or a senseless value.
    """
    given = check_types(namespace, PARAMETERS)
    return {name: check_number(name, value) if PARAMETERS[name] is not str else value for name, value in given.items()}


def place(prime: str, seed: int) -> Path:
    """Where the notebook writes the MIDI of what it composed from a prime of this name."""
    return paths.run_dir("compose", re.sub(r"\W+", "-", prime), seed) / "continuation.mid"
