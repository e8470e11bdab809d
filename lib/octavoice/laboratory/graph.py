"""What the steps of the graph of runs depend on: code by its imports, a folder's music, what is committed."""

import json
from collections.abc import Iterable
from pathlib import Path

from octavoice import paths, provenance
from octavoice.provenance import imports, modules, reached

TRAINING = ("octavoice.training.networks", "octavoice.training.run")
"""What training imports when no notebook is around it."""
TAUGHT = {"06_experiments": ("thesis",), "07_discussion": ("thesis",), "08_beyond": ("thesis", "beyond")}
"""The notebooks that need trained networks, and of which models."""
COMMITTED = {"octavoice.laboratory.published", "octavoice.laboratory.compared", "octavoice.laboratory.claims_command"}
"""The modules through which a notebook reads runs that are committed."""


def notebook_imports(notebook: Path) -> set[str]:
    """What the cells of a notebook import of the package."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return set().union(*(imports("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"))


def code(names: Iterable[str]) -> list[Path]:
    """The files that importing modules ``names`` reads, packages around them and ``.toml`` beside them included."""
    found = reached(names, packages=True)
    files = [modules()[name] for name in sorted(found)]
    return files + [table for file in files if (table := file.with_suffix(".toml")).exists()]


def folder_state(corpus: str) -> str:
    """A hash of the names, sizes and times of a folder corpus's files: a changed folder is read again."""
    folder = Path(corpus.removeprefix("folder:")).expanduser()
    files = sorted(folder.rglob("*")) if corpus.startswith("folder:") else []
    return provenance.digest({str(file): [file.stat().st_size, file.stat().st_mtime_ns]
                              for file in files if file.is_file()})


def committed_state(names: Iterable[str]) -> str:
    """A hash of what is committed under ``results/thesis`` if modules ``names`` read it, else nothing.

    Every run's index there holds the hashes of all its figures and results.
    """
    if COMMITTED.isdisjoint(names):
        return ""
    folder = paths.checkout() / "results" / "thesis"
    return provenance.digest({index.relative_to(folder).as_posix(): provenance.sha256(index)
                              for index in folder.glob("*/seed-*/index.json")})
