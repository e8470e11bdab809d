"""Under an equation of a notebook: links to the lines that implement it, found in the code by name."""

from docutils import nodes

from binding import read


def lines_of(tex: str, page: str) -> list[str] | None:
    """Dotted names of what implements a display equation of a page; None if the table does not know it."""
    found = [row for row in read.data("equations")["equation"] if row["page"] == page and row["tex"] in tex]
    return found[0]["code"] if found else None


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
        names = lines_of(block.astext(), docname.removeprefix("notebooks/"))
        if not names:
            continue
        paragraph = nodes.paragraph("", "In code: ", classes=["in-code"])
        for position, path in enumerate(names):
            text, page, anchor = link(path)
            uri = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
            paragraph += nodes.Text(", ") if position else nodes.Text("")
            paragraph += nodes.reference("", text, refuri=uri, internal=True)
        block.parent.insert(block.parent.index(block) + 1, paragraph)


def name_pages(app, doctree: nodes.document, docname: str) -> None:
    """Make a link of every notebook's name in code type, such as 06_experiments, except on its own page."""
    for literal in list(doctree.findall(nodes.literal)):
        page = f"notebooks/{literal.astext()}"
        if page in app.env.found_docs and page != docname and not isinstance(literal.parent, nodes.reference):
            uri = app.builder.get_relative_uri(docname, page)
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=uri, internal=True))
