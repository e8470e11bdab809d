"""What the thesis reports, read from ``values.toml``: the only place where its numbers stand."""

import tomllib
from functools import cache
from importlib import resources


@cache
def _table() -> dict:
    return tomllib.loads(resources.files("octavoice.thesis").joinpath("values.toml").read_text(encoding="utf-8"))


def value(name: str):
    """The thesis's value called ``name``; KeyError for a name that is not in ``values.toml``."""
    return _table()[name]["value"]


def rows(*names: str) -> list[dict]:
    """Rows for a table: what is meant, the thesis's value, and where it stands in the thesis."""
    return [{"quantity": _table()[name]["what"], "thesis": _table()[name]["value"],
             "where": _table()[name]["where"]} for name in names]
