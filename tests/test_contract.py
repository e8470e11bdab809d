"""What every model in the table holds, by being in it; and toys of what is no sequence, which the house carries too."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from octavoice.errors import UserError
from octavoice.model import BOUND, EVENTS, EXACT, NONE, PSEUDO
from octavoice.music.durations import clipped
from octavoice.music.piece import WRITTEN, Piece
from octavoice.representation import comparable
from octavoice.representations.melody import MELODY
from octavoice.representations.performance import PERFORMANCE
from octavoice.representations.steps import STEPS
from octavoice.statistics.event_samples import notes_of
from octavoice.training import fit, models, networks, presets
from octavoice.training.fit import Task, Turn, seeded

STAGES = {stage.name: stage for model in models.MODELS.values() for stage in model.stages}
every_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
every_model = pytest.mark.parametrize("model", models.MODELS.values(), ids=models.MODELS)
FRAGMENT = 24


def tune(seed: int, steps: int = 60) -> Piece:
    """Three random notes a step now and then, with durations and velocities."""
    draw = np.random.default_rng(seed)
    roll = (draw.random((steps, 88)) < 0.03).astype(np.uint8)
    roll[0, 40] = 1
    grid = clipped(roll * draw.integers(1, 9, roll.shape).astype(np.uint16))
    plain = Piece(str(seed), roll, 2, ((4, 4),), note_ends=WRITTEN, durations=grid[roll > 0])
    notes = notes_of(plain)
    rows = notes.rows.copy()
    rows["velocity"] = draw.integers(1, 128, len(rows))
    return replace(plain, notes=replace(notes, rows=rows))


PIECES = [tune(seed) for seed in range(4)]


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh(stage) -> nn.Module:
    """A network in float64, quick at what it estimates."""
    network = seeded(stage.build, 1).double().eval()
    for part in (network, getattr(network, "head", network)):
        for setting in {"particles", "chains", "rungs", "posteriors"} & set(dir(part)):
            setattr(part, setting, 2)
    return network


def batch_of(stage, size: int = 3, tiling: bool = False):
    """Some fragments in the stage's representation."""
    told = models.representation_of(stage)
    cut = told.tiling(PIECES, FRAGMENT) if tiling else told.fragments(PIECES, FRAGMENT, 8)
    batch = fit.to_tensors(cut.gather(np.arange(0, len(cut), max(1, len(cut) // size))[:size]))
    return type(batch)(*(field.double() if field.is_floating_point() else field for field in batch))


# --- every model ------------------------------------------------------------------------------------------------------

@every_model
def test_a_model_has_a_card(model):
    card = model.card
    assert all((card.title, card.source, card.section, card.equations))
    assert models.named(model.name) is model


@every_stage
def test_a_stage_names_a_representation_that_tells_what_its_network_hears(stage):
    told = models.representation_of(stage)
    assert told.loss
    assert told.unit
    assert set(told.music) <= {"durations", "notes"}


@every_stage
def test_a_representation_comes_back_after_the_loss_that_it_declares(stage):
    told = models.representation_of(stage)
    for piece in PIECES:
        array = told.encode(piece)
        np.testing.assert_array_equal(told.encode(told.decode(array)), array)


@every_stage
def test_all_of_a_piece_but_its_beginning_is_predicted_once(stage):
    told = models.representation_of(stage)
    cut = told.tiling(PIECES, FRAGMENT)
    batch = cut.gather(np.arange(len(cut)))
    assert batch.weight.sum() == sum(len(told.encode(piece)) - 1 for piece in PIECES)


@every_stage
def test_losses_and_likelihoods_have_a_number_for_every_step(stage):
    network, batch = fresh(stage), batch_of(stage)
    shape = batch.weight.shape
    assert network.loss(batch, rng()).shape == network.log_likelihood(batch, rng()).shape == shape


@every_stage
def test_a_fragment_does_not_depend_on_the_others(stage):
    """Where nothing is drawn."""
    network, batch = fresh(stage), batch_of(stage)
    if network.kind != EXACT:
        pytest.skip("draws are shared out over a batch")
    alone = type(batch)(*(field[:, 1:2] for field in batch))
    with torch.no_grad():
        both, one = (network.log_likelihood(each, rng()) for each in (batch, alone))
    torch.testing.assert_close(both[:, 1:2], one, rtol=0, atol=1e-9)


@every_stage
def test_the_future_tells_nothing(stage):
    network, batch = fresh(stage), batch_of(stage)
    if network.kind != EXACT:
        pytest.skip("draws are shared out over the steps")
    at = FRAGMENT // 2
    fields = batch._asdict()
    for name in ("x", "x12", "durations"):
        if name in fields and len(fields[name]):
            begin = at + len(fields[name]) - FRAGMENT  # durations begin with the past
            fields[name] = torch.cat([fields[name][:begin], fields[name][begin:].flip(1)])
    with torch.no_grad():
        before, after = (network.log_likelihood(each, rng()) for each in (batch, type(batch)(**fields)))
    torch.testing.assert_close(before[:at - 1], after[:at - 1], rtol=0, atol=1e-9)
    assert not torch.equal(before, after)


@every_stage
def test_three_iterations_are_resumed_to_the_bit(stage, tmp_path):
    def trained(stops):
        network = seeded(stage.build, 1)
        network.prepare(1)
        told = models.representation_of(stage)
        recipe = stage.recipe(presets.resolve("smoke", batch=2, fragment=FRAGMENT))
        task = networks.network_task(stage.name, network, told.fragments(PIECES, FRAGMENT, 8), recipe)
        for stop in stops:
            fit.fit(task, stop, 1, 0, tmp_path / f"{len(stops)}.pt", "key")
        return network.state_dict()
    whole, broken = trained((3,)), trained((1, 3))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


# --- models of events, and of keys at once: step by step --------------------------------------------------------------

@pytest.mark.parametrize("name", [name for name, stage in STAGES.items() if models.representation_of(stage) in (
    MELODY, PERFORMANCE)])
def test_events_have_probabilities_that_sum_to_one_and_steps_are_the_sequence(name):
    stage = STAGES[name]
    network, batch = fresh(stage), batch_of(stage, 3, tiling=True)
    assert network.space == EVENTS
    with torch.no_grad():
        state, found = network.start(batch.x[:1].T, batch.past), []
        for t in range(1, len(batch.x)):
            state, _, trace = network.step(state, torch.zeros(3, 1), batch.x[t, :, None])
            p = trace["p"]
            torch.testing.assert_close(p.sum(-1), torch.ones(3).double(), rtol=0, atol=1e-9)
            found.append(p.gather(-1, batch.x[t, :, None]).log()[:, 0])
        torch.testing.assert_close(torch.stack(found), network.log_likelihood(batch, rng()), rtol=0, atol=1e-9)


# --- toys that are no sequences ---------------------------------------------------------------------------------------

class Ising(nn.Module):
    """Neighbours that like to agree, p(x) ∝ exp(w Σ x_i x_{i+1}): sampled by a Gibbs chain, judged by its own
    conditionals."""

    kind = PSEUDO

    def __init__(self, w: float = 0.8):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def field(self, x):
        return self.w * (nn.functional.pad(x, (1, 0))[..., :-1] + nn.functional.pad(x, (0, 1))[..., 1:])

    def sample(self, shape, sweeps: int, rng):
        x = torch.sign(torch.rand(shape, generator=rng) - 0.5)
        for i in list(range(shape[-1])) * sweeps:
            x[..., i] = torch.where(torch.rand(shape[:-1], generator=rng) < torch.sigmoid(2 * self.field(x)[..., i]),
                                    1.0, -1.0)
        return x

    def pseudo(self, x):
        return nn.functional.logsigmoid(2 * x * self.field(x)).sum(-1)


def test_a_gibbs_chain_samples_without_steps_and_its_pseudo_likelihood_is_of_exact_conditionals():
    toy = Ising()
    every = 1.0 - 2.0 * ((torch.arange(16)[:, None] >> torch.arange(4)) & 1)
    with torch.no_grad():
        weights = torch.softmax(toy.w * (every[:, :-1] * every[:, 1:]).sum(-1), 0)
        made = toy.sample((4000, 4), 20, rng())
        number = ((made < 0) * 2 ** torch.arange(4)).sum(-1)
        torch.testing.assert_close(torch.bincount(number, minlength=16) / 4000, weights, rtol=0, atol=0.025)
        for x, p in zip(every, weights, strict=True):
            flipped = [weights[(every == torch.where(torch.arange(4) == i, -x, x)).all(-1)] for i in range(4)]
            expected = sum(torch.log(p / (p + other)) for other in flipped)
            torch.testing.assert_close(toy.pseudo(x), expected[0], rtol=0, atol=1e-5)


class Line(nn.Module):
    """An autoencoder, z ~ N(0, 1), x ~ N(a z, 1), whose coder is as wrong as it likes: a bound."""

    kind = BOUND

    def __init__(self, a: float = 1.5):
        super().__init__()
        self.a, self.coder = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor([0.1, 0.0]))

    def bound(self, x, rng, draws: int = 1):
        mean, spread = self.coder[0] * x, self.coder[1].exp()
        z = mean + spread * torch.randn(draws, *x.shape, generator=rng)
        normal = torch.distributions.Normal
        nats = normal(self.a * z, 1.0).log_prob(x) + normal(0.0, 1.0).log_prob(z) - normal(mean, spread).log_prob(z)
        return nats.mean(0)


def trained(toy, loss, iterations, path=None, turns=(), stops=None):
    data = 1.8 * torch.randn(4000, generator=rng(5))

    def draw(numbers):
        return Numbers(data.numpy()[numbers.integers(4000, size=64)][None], np.ones((1, 64), np.float32))

    def mean(batch, draws):
        return loss(batch.x[0], draws)

    task = Task("toy", toy, mean, draw, learning_rate=0.02, turns=turns)
    for stop in stops or (iterations,):
        fit.fit(task, stop, 1, 0, path, "key")
    return data


class Numbers(NamedTuple):
    """A batch of the toys: plain numbers ``(1, batch)``, all of which count."""

    x: object
    weight: object


def test_an_autoencoders_bound_is_below_its_likelihood_and_tightens():
    toy = Line()
    x = torch.linspace(-3, 3, 7)
    exact = torch.distributions.Normal(0.0, (toy.a**2 + 1).sqrt()).log_prob(x)
    with torch.no_grad():
        loose = (exact - toy.bound(x, rng(), 4000)).mean()
        data = trained_line(toy)
        exact = torch.distributions.Normal(0.0, (toy.a**2 + 1).sqrt()).log_prob(data)
        tight = (exact - toy.bound(data, rng(), 50)).mean()
    assert loose > 0.3
    assert -0.01 < tight < 0.05


def trained_line(toy):
    with torch.enable_grad():
        return trained(toy, lambda x, draws: -toy.bound(x, draws).mean(), 400)


class Pair(nn.Module):
    """A maker that shifts noise, and a critic of one slope: each its own loss and optimiser."""

    kind = NONE

    def __init__(self):
        super().__init__()
        self.maker, self.critic = nn.Linear(1, 1), nn.Linear(1, 1)

    def made(self, x, rng):
        return self.maker(torch.randn(len(x), 1, generator=rng))

    def makers(self, x, rng):
        return -self.critic(self.made(x, rng)).mean()

    def critics(self, x, rng):
        worth = self.critic(self.made(x, rng).detach()).mean() - self.critic(x[:, None] + 3).mean()
        return worth + self.critic.weight.square().sum()


def pair_after(path, stops):
    pair = seeded(Pair, 1)
    def critics(batch, draws):
        return pair.critics(batch.x[0], draws)
    trained(pair, pair.makers, 0, path, (Turn(pair.critic, critics, 0.05),), stops)
    return pair


def test_an_adversarial_pair_has_two_optimisers_in_one_training_and_resumes_to_the_bit(tmp_path):
    whole, broken = pair_after(tmp_path / "whole.pt", (200,)), pair_after(tmp_path / "broken.pt", (70, 200))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, broken.state_dict()[name]), name
    assert abs(whole.maker.bias.item()) > 1.0  # it went after the data's mean, 3
    assert not torch.equal(whole.critic.weight, seeded(Pair, 1).critic.weight)


# --- which numbers may stand side by side -----------------------------------------------------------------------------

def test_units_by_which_models_may_be_compared():
    assert comparable((STEPS, EXACT), (STEPS, BOUND)) == "nats per step"
    assert comparable((MELODY, EXACT), (MELODY, EXACT)) == "nats per event"
    assert comparable((STEPS, PSEUDO), (STEPS, PSEUDO)) == "nats per step"


@pytest.mark.parametrize(("pair", "said"), [
    (((STEPS, EXACT), (MELODY, EXACT)), "nats per step of steps and per event of melody tell of other things"),
    (((MELODY, EXACT), (PERFORMANCE, EXACT)), "tell of other things; compare models of one representation"),
    (((STEPS, EXACT), (STEPS, PSEUDO)), "a likelihood that is pseudo cannot stand beside others"),
    (((STEPS, NONE), (STEPS, NONE)), "these models have no likelihood; compare their samples"),
])
def test_others_are_refused_in_a_sentence(pair, said):
    with pytest.raises(UserError, match=said):
        comparable(*pair)
