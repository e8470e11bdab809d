"""Version 2 of the model beyond: likelihoods by enumeration, sampling against them, steps against sequences."""

import numpy as np
import pytest
import torch

from octavoice.beyond import sources
from octavoice.beyond.classes import left_of, onsets_alone
from octavoice.beyond.copying import CopyChain, choose, mixed
from octavoice.beyond.copying_durations import DurationCopies
from octavoice.beyond.copying_keys import KeyCopies
from octavoice.beyond.second import MODEL
from octavoice.composer import Composer
from octavoice.model import HISTORY
from octavoice.music.durations import clipped
from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, KEYS, compress
from octavoice.representations.steps import Fragments
from octavoice.training.fit import seeded, to_tensors

CLOSE = dict(rtol=0, atol=1e-11)


def tune(steps: int, seed: int = 0) -> np.ndarray:
    """Bars of sparse chords of which many are played again, some with a change ``(time, key)``."""
    rng = np.random.default_rng(seed)
    bars = np.zeros((5, 16, KEYS), np.uint8)
    bars[:, :, 20:70] = (rng.random((5, 16, 50)) < 0.04) & (rng.random((5, 16, 1)) < 0.6)
    x = bars[rng.integers(0, 5, -(-steps // 16))].reshape(-1, KEYS)[:steps].copy()
    changed = rng.random(steps) < 0.1
    x[changed] = np.roll(x[changed], 3, axis=1)
    x[0, 40] = 1
    return x


def piece(name: str, x: np.ndarray) -> Piece:
    lasting = np.random.default_rng(len(x)).integers(1, 33, x.shape)
    grid = clipped(np.where(x > 0, lasting, 0).astype(np.uint16))
    return Piece(name, x, 1, ((4, 4),), durations=grid[x > 0])


@pytest.fixture(scope="module")
def batch():
    """Fragments of 40 steps, doubles: from a piece's start, twice amid it with long pasts, a piece that ends inside."""
    fragments = Fragments([piece("long", tune(700)), piece("short", tune(30, 1))], 40, durations=True, whole=True)
    t = to_tensors(fragments.gather(np.array([0, 7, 19, len(fragments) - 1])))
    return t._replace(**{name: field.double() for name, field in t._asdict().items() if field.is_floating_point()})


@pytest.fixture(scope="module")
def networks():
    """Classes, keys and durations, with weights large enough that everything matters."""
    built = [seeded(build, 1).double().eval() for build in (CopyChain, KeyCopies, DurationCopies)]
    with torch.no_grad():
        for network in built:
            for parameter in network.parameters():
                parameter.mul_(1.5)
    return built


def past_of(network, batch, i):
    """All that lies before a fragment in a network's own space, and its steps."""
    position = int(batch.position[0, i])
    whole = batch.whole[len(batch.whole) - position:, i:i + 1].double()
    if network.space.startswith("durations"):
        return whole, batch.durations[HISTORY:, i:i + 1], position
    whole = (whole > 0).double()
    if network.space == "classes":
        return torch.from_numpy(compress(whole.numpy())), batch.x12[:, i:i + 1], position
    return whole, batch.x[:, i:i + 1], position


@pytest.mark.parametrize(("which", "told"), [(0, False), (0, True), (1, False), (1, True)])
def test_steps_give_the_likelihood_that_the_sequence_has(networks, batch, which, told):
    network, batch = networks[which], batch if told else onsets_alone(batch)
    with torch.no_grad():
        expected = network.log_likelihood(batch)
        for i in range(batch.x.shape[1]):
            past, line, position = past_of(network, batch, i)
            left = left_of(batch.durations)[HISTORY:, i:i + 1]
            state = network.start(line[0], past, position)
            for t in range(1, int(batch.weight[:, i].sum()) + 1):
                state = network.told(state, left[t - 1]) if told else state
                torch.testing.assert_close(network.nats(state, line[t])[0], expected[t - 1, i], **CLOSE)
                state = network.step(state, torch.zeros(1, network.draw_size), heard=line[t]).state


def test_steps_give_the_likelihood_that_durations_have(networks, batch):
    """With all of the past; whole durations, as no step knows where a fragment ends."""
    network = networks[2]
    network.whole = True
    with torch.no_grad():
        expected = network.log_likelihood(batch)
        network.whole = False
        censored = network.log_likelihood(batch)
        for i in range(batch.x.shape[1]):
            past, line, position = past_of(network, batch, i)
            state = network.start(line[0], past, position)
            for t in range(1, int(batch.weight[:, i].sum()) + 1):
                torch.testing.assert_close(network.nats(state, line[t])[0], expected[t - 1, i], **CLOSE)
                state = network.step(state, torch.zeros(1, network.draw_size), heard=line[t]).state
    assert (censored >= expected - 1e-9).all()
    assert not torch.allclose(censored, expected)


def test_all_step_vectors_have_probabilities_that_sum_to_one(networks, batch):
    """All 4096, after a past in which most steps can be copied; and what is copied has more than the chain gives it."""
    past, line, position = past_of(networks[0], batch, 2)
    everything = ((torch.arange(2**CLASSES)[:, None] >> torch.arange(CLASSES)) & 1).double()
    with torch.no_grad():
        state = widened(networks[0].start(line[0], past, position), len(everything))
        log_p = networks[0].nats(state, everything)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)


def widened(state, count):
    """The state of one piece as that of ``count`` pieces alike."""
    def wide(part):
        if isinstance(part, np.ndarray | torch.Tensor):
            axis = list(part.shape).index(1)
            return part.repeat(count, axis) if isinstance(part, np.ndarray) else part.repeat_interleave(count, axis)
        return type(part)(*map(wide, part)) if isinstance(part, tuple) else part
    past = type(state.past)(*map(wide, state.past[:4]), tuple(map(wide, state.past.recent)), wide(state.past.named))
    rest = {name: wide(part) for name, part in state._asdict().items() if name not in ("past", "weights", "lower")}
    kept = {name: part for name, part in state._asdict().items() if name in ("weights", "lower")}
    return type(state)(**rest, **kept, past=past)


def test_all_keys_of_two_classes_have_probabilities_that_sum_to_one(networks, batch):
    past, line, position = past_of(networks[1], batch, 2)
    first, second = 3, 7
    patterns = ((torch.arange(1, 256)[:, None] >> torch.arange(8)) & 1).double()
    places = torch.arange(second, KEYS, CLASSES)
    patterns = patterns[:, :len(places)].unique(dim=0)
    patterns = patterns[patterns.sum(dim=1) > 0]
    total = 0.0
    with torch.no_grad():
        state = networks[1].start(line[0], past, position)
        wide = widened(state, len(patterns))
        for low in ((1,), (4,), (1, 4), (2, 3, 5)):
            x = torch.zeros(len(patterns), KEYS, dtype=torch.double)
            x[:, [first + CLASSES * octave for octave in low]] = 1
            x[:, places] = patterns
            total += networks[1].nats(wide, x).exp().sum().item()
    assert 0 < total < 1


def test_the_state_is_summed_over_all_its_paths():
    """A tiny alphabet: three sources, of which two are the step; by hand."""
    strict, free = torch.tensor([[0.3, -1.0, 0.7]]), torch.tensor([0.1])
    hit, made = torch.tensor([[True, False, True]]), torch.tensor([-2.0])
    weights = torch.cat([free[:, None], strict], dim=1).exp()[0]
    by_hand = (weights[0] * made.exp()[0] + weights[1] + weights[3]) / weights.sum()
    torch.testing.assert_close(mixed(strict, free, hit, made)[0], by_hand.log())


def test_states_are_drawn_as_often_as_their_scores_say():
    strict, free = np.array([[0.3, -1.0, -1e9]]), np.array([0.1])
    uniforms = (np.arange(10_000) + 0.5) / 10_000
    chosen = choose(strict.repeat(10_000, axis=0), free.repeat(10_000), uniforms)
    weights = np.exp([0.1, 0.3, -1.0])
    found = np.array([(chosen == state).mean() for state in (-1, 0, 1)])
    np.testing.assert_allclose(found, weights / weights.sum(), atol=2e-4)


def test_samples_are_as_frequent_as_the_likelihood_says(networks, batch):
    past, line, position = past_of(networks[0], batch, 2)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        state = widened(networks[0].start(line[0], past, position), 4000)
        drawn = networks[0].step(state, torch.rand(4000, CLASSES + 1, generator=rng, dtype=torch.double)).value
        codes, counts = np.unique(sources.codes(drawn.numpy()), return_counts=True)
        common = codes[counts > 40]
        steps = torch.from_numpy(((common[:, None] >> np.arange(CLASSES)) & 1).astype(float))
        p = networks[0].nats(widened(networks[0].start(line[0], past, position), len(steps)), steps).exp()
    assert len(common) > 2
    np.testing.assert_allclose(counts[counts > 40] / 4000, p.numpy(), atol=0.03)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_piece_does_not_depend_on_its_company(networks, batch, which):
    network = networks[which]
    past, line, position = past_of(network, batch, 2)
    past, first = torch.cat([past, past.flip(0)], dim=1), torch.cat([line[0], line[3]])
    draws = torch.rand(2, network.draw_size, generator=torch.Generator().manual_seed(1)).double()
    asked = batch.x12 if which == 1 else batch.x
    given = torch.cat([asked[1, 2:3], asked[4, 2:3]]) if which else None
    with torch.no_grad():
        together = network.step(network.start(first, past, position), draws, given=given).value
        alone = [network.step(network.start(first[i:i + 1], past[:, i:i + 1], position), draws[i:i + 1],
                              given=None if given is None else given[i:i + 1]).value for i in (0, 1)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=0)


@pytest.mark.parametrize("which", [0, 1])
def test_the_future_changes_nothing_before_it_and_a_long_past_counts(networks, batch, which):
    changed = batch._replace(x=batch.x.clone(), x12=batch.x12.clone(), whole=batch.whole.clone())
    changed.x[20:], changed.x12[20:] = changed.x[20:].flip(0), changed.x12[20:].flip(0)
    with torch.no_grad():
        a, b = (networks[which].log_likelihood(onsets_alone(t)) for t in (batch, changed))
        torch.testing.assert_close(a[:19], b[:19], **CLOSE)
        assert not torch.allclose(a[19:], b[19:])
        changed = batch._replace(whole=batch.whole.clone())
        changed.whole[:HISTORY] = changed.whole[:HISTORY].flip(0)
        c = networks[which].log_likelihood(onsets_alone(changed))
    assert not torch.allclose(a[:, 2], c[:, 2])
    torch.testing.assert_close(a[:, 0], c[:, 0], **CLOSE)


@pytest.mark.parametrize("first", [0, 3, 50, 300])
@pytest.mark.parametrize("by_name", [False, True])
def test_sources_are_the_same_step_by_step(first, by_name):
    """Lags, facts and content; the names of keys as well as codes of classes."""
    x = tune(first + 90)
    line, names = sources.codes(compress(x)), sources.names(x) if by_name else None
    whole = sources.sequence(line, first, np.float64, names)
    past = sources.remembered(line[None, :first + 1], names[None, :first + 1] if by_name else None)
    for t in range(first, len(line) - 1):
        found = sources.following(past, np.float64, line[t + 1:t + 2] if by_name else None)
        kept = {lag: facts for lag, facts, what in zip(*by_lag(whole, t - first), strict=True) if what >= 0}
        other = {lag: facts for lag, facts, what in zip(*by_lag(found, 0), strict=True) if what >= 0}
        assert kept.keys() == other.keys()
        for lag, facts in kept.items():
            np.testing.assert_allclose(other[lag], facts, rtol=0, atol=1e-12)
        past = sources.hear(past, line[t + 1:t + 2], names[t + 1:t + 2] if by_name else None)


def by_lag(found, row):
    return found.lag[row], found.facts[row], found.content[row]


def test_a_source_tells_how_long_it_has_been_right():
    """Four bars twice: at the eighth bar's end the source four bars back has a run of 64, and is what comes next."""
    bars = np.concatenate([tune(64, 5)] * 2 + [tune(64, 5)[:1]])
    found = sources.sequence(sources.codes(compress(bars)), 126)
    place = int(np.flatnonzero(found.lag[0] == 64)[0])
    assert found.facts[0, place, 0] == pytest.approx(np.log2(1 + 63) / 6, abs=1e-6)
    assert found.content[0, place] == sources.codes(compress(bars))[63]


def test_names_differ_where_keys_do():
    x = tune(300)
    _, which = np.unique(x, axis=0, return_inverse=True)
    same = which[:, None] == which
    names = sources.names(x)
    assert np.array_equal(names[:, None] == names, same)
    assert sources.names(np.zeros((1, KEYS), np.uint8))[0] == 0


def test_the_model_keeps_to_the_budget_and_composes():
    for stage in MODEL.stages:
        assert sum(parameter.numel() for parameter in stage.build().parameters()) <= 425_004
    composer = Composer(*(seeded(stage.build, 1) for stage in MODEL.stages))
    prime = np.stack([tune(300), tune(300, 1)], axis=1)
    together = composer.compose(prime, 12, seed=1)
    alone = composer.compose(prime[:, 1:], 12, seed=1, first_index=1)
    np.testing.assert_array_equal(together.roll[:, 1:], alone.roll)
    assert together.trace["copied"].shape == (12, 2)


def test_training_leaves_out_and_rolls(batch):
    network = seeded(CopyChain, 1).double()
    loss = network.loss(batch, torch.Generator().manual_seed(5))
    assert loss.shape == batch.weight.shape
    assert torch.isfinite(loss).all()
    loss.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
