"""Results that a command keeps as one JSON file each: found again if what they depend on is still the same."""

import json
from pathlib import Path

from octavoice import paths, provenance


def find(path: Path, asked: list[dict], modules: list[str]) -> dict | None:
    """The result in a file, if it depends on what one of ``asked`` says; None if there is none.

    A committed result is judged by that alone. Any other must also have been made by the code that now stands in
    ``modules``: whoever edits a network and runs again gets a training.
    """
    if not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    depends = result.get("depends_on", {})
    if not any(same(depends, each) for each in asked):
        return None
    return result if provenance.is_committed(path) or result.get("files") == files_of(modules) else None


def same(stored: dict, asked: dict) -> bool:
    """Whether two results depend on the same; a version that is not written is 1."""
    if stored.keys() - {"code"} != asked.keys() - {"code"}:
        return False
    then, now = stored.get("code", {}), asked.get("code", {})
    if any(then.get(name, 1) != version for name, version in now.items()):
        return False
    return all(_alike(stored[name], value) for name, value in asked.items() if name != "code")


def _alike(stored, asked) -> bool:
    """The same value, or plain facts that are the :func:`same`."""
    return same(stored, asked) if isinstance(stored, dict) and isinstance(asked, dict) else stored == asked


def files_of(modules: list[str]) -> dict[str, str]:
    """Hashes of what the files of some modules do."""
    return {module: provenance.code_of(module) for module in modules}


def write(path: Path, result: dict) -> dict:
    """Keep a result; returns it as it will be read."""
    text = json.dumps(result, indent=1)
    with paths.atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return json.loads(text)
