"""Where a result comes from: versions, device, commit, cost."""

import ast
import contextlib
import hashlib
import json
import math
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from octavoice import paths

PACKAGES = ("torch", "numpy", "music21", "symusic", "pretty_midi", "matplotlib", "seaborn", "verovio", "octavoice")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(facts: dict) -> str:
    """A hash of plain facts (JSON, sorted keys)."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@cache
def modules() -> dict[str, Path]:
    """The file of every module of the package, by its full name."""
    parts = {file: file.relative_to(paths.PACKAGE.parent).with_suffix("").parts for file in paths.PACKAGE.rglob("*.py")}
    return {".".join(part for part in parts[file] if part != "__init__"): file for file in sorted(parts)}


def imports(code: str) -> set[str]:
    """Modules of the package that code imports, at its top and inside functions; ``name`` of ``from room import
    name`` is one if it can be."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (named & modules().keys()) | ({node.module} if named - modules().keys() else set())
    return found & modules().keys()


@cache
def imports_of(module: str) -> set[str]:
    """What a module of the package imports of it."""
    return imports(modules()[module].read_text(encoding="utf-8"))


def reached(names: Iterable[str], packages: bool = False) -> set[str]:
    """Modules of the package that importing ``names`` needs, by their imports; if asked for, packages around them."""
    found, waiting = set(), set(names)
    while waiting:
        found |= waiting
        around = {name.rpartition(".")[0] for name in waiting} - {""} if packages else set()
        waiting = set.union(around, *(imports_of(name) for name in waiting)) - found
    return found


@cache
def module_fingerprint(code: bytes) -> str:
    """A short hash of what a file of code does, as :func:`code_fingerprint` takes it of many."""
    return hashlib.sha256(ast.unparse(_Bare().visit(ast.parse(code))).encode()).hexdigest()[:12]


def code_fingerprint(names: Iterable[str]) -> str:
    """A hash of what the package's modules ``names`` do: of their code, without comments, layout and docstrings.

    It is taken of the parsed code as Python writes it out, so another version of Python may give another one.
    """
    total = hashlib.sha256()
    for name in names:
        code = _Bare().visit(ast.parse(modules()[name].read_bytes()))
        total.update(f"# {name}\n{ast.unparse(code)}\n".encode())
    return total.hexdigest()


class _Bare(ast.NodeTransformer):
    """Drops every string that stands alone: docstrings of modules, classes, functions and constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries whose numbers a run depends on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def processor() -> str:
    """The CPU's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str | None:
    """The checkout's commit, with ``+`` if files differ from it; None outside a checkout."""
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(paths.PACKAGE), *words], capture_output=True, text=True,
                              check=True).stdout.strip()
    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MiB; NaN where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
