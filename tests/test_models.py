"""Models by name, and how they are trained by their recipes."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from octavoice import cli, paths
from octavoice.beyond.classes import MISTAKES, ClassChain, mistaken
from octavoice.composer import Composer
from octavoice.errors import UserError
from octavoice.model import GIVEN, HISTORY, Recipe
from octavoice.music.piece import Piece
from octavoice.music.roll import compress
from octavoice.representations.steps import Fragments
from octavoice.thesis.decoder import Decoder
from octavoice.training import fit, models, networks, presets, weights


def test_an_unknown_model_gets_one_sentence(tmp_path):
    assert [models.named(name) for name in models.MODELS] == list(models.MODELS.values())
    with pytest.raises(UserError, match="unknown model 'nonsense'; choose one of thesis, beyond"):
        models.named("nonsense")
    with pytest.raises(UserError, match="unknown model 'nonsense'"):
        weights.load(tmp_path, "nonsense")


@pytest.mark.parametrize(("model", "files"), [("thesis", "main.safetensors and decoder.safetensors"),
                                              ("beyond", "beyond_classes.safetensors and beyond_keys.safetensors")])
def test_a_folder_without_a_models_networks_is_told_their_names(tmp_path, model, files):
    with pytest.raises(UserError, match=f"there is no such file; give a folder with {files}"):
        weights.load(tmp_path, model)


def test_no_two_networks_write_the_same_files():
    names = [stage.name for model in models.MODELS.values() for stage in model.stages]
    assert len(set(names)) == len(names)


# --- recipes ----------------------------------------------------------------------------------------------------------

def test_a_rate_is_constant_unless_a_recipe_says_otherwise():
    assert networks.schedule_of(Recipe(100, 4, 0.01)) is None


def test_a_rate_rises_evenly_and_falls_along_half_a_cosine():
    rising = networks.schedule_of(Recipe(100, 4, 0.01, warm_up=4))
    assert [rising(i) for i in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1, 1, 1]
    falling = networks.schedule_of(Recipe(100, 4, 0.01, cosine=True))
    assert [falling(i) for i in (0, 25, 50)] == pytest.approx([1, 0.5 + 0.5**1.5, 0.5])
    assert 0 < falling(99) < 0.001
    both = networks.schedule_of(Recipe(100, 4, 0.01, warm_up=4, cosine=True))
    assert [both(i) for i in (1, 60)] == pytest.approx([rising(1) * falling(1), falling(60)])


@pytest.mark.parametrize("preset", presets.PRESETS.values(), ids=lambda preset: preset.name)
def test_a_warm_up_ends_before_the_training_does(preset):
    for stage in [stage for model in models.MODELS.values() for stage in model.stages]:
        recipe = stage.recipe(preset)
        assert recipe.iterations > recipe.warm_up
        assert recipe.batch > 0


@pytest.fixture
def task():
    """Of a decoder, without a schedule and without a limit on its gradients."""
    roll = (np.random.default_rng(0).random((60, 88)) < 0.05).astype(np.uint8)
    return networks.decoder_task(fit.seeded(Decoder, 3), Fragments([Piece("a", roll, 1, ((4, 4),))], 24, 8), 4)


def iterated(task, times=1):
    """A training loop after some iterations; the last gradients are still there."""
    loop = fit._Loop(task, 3, None, "")
    for _ in range(times):
        loop.iterate(evaluate=False)
    return loop


def gradient(task):
    return torch.cat([parameter.grad.flatten() for parameter in task.module.parameters()])


def test_long_gradients_are_shortened_and_short_ones_left(task):
    iterated(task)
    plain = gradient(task)
    norm = plain.norm().item()
    for clip, expected in ((2 * norm, plain), (norm / 4, plain / 4)):
        clipped = replace(task, module=fit.seeded(Decoder, 3), clip=clip)
        clipped = replace(clipped, loss=networks.mean_loss(clipped.module))
        iterated(clipped)
        torch.testing.assert_close(gradient(clipped), expected, rtol=1e-4, atol=0)  # torch adds 1e-6 to the length


def test_every_iteration_has_the_rate_of_its_schedule(task):
    loop = iterated(replace(task, schedule=lambda iteration: 1 / (1 + iteration)), times=3)
    assert [group["lr"] for group in loop.optimiser.param_groups] == pytest.approx([task.learning_rate / 3])


def test_a_rate_of_nothing_changes_nothing(task):
    before = [parameter.detach().clone() for parameter in task.module.parameters()]
    iterated(replace(task, schedule=lambda iteration: 0.0))
    assert all(map(torch.equal, before, task.module.parameters()))


# --- the model beyond -------------------------------------------------------------------------------------------------

def classes(steps=200, batch=3):
    return (torch.rand(steps, batch, 12, generator=torch.Generator().manual_seed(2)) < 0.25).float()


def test_what_is_not_wrong_is_heard_as_it_is():
    x = classes()
    assert torch.equal(mistaken(x, torch.zeros_like(x), torch.ones(200, 3, 1).long()), x)


def test_wrong_classes_move_with_what_is_held_of_them():
    """Octaves of classes move alike, round the end; a class is as long held as the longest that falls on it."""
    grid = torch.zeros(1, 1, 96)
    grid[0, 0, [0, 2, 11, 95]] = torch.tensor([3.0, 5.0, 2.0, 7.0])
    wrong = torch.zeros(1, 1, 12)
    wrong[0, 0, [0, 11]] = 1
    moved = mistaken(grid, wrong, torch.tensor([[[2]]]))[0, 0]
    assert moved.nonzero()[:, 0].tolist() == [1, 2, 13]
    assert moved[[1, 2, 13]].tolist() == [7.0, 5.0, 2.0]
    folded = mistaken((grid > 0).float().unflatten(-1, (8, 12)).amax(dim=-2), wrong, torch.tensor([[[2]]]))[0, 0]
    assert folded.nonzero()[:, 0].tolist() == [1, 2]


def test_mistakes_are_as_many_as_asked_for_in_half_of_the_fragments():
    network = ClassChain()
    network.astray = 0.0
    wrong, away = network._mistakes(torch.zeros(400, 200, 12), torch.Generator().manual_seed(0))
    share = wrong.mean(dim=(0, 2))
    assert (share > 0).float().mean().item() == pytest.approx(0.5, abs=0.15)
    assert share[share > 0].mean().item() == pytest.approx(MISTAKES, abs=0.01)
    assert sorted(away.unique().tolist()) == list(range(1, 12))


def test_a_stretch_of_a_fragment_is_in_another_key():
    """All of its classes are moved by one shift, and nothing before the fragment is."""
    network = ClassChain()
    network.mistakes = 0.0
    wrong, away = network._mistakes(torch.zeros(HISTORY + 256, 200, 12), torch.Generator().manual_seed(0))
    where = wrong.amin(dim=-1) > 0
    assert torch.equal(wrong, where[..., None].expand_as(wrong).float())
    assert not where[:HISTORY + 8].any()
    lengths, shifts = where.sum(dim=0), [away[where[:, i], i].unique() for i in range(200)]
    assert lengths.max() <= 64
    assert (lengths > 8).float().mean() > 0.8
    assert all(len(shift) <= 1 for shift in shifts)
    assert sorted(torch.cat(shifts).unique().tolist()) == list(range(1, 12))


def test_training_by_a_name_that_there_is_not_gets_one_sentence(capsys):
    assert cli.main(["train", "--preset", "smoke", "--model", "nonsense"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"octavoice: unknown model 'nonsense'; choose one of {', '.join(models.MODELS)}."


def test_the_model_beyond_trains_resumes_to_the_bit_and_composes(monkeypatch, capsys):
    """Both networks at preset smoke; cut off amid each of them, then gone on with."""
    command = ["train", "--preset", "smoke", "--seed", "6", "--device", "cpu", "--model", "beyond"]
    folder = paths.run_dir("smoke", "bach", 6)
    manifest = folder / "manifests/training_beyond.json"
    assert cli.main(command) == 0
    whole = json.loads(manifest.read_text())["files"]
    assert whole.keys() == {f"results/beyond_{name}" for name in (
        "classes.safetensors", "classes_metrics.csv", "keys.safetensors", "keys_metrics.csv",
        "durations.safetensors", "durations_metrics.csv")}
    assert weights.held(folder / "results") == ["beyond"]
    assert cli.main(command) == 0
    assert "training, keys: found done, 4 iterations" in capsys.readouterr().err
    shutil.rmtree(folder)

    done, gradients = [], fit.gradients

    def interrupted(*arguments):
        done.append(1)
        if len(done) in (4, 5 + 5 + 3):  # five more end the first network, and three begin the second
            raise KeyboardInterrupt
        return gradients(*arguments)
    monkeypatch.setattr(fit, "gradients", interrupted)
    assert [cli.main(command) for _ in range(3)] == [130, 130, 0]
    assert json.loads(manifest.read_text())["files"] == whole

    stages = weights.load(folder / "results", "beyond").stages
    prime = np.zeros((16, 2, 88), np.uint8)
    prime[::4, :, [40, 44, 47]] = 1
    piece = Composer(*stages, temperature=0.8).compose(prime, 32, seed=1)
    assert stages[1].space == GIVEN
    assert piece.lost == 0
    assert piece.decided == piece.x12[16:].sum()
    assert np.array_equal(compress(piece.roll), piece.x12)
