"""Binds the book together: pages generated from data, links from equations to lines, a page for every module."""

import re

from docutils import nodes
from sphinx.application import Sphinx

from binding import code, equations, pages, search, write

MARK = re.compile(r"^<!-- generated: (\w+) ?(.*?) -->$", flags=re.M)


def generate(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put what :mod:`binding.write` makes in the place of each mark ``<!-- generated: NAME ARGUMENT -->``.

    Links to files of the checkout, by which pages can be read without the book, are led to pages of the book.
    """
    if not docname.startswith("notebooks/"):
        source[0] = write.led(MARK.sub(lambda mark: write.part(mark[1], mark[2]), source[0]))


def hide_widgets(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Leave out the bare text of live widgets, which need a kernel."""
    for block in list(doctree.findall(nodes.literal_block)):
        if re.match(r"\w+\(children=\(", block.astext()):
            block.parent.remove(block)


def setup(app: Sphinx) -> dict:
    app.add_search_language(search.BothLanguages)
    app.connect("source-read", generate)
    app.connect("doctree-read", pages.fold)
    app.connect("doctree-read", pages.measure_cells)
    app.connect("doctree-resolved", equations.add)
    app.connect("doctree-resolved", equations.name_pages)
    app.connect("doctree-resolved", pages.link_file)
    app.connect("doctree-resolved", hide_widgets)
    app.connect("html-collect-pages", code.pages)
    app.connect("build-finished", pages.copy_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
