"""The rooms of the package: their import rules, which pyproject.toml holds, and what importing them loads."""

import shutil
import subprocess
import sys

import pytest

from octavoice import paths, provenance

DRAWING = ("IPython", "matplotlib")
FILES = provenance.modules()


def room_of(module: str) -> str:
    return (module + ".").split(".")[1]


# --- imports as they are written --------------------------------------------------------------------------------------

def lint_imports(folder):
    """What import-linter says in a folder with pyproject.toml, of the package that lies there or is installed."""
    code = "import sys; from importlinter import cli; sys.exit(cli.lint_imports(no_cache=True, no_logo=True))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)


def test_import_rules_are_kept(checkout):
    """A new room has to be given its place among the layers."""
    done = lint_imports(checkout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("room", "line", "contract"), [
    ("training/fit.py", "from octavoice.laboratory import runs", "Imports run downward only"),
    ("music/piece.py", "def later():\n    import octavoice.music.score", "No import runs in a circle"),
    ("beyond/keys.py", "import matplotlib", "What a model is made of knows no files"),
    ("attic.py", "", "Imports run downward only"),
])
def test_import_rules_can_break(room, line, contract, tmp_path, checkout):
    """Each is broken by one line in a copy of the package."""
    shutil.copytree(paths.PACKAGE, tmp_path / "octavoice", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    shutil.copy(checkout / "pyproject.toml", tmp_path)
    file = tmp_path / "octavoice" / room
    file.write_text((file.read_text(encoding="utf-8") if file.exists() else "") + f"\n{line}\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert contract in done.stdout.partition("Broken contracts")[2], done.stdout + done.stderr


# --- what is loaded when they are imported ----------------------------------------------------------------------------

def drawing_modules_after(names: list[str]) -> set[str]:
    """Which of :data:`DRAWING` a fresh Python has loaded after importing ``names``."""
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n" \
           f"print(*(name for name in {DRAWING} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_training_needs_neither_ipython_nor_matplotlib():
    assert not drawing_modules_after([module for module in FILES if room_of(module) == "training"])


@pytest.mark.parametrize("room", ["statistics", "likelihood", "studies", "composing"])
def test_measuring_and_composing_need_neither_before_something_is_drawn(room):
    """All of their modules but the listening test's panel, which is made of a notebook's widgets."""
    modules = [module for module in FILES if room_of(module) == room and not module.endswith("listening_panel")]
    assert not drawing_modules_after(modules)


def test_music21_does_not_load_them_either():
    """It is loaded by readers in the middle of training's own imports of a corpus."""
    names = ["music21", "music21.converter", "music21.corpus", "music21.abcFormat", "music21.harmony"]
    assert not drawing_modules_after(names)


def test_the_command_line_starts_without_torch():
    code = "import sys; from octavoice import cli; cli._parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
