"""The thresholds of the verdicts: each stands once, with its reason, in ``claims.toml`` beside its claim.

Rules, the sentences of one run and notebooks ask for them by name.
"""

import tomllib
from functools import cache
from importlib import resources


@cache
def written() -> dict[str, dict]:
    """The table of claims as it is written, by claim."""
    return tomllib.loads(resources.files(__package__).joinpath("claims.toml").read_text(encoding="utf-8"))


def limit(claim: str, name: str) -> float:
    """A threshold of a claim; KeyError for one that it does not have."""
    return written()[claim]["limits"][name]["value"]
