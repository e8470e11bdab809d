"""The table of all runs: what is read, what is stale, and what differs between two."""

import json

import pandas as pd
import pytest

import octavoice
from octavoice import cli, paths, provenance
from octavoice.errors import UserError
from octavoice.laboratory import runs, validity
from octavoice.training import presets

LEVELS = "space,nats per step,kind,level\nclasses,thesis,bound,{}\nclasses,marginal,exact,-3\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own, and a checkout in which nothing is committed."""
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path / "checkout")
    (tmp_path / "checkout").mkdir()
    return tmp_path


def finish(seed=1, step="levels_thesis", level=-2.0, **facts):
    """A run of one step; returns its folder."""
    preset = facts.pop("preset", presets.resolve("smoke"))
    folder = paths.run_dir(preset.name, "bach", seed, presets.changed(preset))
    table = folder / "results" / "levels_thesis.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(LEVELS.format(level))
    cost = {"processor": "any", "threads": 1, "found": ["training, decoder"], "seconds": 30.0, "peak_memory_mb": 100,
            "training, decoder": {"iterations": 6, "seconds": 60.0, "peak_memory_mb": 200}}
    manifest = {"files": {"results/levels_thesis.csv": provenance.sha256(table)}, "preset": vars(preset),
                "corpus": "bach", "corpus_sha256": "music", "seed": seed, "device": "cpu", "cost": cost,
                "versions": {"torch": "2", "numpy": "1"}, "commit": "abc+",
                "durations_sha256": "lengths", "code": validity.versions_of("levels_thesis")}
    with paths.atomic(folder / "manifests" / f"{step}.json") as temporary:
        temporary.write_text(json.dumps(manifest | facts))
    return folder


def test_a_run_is_a_row_of_settings_provenance_cost_and_numbers(home):
    finish(preset=presets.resolve("smoke", batch=3))
    (row,) = octavoice.runs().reset_index().to_dict("records")
    assert row["run"] == f"runs/smoke/bach/seed-1/{paths.run_dir('smoke', 'bach', 1, {'batch': 3}).name}"
    expected = {"state": "current", "preset": "smoke", "corpus": "bach", "seed": 1, "changed": '{"batch": 3}',
                "steps": "levels_thesis", "corpus_sha256": "music", "commit": "abc+", "device": "cpu",
                "processor": "any", "setting batch": 3, "version torch": "2", "memory, MiB": 200,
                "notebooks, minutes": 0.5, "thesis: classes": -2.0}
    assert {name: row[name] for name in expected} == expected
    assert row["training, decoder, minutes"] == 1.0  # as noted, of however many iterations


def test_a_table_of_nothing_is_empty(home, capsys):
    assert octavoice.runs().empty
    assert cli.main(["runs"]) == 0
    assert "no run yet" in capsys.readouterr().out


def test_the_committed_runs_are_in_the_table(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    table = octavoice.runs()
    folders = {path.parent.relative_to(checkout).as_posix() for path in checkout.glob("results/thesis/*/*/index.json")}
    assert set(table.index) == folders
    levels = pd.read_csv(checkout / "results/thesis/piano-midi/seed-2/test_levels.csv", index_col=0)
    assert table.loc["results/thesis/piano-midi/seed-2", "objective on test pieces"] == levels.loc[
        "main module", "level"]
    assert table["commit"].str.len().min() >= 40


@pytest.mark.parametrize(("facts", "why"), [
    ({}, ""), ({"code": None}, ""), ({"code": {}}, ""), ({"code": {"main": 1, "axis": 1}}, ""),
    ({"code": {"figures": 7}}, ""),
    ({"code": {"main": 2}}, "main was version 2 and is 1"),
    ({"code": {"axis": 3, "decoder": 0}}, "decoder was version 0 and is 1; axis was version 3 and is 1"),
    ({"step": "levels_gone"}, "what levels_gone was made by is no longer here"),
    ({"step": "ablation_gone", "code": {}}, "what ablation_gone was made by is no longer here"),
    ({"corpus_sha256": "other music"}, "other music"),
    ({"durations_sha256": "other lengths"}, "other durations of its notes")])
def test_what_has_changed_since_is_told(home, capsys, facts, why):
    finish(**facts)
    with paths.atomic(paths.music_marker("bach", presets.resolve("smoke").files)) as temporary:
        temporary.write_text(json.dumps({"corpus_sha256": "music", "durations_sha256": "lengths"}))
    (row,) = octavoice.runs().to_dict("records")
    assert (row["state"], row["why"]) == ("stale" if why else "current", why)
    assert cli.main(["runs"]) == 0
    assert why in capsys.readouterr().out


def test_a_version_that_is_raised_makes_a_run_stale_and_an_edit_does_not(home, monkeypatch, tmp_path):
    known = dict(provenance.modules())
    finish()
    copy = tmp_path / "axis.py"
    monkeypatch.setattr(provenance, "modules", lambda: known | {"octavoice.likelihood.axis": copy})
    text = known["octavoice.likelihood.axis"].read_text(encoding="utf-8")
    copy.write_text(text + "\nMORE = 1\n", encoding="utf-8")
    assert octavoice.runs()["state"].tolist() == ["current"]
    copy.write_text(text + "\nVERSION = 2\n", encoding="utf-8")
    assert octavoice.runs()["why"].tolist() == ["axis was version 1 and is 2"]


def test_every_committed_run_is_current(checkout):
    table = octavoice.runs()
    table = table[table.index.str.startswith("results/")]
    assert len(table) == len(list(checkout.glob("results/thesis/*/*/index.json")))
    assert set(table["state"]) == {"current"}


def test_what_is_said_of_another_model_stands_beside_what_is_said_of_a_notebooks_own(home):
    folder = finish() / "results"
    for model, level in (("beyond", -1.0), ("lstm", -3.0)):
        place = folder if model == "beyond" else folder / model
        place.mkdir(exist_ok=True)
        (place / "beyond_levels.csv").write_text(
            f"space,nats per step,level\nkeys,{model},{level}\nkeys,thesis,{level}\n")
        (place / "beyond_counted.json").write_text(
            json.dumps({"within the noise, thesis": 1, f"within the noise, {model}": -level}))
    names = [f"{place}beyond_{name}" for place in ("", "lstm/") for name in ("levels.csv", "counted.json")]
    finish(files={f"results/{name}": provenance.sha256(folder / name) for name in names})
    (row,) = octavoice.runs().to_dict("records")
    found = {name: value for name, value in row.items() if "in 08" in name or "within" in name}
    assert found == {"beyond: keys, in 08": -1.0, "thesis: keys, in 08": -1.0, "lstm: keys, in 08": -3.0,
                     "statistics within the noise of music, beyond": 1.0,
                     "lstm: statistics within the noise of music, lstm": 3.0}


def test_a_training_too_short_to_be_judged_has_no_end_of_its_curve(home):
    (finish() / "results" / "lstm_metrics.csv").write_text("iteration,train\n1,3.0\n")
    table = home / "runs/smoke/bach/seed-1/results"
    finish(files={f"results/{name}.csv": provenance.sha256(table / f"{name}.csv")
                  for name in ("levels_thesis", "lstm_metrics")})
    assert not [name for name in octavoice.runs() if "held-out curve" in name]


def test_numbers_of_a_file_that_is_not_the_one_written_are_not_read(home):
    (finish() / "results" / "levels_thesis.csv").write_text(LEVELS.format(-1.0))
    assert "thesis: classes" not in octavoice.runs()


def test_a_damaged_manifest_is_told(home):
    (finish() / "manifests" / "levels_thesis.json").write_text("{")
    with pytest.raises(UserError, match=r"runs/smoke/bach/seed-1/manifests/levels_thesis\.json is damaged"):
        octavoice.runs()


def lines_of(capsys, *words):
    assert cli.main(["runs", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_what_is_printed_of_committed_runs_fits_100_columns_and_is_explained(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    table, lines = octavoice.runs(), lines_of(capsys)
    assert max(map(len, lines)) <= 100
    assert {line.split()[0] for line in lines[1:len(table) + 1]} == set(table.index)
    assert ("stale" in set(table["state"])) == any(line.startswith("stale: ") for line in lines)
    text = " ".join(" ".join(lines).split())
    assert all(why in text for why in table["why"])


@pytest.mark.parametrize("code", [{}, {"main": 2}])
def test_what_stale_means_is_said_where_a_run_is(home, capsys, code):
    finish(code=code)
    assert ("stale: what the run depends on" in "\n".join(lines_of(capsys))) is bool(code)


def test_a_wide_table_and_long_names_fit_too_and_wide_shows_the_rest(home, capsys):
    for seed, model in enumerate(("lstm", "gru", "tcn", "rnn-nade", "rnn-rbm"), start=1):
        folder = finish(seed, preset=presets.resolve("smoke", iterations=3, decoder_iterations=4))
        table = folder / "results" / f"levels_{model}.csv"
        table.write_text(f"space,nats per step,level\nkeys,{model},-1\n")
        finish(seed, preset=presets.resolve("smoke", iterations=3, decoder_iterations=4),
               files={f"results/levels_{model}.csv": provenance.sha256(table)})
    narrow, wide = lines_of(capsys), lines_of(capsys, "--wide")
    assert max(map(len, narrow)) <= 100 < max(map(len, wide))
    assert "rnn-rbm: keys" not in narrow[0]
    assert "rnn-rbm: keys" in wide[0]
    assert any("more columns" in line for line in narrow)


def test_of_a_long_name_an_end_is_shown_that_finds_the_run():
    name = "runs/thesis/folder-my-own-collection-of-waltzes-0123abcd/seed-1/with-0123456789"
    shown = runs._shortened(name)
    assert (len(shown) <= 48, shown) == (True, "…/seed-1/with-0123456789")
    assert runs.find(shown.removeprefix("…/"), [name, "results/thesis/bach/seed-1"]) == name
    assert runs._shortened("results/thesis/bach/seed-1") == "results/thesis/bach/seed-1"


def test_csv_has_all_columns(home, capsys, tmp_path):
    finish()
    assert cli.main(["runs", "--csv", str(tmp_path / "all.csv")]) == 0
    assert "1 runs" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "all.csv", index_col="run").columns) == set(octavoice.runs().columns)


def test_diff_says_what_differs_in_settings_code_and_numbers(home, capsys):
    finish(1)
    finish(2, level=-2.5, preset=presets.resolve("smoke", batch=3), code={"main": 2, "axis": 1})
    table = runs.diff("seed-1", paths.run_dir("smoke", "bach", 2, {"batch": 3}).name)
    assert table.loc["thesis: classes"].tolist() == [-2.0, -2.5, -0.5]
    assert table.loc["setting batch"].tolist() == [8, 3, -5]
    assert {"seed", "changed", "state", "why", "code main", "code decoder"} <= set(table.index)
    assert not {"corpus", "version torch", "setting fragment"} & set(table.index)
    assert cli.main(["runs", "diff", "seed-1", "seed-1"]) == 0
    assert capsys.readouterr().out == "nothing differs.\n"


@pytest.mark.parametrize(("name", "message"), [
    ("seed-9", "no run is called 'seed-9'"), ("seed-1", "several runs are called 'seed-1': runs/quick/bach/seed-1, ")])
def test_diff_of_runs_that_cannot_be_told_gets_one_sentence(home, name, message, capsys):
    finish(1)
    finish(1, preset=presets.resolve("quick"))
    assert cli.main(["runs", "diff", name, "quick/bach/seed-1"]) == 2
    assert message in capsys.readouterr().err


def test_octavoice_has_runs_and_nothing_else_by_itself():
    with pytest.raises(AttributeError, match="has no attribute 'run'"):
        octavoice.run  # noqa: B018 (looking it up is the test)
