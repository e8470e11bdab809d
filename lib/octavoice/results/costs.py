"""What each notebook cost when it was last published."""

import json
from collections.abc import Iterable

from octavoice import paths

COSTS = paths.PACKAGE / "results" / "costs.json"
"""Running times that notebooks open with; written by ``octavoice publish``, never by hand."""


def measured() -> dict[str, dict[str, dict]]:
    """By notebook and preset: ``{notebook: {preset: {"seconds": …, "processor": …}}}``."""
    return json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}


def trained_on(cost: dict, called: Iterable[str]) -> str:
    """The machines of a run's trainings, of the networks ``called`` so, from what a notebook noted of its cost; older
    notes have that notebook's own."""
    machines = [cost.get(f"training, {name}", {}).get("machine", cost) for name in called]
    return ", ".join(dict.fromkeys(each.get("gpu") or f"{each['processor']}, {cost['threads']} thread(s)"
                                   for each in machines))
