"""Every path of the project comes from here."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """The folder that holds ``runs/``, ``figures/`` and ``results/``.

    ``OCTAVOICE_HOME`` if set, else the checkout the package is installed from
    (``pip install -e .``), else the working directory.
    """
    if os.environ.get("OCTAVOICE_HOME"):
        return Path(os.environ["OCTAVOICE_HOME"]).resolve()
    return checkout()


def checkout() -> Path:
    """The checkout the package is installed from, where committed results lie; else the working directory."""
    return PACKAGE.parents[1] if (PACKAGE.parents[1] / "pyproject.toml").exists() else Path.cwd()


def slug(corpus: str) -> str:
    """A folder name for a corpus: ``bach``, or ``folder-NAME-1a2b3c4d`` for ``folder:PATH``."""
    corpus, strict = corpus.removesuffix("@strict"), corpus.endswith("@strict") * "-strict"
    if not corpus.startswith("folder:"):
        return corpus.replace("/", "-") + strict
    path = Path(corpus.removeprefix("folder:")).expanduser().resolve()
    name = re.sub(r"[^A-Za-z0-9]+", "-", path.name).strip("-").lower() or "root"
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"folder-{name}-{digest}{strict}"


def run_dir(preset: str, corpus: str, seed: int, apart: dict | None = None) -> Path:
    """Where one run works: ``runs/<preset>/<corpus>/seed-<n>`` (ignored by git).

    With settings ``apart`` from the preset's it is a folder below that, called by a hash of them, since their names
    and values may be longer than a file system allows; ``settings.json`` in it spells them out.
    """
    folder = home() / "runs" / preset / slug(corpus) / f"seed-{seed}"
    return folder / f"with-{_short_hash(apart)}" if apart else folder


def _short_hash(facts: dict) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]


def figures_dir(preset: str, corpus: str, seed: int) -> Path:
    """Where a finished run's figures are handed on to."""
    return home() / "figures" / preset / slug(corpus) / f"seed-{seed}"


def results_dir(preset: str, corpus: str, seed: int) -> Path:
    """Where a finished run's results are handed on to."""
    return home() / "results" / preset / slug(corpus) / f"seed-{seed}"


def store_dir() -> Path:
    """Where packed corpora are kept (made again whenever their inputs change)."""
    return home() / "runs" / "corpora"


def music_marker(corpus: str, files: int) -> Path:
    """The small file that tells which music a corpus last gave: its first ``files`` files, 0 for all."""
    return store_dir() / f"{slug(corpus)}-{files or 'all'}.json"


def corpus_report(corpus: str, files: int) -> Path:
    """The table that tells what became of each of a corpus's first ``files`` files, 0 for all."""
    return music_marker(corpus, files).with_suffix(".csv")


def sweeps_dir() -> Path:
    """Where the sweeps that come with the checkout are described."""
    return checkout() / "sweeps"


@contextmanager
def atomic(path: Path):
    """Yield a temporary path beside ``path``; rename it over ``path`` only if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced(folder: Path):
    """Yield an empty folder that takes ``folder``'s place only if the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    fresh, old = workshop / "new", workshop / "old"
    fresh.mkdir()
    try:
        yield fresh
        if folder.exists():
            os.replace(folder, old)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
