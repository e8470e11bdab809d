"""What precision `auto` comes to: decided once for a machine, both ways given; bf16 by name where it cannot be."""

import json
import os
import subprocess
import sys

import pytest
import torch

from octavoice import cli
from octavoice.errors import UserError
from octavoice.model import Stage
from octavoice.thesis.model import MODEL
from octavoice.training import networks, precision, presets, recipes
from octavoice.training.run import Run, pick_device

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TINY = {"iterations": 1, "decoder_iterations": 1, "batch": 2, "fragment": 16, "panel": 2}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A place where nothing was decided yet, in which the corpora that were read are found."""
    from octavoice import paths

    (tmp_path / "runs").mkdir()
    paths.store_dir().mkdir(parents=True, exist_ok=True)
    (tmp_path / "runs" / "corpora").symlink_to(paths.store_dir(), target_is_directory=True)
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def taking(monkeypatch):
    """Gives the decision: how many seconds float32 and bfloat16 take, None where bfloat16 cannot be."""
    def give(full, lowered):
        took = {"fp32": full, "bf16": lowered}
        monkeypatch.setattr(precision, "seconds", lambda which, trials=0: took[which])
        precision.possible.cache_clear()
    yield give
    precision.possible.cache_clear()


@pytest.mark.parametrize(("full", "lowered", "came_to"), [
    (1.0, None, "fp32"), (1.0, 0.5, "bf16"), (1.0, 2.0, "fp32"), (1.0, 0.95, "fp32")])
def test_bfloat16_is_taken_where_it_can_be_and_is_faster(home, taking, full, lowered, came_to):
    taking(full, lowered)
    assert precision.decided("auto", CPU) == came_to
    assert json.loads(precision.decision_file().read_text())["seconds"] == {"fp32": full, "bf16": lowered}


def test_it_is_decided_once_for_a_machine(home, taking):
    taking(1.0, 0.5)
    assert precision.automatic() == "bf16"
    taking(1.0, 2.0)  # a busy moment
    assert precision.automatic() == "bf16"


def test_another_processor_or_a_limit_on_this_one_is_another_machine(home, taking, monkeypatch):
    taking(1.0, 0.5)
    assert precision.automatic() == "bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    taking(1.0, None)
    assert precision.automatic() == "fp32"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"precision": "fp16"}'])
def test_a_damaged_decision_is_made_again(home, taking, damage):
    taking(1.0, 0.5)
    precision.decision_file().write_text(damage)
    assert precision.automatic() == "bf16"
    assert json.loads(precision.decision_file().read_text())["precision"] == "bf16"


def test_on_a_gpu_it_is_float32():
    assert precision.decided("auto", GPU) == "fp32"
    with pytest.raises(UserError, match="on a GPU"):
        precision.decided("bf16", GPU)


def test_this_machine_is_tried_in_earnest(home):
    """No decision is given here: float32 always can be, and trying disturbs neither random stream nor threads."""
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    assert precision.seconds("fp32") > 0
    assert (precision.seconds("bf16", trials=1) is not None) == precision.possible()
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(3)))


def test_a_failure_of_float32_is_not_hidden(monkeypatch):
    def broken(which):
        raise RuntimeError("could not create a primitive")
    monkeypatch.setattr(precision, "_trial", broken)
    assert precision.seconds("bf16") is None
    with pytest.raises(RuntimeError, match="could not create"):
        precision.seconds("fp32")


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_leaves_it_to_the_machine(name):
    assert presets.resolve(name).precision == "auto"


def test_a_run_records_what_it_came_to(home, taking):
    taking(1.0, 0.5)
    run = Run(presets.resolve("smoke"), "bach", 1, CPU)
    assert run.preset.precision == run.facts()["preset"]["precision"] == "bf16"
    assert run.precisions == ("bf16", "fp32")
    assert not run.apart


def test_a_precision_by_name_sets_a_run_apart(home, taking):
    taking(1.0, 0.5)
    run = Run(presets.resolve("smoke", precision="fp32"), "bach", 1, CPU)
    assert (run.preset.precision, run.precisions) == ("fp32", ("fp32",))
    assert json.loads((run.dir / "settings.json").read_text())["apart"] == {"precision": "fp32"}


def test_costs_and_keys_tell_it_and_weights_of_another_machine_are_found(home, taking):
    """Trained where `auto` comes to fp32, then looked for where it comes to bf16: nothing is trained anew."""
    taking(1.0, None)
    run = Run(presets.resolve("smoke", **TINY), "bach", 1, CPU)
    networks.obtain(run)
    assert {cost["precision"] for cost in run.costs.values()} == {"fp32"}
    precision.decision_file().unlink()
    taking(1.0, 0.5)
    other = Run(presets.resolve("smoke", **TINY), "bach", 1, CPU)
    stage: Stage = MODEL.stages[0]
    assert len(set(recipes.keys(other, stage))) == 2
    assert recipes.keys(other, stage) == recipes.keys(run, stage)[::-1]
    networks.obtain(other)
    assert sorted(other.found) == sorted(run.costs)
    named = Run(presets.resolve("smoke", precision="bf16", **TINY), "bach", 1, CPU)
    assert recipes.keys(named, stage) == recipes.keys(other, stage)[:1]


def test_by_name_where_it_cannot_be_it_is_one_sentence(home, taking, capsys):
    taking(1.0, None)
    status = cli.main(["train", "--preset", "smoke", "--overrides", '{"precision": "bf16"}'])
    said = capsys.readouterr().err.strip()
    assert status == 2
    assert said == ("octavoice: precision bf16 was asked for, but this processor has no LSTM in bfloat16; "
                    "leave precision out, or give fp32.")


def test_every_preset_trains_where_newer_instructions_are_hidden(home):
    """As on an ordinary laptop: oneDNN is told that there is AVX2 at most, which only a fresh process heeds."""
    overrides = json.dumps({"files": 24, **TINY})
    command = [sys.executable, "-m", "octavoice", "train", "--preset", "thesis", "--device", "cpu",
               "--overrides", overrides]
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=limited, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (decision,) = (home / "runs").glob("precision-*.json")
    assert json.loads(decision.read_text())["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_a_training_at_the_precision_that_this_machine_comes_to(home):
    """In earnest: every preset trains on every processor."""
    run = Run(presets.resolve("thesis", files=24, **TINY), "bach", 1, pick_device("cpu"))
    networks.obtain(run)
    assert {cost["precision"] for cost in run.costs.values()} == {run.preset.precision}
