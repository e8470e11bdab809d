"""Where a result comes from: versions, device, commit, cost."""

import hashlib
import json
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path

from octavoice import paths

PACKAGES = ("torch", "numpy", "music21", "symusic", "pretty_midi", "matplotlib", "seaborn", "verovio", "octavoice")
TRAINING_CODE = ("music/roll.py", "corpus/pieces.py", "corpus/splits.py", "corpus/fragments.py", "thesis/attention.py",
                 "thesis/decoder.py", "thesis/generator.py", "thesis/lstm.py", "thesis/voices.py",
                 "training/fit.py", "training/networks.py")
"""What the weights depend on besides the pieces, whose hash stands beside it."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def digest(facts: dict) -> str:
    """A hash of plain facts (JSON, sorted keys)."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def code_fingerprint() -> str:
    """A hash of the code that training depends on: a stored run made by other code is not used."""
    total = hashlib.sha256()
    for name in TRAINING_CODE:
        path = paths.PACKAGE / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries whose numbers a run depends on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


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
    """Largest resident size of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
