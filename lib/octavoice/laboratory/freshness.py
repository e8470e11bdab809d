"""Whether what a run found is still what this code would find: its code as recorded, or as committed then, and now.

Code that shows, drives or names changes no number and does not count; nor does a model that a run does not use.
"""

import io
import subprocess
import sys
import tarfile
from functools import cache

from octavoice import paths, provenance
from octavoice.training import models, recipes
from octavoice.training.run import Run

TELLING = {"", "__main__", "cli", "errors", "figures", "laboratory", "paths", "provenance"}
"""Rooms whose code changes no number."""
TABLES = {f"octavoice.{name}" for name in ("training.models", "training.presets", "training.run",
                                           "corpus.catalogue", "corpus.fetch", "corpus.report")}
"""Nor do lists that every new model, setting or corpus changes: a manifest has its settings and its music's hash."""


def code_in_use(run: Run) -> dict[str, str]:
    """What a manifest records of the code that a notebook has run: a short hash of each of its modules."""
    return state(name for name in sys.modules if name in provenance.modules() and not _unused(name, run.files))


def code_of_training(model: str) -> dict[str, str]:
    """The same for the training of a model, or of one network of it: the code that decides its weights."""
    return state({name for stage in models.named(model).stages for name in recipes.code_of(stage)})


def state(names) -> dict[str, str]:
    """A short hash of what each of some modules does, now."""
    return {name: provenance.module_fingerprint(provenance.modules()[name].read_bytes())
            for name in sorted(names) if _decides(name)}


def changes(manifest: dict, needed: set[str], files: dict[str, str]) -> list[str] | None:
    """The modules that differ from those a manifest was made with; None if that cannot be told.

    A manifest of before ``code`` was recorded has a commit, at which modules ``needed`` are looked up but for
    those of models that none of the run's ``files`` is of.
    """
    then = manifest.get("code") or _committed_then(manifest.get("commit") or "", needed, files)
    if then is None:
        return None
    now = state(then.keys() & provenance.modules().keys())
    return [name.removeprefix("octavoice.") for name in sorted(then) if _decides(name) and now.get(name) != then[name]]


def _committed_then(commit: str, needed: set[str], files: dict[str, str]) -> dict[str, str] | None:
    """The code of ``needed`` modules at a commit; None for files that differed from it, or a commit not here."""
    known = {} if not commit or commit.endswith("+") else code_at(commit)
    return {name: known.get(name, "not there") for name in needed if not _unused(name, files)} if known else None


@cache
def code_at(commit: str) -> dict[str, str]:
    """A short hash of what each module of the package did at a commit; empty if this checkout does not have it."""
    command = ["git", "-C", str(paths.checkout()), "archive", commit, "lib/octavoice"]
    try:
        packed = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {_module(member.name): provenance.module_fingerprint(archive.extractfile(member).read())
                for member in archive if member.name.endswith(".py")}


def _module(file: str) -> str:
    """The module that a file of the archive is."""
    return file.removeprefix("lib/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _decides(name: str) -> bool:
    return _room(name) not in TELLING and name not in TABLES


def _unused(name: str, files: dict[str, str]) -> bool:
    """Whether a module is of a model none of whose networks is among the files; the thesis's is part of all."""
    made = {_room(stage.build.__module__): f"results/{stage.name}_metrics.csv" in files
            for model in models.MODELS.values() for stage in model.stages}
    return not (made | {"thesis": True}).get(_room(name), True)


def _room(name: str) -> str:
    return f"{name}.".split(".")[1]
