"""What notebooks rely on: checked parameters, recorded files, manifests; statistics and figures (design rules 7–9)."""

import json
import platform
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from octavoice import provenance
from octavoice.corpus import Pieces
from octavoice.errors import UserError
from octavoice.figures import model, style, training
from octavoice.laboratory import notebook, validity
from octavoice.statistics import rolls as statistics
from octavoice.statistics import samples
from octavoice.thesis import model as thesis
from octavoice.thesis import values
from octavoice.training import models, networks, presets, recipes
from octavoice.training.run import check_parameters

GOOD = {"preset": "smoke", "corpus": "bach", "seed": 1, "device": "cpu", "overrides": {}}


@pytest.fixture
def run():
    return notebook.start("99_test", GOOD)


def test_good_parameters_pass_and_what_ipython_adds_is_ignored():
    assert check_parameters({**GOOD, "In": [""], "Out": {}, "_dh": [], "__name__": "x", "exit": print}) == GOOD


@pytest.mark.parametrize(("change", "message"), [
    ({"presett": "quick"}, "unknown parameter 'presett'"), ({"seed": "1"}, "must be a int, not a str"),
    ({"seed": True}, "must be a int, not a bool"), ({"seed": -1}, "between 0 and"),
    ({"seed": 2**31}, "between 0 and"), ({"device": "gpu"}, "must be one of auto, cpu, cuda"),
    ({"corpus": "bahc"}, "unknown corpus 'bahc'"), ({"overrides": "iterations"}, "must be a dict")])
def test_bad_parameters_get_one_sentence(change, message):
    with pytest.raises(UserError, match=message):
        check_parameters({**GOOD, **change})


def test_a_missing_parameter_is_named():
    with pytest.raises(UserError, match="'seed' is not set"):
        check_parameters({k: v for k, v in GOOD.items() if k != "seed"})


def test_a_user_error_shows_as_one_line_in_ipython():
    assert UserError("no.")._render_traceback_() == ["octavoice: no."]


@pytest.mark.parametrize(("overrides", "message"), [
    ({"iteration": 5}, "unknown setting 'iteration'"), ({"iterations": "5"}, "must be a int"),
    ({"iterations": -5}, "at least 1"), ({"iterations": 5.0}, "must be a int"), ({"batch": 0}, "at least 1"),
    ({"files": -1}, "at least 0"), ({"fragment": 1}, "at least 2"), ({"samples": 2}, "at least 3"),
    ({"batch": True}, "must be a int"), ({"learning_rate": True}, "must be a float of at least 0"),
    ({"learning_rate": -0.1}, "at least 0"), ({"epsilon": float("nan")}, "at least 0"),
    ({"learning_rate": float("inf")}, "must be a float"), ({"learning_rate": "0.1"}, "must be a float"),
    ({"precision": "fp16"}, "must be one of auto, fp32, bf16"),
    ({"precision": ["bf16"]}, "must be one of auto, fp32, bf16")])
def test_bad_overrides_get_one_sentence(overrides, message):
    with pytest.raises(UserError, match=message):
        presets.resolve("quick", **overrides)


def test_a_whole_number_is_a_number_and_all_files_are_zero():
    changed = presets.resolve("quick", learning_rate=1, files=0, threads=2)
    assert (changed.learning_rate, changed.files, changed.threads) == (1.0, 0, 2)
    assert type(changed.learning_rate) is float


def test_every_preset_keeps_to_the_least_values():
    for name, preset in presets.PRESETS.items():
        settings = {field: value for field, value in asdict(preset).items() if field != "name"}
        assert presets.resolve(name, **settings) == preset


def test_unknown_presets_are_named_with_the_known_ones():
    with pytest.raises(UserError, match="unknown preset 'quik'; choose one of smoke, quick, ablation, thesis"):
        presets.resolve("quik")


def test_the_thesis_preset_is_section_7_2():
    p = presets.resolve("thesis")
    for field, name in (("batch", "batch"), ("fragment", "fragment"), ("stride", "stride"),
                        ("iterations", "iterations"), ("learning_rate", "learning_rate"), ("epsilon", "epsilon"),
                        ("decoder_learning_rate", "decoder_learning_rate"), ("decoder_epsilon", "decoder_epsilon"),
                        ("prime", "prime"), ("new_steps", "new_steps")):
        assert getattr(p, field) == values.value(name)


def test_overrides_work_in_a_folder_of_their_own():
    plain, changed = notebook.start("a", GOOD), notebook.start("a", {**GOOD, "overrides": {"iterations": 7}})
    assert changed.dir.parent == plain.dir
    assert changed.preset.iterations == 7
    assert json.loads((changed.dir / "settings.json").read_text())["apart"] == {"iterations": 7}
    same = notebook.start("a", {**GOOD, "overrides": {"iterations": plain.preset.iterations}})
    assert same.dir == plain.dir


def test_a_notebook_on_another_model_writes_beside_what_it_says_of_its_own():
    own, other = (notebook.start("08_beyond", {**GOOD, "model": name}, model=str) for name in ("beyond", "lstm"))
    assert own.dir == other.dir
    for run in (own, other):
        run.write_json("facts", {})
        run.finish()
    assert list(own.files) == ["results/facts.json"]
    assert list(other.files) == ["results/lstm/facts.json"]
    assert {path.name for path in (own.dir / "manifests").glob("08_*")} == {"08_beyond.json", "08_beyond-lstm.json"}


def test_a_notebook_called_after_no_model_is_about_the_thesis():
    names = {name: [notebook.start(name, {**GOOD, "model": model}, model=str).notebook
                    for model in ("thesis", "beyond")] for name in ("06_experiments", "08_beyond")}
    assert names == {"06_experiments": ["06_experiments", "06_experiments-beyond"],
                     "08_beyond": ["08_beyond-thesis", "08_beyond"]}


@pytest.mark.parametrize("model", ["lstmm", "thesis-main"])
def test_a_notebook_takes_whole_models_by_name(model):
    with pytest.raises(UserError, match=f"unknown model '{model}'; this notebook takes a whole one of thesis, beyond"):
        notebook.start("06_experiments", {**GOOD, "model": model}, model=str)


def test_the_manifest_records_the_versions_of_what_computed_it():
    run = notebook.start("07_discussion", GOOD)
    run.finish()
    code = json.loads((run.dir / "manifests" / "07_discussion.json").read_text())["code"]
    assert code == validity.versions_of("07_discussion")
    assert {"07_discussion", "main", "decoder", "harmony"} <= code.keys()


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="torch sees no GPU"):
        notebook.start("a", {**GOOD, "device": "cuda"})


def test_the_manifest_names_every_file_with_its_hash(run, capsys):
    run.write_json("facts", {"b": np.float32(0.5), "a": 1})
    run.write_table("table", pd.DataFrame({"x": [1.0]}))
    run.write_midi("piece", np.eye(16, 88, 40, dtype=np.uint8))
    run.show(model.clock_bits(np.eye(6)), "clock", "caption")
    run.finish()
    manifest = json.loads((run.dir / "manifests" / "99_test.json").read_text())
    assert set(manifest["files"]) == {"results/facts.json", "results/table.csv", "results/piece.mid",
                                      "figures/clock.png", "figures/clock.svg"}
    assert all(provenance.sha256(run.dir / name) == digest for name, digest in manifest["files"].items())
    assert {"preset", "seed", "corpus", "corpus_sha256", "versions", "commit", "cost", "device"} <= set(manifest)
    assert str(run.dir) not in json.dumps(manifest)


def test_music_of_a_corpus_is_marked_where_it_is_written(run):
    run.write_midi("real", np.eye(16, 88, 40, dtype=np.uint8), corpus_music=True)
    run.write_midi("ours", np.eye(16, 88, 40, dtype=np.uint8))
    run.show(model.clock_bits(np.eye(6)), "real", "caption", corpus_music=True)
    run.write_svg("page", "<svg/>", corpus_music=True)
    run.write_svg("ours", "<svg/>")
    run.finish()
    manifest = json.loads((run.dir / "manifests" / "99_test.json").read_text())
    assert manifest["private"] == ["results/real.mid", "figures/real.png", "figures/real.svg", "figures/page.svg"]
    assert set(manifest["private"]) | {"results/ours.mid", "figures/ours.svg"} == set(manifest["files"])


def test_a_folder_corpus_leaves_no_path_in_the_manifest(tmp_path):
    from octavoice.formats.midi import write_midi
    for i in range(3):
        chords = np.eye(40, 88, 20 + i, dtype=np.uint8) | np.eye(40, 88, 25 - 2 * i, dtype=np.uint8)
        write_midi(chords, tmp_path / f"{i}.mid")
    run = notebook.start("98_test", {**GOOD, "corpus": f"folder:{tmp_path}"})
    assert str(tmp_path) not in json.dumps(run.facts())


def test_figures_are_the_same_bytes_each_time():
    metrics = pd.DataFrame({"train": [3.0, 2.5, 2.2], "held_out": [np.nan, 2.6, 2.4]}, index=[1, 2, 3])
    style.use()
    first, second = (style.render(training.main_curves(metrics, {"marginal": -3.2}, [(300, -2.6)])) for _ in range(2))
    assert first == second
    assert first["png"][:8] == b"\x89PNG\r\n\x1a\n"
    assert b"matplotlib" not in first["png"]


def test_stored_networks_are_used_only_if_nothing_changed(run, monkeypatch):
    small = notebook.start("97_test", {**GOOD, "overrides": {"iterations": 2, "decoder_iterations": 2, "batch": 2}})
    first = networks.obtain(small)
    trained = []
    monkeypatch.setattr(networks, "fit", lambda *a, **k: trained.append(1) or pytest.fail("trained again"))
    again = networks.obtain(small)
    assert all((a == b).all() for a, b in zip(first.generator.parameters(), again.generator.parameters(), strict=True))
    pd.testing.assert_frame_equal(first.main_metrics, again.main_metrics)
    monkeypatch.setattr(networks, "fit", lambda *a, **k: trained.append(1) or first.main_metrics)
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code_of", lambda module: f"an edited {module}")
        networks.obtain(small)
    assert len(trained) == 2
    monkeypatch.setattr(recipes, "versions_of", lambda stage: {stage.name: 2})
    networks.obtain(small)
    assert len(trained) == 4


def keys_with(**overrides):
    run = notebook.start("97_test", {**GOOD, "overrides": overrides})
    return {stage.name: recipes.keys(run, stage)[0] for stage in thesis.MODEL.stages}


@pytest.mark.parametrize(("change", "changed"), [
    ({"samples": 5, "new_steps": 32, "particles": 3, "study_iterations": 2}, set()),
    ({"iterations": 5}, {"main"}), ({"epsilon": 0.5}, {"main"}), ({"decoder_iterations": 5}, {"decoder"}),
    ({"decoder_learning_rate": 0.5}, {"decoder"}), ({"batch": 3}, {"main", "decoder"}),
    ({"panel": 3}, {"main", "decoder"}), ({"evaluate_every": 2}, {"main", "decoder"})])
def test_a_setting_changes_the_keys_of_the_networks_it_trains(change, changed):
    before, after = keys_with(), keys_with(**change)
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_key_is_the_same_on_every_machine(monkeypatch):
    before, real = keys_with(), provenance.versions()
    monkeypatch.setattr(provenance, "versions", lambda: {**real, "torch": "0"})
    monkeypatch.setattr(provenance, "processor", lambda: "another")
    assert keys_with() == before


def test_packages_that_are_not_installed_have_no_version(monkeypatch):
    assert provenance.versions().keys() == {"python", *provenance.PACKAGES}
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    assert provenance.versions() == {"python": platform.python_version(), "numpy": np.__version__}


@pytest.mark.parametrize(("old", "new", "same"), [
    ("# a comment", "", True), ('"""Its docstring."""', '"""Other words."""', True),
    ("LIMIT = 3", "LIMIT  =  3", True), ('"""About LIMIT."""', "", True),
    ("LIMIT = 3", "LIMIT = 4", False), ('"said"', '"told"', False)])
def test_the_fingerprint_is_of_what_code_does(tmp_path, monkeypatch, old, new, same):
    source = '''LIMIT = 3\n"""About LIMIT."""\ndef f():\n    """Its docstring."""\n    return "said"  # a comment\n'''
    monkeypatch.setattr(provenance, "modules", lambda: {"code": tmp_path / "code.py"})
    (tmp_path / "code.py").write_text(source)
    before = provenance.code_of("code")
    assert old in source
    (tmp_path / "code.py").write_text(source.replace(old, new))
    assert (provenance.code_of("code") == before) is same


@pytest.mark.parametrize(("text", "version"), [
    ("", 1), ("VERSION = 3\n", 3), ("x = 1\nVERSION = 12\n", 12), ("    VERSION = 3\n", 1), ("# VERSION = 3\n", 1)])
def test_a_version_is_read_off_its_module(tmp_path, monkeypatch, text, version):
    monkeypatch.setattr(provenance, "modules", lambda: {"code": tmp_path / "code.py"})
    (tmp_path / "code.py").write_text(text)
    assert provenance.version_of("code") == version


def test_every_network_has_a_file_of_its_own_and_a_version():
    for stage in [stage for named in models.MODELS.values() for stage in named.stages]:
        assert stage.build.__module__ in provenance.modules()
        assert stage.version >= 1


def test_other_durations_are_other_music_to_what_hears_them_alone(run):
    beyond = [recipes.depends_on(run, stage) for stage in models.named("beyond").stages]
    assert {each["durations_sha256"] for each in beyond} == {run.corpus.durations_sha256}
    assert "durations_sha256" not in recipes.depends_on(run, thesis.MODEL.stages[0])
    pieces = run.corpus.pieces
    longer = Pieces(pieces.bits, pieces.starts, pieces.lengths, pieces.facts, pieces.durations + 1, pieces.notes,
                    pieces.in_full)
    other = replace(run.corpus, pieces=longer)
    assert (other.sha256, other.durations_sha256) != (run.corpus.sha256, run.corpus.durations_sha256)
    assert other.sha256 == run.corpus.sha256


# --- statistics -------------------------------------------------------------------------------------------------------

def test_notes_per_voice_by_hand():
    choices = np.array([[0, 15], [0, 4], [13, 4], [5, 23]])  # voice 1: A, A, no B♭, D; voice 2: no C, C♯, C♯, no G♯
    table = statistics.notes_per_voice(choices)
    assert table.loc["voice 1", ["A", "D", "silent"]].tolist() == [0.5, 0.25, 0.25]
    assert table.loc["voice 2", ["C♯", "silent"]].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(table.sum(axis=1), 1)


def test_given_declined_by_hand():
    choices = np.array([[0, 15], [0, 4], [13, 4], [5, 23]])
    row = statistics.given_declined(choices).loc[(1, 2)]
    assert row.to_dict() == {"sounds if declined": 1.0, "steps declined": 1,
                             "sounds if sounded": pytest.approx(1 / 3), "steps sounded": 3}


def test_lag_agreement_counts_exact_repeats_of_onset_steps():
    x12 = np.zeros((8, 12), int)
    x12[[0, 4], 0] = 1
    x12[[2, 6], 3] = 1
    x12[6, 5] = 1
    assert statistics.lag_agreement(x12, np.array([4, 2, 9]))[:2].tolist() == [0.5, 0.0]
    assert np.isnan(statistics.lag_agreement(x12, np.array([9]))[0])


def test_roll_summary_by_hand():
    x12 = np.zeros((16, 12), int)
    x12[[0, 4, 6, 7], 0] = 1
    x12[0, 4] = 1
    assert statistics.roll_summary(x12) == {"struck": 0.25, "classes": 1.25, "on quarter": 0.5, "on eighth": 0.75}


def test_samples_read_back_the_decoding_of_a_step():
    """Fig. 18's stages, computed again from the step's own draws, end in the very keys that were played."""
    run = notebook.start("96_test", {**GOOD, "overrides": {"iterations": 2, "decoder_iterations": 6, "new_steps": 24}})
    _, prime = samples.primes(run)
    composer, music = samples.continue_primes(run, networks.obtain(run), prime)
    for sample, step in ((0, 0), (1, 5), (2, 23)):
        stages = samples.decoding_stages(composer, music, run.seed, sample, step)
        np.testing.assert_allclose(stages["masked"], music.trace["probability"][step, sample], atol=1e-12)
        assert not stages["keys"][stages["mask"] == 0].any()
    which, step = samples.triad_step(music)
    decided = samples.voice_order(music, which, step)
    sounding = set(decided["pitch class"][decided["sounds"]])
    assert sounding == set(np.flatnonzero(music.x12[music.start + step, which]))
