"""Under an equation of a notebook: what its symbols stand for, and links to the lines that implement it, found in the
code by name."""

import re
from functools import cache

from docutils import nodes

from binding import read


def row_of(tex: str, page: str) -> dict | None:
    """What the table knows of a display equation of a page: ``code``, dotted names of what implements it, and
    ``symbols``, what they stand for; None if it does not know it."""
    return next((row for row in _table() if row["page"] == page and row["tex"] in tex), None)


@cache
def _table() -> list[dict]:
    return read.data("equations")["equation"]


def link(path: str) -> tuple[str, str, str]:
    """What a dotted name is called on a page, the code page it is on, and where there."""
    module, definition = read.place(path)
    first, last = definition.lines
    where = f"line {first}" if first == last else f"lines {first}–{last}"
    return f"{definition.name} ({module.file.name}, {where})", f"code/{module.name}", definition.name


def add(app, doctree: nodes.document, docname: str) -> None:
    """Put the links below every display equation of a notebook's page."""
    if not docname.startswith("notebooks/"):
        return
    for block in list(doctree.findall(nodes.math_block)):
        if row := row_of(block.astext(), docname.removeprefix("notebooks/")):
            paragraph = nodes.paragraph("", "", *_symbols(row["symbols"]), classes=["in-code"])
            paragraph += _places(app, docname, row["code"])
            block.parent.insert(block.parent.index(block) + 1, paragraph)


def _symbols(said: str) -> list[nodes.Node]:
    """What symbols stand for, with what is between dollars set as mathematics."""
    return [nodes.math("", part) if position % 2 else nodes.Text(part)
            for position, part in enumerate(re.split(r"\$", f"With {said}."))]


def _places(app, docname: str, names: list[str]) -> list[nodes.Node]:
    """Links to the lines of some definitions."""
    found = [nodes.Text(" In code: ")] if names else []
    for position, path in enumerate(names):
        text, page, anchor = link(path)
        uri = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        found += [nodes.Text(", ")] * (position > 0) + [nodes.reference("", text, refuri=uri, internal=True)]
    return found


def name_pages(app, doctree: nodes.document, docname: str) -> None:
    """Make a link of every notebook's name in code type, such as 06_experiments, except on its own page."""
    for literal in list(doctree.findall(nodes.literal)):
        page = f"notebooks/{literal.astext()}"
        if page in app.env.found_docs and page != docname and not isinstance(literal.parent, nodes.reference):
            uri = app.builder.get_relative_uri(docname, page)
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=uri, internal=True))
