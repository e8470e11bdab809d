"""What each notebook cost when it was last published."""

import json

from octavoice import paths

COSTS = paths.PACKAGE / "laboratory" / "costs.json"
"""Running times that notebooks open with; written by ``octavoice publish``, never by hand."""


def measured() -> dict[str, dict[str, dict]]:
    """By notebook and preset: ``{notebook: {preset: {"seconds": …, "processor": …}}}``."""
    return json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}
