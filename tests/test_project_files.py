"""Files around the code: hooks that `make test` runs too, the citation, `make help`, and the ways in without make."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from octavoice import __version__, cli
from octavoice.laboratory import drive, relay

CHECKOUT = Path(__file__).resolve().parents[1]
HOOKS = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def test_the_hook_of_lint_passes_on_what_is_committed(checkout):
    """As pre-commit would run it, on this file."""
    (hook,) = (hook for hook in HOOKS if hook.get("pass_filenames", True))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([*shlex.split(hook["entry"]), __file__], cwd=checkout, capture_output=True, text=True,
                          timeout=300, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if "pytest" in hook["entry"]], ids=lambda hook: hook["id"])
def test_the_other_hooks_are_tests_of_this_very_suite(hook, checkout, monkeypatch):
    """They pass if it does: what is left to see is that each names some, which pytest says by its exit status."""
    words = shlex.split(hook["entry"])
    monkeypatch.chdir(checkout)
    assert words[:3] == ["python", "-m", "pytest"]
    assert pytest.main([*words[3:], "--collect-only"]) == 0


def test_hooks_need_nothing_that_this_environment_has_not():
    assert {hook["language"] for hook in HOOKS} == {"system"}


def test_citation_has_what_its_format_asks_for(checkout):
    """Of version 1.2.0 of the Citation File Format: the required keys, and ours as they are elsewhere."""
    cited = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert (cited["cff-version"], cited["version"], cited["license"]) == ("1.2.0", __version__, "MIT")
    for who in [*cited["authors"], *(who for work in cited["references"] for who in work["authors"])]:
        assert who.keys() & {"name", "family-names"}
    for work in cited["references"]:
        assert {"type", "title", "authors"} <= work.keys()


def test_contributing_is_one_screen_and_names_what_there_is(checkout):
    text = (checkout / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (checkout / link).exists(), link


PAGES = [*(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
         *sorted((CHECKOUT / "book").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_lines_of_prose_are_at_most_100_characters(page):
    """Rows of tables, marks and links that fill their line cannot be broken."""
    for line in page.read_text(encoding="utf-8").splitlines():
        assert len(line) <= 100 or re.match(r"\||<!--|!?\[[^]]*\]\(\S+\)$", line), line


def words(text: str) -> list[str]:
    """The words of a page, its tables, blocks and links among them: what holds a letter or a digit. Comments do not
    count."""
    return [word for word in re.sub(r"<!--.*?-->", "", text, flags=re.S).split() if re.search(r"[^\W_]", word)]


def test_readme_has_at_most_1200_words(checkout):
    assert words("a [b c](d e)\n```\nf\n```\n<!-- g -->\n| h | -1 |\n| --- | – |") == [
        "a", "[b", "c](d", "e)", "f", "h", "-1"]
    assert 600 < len(words((checkout / "README.md").read_text(encoding="utf-8"))) <= 1200


def test_words_of_the_field_are_explained_or_absent(checkout):
    text = (checkout / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", text, flags=re.S)
    for word in ("prime", "primes", "bound", "marginal", "likelihood", "Gibbs", "particles", "baseline"):
        assert not re.search(rf"\b{word}\b", text), word
    assert text.index("nats per") < text.index("One nat more means")


def test_readme_has_one_small_table_of_results(checkout):
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- ([\w ]+): written by `octavoice (\w+)`.*?-->(.*?)<!-- end of \1 -->", text, flags=re.S)
    assert [(name, command) for name, command, _ in blocks] == [("levels", "publish"), ("count", "claims")]
    rows = [row.strip("|").split("|") for row in blocks[0][2].split("\n") if row.startswith("|")]
    assert [len(row) for row in rows] == [4] * 5  # a heading, a rule, three rows


def test_readme_leads_to_what_there_is(checkout):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (checkout / "README.md").read_text(encoding="utf-8"))
    assert {"book/readings.md", "book/own-music.md", "book/rerunning.md", "book/results.md", "NOTICE.md"} <= set(links)
    for link in links:
        assert (checkout / link).exists(), link


def test_ci_runs_the_readmes_command(checkout):
    assert "\nmake test\n" in (checkout / "README.md").read_text(encoding="utf-8")
    assert (checkout / ".ci" / "run").read_text().rstrip().splitlines()[-1] == "make test"


def test_every_target_of_make_is_told_by_make_help(checkout):
    makefile = (checkout / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    told = set(re.findall(r"^([a-z-]+):.*  ## ", makefile, re.M))
    assert told == set(targets) - {"help", "conda", "moved"}


def test_make_calls_what_runs_without_make(checkout):
    makefile = (checkout / "Makefile").read_text()
    called = re.findall(r"\$\(OCTAVOICE\) (\w+)", makefile)
    assert {"reproduce", "sweep", "test", "notebooks", "publish"} <= set(called)
    done = subprocess.run([sys.executable, "-m", "octavoice", "--help"], capture_output=True, text=True, check=True)
    assert all(f"    {command}" in done.stdout for command in called)


def parsers(parser=None):
    """Every command that help lists, and their subcommands, as parsers."""
    parser = parser or cli._parser()
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for told in action._choices_actions:
                yield from parsers(action.choices[told.dest])


@pytest.mark.parametrize("parser", [*parsers()], ids=lambda parser: parser.prog)
def test_help_speaks_to_a_user(parser, monkeypatch):
    """Every command says what it does and every argument what it is for, without a word of the code's."""
    monkeypatch.setenv("COLUMNS", "100")
    text = parser.format_help()
    assert parser.description
    assert all(action.help for action in parser._actions if not isinstance(action, argparse._SubParsersAction))
    assert all(told.help for action in parser._actions if isinstance(action, argparse._SubParsersAction)
               for told in action._choices_actions)
    for word in ("``", ":class:", "UserError", "rooms", "marker", "pickle", "state dict", "parser", "docstring"):
        assert word not in text, word


def test_there_is_one_command_line(checkout):
    """No module is started by its own name."""
    started = {file.name for file in (checkout / "lib").rglob("*.py")
               if '__name__ == "__main__"' in file.read_text(encoding="utf-8")}
    assert not started
    listed = {parser.prog.removeprefix("octavoice ") for parser in parsers()}
    assert {"survey run", "survey controls", "survey references", "survey summary", "claims measure"} <= listed


def test_commands_for_other_commands_are_not_listed_and_work():
    """Snakemake's rules and the laboratory call them."""
    listed = {parser.prog.removeprefix("octavoice ") for parser in parsers()}
    assert not listed & {"check", "handover", "relay"}
    assert {"compose", "reproduce", "runs", "runs diff", "corpus build"} <= listed
    assert cli.main(["check", "--corpus", "bach"]) == 0
    assert cli.main(["check", "--corpus", "no such music"]) == 2


@pytest.mark.parametrize("words", [["corpus", "list"], ["compose", "--help"]])
def test_a_reader_that_stops_is_no_mistake(words, monkeypatch, capfd):
    """As in `octavoice corpus list | head -1`: no traceback, now or when Python writes out what it held back."""
    source, target = os.pipe()
    os.close(source)
    with open(target, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert cli.main(words) == 141
    assert capfd.readouterr().err == ""


@pytest.fixture
def called(monkeypatch):
    """The tools that would run, each as its words and what is set around it; all succeed."""
    seen = []
    monkeypatch.setattr(drive, "tool", lambda *words, **settings: seen.append((words, settings)) or 0)
    return seen


def test_reproduce_asks_snakemake_for_one_run(called, tmp_path):
    (tmp_path / "a.mid").write_bytes(b"MThd")
    assert cli.main(["reproduce", "--preset", "smoke", "--corpus", f"folder:{tmp_path}", "--only-training"]) == 0
    ((words, _),) = called
    assert words[:4] == ("snakemake", "train", "--cores", "2")
    assert "--nolock" in words
    assert words[-4:] == ("--config", 'preset="smoke"', f'corpus=["folder:{tmp_path}"]', "seed=1")


def test_a_sweep_goes_on_and_is_summed_up_on_a_cluster_too(called, tmp_path, monkeypatch):
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(drive, "tool", lambda *words, **settings: called.append((words, settings)) or len(called) % 2)
    assert cli.main(["sweep", "seeds", "--profile", "profiles/slurm", "--cores", "9"]) == 1
    (graph, _), (page, _) = called
    assert graph[1:6] == ("--jobs", "9", "--profile", "profiles/slurm", "--keep-going")
    assert "notebooks/sweep.ipynb" in page


def test_test_is_lint_types_tests_and_notebooks_in_a_home_that_is_removed(called):
    assert cli.main(["test"]) == 0
    assert [words[0] for words, _ in called] == ["ruff", "mypy", "pytest", "pytest"]
    assert not Path(called[-1][1]["OCTAVOICE_HOME"]).exists()


def test_relay_runs_a_command_and_keeps_what_it_says(tmp_path, capsys):
    log = tmp_path / "logs" / "a.log"
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    assert cli.main(["relay", "--log", str(log), "--copy", "06", sys.executable, "-c", code]) == 3
    assert set(log.read_text().splitlines()) == {"06 | one", "06 | two"}
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said[-1]) == ("06 | started", f"06 | failed; what there is of it: {log}")
    assert relay.run("06", [sys.executable, "-c", "pass"]) == 0
