"""From a finished run to figures/ and results/; training without a notebook; what the command line says to mistakes."""

import io
import json
import os
import shutil

import pytest

from octavoice import cli, paths
from octavoice.errors import UserError
from octavoice.laboratory import handover, notebook, relay
from octavoice.provenance import sha256
from octavoice.results import costs
from octavoice.thesis import model as thesis
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training import fit, networks, weights

RUN = ("quick", "bach", 1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Its own home for each test, in a folder with a space in its name."""
    home = tmp_path / "a home"
    home.mkdir()
    monkeypatch.setenv("OCTAVOICE_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(costs, "COSTS", home / "costs.json")
    return home


def finish_notebook(run, name, *files, **facts):
    """What a notebook leaves behind: its files, and a manifest with their hashes."""
    folder = paths.run_dir(*run)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"{name} wrote {file}")
    manifest = {"notebook": name, "files": {file: sha256(folder / file) for file in files}, **facts}
    with paths.atomic(folder / "manifests" / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(manifest))


def finish(run=RUN, **facts):
    """A complete run; returns its folder."""
    for name in handover.NOTEBOOKS:
        finish_notebook(run, name, f"figures/{name}.png", f"results/deep/{name}.json", seed=run[2], **facts)
    return paths.run_dir(*run)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(path):
    return json.loads(path.read_text())


def test_hand_over_copies_what_the_manifests_name(home):
    run = finish(corpus_sha256="abc")
    (run / "figures/stray.png").write_text("no manifest names me")
    said = handover.hand_over(*RUN)
    assert "figures/quick/bach/seed-1" in said
    figures = tree(paths.figures_dir(*RUN))
    assert set(figures) == {"index.json"} | {f"{name}.png" for name in handover.NOTEBOOKS}
    assert figures["01_data.png"] == (run / "figures/01_data.png").read_bytes()
    assert (paths.results_dir(*RUN) / "deep/07_discussion.json").exists()
    for index in (read(path) for path in handover.indexes(*RUN)):
        assert index["files"]["figures/01_data.png"] == sha256(run / "figures/01_data.png")
        assert index["provenance"]["06_experiments"]["corpus_sha256"] == "abc"


def test_hand_over_again_leaves_nothing_of_the_run_before(home):
    finish()
    handover.hand_over(*RUN)
    finish_notebook(RUN, "01_data", "figures/renamed.png")
    handover.hand_over(*RUN)
    assert (paths.figures_dir(*RUN) / "renamed.png").exists()
    assert not (paths.figures_dir(*RUN) / "01_data.png").exists()


@pytest.mark.parametrize("command", [handover.hand_over, handover.publish])
def test_incomplete_run_is_refused(command, home):
    (finish() / "manifests" / "05_decoder.json").unlink()
    with pytest.raises(UserError, match="05_decoder has not finished"):
        command(*RUN)
    assert not (home / "figures").exists()


@pytest.mark.parametrize("command", [handover.hand_over, handover.publish])
def test_changed_or_missing_file_is_refused(command, home):
    run = finish()
    (run / "figures/03_main_module.png").write_text("painted over")
    with pytest.raises(UserError, match=r"03_main_module\.png is not what 03_main_module wrote"):
        command(*RUN)
    (run / "figures/03_main_module.png").unlink()
    with pytest.raises(UserError, match="is not what"):
        command(*RUN)
    assert not (home / "figures").exists()


def test_manifest_cannot_name_a_file_outside_the_run(home):
    run = finish()
    (run.parent / "secret").write_text("x")
    manifest = {"files": {"figures/../../secret": sha256(run.parent / "secret")}}
    (run / "manifests" / "01_data.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="is not what"):
        handover.hand_over(*RUN)


def test_damaged_manifest_and_mixed_corpora_are_refused(home):
    run = finish(corpus_sha256="abc")
    finish_notebook(RUN, "02_octave_compression", corpus_sha256="def")
    with pytest.raises(UserError, match="different corpora"):
        handover.hand_over(*RUN)
    (run / "manifests" / "01_data.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        handover.hand_over(*RUN)


def test_failing_copy_leaves_the_folder_as_it_was(home, monkeypatch):
    finish()
    handover.hand_over(*RUN)
    before = tree(home)
    finish_notebook(RUN, "01_data", "figures/01_data.png", "figures/more.png")
    copyfile, copied = handover.shutil.copyfile, []

    def full_disk(source, target):
        if len(copied) == 3:
            raise OSError("no space left")
        copied.append(copyfile(source, target))

    monkeypatch.setattr(handover.shutil, "copyfile", full_disk)
    with pytest.raises(OSError, match="no space"):
        handover.hand_over(*RUN)
    after = {name: data for name, data in tree(home).items() if not name.startswith("runs/")}
    assert after == {name: data for name, data in before.items() if not name.startswith("runs/")}


def test_thesis_scale_is_not_handed_on_but_published(home):
    run = "thesis", "bach", 1
    finish(run)
    assert "make publish" in handover.hand_over(*run)
    assert not (home / "figures").exists()
    assert handover.indexes(*run) == [paths.run_dir(*run) / "index.json"]
    assert read(paths.run_dir(*run) / "index.json")["preset"] == "thesis"
    handover.publish(*run)
    assert (home / "figures/thesis/bach/seed-1/01_data.png").exists()


def test_rerun_leaves_a_published_run_alone(home):
    finish()
    handover.publish(*RUN)
    committed = tree(paths.figures_dir(*RUN))
    finish_notebook(RUN, "01_data", "figures/01_data.png", "figures/more.png")
    assert "left alone" in handover.hand_over(*RUN)
    assert tree(paths.figures_dir(*RUN)) == committed
    assert all(path.exists() for path in handover.indexes(*RUN))


def test_publish_names_the_command_and_leaves_the_front_page(home):
    finish()
    finish_notebook(RUN, "07_discussion", "figures/front_page.png")
    said = handover.publish(*RUN)
    assert said.splitlines()[-1] == (
        "git add -f figures/quick/bach/seed-1 results/quick/bach/seed-1 costs.json"
    )
    assert not (home / "figures/front_page.png").exists()


def test_publish_notes_what_notebooks_cost(home):
    finish(cost={"seconds": 12.5})
    handover.publish(*RUN)
    finish(("smoke", "bach", 1), cost={"seconds": 1.5})
    handover.publish("smoke", "bach", 1)
    assert costs.measured()["05_decoder"] == {"quick": {"seconds": 12.5}, "smoke": {"seconds": 1.5}}


def test_a_training_that_was_found_done_counts_among_its_notebooks_costs_only(home):
    finish(cost={"seconds": 10, "training, decoder": {"iterations": 5, "seconds": 500.0}})
    handover.publish(*RUN)
    assert costs.measured()["06_experiments"]["quick"]["seconds"] == 510
    assert costs.measured()["07_discussion"]["quick"]["seconds"] == 10


@pytest.mark.parametrize("marked", [True, False])
def test_music_of_a_corpus_is_not_published(home, marked):
    """Where a manifest does not mark it, being older, it is known by its names."""
    music = ["results/decoder_fragment_true.mid", "figures/decoded_fragment.svg", "figures/piece.svg"]
    finish_notebook(RUN, "05_decoder", *music, "results/scores.csv", "figures/curves.svg",
                    **({"private": music} if marked else {}))
    handover.publish(*RUN, notebooks=("05_decoder",))
    assert set(tree(paths.figures_dir(*RUN))) == {"index.json", "curves.svg", *([] if marked else ["piece.svg"])}
    assert set(tree(paths.results_dir(*RUN))) == {"index.json", "scores.csv"}
    assert all(name not in path.read_text() for path in handover.indexes(*RUN) for name in music[:2])


@pytest.mark.parametrize(("found", "seconds"), [(["training, decoder"], 60), ([], 55)])
def test_a_manifest_tells_whether_its_networks_were_found(home, found, seconds):
    """Also where training was shorter than the rest of the notebook."""
    finish(cost={"seconds": 55, "found": found, "training, decoder": {"iterations": 5, "seconds": 5.0}})
    handover.publish(*RUN)
    assert costs.measured()["06_experiments"]["quick"]["seconds"] == seconds


def test_some_notebooks_can_be_published_alone_and_without_weights(home):
    finish_notebook(RUN, "06_experiments", "figures/fig14.png", "results/main.safetensors", "results/levels.csv")
    with pytest.raises(UserError, match="01_data has not finished"):
        handover.publish(*RUN)
    handover.publish(*RUN, notebooks=("06_experiments",), weights=False)
    assert set(tree(paths.results_dir(*RUN))) == {"index.json", "levels.csv"}
    assert set(read(paths.results_dir(*RUN) / "index.json")["files"]) == {"figures/fig14.png", "results/levels.csv"}
    handover.publish(*RUN, notebooks=("06_experiments",))
    assert "main.safetensors" in tree(paths.results_dir(*RUN))


@pytest.mark.parametrize(("corpus", "licence"), [("piano-midi", "CC BY-SA 4.0"), ("nottingham", "GPL-3.0")])
def test_what_ships_is_a_published_runs_networks_with_their_licence(home, monkeypatch, corpus, licence):
    monkeypatch.setattr(weights, "SHIPPED", home / "shipped")
    run = ("thesis", corpus, 1)
    facts = {"preset": {"name": "thesis"}, "seed": 1, "corpus_sha256": "a", "commit": "b"}
    finish_notebook(run, "06_experiments", "results/main_metrics.csv", **facts)
    with pytest.raises(UserError, match="holds no published run"):
        handover.ship(*run)
    weights.save(weights.Weights(thesis.MODEL, (OctaveGenerator(), Decoder()), {}), paths.run_dir(*run) / "results")
    networks = [f"results/{name}.safetensors" for name in ("main", "decoder")]
    manifest = paths.run_dir(*run) / "manifests" / "06_experiments.json"
    manifest.write_text(json.dumps({"files": {name: sha256(paths.run_dir(*run) / name) for name in networks}, **facts}))
    handover.publish(*run, notebooks=("06_experiments",))
    assert handover.ship(*run).splitlines()[-1] == "git add -f shipped"
    shipped = home / "shipped"
    assert (shipped / "main.safetensors").read_bytes() == (paths.run_dir(*run) / networks[0]).read_bytes()
    about = weights.load(shipped).about
    assert about["licence"] == f"{licence}; trained on {corpus}"
    assert about["runs"]["thesis"]["commit"] == "b"
    finish_notebook(run, "07_discussion", "figures/front_page.png", **facts)
    handover.publish(*run, notebooks=("06_experiments", "07_discussion"))
    assert "shipped figures/front_page.png figures/front_page.json figures/front_page_" in handover.ship(*run)
    facts = read(home / "figures/front_page.json")
    assert facts["files"] == {"figures/front_page.png": sha256(home / "figures/front_page.png")}


def test_a_folder_corpus_is_published_without_its_path(home, tmp_path):
    corpus = f"folder:{tmp_path}/my music"
    run = "quick", corpus, 1
    finish(run, corpus=corpus)
    said = handover.publish(*run)
    assert str(tmp_path) not in said + "".join(map(bytes.decode, tree(home / "results").values()))


@pytest.mark.parametrize(("arguments", "culprit"), [
    (["check", "--preset", "enormous"], "enormous"), (["check", "--corpus", "folder:/no such place"], "/no such place"),
    (["check", "--corpus", "mozart"], "mozart"), (["check", "--seed", "one"], "one"), (["check", "--seed", "-1"], "-1"),
    (["check", "--seed", str(2**31)], str(2**31)), (["corpus", "build", "mozart"], "mozart"),
    (["handover"], "01_data has not finished"), (["publish", "--seed", "x"], "x"),
    (["train", "--corpus", "mozart"], "mozart"), (["train", "--device", "gpu"], "gpu"),
    (["train", "--model", "nonsense"], "nonsense"), (["train", "--overrides", "{"], "overrides '{' are not JSON"),
    (["train", "--overrides", "[1]"], "must be a dict"),
    (["train", "--overrides", '{"iteration": 1}'], "unknown setting 'iteration'"),
    (["levels", "--model", "thesis-x"], "no network 'x'"), (["reproduce", "--preset", "enormous"], "enormous"),
    (["reproduce", "--corpus", "mozart"], "mozart"), (["reproduce", "--seed", "x"], "seed 'x'"),
    (["reproduce", "--cores", "many"], "cores 'many'"),
    (["reproduce", "--profile", "profiles/nothing"], "profile profiles/nothing")])
def test_mistakes_end_with_one_sentence(arguments, culprit, capsys):
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("octavoice: ")
    assert culprit in said
    assert said.count("\n") == 1


def test_check_passes_what_can_be_run(capsys):
    assert cli.main(["check", "--preset", "quick", "--corpus", "bach", "--seed", "0"]) == 0
    assert capsys.readouterr().err == ""


def test_interrupt_ends_quietly(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(handover, "hand_over", interrupted)
    assert cli.main(["handover"]) == 130


def relayed(data: bytes) -> list[str]:
    source, target = os.pipe()
    os.write(target, data)
    os.close(target)
    sink = io.StringIO()
    relay.relay("06", source, sink)
    os.close(source)
    return sink.getvalue().splitlines()


def test_relay_names_the_notebook_and_thins_progress_bars():
    assert relayed(b"a\n\nb") == ["06 | a", "06 | b"]
    bar = b"".join(b"\rstep %d" % step for step in range(500))
    assert relayed(bar + b"\rstep 500\n")[-1] == "06 | step 500"
    assert len(relayed(bar + b"\n")) <= 3
    assert relayed(b"\r  0%| 7/300\r  5%| 15/300\n")[0] == "06 |   0%| 7/300"


def test_relay_shows_a_cells_error_without_papermills_traceback():
    trace = b'Traceback (most recent call last):\n  File "papermill"\n'
    error = b'papermill.exceptions.PapermillExecutionError: \n------\nException encountered at "In [3]":\n'
    assert relayed(trace + error + b"octavoice: mend it.\n")[-1] == "06 | octavoice: mend it."
    assert "Traceback" not in "".join(relayed(trace + error))
    assert "06 | RuntimeError: kernel died" in relayed(trace + b"RuntimeError: kernel died\n")


def test_training_alone_gives_the_bits_of_the_notebooks_and_is_found_by_them(home, capsys):
    assert cli.main(["train", "--preset", "smoke", "--seed", "4", "--device", "cpu"]) == 0
    folder = paths.run_dir("smoke", "bach", 4)
    manifest = read(folder / "manifests/training_thesis.json")
    assert set(manifest["files"]) == {f"results/{name}" for name in (
        "main.safetensors", "decoder.safetensors", "main_metrics.csv", "decoder_metrics.csv")}
    assert {"training, main module", "training, decoder"} == set(manifest["cost"])
    parameters = {"preset": "smoke", "corpus": "bach", "seed": 4, "device": "cpu", "overrides": {}}
    run = notebook.start("06_experiments", parameters)
    networks.obtain(run)
    assert run.found == list(run.costs) == ["training, main module", "training, decoder"]
    assert run.files == manifest["files"]
    before = (folder / "manifests/training_thesis.json").read_bytes()
    assert cli.main(["train", "--preset", "smoke", "--seed", "4", "--device", "cpu"]) == 0
    assert (folder / "manifests/training_thesis.json").read_bytes() == before
    assert "training, decoder: found done, 12 iterations" in capsys.readouterr().err
    shutil.rmtree(folder)
    again = notebook.start("06_experiments", parameters)
    networks.obtain(again)
    assert not again.found
    assert again.files == manifest["files"]


def test_ctrl_c_in_training_leaves_a_checkpoint(home, monkeypatch):
    def interrupted(task, batch, draws):
        if any(parameter.grad is not None for parameter in task.module.parameters()):
            raise KeyboardInterrupt
        return gradients(task, batch, draws)

    gradients = fit.gradients
    monkeypatch.setattr(fit, "gradients", interrupted)
    assert cli.main(["train", "--preset", "smoke", "--seed", "5", "--device", "cpu"]) == 130
    folder = paths.run_dir("smoke", "bach", 5)
    assert (folder / "checkpoints/main.pt").exists()
    assert not (folder / "manifests").exists()
