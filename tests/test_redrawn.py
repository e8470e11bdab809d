"""Committed pictures drawn again say the same numbers, and their indexes know them."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from octavoice import paths, provenance
from octavoice.figures import training
from octavoice.laboratory import published, redrawn


@pytest.fixture
def run(checkout):
    return next(run for run in published.runs() if (run.corpus, run.seed) == ("open-keyboard", 1))


def test_fig_14_is_drawn_of_the_committed_curves_and_levels(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(training, "main_curves", lambda *given: drawn.append(given) or plt.figure())
    assert redrawn.fig14(run).keys() == {"png", "svg"}
    metrics, tables, curve = drawn[0]
    assert metrics is run.metrics
    assert set(tables) == {"marginal", "first order", "one bar before"}
    assert curve[-1] == (2400, -2.1)


def test_a_picture_drawn_again_is_known_to_both_indexes(run, tmp_path, monkeypatch):
    folders = {name: tmp_path / name / "thesis/open-keyboard/seed-1" for name in ("figures", "results")}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        kept = {f"figures/a.{suffix}": "old" for suffix in ("png", "svg")} | {"results/b.csv": "1"}
        (folder / "index.json").write_text(json.dumps({"files": kept, "of": name}))
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    redrawn.write(replace(run, folder=folders["results"]), "a", {"png": b"new", "svg": b"<svg/>"})
    for name, folder in folders.items():
        told = json.loads((folder / "index.json").read_text())
        assert told["files"] == {"results/b.csv": "1", **{
            f"figures/a.{suffix}": provenance.sha256(folders["figures"] / f"a.{suffix}") for suffix in ("png", "svg")}}
        assert told["of"] == name
    assert (folders["figures"] / "a.png").read_bytes() == b"new"


def test_the_front_pages_picture_is_that_of_its_run(checkout):
    told = json.loads((checkout / "figures/front_page.json").read_text())
    of_run = checkout / "figures" / told["preset"] / told["corpus"] / f"seed-{told['seed']}" / "front_page.png"
    assert of_run.read_bytes() == (checkout / "figures/front_page.png").read_bytes()
