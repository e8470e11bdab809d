"""The commands behind ``make``, which need no make, no shell and no bash: each runs the tools of this environment.

``python -m octavoice reproduce`` is what ``make reproduce`` calls once the environment exists.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from octavoice import corpus as corpora
from octavoice import paths
from octavoice.errors import UserError
from octavoice.laboratory import lock, pages, relay, runs, summary, sweeps


def surroundings() -> dict[str, str]:
    """The environment of the tools: this one's packages, kernels and settings only; a user's own change no figure."""
    place, mine = Path(sys.prefix), Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{mine}{os.pathsep}{os.environ.get('PATH', '')}", "PYTHONNOUSERSITE": "1",
        "JUPYTER_PREFER_ENV_PATH": "1", "IPYTHONDIR": str(place / "ipython"),
        "MPLCONFIGDIR": str(place / "matplotlib"), "JUPYTER_RUNTIME_DIR": str(place / "jupyter")}


def tool(module: str, *words: str, **settings: str) -> int:
    """Run a module of this environment in the checkout; return its exit status. It holds the locks held here."""
    command = [sys.executable, "-m", module, *words]
    return relay.wait(subprocess.Popen(command, cwd=checkout(), env=surroundings() | settings, close_fds=False))


def checkout() -> Path:
    """The checkout with its graph and notebooks. Raises :class:`UserError` where the package came without them."""
    if not (paths.checkout() / "Snakefile").is_file():
        raise UserError("there is no checkout here; clone the project and install it with `pip install -e .`.")
    return paths.checkout()


def graph_of_runs(config: dict, cores: str, profile: str = "", targets: tuple[str, ...] = (), *more: str) -> int:
    """Let Snakemake do what is out of date; return its exit status.

    It works in the home and keeps its notes there; its own lock, which outlives a kill, gives way to ours. With a
    ``profile`` (a folder with ``config.yaml``) it submits steps to a cluster, ``cores`` of them at a time. Raises
    :class:`UserError` for settings that are none, and while another run is at work in the home.
    """
    if not (cores.isascii() and cores.isdigit() and int(cores)):
        raise UserError(f"cores {cores!r} is not a whole number of at least 1.")
    if profile and not (checkout() / profile / "config.yaml").is_file():
        raise UserError(f"profile {profile}: has no config.yaml; give a folder that has, for instance profiles/slurm.")
    settings = [f"{name}={json.dumps(value)}" for name, value in config.items()]
    where = ["--jobs", cores, "--profile", profile] if profile else ["--cores", cores]
    words = [*targets, *where, *more, "--nolock", "--config", *settings]
    with lock.run():
        return tool("snakemake", *words, XDG_CACHE_HOME=str(Path(sys.prefix) / "cache"), **_folders())


def _folders() -> dict[str, str]:
    """The folders that the environment names, in full, for tools that work elsewhere."""
    given = {name: os.environ[name] for name in ("OCTAVOICE_DATA", "OCTAVOICE_CACHE") if os.environ.get(name)}
    full = {name: str(Path(folder).expanduser().resolve()) for name, folder in given.items()}
    return {"OCTAVOICE_HOME": str(paths.home()), **full}


def reproduce(preset: str, corpus: str, seed: int, cores: str, profile: str = "", target: str = "all") -> int:
    """All notebooks of one run, or with target ``train`` training and composing only."""
    config = {"preset": preset, "corpus": [corpora.in_full(corpus)], "seed": seed}
    return graph_of_runs(config, cores, profile, (target,))


def sweep(name: str, cores: str, profile: str = "") -> int:
    """Every run of a sweep that is not there yet, then the notebook that sums up what there is.

    A failed step leaves its log and stops only what needs it.
    """
    file = sweeps.find(name)
    print(f"{file.stem}: {summary.told(summary.steps(sweeps.read(name)))}", file=sys.stderr)
    status = graph_of_runs({"sweep": str(file.resolve())}, cores, profile, (), "--keep-going")
    page = paths.home() / "runs" / "sweeps" / f"{file.stem}.ipynb"
    page.parent.mkdir(parents=True, exist_ok=True)
    papermill = ["papermill", "notebooks/sweep.ipynb", str(page), "--kernel", "python3", "--no-progress-bar",
                 "--log-level", "WARNING", "-r", "sweep", str(file.resolve())]
    told = tool("octavoice", "relay", "--log", str(page), "summary", sys.executable, "-m", *papermill)
    print(f"{file.stem}: {summary.told(summary.steps(sweeps.read(name)))}; summed up in {runs.near(page)}",
          file=sys.stderr)
    return status or told


def test() -> int:
    """Everything CI runs: lint, types, tests, and the notebooks at preset smoke; stops at the first that fails."""
    # One thread for each of two workers: torch threads that crowd each other take eight times as long.
    return (tool("ruff", "check", ".") or tool("mypy") or tool("pytest", "-n", "2", "tests", OMP_NUM_THREADS="1")
            or _compare())


def _compare() -> int:
    """Run the notebooks as their parameters cells say; what their comparing cells put out has to be what is stored."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        copies = Path(shutil.copytree(checkout() / "notebooks", Path(place) / "notebooks"))
        for page in copies.glob("*.ipynb"):
            pages.to_compare(page, page)
        return _in_temporary_home("pytest", "-c", "pyproject.toml", "-n", "2", "--dist", "loadfile", "--nbval-lax",
                                  "--nbval-current-env", str(copies), OMP_NUM_THREADS="1")


def notebooks(names: tuple[str, ...] = ()) -> int:
    """Make the notebooks' stored pages again, or those of the notebooks ``names``, as :mod:`octavoice.laboratory.pages`
    says; notebooks that are not of a run are run as they are.

    Nothing is stored unless all of them ran. Raises :class:`UserError` for a notebook that there is not.
    """
    asked = [page for page in _pages() if not names or page.stem in names]
    if missing := set(names) - {page.stem for page in asked}:
        raise UserError(f"there is no notebook {min(missing)}; there are {', '.join(p.stem for p in _pages())}.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        smoke, stored = Path(place) / "smoke", Path(place) / "stored"
        shown = [page for page in asked if pages.shows(page)]
        plain = [page for page in asked if page not in shown or pages.compared(page)]
        status = _execute(plain, smoke) or _execute(shown, stored, **{pages.SWITCH: "1"})
        for page in asked if not status else ():
            first = stored if page in shown else smoke
            pages.bind(first / page.name, smoke / page.name if page in plain else None, page)
    return status


def _pages() -> list[Path]:
    """The notebooks of the checkout."""
    return sorted((checkout() / "notebooks").glob("*.ipynb"))


def _execute(originals: list[Path], place: Path, **settings: str) -> int:
    """Run copies of notebooks in a folder, in place."""
    place.mkdir()
    copies = [shutil.copy(page, place) for page in originals]
    return 0 if not copies else _in_temporary_home(
        "octavoice", "relay", place.name, sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute",
        "--inplace", "--ExecutePreprocessor.record_timing=False", "--ExecutePreprocessor.store_widget_state=False",
        *map(str, copies), **settings)


def _in_temporary_home(module: str, *words: str, **settings: str) -> int:
    """A tool that must not write into this checkout's figures/, results/ and runs/, but finds the corpora read."""
    paths.store_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        (Path(home) / "runs").mkdir()
        with suppress(OSError):  # a system may not let everybody make links; then corpora are read anew
            (Path(home) / "runs" / "corpora").symlink_to(paths.store_dir(), target_is_directory=True)
        return tool(module, *words, OCTAVOICE_HOME=home, TQDM_DISABLE="1", **{pages.SWITCH: "", **settings})
