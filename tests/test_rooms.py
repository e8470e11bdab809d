"""The rooms of the package: imports run downward only, never in a circle, and training draws nothing."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from octavoice import provenance
from octavoice.laboratory import validity

GROUND = {"errors", "paths", "provenance"}
ROOMS = {
    "": set(),  # the package's own __init__.py
    "paths": set(),
    "errors": set(),
    "provenance": {"errors", "paths"},
    "model": set(),
    "rbm": {"model"},
    "music": {*GROUND},
    "representations": {"music"},
    "formats": {*GROUND, "music"},
    "composer": {"model", "music"},
    "corpus": {*GROUND, "music", "formats"},
    "survey": {"music", "model", "rbm", "representations"},
    "thesis": {"music", "model", "rbm", "representations", "survey"},
    "beyond": {"music", "model", "representations", "thesis"},
    "figures": {"music", "formats"},
    "training": {*GROUND, "model", "music", "corpus", "thesis", "beyond", "survey"},
    "statistics": {*GROUND, "model", "rbm", "music", "formats", "corpus", "thesis", "composer", "training"},
    "likelihood": {*GROUND, "model", "rbm", "music", "corpus", "thesis", "beyond", "composer", "training",
                   "statistics"},
    "studies": {*GROUND, "model", "music", "formats", "corpus", "thesis", "beyond", "survey", "composer", "training",
                "statistics", "likelihood"},
    "results": {*GROUND, "model", "music", "formats", "corpus", "thesis", "training", "statistics", "likelihood",
                "studies", "figures"},
    "composing": {*GROUND, "model", "music", "formats", "corpus", "thesis", "composer", "training", "statistics",
                  "figures"},
    "laboratory": {*GROUND, "model", "music", "formats", "corpus", "thesis", "training", "likelihood", "studies",
                   "results", "composing", "figures"},
    "cli": {*GROUND, "", "music", "formats", "corpus", "composer", "training", "composing", "laboratory"},
    "__main__": {"cli"},
}
"""Every room, lowest first, and the rooms that it may import besides itself. Some are still to be built."""
DRAWING = ("IPython", "matplotlib")


FILES = provenance.modules()


def imports_of(module: str) -> set[str]:
    return validity.imported(FILES[module].read_text(encoding="utf-8"))


def room_of(module: str) -> str:
    return (module + ".").split(".")[1]


def test_imports_name_their_modules_in_full():
    for module, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), module


def test_the_table_runs_downward():
    assert list(TopologicalSorter(ROOMS).static_order())
    for room, below in ROOMS.items():
        assert all(list(ROOMS).index(lower) < list(ROOMS).index(room) for lower in below), room


@pytest.mark.parametrize("module", FILES)
def test_imports_run_downward_only(module):
    room = room_of(module)
    assert room in ROOMS, f"{room} is a new room: give it its place in the table"
    for other in imports_of(module):
        assert room_of(other) in {room, *ROOMS[room]}, f"{module} imports {other}"


def test_no_import_runs_in_a_circle():
    """Not even one inside a function."""
    TopologicalSorter({module: imports_of(module) - {module} for module in FILES}).prepare()


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
