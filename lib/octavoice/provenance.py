"""Where a result comes from: versions, device, commit, cost."""

import ast
import contextlib
import hashlib
import json
import math
import platform
import re
import subprocess
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


def code_of(module: str) -> str:
    """A short hash of what the file of one module of the package does: of its code, without comments, layout and
    docstrings. It is taken of the parsed code as Python writes it out, so another Python may give another one."""
    return _hash_of_code(modules()[module].read_bytes())


@cache
def _hash_of_code(code: bytes) -> str:
    return hashlib.sha256(ast.unparse(_Bare().visit(ast.parse(code))).encode()).hexdigest()[:12]


class _Bare(ast.NodeTransformer):
    """Drops every string that stands alone: docstrings of modules, classes, functions and constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def version_of(module: str) -> int:
    """The ``VERSION`` that stands in a module of the package; 1 where none does.

    It is raised by hand when the numbers that the module gives change.
    """
    written = re.search(r"^VERSION = (\d+)$", modules()[module].read_text(encoding="utf-8"), re.MULTILINE)
    return int(written[1]) if written else 1


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


def is_committed(path: Path) -> bool:
    """Whether git keeps a file as it is; no, where there is no git or the file lies in no checkout."""
    git = ["git", "-C", str(path.parent)]
    asked = (["ls-files", "--error-unmatch", path.name], ["diff", "--quiet", "HEAD", "--", path.name])
    try:
        return all(subprocess.run([*git, *words], capture_output=True).returncode == 0 for words in asked)
    except OSError:
        return False


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MiB; NaN where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
