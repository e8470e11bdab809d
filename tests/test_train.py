"""Training, checkpoints, the shared likelihood and the baselines (§7.2, §6.4)."""

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from octavoice import beyond
from octavoice.corpus import Fragments
from octavoice.errors import UserError
from octavoice.likelihood import baselines
from octavoice.likelihood import shared as likelihood
from octavoice.model import Tensors
from octavoice.music.piece import Piece
from octavoice.results import costs
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.voices import objective
from octavoice.training import fit, networks, presets


def pieces(count=4, steps=80):
    rolls = [(np.random.default_rng(i).random((steps, 88)) < 0.02).astype(np.uint8) for i in range(count)]
    return [Piece(str(i), x, 2, ((4, 4),)) for i, x in enumerate(rolls)]


@pytest.fixture
def fragments():
    return Fragments(pieces(), 24, 8)


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def run(build, task, fragments, iterations, threads=1, **options):
    network = fit.seeded(build, 3)
    fragments = Fragments(fragments.pieces, fragments.length, fragments.stride, network.hears_durations)
    task = task(network, fragments, 4, fragments.panel(4), threads=threads)
    frame = fit.fit(task, iterations, 3, evaluate_every=2, **options)
    return task.module, frame


def by_recipe(stage):
    """How a network is built, and its training by warm-up, schedule and clipped gradients."""
    def task(network, fragments, size, panel, threads):
        recipe = replace(stage.recipe(presets.resolve("smoke")), iterations=4, batch=size, warm_up=3)
        return networks.network_task(stage.called, network, fragments, recipe, panel, threads=threads)
    return stage.build, task


@pytest.mark.parametrize("threads", [1, 2, 9])
@pytest.mark.parametrize(("build", "task"), [(OctaveGenerator, networks.main_task), (Decoder, networks.decoder_task),
                                             *map(by_recipe, beyond.MODEL.stages)])
def test_a_run_repeats_to_the_bit_and_resumes_to_the_same(build, task, threads, fragments, tmp_path):
    whole, frame = run(build, task, fragments, 4, threads)
    again, frame_again = run(build, task, fragments, 4, threads)
    assert torch.equal(weights(whole), weights(again))
    pd.testing.assert_frame_equal(frame, frame_again, check_exact=True)
    options = {"threads": threads, "checkpoint": tmp_path / "c.pt", "key": "k"}
    run(build, task, fragments, 2, **options)
    resumed, frame_resumed = run(build, task, fragments, 4, **options)
    assert torch.equal(weights(whole), weights(resumed))
    pd.testing.assert_frame_equal(frame, frame_resumed, check_exact=True)


@pytest.mark.parametrize("build", [OctaveGenerator, Decoder])
def test_an_iteration_never_asks_for_a_value(build, fragments):
    """On torch's device without values every look at one raises; on a GPU each would be a wait."""
    module = build().to("meta")
    batch = Tensors(*(t.to("meta") for t in fit.to_tensors(fragments.panel(4))))
    optimiser = torch.optim.Adam(module.parameters())
    value = networks.mean_loss(module)(batch, torch.Generator())
    value.backward()
    optimiser.step()
    with pytest.raises(RuntimeError, match="meta"):
        value.item()


@pytest.mark.parametrize("threads", [2, 3])
def test_parts_of_a_batch_give_the_gradients_of_the_whole(threads, fragments):
    """Without draws in the loss; fragments with and without padding, so that parts weigh differently."""
    batch = fit.to_tensors(fragments.panel(5))
    batch.weight[4:, :2] = 0

    def loss(t, rng):
        voices, steps, size = module.sampler.voices, len(t.x12) - 1, t.x12.shape[1]
        log_q = module.log_q(t.x12, t.clock, t.history, torch.zeros(voices, steps, size))
        return fit.weighted_mean(objective(log_q, t.x12[1:]), t.weight)

    found = []
    for count in (1, threads):
        module = fit.seeded(OctaveGenerator, 3)
        value = fit.gradients(fit.Task("", module, loss, None, threads=count), batch, torch.Generator())
        found.append((value, torch.cat([p.grad.flatten() for p in module.parameters()])))
    (value, whole), (value_of_parts, parts) = found
    torch.testing.assert_close(value_of_parts, value, rtol=1e-5, atol=0)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)
    assert whole.abs().max() > 0.01


def test_threads_of_parts_share_nothing():
    facts = set(fit._workers(2).map(lambda _: (torch.get_num_threads(), torch.is_autocast_cache_enabled()), range(8)))
    assert facts == {(1, False)}
    assert torch.is_autocast_cache_enabled()


def test_an_interrupted_run_leaves_a_checkpoint_and_ends_the_same(fragments, tmp_path):
    module = fit.seeded(OctaveGenerator, 3)
    task = networks.main_task(module, fragments, 4, fragments.panel(4))
    draws = []

    def interrupted(rng):
        draws.append(1)
        if len(draws) == 4:
            raise KeyboardInterrupt
        return fragments.draw(rng, 4)

    cut = fit.Task(task.name, module, task.loss, interrupted, task.evaluate)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(cut, 6, 3, 2, tmp_path / "c.pt", "k")
    resumed, _ = run(OctaveGenerator, networks.main_task, fragments, 6, checkpoint=tmp_path / "c.pt", key="k")
    whole, _ = run(OctaveGenerator, networks.main_task, fragments, 6)
    assert torch.equal(weights(whole), weights(resumed))


def test_a_checkpoint_of_other_settings_is_not_used_but_set_aside(fragments, tmp_path, capsys):
    path, kept = tmp_path / "c.pt", [tmp_path / f"c.{name}.pt" for name in ("other-se", "other-se-1", "mine")]
    run(Decoder, networks.decoder_task, fragments, 3, checkpoint=path, key="other-settings")
    first = path.read_bytes()
    module, frame = run(Decoder, networks.decoder_task, fragments, 2, checkpoint=path, key="mine")
    assert len(frame) == 2
    assert torch.equal(weights(module), weights(run(Decoder, networks.decoder_task, fragments, 2)[0]))
    assert kept[0].read_bytes() == first
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("octavoice: ")]
    assert said == [f"octavoice: {path} holds 3 iterations made with other settings or code; it was kept as "
                    "c.other-se.pt, and training begins afresh."]
    run(Decoder, networks.decoder_task, fragments, 1, checkpoint=path, key="other-settings")
    run(Decoder, networks.decoder_task, fragments, 1, checkpoint=path, key="mine")
    assert all(other.exists() for other in kept)
    assert kept[0].read_bytes() == first
    kept[0].replace(path)
    _, frame = run(Decoder, networks.decoder_task, fragments, 4, checkpoint=path, key="other-settings")
    assert len(frame) == 4


def test_the_cost_of_a_training_names_its_machine(fragments, tmp_path):
    """The key of weights knows of none, so that a run can be carried to another."""
    fit.fit(networks.main_task(OctaveGenerator(), fragments, 2), 2, 1, checkpoint=tmp_path / "main.pt")
    cost = json.loads((tmp_path / "main.cost.json").read_text())
    assert cost["machine"]["device"] == "cpu"
    assert cost["machine"]["torch"] == torch.__version__
    assert costs.trained_on({"processor": "of the notebook", "threads": 2}, ["main"]) == "of the notebook, 2 thread(s)"
    told = {"threads": 1, "training, main": cost}
    assert costs.trained_on(told, ["main"]) == f"{cost['machine']['processor']}, 1 thread(s)"
    cost["machine"]["gpu"] = "a large one"
    assert costs.trained_on(told, ["main"]) == "a large one"


def test_a_truncated_checkpoint_gets_one_sentence(fragments, tmp_path):
    path = tmp_path / "c.pt"
    run(Decoder, networks.decoder_task, fragments, 1, checkpoint=path, key="k")
    path.write_bytes(path.read_bytes()[:200])
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"c\.pt: is a damaged checkpoint; delete it"):
        run(Decoder, networks.decoder_task, fragments, 2, checkpoint=path, key="k")
    assert path.read_bytes() == before


def test_a_loss_that_is_not_finite_stops_with_the_iteration(fragments):
    module = fit.seeded(Decoder, 0)
    task = networks.decoder_task(module, fragments, 4)
    broken = fit.Task(task.name, module, lambda t, rng: task.loss(t, rng) * math.nan, task.draw)
    with pytest.raises(UserError, match="nan at iteration 1"):
        fit.fit(broken, 2, 0)


def test_padding_carries_no_weight_in_either_loss():
    padded = Fragments(pieces(2, 10), 24, 8).panel(2)
    t = fit.to_tensors(padded)
    noisy = t._replace(x=t.x.clone(), x12=t.x12.clone())
    noisy.x[12:] = 1
    noisy.x12[12:] = 1
    for module in (OctaveGenerator(), Decoder()):
        a, b = (networks.mean_loss(module)(x, torch.Generator().manual_seed(1)).item() for x in (t, noisy))
        assert a == b


def test_training_learns_a_planted_pattern():
    """Two alternating chords on the quarters: well below the marginal's loss after a few iterations.

    The surrogate keeps a fully predictable chord above zero until the voices agree on an order.
    """
    x = np.zeros((80, 88), np.uint8)
    x[::8, [39, 43, 46]] = x[4::8, [41, 44, 48]] = 1
    planted = [Piece(str(i), np.roll(x, i * 3, axis=1), 2, ((4, 4),)) for i in range(3)]
    pool = Fragments(planted, 32, 8)
    module = fit.seeded(OctaveGenerator, 0)
    frame = fit.fit(networks.main_task(module, pool, 8, pool.panel(6)), 100, 0, 100)
    marginal = -baselines.score(planted, pool.panel(6))["marginal"]
    assert frame["held_out"].iloc[-1] < 0.6 * marginal < marginal < frame["train"].iloc[0]


# --- the shared likelihood --------------------------------------------------------------------------------------------

def test_the_bound_rises_with_particles_and_impossible_steps_are_counted(fragments):
    module, t = OctaveGenerator(), fit.to_tensors(fragments.panel(4))
    few, many = (likelihood.shared_likelihood(module, t, k, seed=0) for k in (1, 32))
    assert few["log_likelihood"] < many["log_likelihood"] < 0
    crowded = (t.x12[1:].sum(-1) > 5) & (t.weight > 0)
    assert few["impossible"] == pytest.approx(crowded.sum().item() / int(t.weight.sum()))


# --- baselines --------------------------------------------------------------------------------------------------------

def test_baseline_tables_by_hand():
    x = np.zeros((9, 88), np.uint8)
    x[::2, 39] = 1  # one class of twelve, struck every other step: 5 of 9 * 12
    rate = (5 + 0.5) / (9 * 12 + 1)
    one = [Piece("a", x, 1, ((4, 4),))]
    np.testing.assert_allclose(baselines.fit_table(one, None), rate)
    after_silence, after_onset = baselines.fit_table(one, 1)[:, 0]
    assert after_onset == pytest.approx(0.5 / 5)  # 4 onsets have a next step, all of them silent
    assert after_silence == pytest.approx(5.5 / (9 * 12 - 4 + 1))
    score = baselines.score(one, Fragments(one, 9, 8).panel(1))
    per_step = [math.log(rate if t % 2 == 0 else 1 - rate) + 11 * math.log(1 - rate) for t in range(1, 9)]
    assert score["marginal"] == pytest.approx(np.mean(per_step), rel=1e-6)
    per_step = [math.log(after_silence if t % 2 == 0 else 1 - after_onset) + 11 * math.log(1 - after_silence)
                for t in range(1, 9)]
    assert score["first order"] == pytest.approx(np.mean(per_step), rel=1e-6)


KILLED = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_train as here
from octavoice.corpus import Fragments
from octavoice.training import fit, networks
torch.set_num_threads(int(sys.argv[4]))
fit.CHECKPOINT_SECONDS = float(sys.argv[3])
here.run(here.OctaveGenerator, networks.main_task, Fragments(here.pieces(), 24, 8), here.LONG,
         int(sys.argv[5]), checkpoint=Path(sys.argv[2]), key="k")
"""
LONG = 24


@pytest.fixture(scope="module")
def undisturbed():
    """The run that is killed below as it ends if left alone, by its threads: weights and metrics."""
    @cache
    def ends(threads):
        module, frame = run(OctaveGenerator, networks.main_task, Fragments(pieces(), 24, 8), LONG, threads)
        return weights(module), frame
    return ends


@pytest.mark.parametrize(("checkpoint_seconds", "threads"), [(0, 1), (0.1, 1), (0.1, 2)])
def test_a_killed_run_resumes_and_ends_as_an_undisturbed_one(fragments, tmp_path, undisturbed, checkpoint_seconds,
                                                             threads):
    checkpoint, stream = tmp_path / "c.pt", tmp_path / "c.jsonl"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(Path(__file__).parent), str(checkpoint),
                              str(checkpoint_seconds), str(torch.get_num_threads()), str(threads)],
                             stderr=subprocess.DEVNULL)
    while not (checkpoint.exists() and stream.read_text().count("\n") >= 3):
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    stopped_at = len(json.loads(torch.load(checkpoint, weights_only=True)["rows"]))
    assert 0 < stopped_at < LONG
    resumed, frame = run(OctaveGenerator, networks.main_task, fragments, LONG, threads, checkpoint=checkpoint, key="k")
    whole, expected = undisturbed(threads)
    assert torch.equal(whole, weights(resumed))
    pd.testing.assert_frame_equal(frame, expected, check_exact=True)
    assert [json.loads(line)["iteration"] for line in stream.read_text().splitlines()] == list(range(1, LONG + 1))


def test_a_break_amid_a_step_leaves_the_last_whole_iteration(fragments, tmp_path, monkeypatch):
    module = fit.seeded(Decoder, 3)
    task, steps = networks.decoder_task(module, fragments, 4, fragments.panel(4)), []

    class Cut(fit._Loop):
        def settle(self):
            super().settle()
            steps.append(1)
            if len(steps) == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", -1)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "_Loop", Cut)
        with pytest.raises(KeyboardInterrupt):
            fit.fit(task, 6, 3, 2, tmp_path / "c.pt", "k")
    resumed, _ = run(Decoder, networks.decoder_task, fragments, 6, checkpoint=tmp_path / "c.pt", key="k")
    assert torch.equal(weights(resumed), weights(run(Decoder, networks.decoder_task, fragments, 6)[0]))


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])
def test_running_out_of_memory_names_the_settings_to_lower(fragments, error):
    def loss(t, rng):
        raise error
    module = fit.seeded(Decoder, 0)
    task = fit.Task("decoder", module, loss, lambda rng: fragments.draw(rng, 2))
    with pytest.raises(UserError, match="lower the preset's batch or fragment"):
        fit.fit(task, 2, 0)


def test_other_errors_are_not_taken_for_a_lack_of_memory(fragments):
    def loss(t, rng):
        raise RuntimeError("shapes differ")
    task = fit.Task("decoder", fit.seeded(Decoder, 0), loss, lambda rng: fragments.draw(rng, 2))
    with pytest.raises(RuntimeError, match="shapes differ"):
        fit.fit(task, 2, 0)
