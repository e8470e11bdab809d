"""Claims on pages: every claim with all its evidence, and one sentence where a notebook deals with it.

Both carry the anchor of the claim, ``claim-c8``, to which links lead.
"""

from html import escape

from octavoice.results.claims import table
from octavoice.results.claims.record import NOT, PARTLY, REPRODUCED, UNTESTABLE, Part, verdict

PAGE = "10_verdicts.ipynb"
HOLDS = {REPRODUCED: "holds", PARTLY: "holds in part", NOT: "does not hold", UNTESTABLE: "cannot be judged"}


def anchor(claim: str) -> str:
    """The anchor of a claim: ``claim-c8`` of ``C8``."""
    return f"claim-{claim.lower()}"


def cards(found: list[dict]) -> str:
    """Every claim as HTML: its words and verdict, every part with what was found, and how it was tested."""
    return "\n".join(map(_card, found))


def _card(claim: dict) -> str:
    cells = ([escape(part["what"]), escape(part["found"]), table.sign(part)] for part in claim["parts"])
    rows = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
    limits = "; ".join(f"{name} {each['value']:g} ({each['why']})" for name, each in claim["limits"].items())
    told = {"test": claim["test"], "rule": claim["rule"], "limits": limits or "none",
            "runs": ", ".join(claim["runs"]) or "none needed", "what would change it": claim["change"]}
    how = "".join(f"<p><i>{name}:</i> {escape(text)}</p>" for name, text in told.items())
    return (f'<section id="{anchor(claim["id"])}"><h3>{claim["id"]} · {claim["verdict"]}</h3>'
            f"<p>{escape(claim['claim'])} ({claim['section']})</p>"
            f"<table><thead><tr><th>part</th><th>found</th><th>holds</th></tr></thead><tbody>{rows}</tbody></table>"
            f"<details><summary>How it was tested</summary>{how}</details></section>")


def sentence(claim: str, parts: dict[str, bool | None], run: str, stored: list[dict]) -> str:
    """What a run gives for a claim, in one sentence of HTML, and what all committed runs gave.

    ``parts`` says of each thing that was found whether it speaks for the claim, None where it cannot judge it; ``run``
    names the run; ``stored`` are the committed verdicts, of which there may be none.
    """
    signs = "; ".join(f"{escape(what)} {table.SIGNS.get(holds, '')}".rstrip() for what, holds in parts.items())
    here = HOLDS[verdict([Part(what, "", holds) for what, holds in parts.items()])]
    row = next((each for each in stored if each["id"] == claim), None)
    words = f" “{escape(row['claim'])}”" if row else ""
    all_runs = (f" All committed runs: <b>{row['verdict']}</b>, {table.holding(row['parts'])} "
                f'(<a href="{PAGE}#{anchor(claim)}">its evidence</a>).') if row else ""
    return (f'<p id="{anchor(claim)}"><b>{claim}</b>{words} This run ({escape(run)}): {signs}; so {claim} '
            f"<b>{here}</b>.{all_runs}</p>")
