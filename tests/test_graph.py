"""The graph of runs: what each step depends on, what an edit reruns, settings that are refused."""

import subprocess
import sys
from itertools import pairwise

import pytest

from octavoice import paths
from octavoice.errors import UserError
from octavoice.laboratory import graph, handover, sweeps, validity


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


def test_what_is_committed_is_read_by_all_but_the_first_two(checkout, tmp_path, monkeypatch):
    """By 09 the survey's runs, by the others those of the thesis's scale."""
    real = validity.named_by
    monkeypatch.setattr(validity, "named_by", lambda page: real(checkout / "notebooks" / page.name))
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    states = [[graph.committed_state(name) for name in handover.NOTEBOOKS]]
    for file in ("thesis/bach/seed-1/index.json", "survey/bach/lstm/seed-1.json"):
        (tmp_path / "results" / file).parent.mkdir(parents=True)
        (tmp_path / "results" / file).write_text("{}")
        states.append([graph.committed_state(name) for name in handover.NOTEBOOKS])
    read, survey = ([a != b for a, b in zip(*pair, strict=True)] for pair in pairwise(states))
    assert [bool(state) for state in states[0]] == [False] * 2 + [True] * 8
    assert read == [name not in ("01_data", "02_octave_compression", "09_survey") for name in handover.NOTEBOOKS]
    assert survey == [name == "09_survey" for name in handover.NOTEBOOKS]


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
