"""The one rule by which a stored result is still valid: settings, music, seed, versions."""

import json
from dataclasses import replace

import pytest

from octavoice import provenance
from octavoice.laboratory import graph, handover, validity
from octavoice.studies import ablations, benchmark_runs, survey_runs
from octavoice.studies.variants import VARIANTS
from octavoice.training import models, presets, stored
from octavoice.training.run import Run, pick_device


def test_a_step_depends_on_the_versions_of_what_it_computes():
    assert validity.versions_of("training_thesis") == {"training": 1, "main": 1, "decoder": 1}
    assert validity.versions_of("training_thesis-main") == {"training": 1, "main": 1}
    assert validity.versions_of("levels_lstm").keys() == {"training", "lstm", "axis", "baselines", "judging"}
    assert validity.versions_of("ablation_chain").keys() == {"training", "ablations", "variant chain"}
    assert validity.versions_of("claims_samples") == {"sampled": 1}
    page = validity.versions_of("08_beyond")
    assert {"08_beyond", "main", "beyond_classes", "axis", "likeness"} <= page.keys()
    assert validity.versions_of("08_beyond-gru").keys() - page.keys() == {"gru"}
    assert validity.versions_of("99_no_page") == {}


def test_no_two_things_with_a_version_share_a_name(checkout):
    named = [module for module in provenance.modules() if module.split(".")[1:2]
             and module.split(".")[1] in validity.MEASURING and module.count(".") > 1]
    names = [module.rpartition(".")[2] for module in named]
    names += [stage.name for model in models.MODELS.values() for stage in model.stages]
    names += [*handover.NOTEBOOKS, *(f"variant {name}" for name in VARIANTS), "training"]
    assert len(names) == len(set(names))


def test_where_runs_work_an_edit_makes_again_what_names_the_file(monkeypatch, tmp_path):
    """A network's own file its training, a module that a page names the page; what these import does not count."""
    known = dict(provenance.modules())
    steps = ("training_thesis", "training_beyond", "07_discussion", "08_beyond", "ablation_chain")

    def touched(module):
        before = {step: graph.code_state(step) for step in steps}
        copy = tmp_path / "copy.py"
        text = known[module].read_text(encoding="utf-8")
        copy.write_text(text + "\n# a remark\n", encoding="utf-8")
        monkeypatch.setattr(provenance, "modules", lambda: known | {module: copy})
        assert before == {step: graph.code_state(step) for step in steps}
        copy.write_text(text + "\nMORE = 1\n", encoding="utf-8")
        after = {step: graph.code_state(step) for step in steps}
        monkeypatch.setattr(provenance, "modules", lambda: known)
        return {step for step in steps if after[step] != before[step]}
    assert touched("octavoice.thesis.generator") >= {"training_thesis", "07_discussion", "08_beyond"}
    assert touched("octavoice.beyond.keys") >= {"training_beyond", "08_beyond"}
    assert touched("octavoice.beyond.keys").isdisjoint({"training_thesis", "07_discussion", "ablation_chain"})
    assert touched("octavoice.thesis.ablated") == {"ablation_chain"}
    assert touched("octavoice.figures.samples") == {"07_discussion"}
    for module in ("octavoice.formats.kern", "octavoice.laboratory.relay", "octavoice.survey.tcn", "octavoice.errors"):
        assert touched(module) == set()


@pytest.fixture
def grown(monkeypatch, tmp_path):
    """A package to which a model, a reader, a figure and a statistic have come."""
    def grow():
        (tmp_path / "new.py").write_text("VERSION = 9\n")
        new = {f"octavoice.{room}.new": tmp_path / "new.py" for room in ("survey", "formats", "figures", "statistics")}
        known = dict(provenance.modules())
        monkeypatch.setattr(provenance, "modules", lambda: known | new)
        monkeypatch.setitem(models.MODELS, "new", replace(models.MODELS["lstm"], name="new"))
    return grow


def test_a_new_model_reader_or_figure_makes_no_step_again(grown):
    steps = ("training_thesis", "training_beyond", "08_beyond", "ablation_chain", "levels_lstm", "claims_music")
    before = {step: graph.code_state(step) for step in steps}
    grown()
    assert before == {step: graph.code_state(step) for step in steps}


class Music:
    """A corpus of which only the hashes are known: those that a result was made with."""

    def __init__(self, told):
        self.sha256, self.durations_sha256 = told["corpus_sha256"], told.get("durations_sha256", "not heard")


def asked(found, path):
    """What a result that is committed would depend on if it were made now, on the same music."""
    if found["corpus"].startswith("benchmarks/"):
        setting = benchmark_runs.changed(benchmark_runs.SETTINGS[found["corpus"]], path.stem.split(",")[1:])
        return benchmark_runs.depends_on(found["model"], found["corpus"], found["seed"], setting)
    run = Run(presets.resolve(found["preset"]["name"]), found["corpus"], found["seed"], pick_device("cpu"))
    precision, told = found["preset"]["precision"], found["depends_on"]
    heard = {name: value for part in (told, *told.values()) if isinstance(part, dict) for name, value in part.items()}
    run.corpus = Music(heard)
    return (ablations.depends_on(run, found["variant"], precision) if "variant" in found
            else survey_runs.depends_on(run, found["model"], precision))


@pytest.mark.parametrize("more", [False, True])
def test_every_committed_result_is_what_would_be_asked_for_now(checkout, grown, more):
    """And still so when a model, a reader and a figure are added; not if a version were another."""
    if more:
        grown()
    paths_of = sorted((checkout / "results").glob("*/*/*/seed-*.json"))
    assert len(paths_of) > 100
    for path in paths_of:
        found = json.loads(path.read_text(encoding="utf-8"))
        wanted = asked(found, path)
        assert stored.same(found["depends_on"], wanted), path
        name = next(iter(wanted["code"]))
        assert not stored.same(found["depends_on"], wanted | {"code": wanted["code"] | {name: 2}})


@pytest.mark.parametrize(("change", "same"), [
    ({}, True), ({"code": {"a": 1, "b": 1}}, True), ({"code": {"a": 2}}, False), ({"code": {}}, True),
    ({"seed": 2}, False), ({"more": 1}, False), ({"part": {"x": 1, "code": {"c": 1}}}, True),
    ({"part": {"x": 2}}, False), ({"part": {"x": 1, "code": {"c": 2}}}, False)])
def test_what_two_results_depend_on_is_compared(change, same):
    told = {"seed": 1, "code": {"a": 1}, "part": {"x": 1}}
    assert stored.same(told, told | change) is same


def test_a_result_that_is_not_committed_must_be_of_this_code(tmp_path, monkeypatch):
    told = {"seed": 1, "code": {}}
    path = tmp_path / "seed-1.json"
    assert stored.find(path, [told], ["octavoice.model"]) is None
    stored.write(path, {"depends_on": told, "files": stored.files_of(["octavoice.model"])})
    assert stored.find(path, [told | {"seed": 2}, told], ["octavoice.model"])
    assert stored.find(path, [told | {"seed": 2}], ["octavoice.model"]) is None
    assert stored.find(path, [told], ["octavoice.errors"]) is None
    monkeypatch.setattr(provenance, "is_committed", lambda _: True)
    assert stored.find(path, [told], ["octavoice.errors"])


def test_git_says_what_is_committed(checkout, tmp_path):
    assert not provenance.is_committed(tmp_path / "none.json")
    if not (provenance.commit() or "+").endswith("+"):
        assert provenance.is_committed(checkout / "README.md")
        assert not provenance.is_committed(checkout / "none.md")
