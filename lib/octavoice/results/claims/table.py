"""The table of claims: their words from ``thesis/claims.toml``, their rules, and what both give on the stored runs."""

from collections import Counter
from functools import cache
from pathlib import Path

import pandas as pd

from octavoice.results.claims import data, music, training
from octavoice.results.claims.record import VERDICTS, Claim
from octavoice.thesis import limits

RULES = {name.upper(): rule for room in (data, training, music) for name, rule in vars(room).items()
         if name[0] == "c" and name[1:].isdigit()}
"""The rule of every claim: the function called as the claim is."""
SIGNS = {True: "✓", False: "✗"}


@cache
def claims() -> tuple[Claim, ...]:
    """All claims in the order in which they are numbered. KeyError for one without a rule."""
    return tuple(Claim(id=name, rule=RULES[name], **told) for name, told in limits.written().items())


def records(folder: Path | None = None) -> list[dict]:
    """Every claim as plain data with its verdict, from the results below ``folder``, else from the committed ones."""
    return [claim.record(folder) for claim in claims()]


def readme_table(found: list[dict]) -> pd.DataFrame:
    """The short table for a page in Markdown, a row per claim: where it stands, its words, its verdict, how many parts
    hold."""
    short = short_table(found)
    return short.assign(verdict=[f"**{verdict}**" for verdict in short["verdict"]])


def short_table(found: list[dict]) -> pd.DataFrame:
    """The same without marks."""
    rows = {each["id"]: {"in": each["section"], "claim": each["claim"], "verdict": each["verdict"],
                         "parts": holding(each["parts"])} for each in found}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")


def sign(part: dict) -> str:
    """Whether a part holds, or why that is not said."""
    return SIGNS.get(part["holds"], "no run" if part["found"] == "–" else "told")


def holding(parts: list[dict]) -> str:
    """How many of the tested parts hold, how many are only told, and how many have no run."""
    tested = [part["holds"] for part in parts if part["holds"] is not None]
    counts = {"told": 0, "no run": 0} | Counter(sign(part) for part in parts)
    return "; ".join(filter(None, [f"{sum(tested)} of {len(tested)} hold" * bool(tested),
                                   f"{counts['no run']} without a run" * bool(counts["no run"]),
                                   f"{counts['told']} told" * bool(counts["told"])]))


def counted(found: list[dict]) -> pd.Series:
    """How many claims got each verdict."""
    return pd.Series([each["verdict"] for each in found]).value_counts().reindex(VERDICTS, fill_value=0)
