"""The survey's runs: controls, frames seen in training, pieces judged once, results kept and found, the tables."""

import json
import os
import re
import time

import numpy as np
import pytest
import torch

from octavoice import cli, paths
from octavoice.corpus import benchmarks
from octavoice.errors import UserError
from octavoice.figures import survey as figures
from octavoice.formats.midi import read_midi, write_midi
from octavoice.likelihood import axis
from octavoice.music.roll import KEYS
from octavoice.results import survey_tables
from octavoice.studies import benchmark_runs, benchmark_sets, other_kinds, study, survey_runs
from octavoice.survey import MODELS, recurrent
from octavoice.training import fit, models, presets
from octavoice.training.fit import seeded

NAME = "benchmarks/jsb"
SET = survey_tables.SETS[NAME]
TINY = ["iterations=4", "every=2", "batch=2", "length=16"]


def rolls(lengths, seed=0, share=0.05):
    rng = np.random.default_rng(seed)
    return [(rng.random((steps, KEYS)) < share).astype(np.uint8) for steps in lengths]


@pytest.fixture
def splits(monkeypatch, tmp_path):
    """Small sets in place of the real ones, and a home of their own."""
    made = {"train": rolls((30, 40, 20)), "valid": rolls((12, 20), 1), "test": rolls((1, 10, 25), 2)}
    made["test"].append(made["train"][0][4:20])
    monkeypatch.setattr(benchmark_runs, "load_benchmark", lambda name: made)
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    return made


# --- controls ---------------------------------------------------------------------------------------------------------

def test_the_first_order_control_by_hand():
    """One key: two times on after off, one time off after off, once off after on; frames from the second."""
    train, test = np.zeros((5, KEYS), np.uint8), np.zeros((3, KEYS), np.uint8)
    train[:, 3] = [0, 0, 1, 0, 1]
    test[:, 3] = [0, 1, 1]
    off_on, on_on, silent = 2.5 / 4, 0.5 / 2, 4.5 / 5
    expected = -(np.log(off_on) + np.log(on_on)) / 2 - 87 * np.log(silent)
    assert benchmark_sets.first_order_nll({"train": [train], "test": [test]}) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "marginal", "first"), [
    ("benchmarks/nottingham", 10.261, 5.153), ("benchmarks/jsb", 11.091, 10.491),
    ("benchmarks/musedata", 11.514, 8.559), ("benchmarks/piano-midi", 11.052, 8.265)])
def test_the_controls_on_the_real_sets(name, marginal, first):
    if "OCTAVOICE_DATA" not in os.environ:
        pytest.skip("OCTAVOICE_DATA names no folder with the benchmark files")
    real = benchmarks.load_benchmark(name)
    assert round(benchmarks.marginal_nll(real), 3) == marginal
    assert round(benchmark_sets.first_order_nll(real), 3) == first


def test_frames_of_a_window_that_training_has_are_seen():
    (train,) = rolls((30,))
    test = np.concatenate([rolls((5,), 3)[0], train[10:19], rolls((4,), 4)[0]])
    (marks,) = benchmark_sets.seen([train], [test])
    assert marks.tolist() == [False] * 5 + [True] * 9 + [False] * 4
    (none,) = benchmark_sets.seen([train], [np.roll(test, 3, axis=1)])
    assert not none.any()


def test_a_window_in_another_key_is_seen_only_if_asked_for():
    train = np.zeros((12, KEYS), np.uint8)
    train[np.arange(12), 40 + np.arange(12) % 5] = 1
    moved = np.roll(train, 7, axis=1)
    assert not benchmark_sets.seen([train], [moved])[0].any()
    assert benchmark_sets.seen([train], [moved], transposed=True)[0].all()
    assert not benchmark_sets.seen([train], [train[:7]])[0].any()


# --- judging ----------------------------------------------------------------------------------------------------------

def test_every_frame_is_judged_once_and_in_its_place(monkeypatch):
    """In batches of several lengths, as one piece at a time, the first frame from a silent one before it."""
    monkeypatch.setattr(benchmark_sets, "FRAMES", 60)
    pieces, network = benchmark_sets.as_pieces(rolls((9, 30, 1, 14))), seeded(recurrent.lstm, 1).eval()
    found = benchmark_sets.judge_whole(axis.network_judge(network), pieces)
    assert [len(nats) for nats in found] == [9, 30, 1, 14]
    for i, nats in enumerate(found):
        x = torch.from_numpy(pieces[i].roll).float()[:, None]
        h, _ = network.trunk(x[:-1], None)
        with torch.no_grad():
            np.testing.assert_allclose(nats, network.head.nats(h, x[1:])[:, 0], atol=1e-5)


def test_some_pieces_stand_for_all():
    pieces = benchmark_sets.as_pieces(rolls([10] * 30))
    assert len(benchmark_sets.spread(pieces, 10_000)) == 30
    assert 9 <= len(benchmark_sets.spread(pieces, 110)) <= 11


# --- runs -------------------------------------------------------------------------------------------------------------

def test_a_run_is_kept_and_found(splits, monkeypatch):
    first = benchmark_runs.run("lstm", NAME, 1, TINY)
    path = paths.home() / "results/survey/benchmarks-jsb/lstm/seed-1,batch=2,every=2,iterations=4,length=16.json"
    assert json.loads(path.read_text()) == first
    assert first["settings"]["iterations"] == first["cost"]["iterations"] == 4
    assert first["cost"]["best_iteration"] in (2, 4)
    test = first["test"]
    assert test["window seen"]["share"] == pytest.approx(15 / (9 + 24 + 15))
    mixed = 15 * test["window seen"]["leaked"] + 33 * test["window seen"]["clean"]
    assert mixed / 48 == pytest.approx(test["from the second"], rel=1e-6)
    assert test["every frame"] != test["from the second"]
    monkeypatch.setattr(benchmark_runs, "train", None)
    assert benchmark_runs.run("lstm", NAME, 1, TINY) == first


def test_an_interrupted_run_goes_on_and_ends_alike(splits, monkeypatch):
    whole = benchmark_runs.run("gru", NAME, 1, TINY)
    benchmark_runs.result_path(NAME, "gru", 1, TINY).unlink()
    for file in (paths.home() / "runs").rglob("seed-1*"):
        file.unlink()
    done, gradients = [], fit.gradients

    def interrupted(*arguments):
        done.append(1)
        if len(done) == 4:
            raise KeyboardInterrupt
        return gradients(*arguments)
    monkeypatch.setattr(fit, "gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        benchmark_runs.run("gru", NAME, 1, TINY)
    again = benchmark_runs.run("gru", NAME, 1, TINY)
    assert again["test"] == whole["test"]
    assert len(done) == 5


def test_the_weights_that_validation_likes_best_are_kept(splits, monkeypatch):
    """A training that only worsens: the first weights judged are the ones the test pieces judge."""
    scores = iter([3.0, 5.0, 9.0, 9.0])
    monkeypatch.setattr(benchmark_runs, "judged", lambda network, _: {"bias": network.head.output.bias[0].item()})
    monkeypatch.setattr(benchmark_sets, "judge_whole", lambda judge, pieces, device: [np.full(4, next(scores))])
    one = benchmark_runs.run("lstm", NAME, 1, [*TINY[1:], "iterations=2"])
    scores = iter([3.0, 5.0])
    two = benchmark_runs.run("lstm", NAME, 1, [*TINY[1:], "iterations=4"])
    assert (one["cost"]["best_iteration"], two["cost"]["best_iteration"]) == (2, 2)
    assert two["cost"]["selected_on"] == 3.0


@pytest.mark.parametrize(("model", "corpus", "texts", "message"), [
    ("lstm", "bach", [], "corpus 'bach' is no benchmark set; choose one of benchmarks/jsb"),
    ("nonsense", NAME, [], "unknown model 'nonsense'"),
    ("thesis", NAME, [], "model 'thesis' does not decide all keys at once"),
    ("rnn-nade-classes", NAME, [], "model 'rnn-nade-classes' does not decide all keys at once"),
    ("lstm", NAME, ["iterations=many"], "setting 'iterations=many' is none; give NAME=NUMBER with one of iterations"),
    ("lstm", NAME, ["speed=3"], "setting 'speed=3' is none"),
    ("lstm", NAME, ["dropout=1"], "setting 'dropout=1' is none"),
    ("lstm", NAME, ["iterations=0"], "setting 'iterations=0' is none"),
])
def test_what_cannot_be_run_gets_one_sentence(splits, model, corpus, texts, message):
    with pytest.raises(UserError, match=message):
        benchmark_runs.run(model, corpus, 1, texts)


@pytest.mark.parametrize(("words", "message"), [
    (["thesis", "bach"], "model 'thesis' is none of those on this axis; choose one of lstm, gru"),
    (["lstm", "bach", "--set", "rate=1"], "settings are for benchmark sets; bach is trained at preset survey"),
    (["lstm", "bach", "--seed", "one"], "seed"),
    (["lstm", "nowhere"], "unknown corpus 'nowhere'"),
    (["lstm", "bach", "--device", "gpu"], "device 'gpu' is none; choose one of auto, cpu, cuda"),
    (["lstm", "bach", "--device", "cuda"], "device 'cuda' was asked for but torch sees no GPU"),
    (["lstm", NAME, "--device", "cuda"], "device 'cuda' was asked for but torch sees no GPU"),
])
def test_the_command_tells_what_it_cannot_do(capsys, monkeypatch, words, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["survey", "run", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"octavoice: {message}")


def test_the_summary_tells_what_is_missing_and_what_is_met(splits, capsys, monkeypatch):
    monkeypatch.setattr(benchmark_runs, "SETTINGS", dict.fromkeys(benchmarks.NAMES, benchmark_runs.Setting(
        iterations=2, batch=2, length=16, every=1)))
    assert cli.main(["survey", "run", "lstm", NAME]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r".+/results/survey/benchmarks-jsb/lstm/seed-1\.json: \d+\.\d{3} nats per frame, \d+ s\n", said)
    found = survey_tables.results(paths.home() / "results/survey")
    table = survey_tables.benchmark_table(found)
    assert len(table) == 4 * len(MODELS)
    ours = table.loc[(SET, "lstm")]
    assert ours["met"].startswith("no (+")
    assert "8.45 (Bai, Kolter and Koltun 2018)" in ours["published"]
    assert set(table["nats per frame"].drop((SET, "lstm"))) == {"missing"}
    found[0]["test"]["from the second"] = 8.45
    assert survey_tables.benchmark_table(found).loc[(SET, "lstm"), "met"] == "yes (+0.0%); yes (+1.4%)"
    assert set(survey_tables.open_table(found, {})["nats per step"]) == {"missing"}
    assert cli.main(["survey", "summary"]) == 0
    assert "missing" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["rnn-nade-classes", "beyond"])
def test_a_run_on_open_music_is_judged_and_heard(model, monkeypatch):
    """The stages that decide what is struck together, on a corpus at hand; found again without training."""
    monkeypatch.setattr(survey_runs, "PRESET", "smoke")
    found = survey_runs.open_run(model, "bach", 7)
    path = benchmark_runs.result_path("bach", model, 7)
    assert path.with_suffix(".mid").exists()
    assert found["kind"] == "exact"
    assert sum(found["nats"]) / sum(found["steps"]) == pytest.approx(found["level"], abs=1e-3)
    assert found["cost"]["iterations"] == sum(stage.recipe(presets.resolve("smoke")).iterations
                                              for stage in models.named(model).stages)
    monkeypatch.setattr(survey_runs.networks, "obtain", None)
    assert survey_runs.open_run(model, "bach", 7) == found


# --- what notebook 09 shows -------------------------------------------------------------------------------------------

def some_run(model, corpus, nats, kind="exact", seed=1, **more):
    """A result as a run leaves it, as far as tables and figures read it."""
    test = {"from the second": nats, "every frame": nats, "window seen": {"share": 0.0, "leaked": None, "clean": nats}}
    judged = {"test": test} if corpus in benchmarks.NAMES else {"level": -nats, "low": -nats - 1, "high": 1 - nats}
    cost = {"seconds": 600, "cpu_seconds": 60.0, "iterations": 9, "selected_on": nats, "best_iteration": 7,
            "parameters": 5}
    return {"model": model, "corpus": corpus, "seed": seed, "kind": kind, "cost": cost, "run": f"seed-{seed}",
            "processor": "some CPU", **judged, **more}


def test_the_best_run_on_validation_stands_for_a_model():
    found = [some_run("lstm", NAME, nats) for nats in (9.0, 8.5, 8.7)] + [some_run("rnn-rbm", NAME, 8.0, "estimate")]
    row = survey_tables.benchmark_table(found).loc[(SET, "lstm")]
    assert (row["nats per frame"], row["tried"], row["minutes"]) == ("8.500", 3, "1.0")
    panel = survey_tables.panels(found)[SET]
    assert panel["nats"].to_dict() == {"lstm": 8.5, "rnn-rbm": 8.0}
    assert panel["kind"].to_dict() == {"lstm": "exact", "rnn-rbm": "estimate"}


def test_what_was_tried_is_told_where_it_was_more_than_one_setting():
    names = {9.0: "seed-1,rate=0.1", 8.5: "seed-1", 8.7: "seed-1,batch=4,rate=0.1"}
    found = [some_run("lstm", NAME, nats, run=name) for nats, name in names.items()] + [some_run("gru", NAME, 8.0)]
    table = survey_tables.tried(found)
    assert table.index.tolist() == [(SET, "lstm", name) for name in ("as listed", "batch=4,rate=0.1", "rate=0.1")]
    assert table["test"].tolist() == table["validation"].tolist() == [8.5, 8.7, 9.0]
    assert survey_tables.tried(found[-1:]).empty


def test_open_music_is_told_over_seeds():
    found = [some_run("gru", "piano-midi", nats, seed=seed) for seed, nats in ((1, 5.0), (2, 6.0))]
    tables = {"kind": "exact", "level": -7, "low": -8, "high": -6}
    table = survey_tables.open_table(found, {"piano-midi": {"tables": tables}})
    row = table.loc[("piano-midi", "gru")]
    assert (row["nats per step"], row["seeds"]) == ("-5.500 (-6.000 to -5.000)", "1, 2")
    assert table.loc[("piano-midi", "tables"), "nats per step"] == "-7.000"
    assert survey_tables.panels(found)["piano-midi"].loc["gru", "nats"] == 5.0


def test_gains_are_paired_over_the_pieces_that_both_can_play():
    """Of the first seeds; a piece of which one leaves out a step does not count."""
    def runs(model, *nats, steps=(10, 30), seed=1):
        judged = {"steps": list(steps), "nats": [-n for n in nats]}
        return some_run(model, "piano-midi", sum(nats) / 40, seed=seed) | judged
    found = [runs("gru", 20, 60), runs("gru", 0, 0, seed=2), runs("lstm", 40, 80)]
    table = survey_tables.gains(found, {"piano-midi": {"thesis": {"steps": [9, 30], "nats": [0, -90]}}})
    assert table.loc[("piano-midi", "gru", "lstm"), ["gain", "pieces"]].tolist() == [1.0, 2]
    assert table.loc[("piano-midi", "gru", "thesis"), ["gain", "pieces"]].tolist() == [1.0, 1]
    assert table["low"].isna().tolist() == [False, True]
    assert survey_tables.gains([], {}).empty


def test_minutes_say_what_they_are_of():
    found = [some_run("lstm", NAME, 8.5), some_run("gru", NAME, 8.0, gpu="some GPU")]
    del found[1]["cost"]["cpu_seconds"]
    table = survey_tables.benchmark_table(found).loc[SET]
    assert table.loc["lstm", ["minutes", "on"]].tolist() == ["1.0", "one core, some CPU"]
    assert table.loc["gru", ["minutes", "on"]].tolist() == ["10.0", "some GPU"]
    drawn = figures.against_cost(survey_tables.panels(found), {})
    told = [text.get_text() for text in drawn.legends[0].texts]
    assert told == ["exact, minutes of a core", "exact, minutes of a GPU"]
    filled = {line.get_markerfacecolor() for line in drawn.axes[0].lines}
    assert len(filled) == 2
    assert drawn.axes[0].get_xlabel() == "minutes of training, GPU and one core"


def test_a_core_is_counted_from_the_start_and_a_gpu_not_at_all():
    began = time.process_time()
    assert benchmark_runs.core_seconds(began - 5, torch.device("cpu"))["cpu_seconds"] == pytest.approx(5, abs=1)
    assert benchmark_runs.core_seconds(began, torch.device("cuda")) == {}


def test_nats_are_drawn_against_cost():
    found = [some_run("lstm", NAME, 8.5), some_run("rnn-rbm", NAME, 8.0, "estimate")]
    found += [some_run("gru", "piano-midi", 5.0)]
    drawn = figures.against_cost(survey_tables.panels(found), {SET: {"every key alone": 11.1}})
    assert [ax.get_title("left") or ax.get_title() for ax in drawn.axes] == [SET, "piano-midi"]
    assert {text.get_text() for text in drawn.axes[0].texts} == {"lstm", "rnn-rbm", "every key alone"}
    assert drawn.axes[0].get_xscale() == "log"


def test_a_kept_continuation_is_heard(tmp_path):
    assert survey_tables.heard(tmp_path, "lstm") is None
    (roll,) = rolls((40,))
    write_midi(roll, tmp_path / "piano-midi/lstm/seed-1.mid")
    found, told = survey_tables.heard(tmp_path, "lstm")
    first = np.flatnonzero(roll.any(axis=1))[0]
    assert np.array_equal(found[:20], roll[first:][:20])
    assert told == "piano-midi, seed-1"


def test_controls_are_kept(tmp_path, monkeypatch):
    assert survey_tables.controls(tmp_path) == {}
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(survey_runs, "load_benchmark", lambda name: {"train": rolls((30,)), "test": rolls((9,), 1)})
    found = survey_tables.controls(survey_runs.write_controls().parent)
    assert set(found) == set(benchmarks.NAMES)
    assert found[NAME]["every key alone"] > 0


def test_committed_results_say_where_they_come_from(checkout):
    """And no network of them is worse than frequencies of single keys after themselves."""
    text = "".join(path.read_text() for path in (checkout / "results/survey").rglob("*.json"))
    assert not re.search(r'"/\w+|[A-Z]:\\', text)
    levels = survey_tables.controls(checkout / "results/survey")
    for run in survey_tables.results(checkout / "results/survey"):
        assert run["model"] in models.MODELS
        assert {"seed", "commit", "versions", "device", "processor", "cost", "depends_on", "kind"} <= set(run)
        assert run["cost"]["seconds"] > 0
        assert not ("gpu" in run and "cpu_seconds" in run["cost"])
        if run["corpus"] in benchmarks.NAMES:
            assert 0 < run["test"]["from the second"] < levels[run["corpus"]]["every key after itself"]


def test_committed_references_are_of_the_same_pieces(checkout):
    """And every run on open music is above the tables."""
    beside = survey_tables.references(checkout / "results/survey")
    found = survey_tables.results(checkout / "results/survey")
    assert set(beside) == set(survey_runs.OPEN)
    for run in (run for run in found if run["corpus"] in beside):
        tables = beside[run["corpus"]]["tables"]
        assert run["steps"] == tables["steps"]
        assert run["level"] > tables["level"]


# --- models of other kinds --------------------------------------------------------------------------------------------

def test_a_study_is_carried_out_once_kept_with_its_sample_and_shown(monkeypatch, tmp_path):
    """Judged beside its tables, its interval around its level; found again, and not missing any more."""
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(survey_runs, "PRESET", "smoke")
    planned = len(other_kinds.missing())
    told = other_kinds.run_one("melody-lstm", "ryans-mammoth", 1)
    (found,) = survey_tables.of_other_kinds(tmp_path / "results" / "survey")
    assert found["low"] <= found["level"] <= found["high"] < 0
    assert set(found["tables"]) == {"uniform", "unigram", "bigram"}
    assert f"{found['level']:.3f} nats per event" in told
    assert len(other_kinds.missing()) == planned - 1
    assert read_midi(tmp_path / "results/survey/ryans-mammoth/melody-lstm/seed-1.mid").roll.any()
    monkeypatch.setattr(study.networks, "obtain", None)
    assert other_kinds.run_one("melody-lstm", "ryans-mammoth", 1) == told
    table = survey_tables.other_kinds_table([found])
    assert table.loc[("ryans-mammoth", "melody-lstm"), "nats"] == f"{found['level']:.3f}"
    assert table.loc[("piano-midi", "performance-lstm"), "nats"] == "missing"


def test_a_model_without_a_study_is_named():
    with pytest.raises(UserError, match="choose one of"):
        other_kinds.run_one("lstm", "bach", 1)
