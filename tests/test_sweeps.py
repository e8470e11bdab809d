"""Sweeps: files that are checked before anything runs, the grid they span, and what a summary says of it."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from octavoice import cli, paths, provenance
from octavoice.errors import UserError
from octavoice.laboratory import summary, sweeps, validity
from octavoice.laboratory.graph import Work
from octavoice.training import models, presets
from octavoice.training.run import Run, pick_device


@pytest.fixture
def sweep(tmp_path):
    """Writes a sweep and returns its path."""
    def write(**told):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(told, sort_keys=False))
        return str(path)
    return write


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def finish(work, step, numbers=None, **facts):
    """What a step leaves behind: a table of levels, and its manifest."""
    names = {}
    for name, text in (numbers or {}).items():
        path = work.folder / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        names[f"results/{name}"] = provenance.sha256(path)
    run = Run(work.preset, work.corpus, work.seed, pick_device("cpu"))
    manifest = {"files": names, **plain_facts(run),
                "code": validity.versions_of(step), "commit": "abc", **facts}
    with paths.atomic(work.manifest(step)) as temporary:
        temporary.write_text(json.dumps(manifest))


def plain_facts(run):
    return {"preset": vars(run.preset), "corpus": run.corpus_name, "corpus_sha256": "music", "seed": run.seed,
            "device": "cpu", "versions": provenance.versions()}


LEVELS = "space,nats per step,kind,level\nclasses,thesis,bound,{}\nclasses,marginal,exact,-3\n"


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [path.stem for path in sorted(paths.sweeps_dir().glob("*.yaml"))])
def test_a_sweep_of_this_checkout_is_readable_and_short(name):
    works = sweeps.read(name)
    assert len(works) > 1
    assert len(sweeps.find(name).read_text().splitlines()) <= sweeps.LINES


def test_the_sweep_for_the_cluster_is_six_runs(checkout):
    assert len(sweeps.read(str(checkout / "tests/cluster/smoke.yaml"))) == 6


GOOD = {"preset": "smoke", "corpus": "bach", "seed": 1, "model": "thesis"}


@pytest.mark.parametrize(("change", "message"), [
    ({"sede": 1}, "unknown key 'sede'"), ({"seed": "1"}, "seed='1' must be a int"), ({"seed": [1, True]}, "seed=True"),
    ({"seed": -1}, "seed '-1' is not a whole number"), ({"seed": []}, "seed is an empty list"),
    ({"preset": "quik"}, "unknown preset 'quik'"), ({"preset": 3}, "preset=3 must be a str"),
    ({"corpus": "mozart"}, "unknown corpus 'mozart'"), ({"corpus": "folder:/no such place"}, "is not a folder"),
    ({"overrides": {"iteration": 5}}, "unknown setting 'iteration'"), ({"overrides": [1]}, "overrides=.1. must be"),
    ({"overrides": {"iterations": [5, 0]}}, "iterations=0 must be a int of at least 1"),
    ({"overrides": {"epsilon": "1e-4"}}, "epsilon='1e-4' must be a float"),
    ({"device": "gpu"}, "device='gpu' must be one of"), ({"model": "tehsis"}, "unknown model 'tehsis'"),
    ({"stage": "mian"}, "no network 'mian'; choose one of main, decoder"),
    ({"model": None, "stage": "main", "notebooks": ["06_experiments"]}, "stage='main' is of no model"),
    ({"notebooks": ["09_nothing"]}, "unknown notebook '09_nothing'"), ({"model": None}, "has nothing to do"),
    ({"ablation": ["clock"]}, "unknown variant 'clock'"), ({"ablation": [1]}, "ablation=1 must be a str"),
    ({"arms": []}, "arms must be a list"), ({"arms": [3]}, "arms must be a list"),
    ({"arms": [{"colour": "red"}]}, "unknown key 'colour'"),
    ({"arms": [{"device": "cpu"}, {"device": "auto"}]}, "one run is asked for on two devices")])
def test_a_bad_sweep_gets_one_sentence(change, message, sweep, capsys):
    path = sweep(**{**GOOD, **change})
    with pytest.raises(UserError, match=message):
        sweeps.read(path)
    assert cli.main(["sweep", path]) == 2
    said = capsys.readouterr().err
    assert said.startswith("octavoice: sweep mine.yaml: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("text", "message"), [
    ("seed: [1", "line 1: is not YAML"), ("- 1", "must be settings by name"), ("", "must be settings by name"),
    ("seed: 1\n" + "# more\n" * 30, "has more than 30 lines")])
def test_what_is_no_sweep_is_told(text, message, tmp_path):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"sweep bad\.yaml.*{message}"):
        sweeps.read(str(tmp_path / "bad.yaml"))


def test_an_unknown_sweep_is_told_with_the_known_ones():
    with pytest.raises(UserError, match="no sweep 'seed'; known are claims, corpora, seeds, survey"):
        sweeps.read("seed")


# --- the grid ---------------------------------------------------------------------------------------------------------


def test_lists_span_a_grid_and_what_changes_nothing_is_the_plain_run(sweep):
    plain = presets.PRESETS["smoke"].iterations
    works = sweeps.read(sweep(**{**GOOD, "seed": [1, 2]}, overrides={"iterations": [plain, 7], "batch": [2, 3]}))
    assert len(works) == 8
    assert {(work.seed, work.preset.iterations, work.preset.batch) for work in works} == {
        (seed, iterations, batch) for seed in (1, 2) for iterations in (plain, 7) for batch in (2, 3)}
    (same,) = sweeps.read(sweep(**GOOD, overrides={"iterations": plain, "learning_rate": 0.01}))
    assert same.folder == paths.run_dir("smoke", "bach", 1)


def test_arms_have_what_stands_above_them_and_runs_named_twice_are_one(sweep):
    works = sweeps.read(sweep(preset="smoke", overrides={"batch": 4}, arms=[
        {"model": "thesis", "stage": "main", "seed": [1, 2], "overrides": {"fragment": 32}},
        {"notebooks": ["06_experiments"], "overrides": {"fragment": 32}},
        {"model": "beyond", "overrides": {"batch": 5}}]))
    assert [(work.seed, work.preset.batch, work.preset.fragment, work.steps) for work in works] == [
        (1, 4, 32, ("levels_thesis-main", "06_experiments")), (2, 4, 32, ("levels_thesis-main",)),
        (1, 5, 64, ("levels_beyond",))]


def test_a_notebook_on_a_model_is_its_own_step_unless_it_is_about_that_model(sweep):
    (work,) = sweeps.read(sweep(**GOOD | {"model": ["thesis", "beyond", "rnn-nade"]},
                                notebooks=["01_data", "06_experiments", "08_beyond"]))
    assert work.steps == ("levels_thesis", "levels_beyond", "levels_rnn-nade", "01_data", "06_experiments",
                          "06_experiments-beyond", "06_experiments-rnn-nade", "08_beyond", "08_beyond-rnn-nade")
    assert work.trainings("06_experiments-rnn-nade") == ["training_rnn-nade"]
    assert work.trainings("08_beyond-rnn-nade") == ["training_thesis", "training_rnn-nade"]
    assert work.parameters("08_beyond-rnn-nade")[-3:] == ["-r", "model", "rnn-nade"]


@pytest.mark.parametrize(("notebook", "model"), [("08_beyond", "thesis"), ("06_experiments", "thesis")])
def test_a_notebook_on_the_thesiss_model_is_the_notebook(sweep, notebook, model):
    (work,) = sweeps.read(sweep(**GOOD | {"model": model}, notebooks=[notebook]))
    assert work.steps == ("levels_thesis", notebook)


def test_one_network_alone_is_trained_once_where_all_of_its_model_is():
    work = Work(presets.resolve("smoke"), "bach", 1, steps=("levels_thesis-main",))
    assert work.trainings("levels_thesis-main") == ["training_thesis-main"]
    both = replace(work, steps=(*work.steps, "06_experiments"))
    assert both.trainings("levels_thesis-main") == both.trainings("06_experiments") == ["training_thesis"]
    chords = replace(work, steps=("levels_rnn-nade", "levels_rnn-nade-rnn_nade", "levels_rnn-nade-classes"))
    assert [chords.trainings(step) for step in chords.steps] == [
        ["training_rnn-nade"], ["training_rnn-nade"], ["training_rnn-nade-classes"]]


def test_a_variant_trains_by_itself_and_its_name_is_no_notebooks(sweep):
    (work,) = sweeps.read(sweep(**GOOD, ablation=["attention-off", "thesis"]))
    assert work.steps == ("levels_thesis", "ablation_attention-off", "ablation_thesis")
    assert [work.trainings(step) for step in work.steps] == [["training_thesis"], [], []]
    assert replace(work, steps=work.steps[1:]).trainings("ablation_thesis") == []
    assert work.log("ablation_attention-off").parent.name == "logs"


def test_a_model_by_one_of_its_networks():
    assert [stage.name for stage in models.named("thesis-decoder").stages] == ["decoder"]
    with pytest.raises(UserError, match="no network 'x'"):
        models.named("thesis-x")


def test_what_steps_are_told_reads_back_as_what_was_meant():
    work = Work(presets.resolve("smoke", epsilon=1e-8 / 3, batch=3), "folder:/my {music}", 1, "cpu")
    overrides = yaml.safe_load(work.parameters("06_experiments")[-1])["overrides"]
    assert overrides == json.loads(work.options()[-1]) == {"batch": 3, "epsilon": 1e-8 / 3}
    assert work.minutes == 30 + 0
    assert Work(presets.resolve("thesis"), "bach", 1).minutes > 5 * 60
    ablation = Work(presets.resolve("ablation"), "bach", 1)
    assert ablation.minutes_of("full") == 8 * ablation.minutes_of("quarter") == 8 * ablation.minutes


# --- folders ----------------------------------------------------------------------------------------------------------


def test_many_overrides_have_a_short_folder_that_spells_them_out(home):
    preset = presets.resolve("smoke", **{name: value for name, value in vars(presets.resolve("thesis")).items()
                                         if name != "name"})
    run = Run(preset, "bach", 1, pick_device("cpu"))
    assert run.dir.parent == paths.run_dir("smoke", "bach", 1)
    assert len(run.dir.name) < 20
    spelt = json.loads((run.dir / "settings.json").read_text())
    assert spelt == {"preset": "smoke", "corpus": "bach", "seed": 1, "apart": presets.changed(preset)}
    assert len(str(presets.changed(preset))) > 255
    assert run.dir == Work(preset, "bach", 1).folder
    Run(presets.resolve("smoke"), "bach", 1, pick_device("cpu"))
    assert not (paths.run_dir("smoke", "bach", 1) / "settings.json").exists()


# --- the summary ------------------------------------------------------------------------------------------------------


def test_a_summary_says_what_is_there_and_what_is_missing(home, sweep):
    works = sweeps.read(sweep(**{**GOOD, "seed": [1, 2, 3, 4]}))
    assert summary.told(summary.steps(works)) == "0 of 4 there; 4 missing"
    finish(works[0], "levels_thesis", {"levels_thesis.csv": LEVELS.format(-2.0)})
    finish(works[1], "levels_thesis", {"levels_thesis.csv": LEVELS.format(-2.5)})
    finish(works[2], "levels_thesis", {"levels_thesis.csv": LEVELS.format(-9.0)}, code={"main": 2})
    works[3].log("levels_thesis").parent.mkdir(parents=True)
    works[3].log("levels_thesis").write_text("levels thesis | it went wrong")
    steps = summary.steps(works).set_index("seed")
    assert steps["state"].tolist() == ["there", "there", "stale", "failed"]
    assert steps.loc[3, "where"] == "main was version 2 and is 1"
    assert steps.loc[4, "where"] == "runs/smoke/bach/seed-4/logs/levels_thesis.log"
    assert summary.told(steps) == "2 of 4 there; 1 stale, 1 failed"
    row = summary.levels(works).loc[("smoke", "bach", "", "thesis: classes")]
    assert row.to_dict() == {"mean": -2.25, "lowest": -2.5, "highest": -2.0, "seeds": 2}


def test_a_step_whose_training_failed_has_failed(home, sweep):
    works = sweeps.read(sweep(**GOOD))
    log = works[0].log("training_thesis")
    log.parent.mkdir(parents=True)
    log.write_text("training thesis | it went wrong")
    assert summary.steps(works)[["state", "where"]].to_numpy().tolist() == [
        ["failed", "runs/smoke/bach/seed-1/logs/training_thesis.log"]]
    finish(works[0], "training_thesis")
    assert summary.told(summary.steps(works)) == "0 of 1 there; 1 missing"


def test_a_summary_of_nothing_is_empty(home, sweep):
    assert summary.levels(sweeps.read(sweep(**GOOD))).empty


# --- the graph of a sweep ---------------------------------------------------------------------------------------------


def test_the_graph_of_a_sweep_does_each_training_once(checkout, sweep, home):
    pytest.importorskip("snakemake")
    done = dry_run(checkout, sweep(preset="smoke", seed=[1, 2], arms=[
        {"model": "thesis", "stage": "main"}, {"notebooks": ["06_experiments"]},
        {"overrides": {"batch": 3}, "model": "beyond", "ablation": ["attention-off"]}]))
    outputs = sorted(line.split("manifests/")[-1] for line in done.splitlines()
                     if line.strip().startswith("output:") and "manifests/" in line)
    assert outputs == sorted(2 * ["06_experiments.json", "ablation_attention-off.json", "levels_beyond.json",
                                  "levels_thesis-main.json", "training_beyond.json", "training_thesis.json"])


def dry_run(checkout, path):
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2", "--nolock", "--quiet", "host"]
    done = subprocess.run([*command, "--config", f"sweep={path}"], cwd=checkout, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
