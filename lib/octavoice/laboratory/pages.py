"""Pages as stored: each committed notebook shows a committed run and is checked at preset ``smoke``.

``octavoice notebooks`` runs a notebook twice. With :data:`SWITCH` in the environment,
:func:`~octavoice.laboratory.notebook.start` takes :data:`RUN` whatever the parameters cell says, and reads what that
run has committed (:mod:`octavoice.laboratory.shown`): this is the page. Without it the notebook runs as its parameters
cell says, at ``smoke``; what its comparing cells put out there is kept in their metadata, under :data:`KEPT`, where it
differs from the page. :func:`to_compare` puts it back for ``nbval``.
"""

import json
from pathlib import Path

from octavoice import paths

RUN = {"preset": "thesis", "corpus": "open-keyboard", "seed": 1, "overrides": {}}
"""The parameters of the run that stored pages show."""
SWITCH = "OCTAVOICE_SHOWN"
"""The variable of the environment that asks for a page as stored."""
COMPARED = "NBVAL_CHECK_OUTPUT"
KEPT = "smoke"
"""Where a comparing cell's metadata keep its outputs at preset ``smoke``, if the page shows others."""


def read(page: Path) -> dict:
    """A notebook as plain data."""
    return json.loads(page.read_text(encoding="utf-8"))


def write(notebook: dict, page: Path) -> None:
    """Write a notebook as Jupyter does, whole or not at all."""
    with paths.atomic(page) as temporary:
        text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def shows(page: Path) -> bool:
    """Whether a notebook shows the run: those of the thesis's sections, which are numbered."""
    return page.stem[0].isdigit()


def compares(cell: dict) -> bool:
    """Whether ``nbval`` compares what a cell puts out."""
    return cell["cell_type"] == "code" and COMPARED in "".join(cell["source"])


def compared(page: Path) -> bool:
    """Whether any cell of a notebook is compared."""
    return any(map(compares, read(page)["cells"]))


def bind(page: Path, smoke: Path | None, target: Path) -> None:
    """Store a page, and in its comparing cells what they put out at preset smoke, where that is something else."""
    shown = read(page)
    others = read(smoke)["cells"] if smoke else shown["cells"]
    for cell, other in zip(shown["cells"], others, strict=True):
        cell["metadata"].pop(KEPT, None)
        if compares(cell) and said(cell) != said(other):
            cell["metadata"][KEPT] = other["outputs"]
    write(shown, target)


def said(cell: dict) -> list:
    """What a cell puts out, without the numbers of executions."""
    return [output.get("text") or output.get("data") for output in cell["outputs"]]


def to_compare(page: Path, target: Path) -> None:
    """Write a page as ``nbval`` shall compare it: its comparing cells with what they put out at preset smoke."""
    notebook = read(page)
    for cell in notebook["cells"]:
        if KEPT in cell["metadata"]:
            cell["outputs"] = cell["metadata"].pop(KEPT)
    write(notebook, target)
