"""What a reader pastes: every command of README and book can be run as it stands, in order, from a fresh clone."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from octavoice import cli
from octavoice.corpus import catalogue

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "book").glob("*.md"))]
MADE = {".venv"}
"""What is there once the environment is."""
INPUTS = {"file", "weights", "name", "prime"}
"""Arguments of ``octavoice`` that may name a file to read."""
CORPORA = {row["corpus"] for row in catalogue.table()}
OUTPUTS = {"midi", "audio", "png", "svg", "musicxml", "sheet", "csv"}
FOLDERS = {"train": "runs/{preset}/{corpus}/seed-{seed}/results"}
"""What a command makes without being told where."""


def commands(page):
    """The commands of a page's blocks, in order, a list of words each; lines that end in a backslash go on."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def cells(page):
    """Commands in tables, which a reader pastes too."""
    rows = re.findall(r"^\|.*\|$", page.read_text(encoding="utf-8"), flags=re.M)
    found = [code for row in rows for code in re.findall(r"`([^`]+)`", row)]
    return [shlex.split(code) for code in found if re.match(r"(\S*octavoice|make|conda|\S*papermill) ", code)]


def looks_like_a_file(word):
    return bool(re.search(r"\.\w+$|/", str(word))) and not str(word).startswith(("http", "folder:"))


def assert_runs(words, made):
    """One command can run where ``made`` is there beside the checkout; what it makes is added."""
    program, *rest = words
    path = Path(program)
    assert path.parent == Path() or path.parts[0] in made, f"{program}: there is no such file"
    {"octavoice": of_octavoice, "papermill": of_papermill, "make": of_make, "conda": of_conda}[path.name](rest, made)


def of_octavoice(words, made):
    found = cli._parser().parse_args(words)  # ends the test where it does not understand
    named = {name: value for name, value in vars(found).items() if isinstance(value, str)}
    for name in INPUTS & named.keys():
        if looks_like_a_file(named[name]) and named[name] not in CORPORA:
            assert named[name] in made or (CHECKOUT / named[name]).exists(), named[name]
    made |= {named[name] for name in OUTPUTS & named.keys()}
    if words[0] in FOLDERS:
        made.add(FOLDERS[words[0]].format(**vars(found)))


def of_papermill(words, made):
    parser = argparse.ArgumentParser()
    parser.add_argument("notebook")
    parser.add_argument("output")
    parser.add_argument("-k", required=True)
    parser.add_argument("-p", nargs=2, action="append", default=[])
    found = parser.parse_args(words)
    stored = (CHECKOUT / found.notebook).read_text(encoding="utf-8")
    for name, value in found.p:
        assert f'"{name} = ' in stored, name
        assert not looks_like_a_file(value) or value in made, value
    made.add(found.output)


def of_make(words, made):
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    assert {word for word in words if "=" not in word} <= set(targets)
    assert all(re.search(rf"^{name} =", makefile, re.M) for name in settings)


def of_conda(words, made):
    for name in (word for word in words if looks_like_a_file(word)):
        assert yaml.safe_load((CHECKOUT / name).read_text(encoding="utf-8"))["name"]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_blocks_can_be_pasted_in_order(page):
    made = set(MADE)
    for words in commands(page):
        assert_runs(words, made)


@pytest.mark.parametrize("page", [page for page in PAGES if cells(page)], ids=lambda page: page.stem)
def test_commands_in_tables_can_be_pasted(page):
    for words in cells(page):
        assert words[0] != "octavoice", f"{' '.join(words)}: without its path"
        assert_runs(words, set(MADE))


@pytest.mark.parametrize("block", [
    "octavoice compose song.mid -o out.mid", "octavoice compose first.mid --nosuch", "bin/octavoice test",
    "make nothing", "make test NOSUCH=1", "papermill notebooks/06_experiments.ipynb out.ipynb -k python3 -p nosuch 1",
    "papermill notebooks/compose.ipynb out.ipynb -k python3 -p prime song.mid", "conda env create -f nosuch.yml"])
def test_what_cannot_be_pasted_is_seen(block):
    with pytest.raises((AssertionError, SystemExit, OSError)):
        assert_runs(shlex.split(block), set(MADE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_that_are_spoken_of_are_there(page):
    """``octavoice WORD --option`` in a sentence: a command that there is, with options that it has."""
    told = subprocess.run([sys.executable, "-m", "octavoice", "--help"], capture_output=True, text=True, check=True)
    text = " ".join(re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S).split())
    for said in re.findall(r"`(?:\.venv/bin/)?octavoice ([^`]+)`", text):
        words = said.split()
        assert words[0].startswith("-") or re.search(rf"^ +{words[0]}\s", told.stdout, re.M), said
