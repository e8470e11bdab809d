"""What each notebook cost when it was last published."""

import json

from octavoice import paths

COSTS = paths.PACKAGE / "laboratory" / "costs.json"
"""Running times that notebooks open with; written by ``octavoice publish``, never by hand."""


def measured() -> dict[str, dict[str, dict]]:
    """By notebook and preset: ``{notebook: {preset: {"seconds": …, "processor": …}}}``."""
    return json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}


def trained_on(cost: dict) -> str:
    """The machine of a run's trainings from what a notebook noted of its cost; older notes have that notebook's own."""
    machine = next((part["machine"] for part in cost.values() if isinstance(part, dict) and "machine" in part), None)
    if machine and "gpu" in machine:
        return machine["gpu"]
    return f"{(machine or cost)['processor']}, {cost['threads']} thread(s)"
