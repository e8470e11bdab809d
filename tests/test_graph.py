"""The graph of runs: what each step depends on, what an edit reruns, settings that are refused."""

import os
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from octavoice import paths, provenance
from octavoice.errors import UserError
from octavoice.laboratory import graph, handover, sweeps
from octavoice.training import models, recipes


def test_graph_of_a_folder_corpus_with_a_difficult_name(checkout, tmp_path):
    pytest.importorskip("snakemake")
    folder = tmp_path / "my music #2, it's {mine}"
    folder.mkdir()
    (folder / "a {b}.mid").write_bytes(b"MThd")
    quoted = str(folder).replace("'", "''")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2", "--nolock", "--quiet", "host"]
    settings = ["--config", "preset=smoke", "seed=3", f"corpus=['folder:{quoted}']"]
    done = subprocess.run([*command, *settings], cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for name in handover.NOTEBOOKS:
        assert f"manifests/{name}.json" in said
    assert f"{paths.slug(f'folder:{folder}')}/seed-3/manifests" in said
    assert (paths.home() / ".snakemake").is_dir()


def test_training_depends_on_what_it_imports_and_on_what_its_weights_depend():
    files = {path.relative_to(paths.PACKAGE).as_posix() for path in graph.code(graph.TRAINING)}
    assert {file.split("/")[0] for file in files if "/" in file} == {
        "music", "corpus", "thesis", "beyond", "survey", "training"}
    known = {provenance.modules()[name].relative_to(paths.PACKAGE).as_posix()
             for model in models.MODELS.values() for stage in model.stages for name in recipes.code_of(stage)}
    assert known <= files
    assert {file for file in files if file.startswith(("thesis/", "beyond/"))} - known == {
        "thesis/__init__.py", "thesis/model.py", "beyond/__init__.py"}


def test_a_notebook_depends_on_its_own_rooms(checkout):
    of = {path.stem: {file.relative_to(paths.PACKAGE).as_posix() for file in graph.code(graph.notebook_imports(path))}
          for path in (checkout / "notebooks").glob("0*.ipynb")}
    assert {name for name, files in of.items() if "figures/decoder.py" in files} == {"05_decoder"}
    assert all({"thesis/values.py", "thesis/values.toml", "__init__.py"} <= files for files in of.values())
    assert not any(file.startswith("composing/") for files in of.values() for file in files)


def test_what_is_committed_is_read_by_all_but_the_first_two(checkout, tmp_path, monkeypatch):
    """By 09 the survey's runs, by the others those of the thesis's scale."""
    imports = [graph.notebook_imports(checkout / "notebooks" / f"{name}.ipynb") for name in handover.NOTEBOOKS]
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    states = [[graph.committed_state(names) for names in imports]]
    for file in ("thesis/bach/seed-1/index.json", "survey/bach/lstm/seed-1.json"):
        (tmp_path / "results" / file).parent.mkdir(parents=True)
        (tmp_path / "results" / file).write_text("{}")
        states.append([graph.committed_state(names) for names in imports])
    read, survey = ([a != b for a, b in zip(*pair, strict=True)] for pair in pairwise(states))
    assert [bool(state) for state in states[0]] == [False] * 2 + [True] * 8
    assert read == [name not in ("01_data", "02_octave_compression", "09_survey") for name in handover.NOTEBOOKS]
    assert survey == [name == "09_survey" for name in handover.NOTEBOOKS]


@pytest.fixture
def finished(checkout, tmp_path):
    """A checkout of its own in which a smoke run is finished: ``rerun(file)`` says what an edited file makes again."""
    pytest.importorskip("snakemake")
    place, long_ago = tmp_path / "checkout", time.time() - 1000
    for name in ("lib", "notebooks"):
        shutil.copytree(checkout / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(checkout / "Snakefile", place)
    shutil.copy(checkout / "pyproject.toml", place)
    run, ends = place / "runs/smoke/bach/seed-1/manifests", [place / f"{kind}/smoke/bach/seed-1/index.json"
                                                            for kind in handover.FOLDERS]
    steps = ("training_thesis", "training_beyond", *handover.NOTEBOOKS)
    made = [place / "runs/corpora/bach-24.json", *(run / f"{name}.json" for name in steps), *ends]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    for age, path in enumerate([*place.rglob("*.py"), *place.rglob("*.toml"), *place.rglob("*.ipynb"), *made]):
        os.utime(path, (long_ago + (age if path in made else 0),) * 2)

    def rerun(file):
        old = (place / file).stat()
        os.utime(place / file)
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2", "--nolock", "--quiet", "host",
                   "--rerun-triggers", "mtime", "--config", "preset=smoke"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, env=os.environ | {
            "PYTHONPATH": str(place / "lib"), "OCTAVOICE_HOME": str(place)})
        assert done.returncode == 0, done.stdout + done.stderr
        os.utime(place / file, (old.st_atime, old.st_mtime))
        outputs = re.findall(r"output: (\S+)", done.stdout + done.stderr)
        return {Path(output).stem for output in outputs}
    return rerun


def test_an_edit_reruns_what_imports_it(finished):
    """Training on an edited model, not on an edited figure, and nothing for a tool around the notebooks."""
    trainings = {"training_thesis", "training_beyond"}
    everything = {*handover.NOTEBOOKS, *trainings, "bach-24", "index"}
    assert finished("lib/octavoice/laboratory/relay.py") == set()
    assert finished("lib/octavoice/figures/samples.py") == {"07_discussion", "index"}
    taught = {"06_experiments", "07_discussion", "08_beyond"}
    assert finished("lib/octavoice/thesis/voices.py") >= {*trainings, *taught, "index"}
    assert finished("lib/octavoice/formats/kern.py") == everything


@pytest.mark.parametrize(("setting", "culprit"), [
    ({"sede": 1}, "unknown setting sede"), ({"preset": "enormous"}, "unknown preset 'enormous'"),
    ({"seed": "x"}, "seed 'x'"), ({"corpus": ["mozart"], "sweep": "none"}, "none")])
def test_wrong_settings_are_refused(setting, culprit):
    with pytest.raises(UserError, match=culprit):
        sweeps.asked(setting)


def test_the_graph_says_what_is_wrong_with_its_settings(checkout):
    pytest.importorskip("snakemake")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--config", "sede=1"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "octavoice: unknown setting sede" in done.stdout + done.stderr
