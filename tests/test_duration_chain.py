"""Stage three of the model beyond: exact likelihoods by enumeration, sampling against them, steps against sequences."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from octavoice.beyond.classes import onsets_alone, size
from octavoice.beyond.durations import SINGLE, DurationChain, around, lasting, nats_of
from octavoice.composer import Composer
from octavoice.corpus import Pieces
from octavoice.model import HISTORY
from octavoice.music.durations import clipped, remaining, until_next
from octavoice.music.piece import WRITTEN, Piece
from octavoice.music.roll import KEYS, compress
from octavoice.representations.steps import Fragments
from octavoice.training import models, networks, presets
from octavoice.training.fit import seeded, to_tensors

CLOSE = dict(rtol=0, atol=1e-12)
NEVER = torch.tensor([10**6])


def piece(steps: int, seed: int = 0) -> Piece:
    """Sparse chords whose notes are held for one to sixty steps, or until struck again."""
    rng = np.random.default_rng(seed)
    x = np.zeros((steps, KEYS), np.uint8)
    x[:, 14:74] = (rng.random((steps, 60)) < 0.04) & (rng.random((steps, 1)) < 0.7)
    x[0, 40] = 1
    grid = clipped(np.where(x > 0, np.minimum(rng.geometric(0.15, x.shape), 60), 0).astype(np.uint16))
    return Piece(f"piece {seed}", x, 1, ((4, 4),), durations=grid[x > 0])


def doubled(t):
    return t._replace(**{name: field.double() for name, field in t._asdict().items() if field.is_floating_point()})


@pytest.fixture(scope="module")
def batch():
    """Fragments of 48 steps, doubles: from a piece's start, its middle, and a piece that ends inside."""
    fragments = Fragments([piece(300), piece(30, 1)], 48, durations=True)
    return doubled(to_tensors(fragments.gather(np.array([0, 3, 5, len(fragments) - 1]))))


@pytest.fixture(scope="module")
def network():
    """Weights large enough that everything matters."""
    built = seeded(DurationChain, 1).double().eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(1.5)
    return built


def rows(count: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(count, SINGLE + 2, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def test_the_budget():
    assert sum(parameter.numel() for parameter in DurationChain().parameters()) <= 60_000


def test_all_durations_have_probabilities_that_sum_to_one():
    """Those of 1 … 4000 steps, after which next to nothing is left."""
    logits = rows(5).clamp_min(-3)
    steps = torch.arange(1, 4001)
    for row in logits:
        total = nats_of(row.expand(4000, -1), steps, NEVER.expand(4000)).exp().sum().item()
        assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("seen", [1, 2, 31, 32, 33, 34, 60])
def test_what_a_fragment_shows_sums_to_one(seen):
    """The durations that end inside it, and "longer" once."""
    logits = rows(3, seed=1)
    for row in logits:
        steps = torch.arange(1, seen + 2)
        nats = nats_of(row.expand(seen + 1, -1), steps, torch.full((seen + 1,), seen))
        assert nats.exp().sum().item() == pytest.approx(1, abs=1e-12)
        further = nats_of(row[None], torch.tensor([seen + 9]), torch.tensor([seen]))
        assert further.item() == pytest.approx(nats[-1].item(), abs=1e-12)


def test_durations_are_drawn_as_often_as_they_are_likely():
    """By inversion: even uniforms give every duration its probability to within one of them."""
    count = 200_000
    uniforms = (np.arange(count) + 0.5) / count
    for row in rows(3, seed=2):
        drawn = torch.from_numpy(lasting(row.expand(count, -1), uniforms))
        p = nats_of(row.expand(60, -1), torch.arange(1, 61), NEVER.expand(60)).exp()
        frequency = torch.bincount(drawn, minlength=61)[1:61] / count
        torch.testing.assert_close(frequency.double(), p, rtol=0, atol=2 / count)


def test_two_notes_of_a_step_have_probabilities_that_sum_to_one(network, batch):
    """By the sequence form, with what lies before: whether each of them outlasts the steps that are left, or ends."""
    steps, left = 6, 3
    events = torch.cartesian_prod(torch.arange(1, left + 2), torch.arange(1, left + 2)).double()
    line = batch.durations[:HISTORY + steps + left - 1, 1:2].clone()
    line[HISTORY + steps - 1:] = 0
    wide = line.repeat(1, len(events), 1)
    wide[HISTORY + steps - 1][:, [40, 47]] = events
    one = batch._replace(x=wide[HISTORY:], durations=wide, weight=torch.ones(len(line) - HISTORY - 1, len(events)),
                         position=batch.position[:, 1:2].expand(1, len(events)))
    with torch.no_grad():
        nats = network.log_likelihood(one)[steps - 2]
    assert nats.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert len(nats.unique()) == len(events)


def nats_of_step(network, state, steps):
    """log p of one step of durations ``(1, key)`` after a state, from what :meth:`step` does, censored nowhere."""
    given, total = (steps > 0).numpy().astype(float), torch.zeros((), dtype=steps.dtype)
    for own in given[0].nonzero()[0][:, None]:
        below = size(steps.numpy()) * (np.arange(KEYS) < own)
        seen = network.look(*network._now(state, given, np.zeros(1, int)), own)
        total = total + nats_of(network.logits(seen, around(below[:, None], own)[:, 0]), steps[:, own[0]], NEVER)[0]
    return total


def test_steps_give_the_likelihood_that_the_sequence_has(network, batch, monkeypatch):
    monkeypatch.setattr(network, "whole", True, raising=False)
    with torch.no_grad():
        expected = network.log_likelihood(batch)
        for i in range(batch.x.shape[1]):
            past, line = batch.durations[:HISTORY, i:i + 1], batch.durations[HISTORY:, i:i + 1]
            state = network.start(line[0], past, int(batch.position[0, i]))
            for t in range(1, int(batch.weight[:, i].sum()) + 1):
                torch.testing.assert_close(nats_of_step(network, state, line[t]), expected[t - 1, i], **CLOSE)
                state = network.step(state, torch.zeros(1, KEYS), heard=line[t]).state
    assert (expected[:20] < 0).any()


def test_without_a_past_is_with_a_silent_one(network, batch):
    silent = torch.zeros_like(batch.durations[:HISTORY, :1])
    first = batch.durations[HISTORY, :1]
    with torch.no_grad():
        one, other = network.start(first), network.start(first, silent)
    torch.testing.assert_close(one.texture, other.texture, **CLOSE)


def test_the_future_changes_nothing_before(network, batch):
    """Neither later durations nor later keys."""
    other = batch.durations.clone()
    other[HISTORY + 20:] = other[HISTORY + 20:].flip(-1)
    with torch.no_grad():
        before, after = (network.log_likelihood(batch._replace(durations=d)) for d in (batch.durations, other))
    torch.testing.assert_close(after[:19], before[:19], **CLOSE)
    assert not torch.allclose(after[19:], before[19:])


def test_a_note_that_outlasts_the_fragment_counts_as_longer(network, batch, monkeypatch):
    """How much longer does not matter to its own step, unless the whole is asked for."""
    long = batch.durations.clone()
    last = HISTORY + len(batch.x) - 3
    own = last - HISTORY - 1
    long[last, 0] = 0
    long[last, 0, 50] = 10
    longer = long.clone()
    longer[last, 0, 50] = 30
    with torch.no_grad():
        one, other = (network.log_likelihood(batch._replace(durations=d)) for d in (long, longer))
        torch.testing.assert_close(one[own], other[own], **CLOSE)
        monkeypatch.setattr(network, "whole", True, raising=False)
        one, other = (network.log_likelihood(batch._replace(durations=d))[own] for d in (long, longer))
    assert not torch.allclose(one, other)


def test_a_toy_is_learnt():
    """Low notes held for a bar, high ones for a step: nothing is left to guess."""
    x = np.zeros((96, KEYS), np.uint8)
    x[::16, 30], x[::2, 60] = 1, 1
    grid = np.where(x > 0, np.where(np.arange(KEYS) < 45, 16, 1), 0).astype(np.uint16)
    toy = Piece("toy", x, 1, ((4, 4),), durations=grid[x > 0])
    t = to_tensors(Fragments([toy], 32, durations=True).gather(np.array([0, 1])))
    network = seeded(DurationChain, 3)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        loss = network.loss(t, torch.Generator().manual_seed(0)).mean()
        loss.backward()
        optimiser.step()
    notes = (t.durations[HISTORY + 1:] > 0).sum().item() / t.weight.numel()
    assert loss.item() / notes < 0.05


def test_a_composer_holds_its_notes():
    """Every struck key is held, none past its next onset; without the third stage there are no durations."""
    networks = [seeded(stage.build, 1) for stage in models.named("beyond").stages]
    prime = np.stack([piece(20, seed).roll for seed in range(3)], axis=1)
    held = np.stack([piece(20, seed).held for seed in range(3)], axis=1)
    with_stage = Composer(*networks).compose(prime, 8, seed=4, durations=held)
    without = Composer(*networks[:2]).compose(prime, 8, seed=4)
    assert without.durations is None
    assert np.array_equal(with_stage.durations > 0, with_stage.roll > 0)
    for i in range(3):
        assert np.array_equal(clipped(with_stage.durations[:, i]), with_stage.durations[:, i])
        assert (remaining(with_stage.durations[:, i])[-1] >= 0).all()
    alone = Composer(*networks).compose(prime[:, 1:2], 8, seed=4, first_index=1, durations=held[:, 1:2])
    assert np.array_equal(alone.durations[:, 0], with_stage.durations[:, 1])
    told_nothing = Composer(*networks).compose(prime, 8, seed=4)
    assert np.array_equal(told_nothing.durations[:19, 0] > 0, prime[:19, 0] > 0)
    assert np.array_equal(told_nothing.durations[:16, 0], clipped(until_next(prime[:, 0]))[:16])


def test_a_composer_tells_the_first_stage_what_is_held():
    """Heard by a composer, a piece's last step is as likely as in the sequence that tells durations, not as without."""
    heard, first = piece(40), seeded(models.named("beyond").stages[0].build, 1).double()
    composer = Composer(first, *(seeded(stage.build, 1) for stage in models.named("beyond").stages[1:]))
    roll, held = heard.roll[:, None], heard.held[:, None]
    state = composer.listen(roll[:-1], composer.draws(1, 0, 1, 39), held[:-1])
    truth = [torch.from_numpy(grid[-1].astype(float)) for grid in (compress(roll), roll, held)]
    _, trace = composer.step(state, torch.zeros(1, composer.draw_size), tuple(truth))
    nats = torch.where(truth[0] > 0, trace["sounds"], 1 - trace["sounds"]).log().sum().item()
    t = doubled(to_tensors(Fragments([heard], 40, durations=True).gather(np.array([0]))))
    with torch.no_grad():
        told, alone = (first.log_likelihood(batch)[-1].item() for batch in (t, onsets_alone(t)))
    assert nats == pytest.approx(told, abs=1e-9)
    assert abs(told - alone) > 1e-6


def test_durations_are_learnt_from_pieces_that_tell_them():
    """Where no piece does, all are taken, with the thesis's rule."""
    told, untold = replace(piece(60), note_ends=WRITTEN), piece(80, 1)
    preset = presets.resolve("smoke", panel=4)
    for pieces, taken in (([told, untold], [told]), ([untold], [untold])):
        panel = networks.panel_of(SimpleNamespace(splits={"valid": Pieces.of(pieces)}, preset=preset), DurationChain())
        expected = Fragments(taken, preset.fragment, preset.stride, durations=True).panel(4)
        assert np.array_equal(panel.durations, expected.durations)
        assert panel.durations.any()
