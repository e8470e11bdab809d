"""The table of claims: their words from ``table.toml``, their rules, and what both give on the stored runs."""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd

from octavoice.evidence.claims import data, music, training
from octavoice.evidence.claims.record import VERDICTS, Claim

RULES = {name.upper(): rule for room in (data, training, music) for name, rule in vars(room).items()
         if name[0] == "c" and name[1:].isdigit()}
"""The rule of every claim: the function called as the claim is."""
MARKS = {True: "✓", False: "✗", None: "no run"}


@cache
def claims() -> tuple[Claim, ...]:
    """All claims in the order in which they are numbered. KeyError for one without a rule."""
    text = resources.files("octavoice.evidence.claims").joinpath("table.toml").read_text(encoding="utf-8")
    return tuple(Claim(id=name, rule=RULES[name], **told) for name, told in tomllib.loads(text).items())


def records(folder: Path | None = None) -> list[dict]:
    """Every claim as plain data with its verdict, from the results below ``folder``, else from the committed ones."""
    return [claim.record(folder) for claim in claims()]


def readme_table(found: list[dict]) -> pd.DataFrame:
    """The short table for a page, a row per claim: where it stands, its words, its verdict, how many parts hold."""
    rows = {each["id"]: {"in": each["section"], "claim": each["claim"], "verdict": f"**{each['verdict']}**",
                         "parts": _parts([part["holds"] for part in each["parts"]])} for each in found}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")


def _parts(holds: list[bool | None]) -> str:
    """How many of the tested parts hold, and how many have no run."""
    tested = [each for each in holds if each is not None]
    said = f"{sum(tested)} of {len(tested)} hold" if tested else ""
    return "; ".join(filter(None, [said, f"{len(holds) - len(tested)} without a run" * (len(holds) > len(tested))]))


def full_table(found: list[dict]) -> pd.DataFrame:
    """A row per part of every claim: what was found, over what, and whether it holds."""
    rows = [{"id": each["id"], "claim": each["claim"], "part": part["what"], "found": part["found"],
             "holds": MARKS[part["holds"]], "verdict": each["verdict"]} for each in found for part in each["parts"]]
    return pd.DataFrame(rows).set_index(["id", "claim", "verdict", "part"])


def sources(found: list[dict]) -> pd.DataFrame:
    """How each claim was tested: the test, the rule with its thresholds, the runs it used, and what would change it."""
    rows = {each["id"]: {"test": each["test"], "rule": each["rule"], "runs": ", ".join(each["runs"]) or "none needed",
                         "would change it": each["change"]} for each in found}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")


def counted(found: list[dict]) -> pd.Series:
    """How many claims got each verdict."""
    return pd.Series([each["verdict"] for each in found]).value_counts().reindex(VERDICTS, fill_value=0)
