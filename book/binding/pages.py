"""How pages are dressed: a notebook's code is folded and its file lies beside it; cells of tables are short or long."""

import shutil
from pathlib import Path

from docutils import nodes

FOLDER = "notebooks/"
ONE_LINE = 28
"""Characters of a table's cell that are not broken into lines."""
ABOVE = """<p class="of-notebook"><a href="{name}" download>This notebook as a file</a> ({name})
<button type="button" class="all-code" aria-expanded="false" hidden>Show all code</button></p>"""


def fold(app, doctree: nodes.document) -> None:
    """Let myst-nb fold every cell's code, as if the cell were tagged so."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code" and not cell.get("hide_mode"):
            cell["hide_mode"], cell["prompt_show"], cell["prompt_hide"] = "input", "Show the code", "Hide the code"


def link_file(app, doctree: nodes.document, docname: str) -> None:
    """Below a notebook's title: its file, and a button for all of its code."""
    if not docname.startswith(FOLDER):
        return
    title = next(iter(doctree.findall(nodes.title)))
    name = f"{docname.removeprefix(FOLDER)}.ipynb"
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", ABOVE.format(name=name), format="html"))


def measure_cells(app, doctree: nodes.document) -> None:
    """Tell cells of tables that keep to one line from those that are sentences."""
    for row in (row for body in doctree.findall(nodes.tbody) for row in body.findall(nodes.row)):
        for cell in row.findall(nodes.entry):
            cell["classes"].append("short" if len(cell.astext()) <= ONE_LINE else "long")


def copy_files(app, exception: Exception | None) -> None:
    """Put the notebooks beside their pages."""
    for docname in app.env.found_docs if exception is None else ():
        if docname.startswith(FOLDER):
            shutil.copy(app.env.doc2path(docname), Path(app.outdir) / FOLDER)
