"""Whether a stored result is still valid, by one rule.

A result depends on its settings, its music, its seed, and on versions: whole numbers that stand beside a network
(:class:`~octavoice.model.Stage`), a variant, a page, or as ``VERSION`` in a module that measures, and that are raised
by hand when the numbers change. Where none is written it is 1, in what is stored too.
"""

import ast
import json
from pathlib import Path

from octavoice import paths, provenance
from octavoice.errors import UserError
from octavoice.results import claims_command
from octavoice.studies import ablations
from octavoice.training import models, recipes

MEASURING = ("statistics", "likelihood", "studies")
"""The rooms whose modules have versions."""
JUDGING = ("octavoice.likelihood.axis", "octavoice.likelihood.baselines", "octavoice.likelihood.judging")
"""What says how probable a trained model finds the test pieces."""
TAUGHT = {"06_experiments": ("thesis",), "07_discussion": ("thesis",), "08_beyond": ("thesis", "beyond")}
"""The notebooks that need trained networks, and of which models; the last is its own, in place of which it may be run
on another."""


def changes(step: str, facts: dict) -> list[str]:
    """What has another version now than when a step left ``facts`` behind, in words."""
    then = facts.get("code") or {}
    try:
        now = versions_of(step)
    except UserError:
        return [f"what {step} was made by is no longer here"]
    return [f"{name} was version {then.get(name, 1)} and is {version}"
            for name, version in now.items() if then.get(name, 1) != version]


def versions_of(step: str) -> dict[str, int]:
    """The versions, now, of all that a step's numbers depend on, by name. For the names of steps see
    :class:`octavoice.laboratory.graph.Work`; ``claims_SUBJECT`` is a measurement of a published run."""
    kind, _, name = step.partition("_")
    networks = versions_of_networks(models_of(step))
    if kind == "ablation":
        return ablations.versions_of(name)
    if kind == "claims":
        return claims_command.version_of(name) if name in claims_command.MEASURED_IN else {}
    if kind == "levels":
        return networks | versions_in(JUDGING)
    if step[0].isdigit():
        return networks | versions_of_page(step.partition("-")[0])
    return networks


def models_of(step: str) -> list[str]:
    """The models, or single networks of one, that a step needs trained; an ablation trains its own."""
    kind, _, name = step.partition("_")
    if kind in ("levels", "training"):
        return [name]
    if kind == "ablation":
        return []
    notebook, _, model = step.partition("-")
    taught = TAUGHT.get(notebook, ())
    return [*taught[:-1], model] if model else [*taught]


def versions_of_networks(names: list[str]) -> dict[str, int]:
    """The versions that the weights of some models depend on."""
    found = {}
    for name in names:
        for stage in models.named(name).stages:
            found |= recipes.versions_of(stage)
    return found


def versions_of_page(notebook: str) -> dict[str, int]:
    """The versions of a notebook, as its metadata tell it, and of what its cells name; of none that is not here."""
    page = paths.checkout() / "notebooks" / f"{notebook}.ipynb"
    if not page.exists():
        return {}
    version = read(page)["metadata"].get("octavoice", {}).get("version", 1)
    return {notebook: version, **versions_in(measured_by(page))}


def versions_in(modules) -> dict[str, int]:
    """The versions of modules, by the last parts of their names: a module may move, and keeps its version."""
    return {module.rpartition(".")[2]: provenance.version_of(module) for module in modules}


def measured_by(page: Path) -> list[str]:
    """The modules of :data:`MEASURING` rooms that the cells of a notebook name."""
    return [module for module in named_by(page) if module.split(".")[1:2] and module.split(".")[1] in MEASURING]


def named_by(page: Path) -> list[str]:
    """The modules of the package that the cells of a notebook import, themselves and no further."""
    found = set()
    for cell in read(page)["cells"]:
        if cell["cell_type"] == "code":
            found |= imported("".join(cell["source"]))
    return sorted(found)


def imported(code: str) -> set[str]:
    """The modules of the package that code imports; ``name`` of ``from room import name`` is one if it can be."""
    known, found = provenance.modules().keys(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found & known


def code_of(step: str) -> dict[str, str]:
    """Hashes of the code of the files that a step names itself: where runs work, an edit of one makes the step again.

    Those of its networks, and of what a notebook's cells import; what these import in turn does not count.
    """
    files = {stage.build.__module__ for name in models_of(step) for stage in models.named(name).stages}
    if step.startswith("ablation_"):
        files |= {"octavoice.studies.ablations", "octavoice.studies.variants", "octavoice.thesis.ablated"}
    page = paths.checkout() / "notebooks" / f"{step.partition('-')[0]}.ipynb"
    if page.exists():
        files |= set(named_by(page))
    return {module: provenance.code_of(module) for module in sorted(files)}


def read(page: Path) -> dict:
    """A notebook as plain data."""
    return json.loads(page.read_text(encoding="utf-8"))
