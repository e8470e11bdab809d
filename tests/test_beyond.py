"""The model beyond: exact likelihoods by enumeration, sampling against them, steps against sequences, causality."""

import numpy as np
import pytest
import torch

from octavoice.beyond import MODEL
from octavoice.beyond.classes import ClassChain, left_of, onsets_alone, still_held
from octavoice.beyond.keys import KeyChain, moved, pattern_of, pick
from octavoice.model import HISTORY
from octavoice.music.durations import clipped
from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, KEYS, compress
from octavoice.representations.steps import Fragments
from octavoice.training.fit import seeded, to_tensors

CLOSE = dict(rtol=0, atol=1e-12)
PARTS = 500
"""Draws that are made at once."""


def roll(steps: int, seed: int = 0) -> np.ndarray:
    """Sparse random chords that never leave the keyboard's middle, a third of the steps silent."""
    rng = np.random.default_rng(seed)
    x = np.zeros((steps, KEYS), np.uint8)
    x[:, 14:74] = (rng.random((steps, 60)) < 0.04) & (rng.random((steps, 1)) < 0.7)
    x[0, 40] = 1
    return x


def piece(name: str, x: np.ndarray) -> Piece:
    """Notes of random durations, at most two bars, none past its next onset."""
    lasting = np.random.default_rng(len(x)).integers(1, 33, x.shape)
    grid = clipped(np.where(x > 0, lasting, 0).astype(np.uint16))
    return Piece(name, x, 1, ((4, 4),), durations=grid[x > 0])


@pytest.fixture(scope="module")
def batch():
    """Fragments of 48 steps, doubles: from a piece's start, its middle, and a piece that ends inside."""
    fragments = Fragments([piece("long", roll(300)), piece("short", roll(30, 1))], 48, durations=True)
    t = to_tensors(fragments.gather(np.array([0, 3, 5, len(fragments) - 1])))
    return t._replace(**{name: field.double() for name, field in t._asdict().items() if field.is_floating_point()})


@pytest.fixture(scope="module")
def networks():
    """Both networks with weights large enough that everything matters."""
    built = [seeded(stage.build, 1).double().eval() for stage in MODEL.stages]
    with torch.no_grad():
        for network in built:
            for parameter in network.parameters():
                parameter.mul_(1.5)
    return built


def width(network, t):
    """The batch in the network's own space: its rolls, and the steps before them."""
    return (t.x12, t.history) if network.space == "classes" else (t.x, t.past)


@pytest.mark.parametrize(("which", "told"), [(0, False), (0, True), (1, False), (1, True)])
def test_steps_give_the_likelihood_that_the_sequence_has(networks, batch, which, told):
    """Heard one step at a time, with the history, the probabilities of what comes are the same; so they are when after
    every step it is told how long its notes are held."""
    network, batch = networks[which], batch if told else onsets_alone(batch)
    with torch.no_grad():
        expected = network.log_likelihood(batch)
    for i in range(batch.x.shape[1]):
        line, past = (a[:, i:i + 1] for a in width(network, batch))
        left = left_of(batch.durations)[HISTORY:, i:i + 1]
        state = network.start(line[0], past, int(batch.position[0, i]))
        for t in range(1, int(batch.weight[:, i].sum()) + 1):
            with torch.no_grad():
                state = network.told(state, left[t - 1]) if told else state
                torch.testing.assert_close(nats_of_step(network, state, line[t]), expected[t - 1, i], **CLOSE)
                state = network.step(state, torch.zeros(1, network.draw_size), heard=line[t]).state


def widen(state, count):
    """Copies of what a network keeps of one piece, along the first axis of size 1, so that it need not hear it again
    for each of them."""
    if isinstance(state, torch.Tensor):
        return state.repeat_interleave(count, dim=list(state.shape).index(1))
    if isinstance(state, np.ndarray):
        return state.repeat(count, axis=state.shape.index(1))
    return type(state)(*(widen(part, count) for part in state)) if isinstance(state, tuple) else state


def nats_of_step(network, state, x):
    """log p of one step ``(1, width)`` after a state, from what :meth:`step` does."""
    if network.space == "classes":
        p = network.step(state, torch.zeros(1, CLASSES), heard=x).trace["sounds"]
        return torch.where(x > 0.5, p, 1 - p).log().sum()
    return sum((nats for nats, _ in octave_nats(network, state, x)), torch.zeros((), dtype=x.dtype))


def octave_nats(network, state, x):
    """For each sounding class: log p of its octaves in ``x`` ``(1, key)``, and of all its patterns."""
    given = torch.from_numpy(compress(x.numpy()))
    for p in given[0].nonzero()[:, 0].tolist():
        log_p = torch.log_softmax(network.scores(state, given, x, p), dim=-1)[0]
        yield log_p[pattern_of(x, torch.tensor([p]))[0]], log_p


@pytest.mark.parametrize("told", [False, True])
def test_all_step_vectors_have_probabilities_that_sum_to_one(networks, batch, monkeypatch, told):
    """Of classes: all 4096, by the sequence form; what lies before the fragment is taken in once."""
    network, one = networks[0], type(batch)(*(field[:, 1:2] for field in batch))
    everything = ((torch.arange(2**CLASSES)[:, None] >> torch.arange(CLASSES)) & 1).double()
    one = one._replace(x12=one.x12[:6], weight=one.weight[:5], durations=one.durations[:HISTORY + 6] if told else
                       one.durations[:0])
    x12 = torch.cat([one.x12[:5].expand(-1, len(everything), -1), everything[None]])
    with torch.no_grad():
        alone, (ticks, memory), held = network.log_likelihood(one), network._before(one), network._held(one)
        monkeypatch.setattr(network, "_held", lambda batch: widen(held, len(everything)))
        monkeypatch.setattr(network, "_before", lambda batch: (widen(ticks, len(everything)),
                                                               widen(memory, len(everything))))
        log_p = network.log_likelihood(one._replace(x12=x12))
    torch.testing.assert_close(log_p[:4], alone[:4].expand(-1, len(everything)), **CLOSE)
    torch.testing.assert_close(log_p[4][(everything == one.x12[5]).all(dim=-1)], alone[4], **CLOSE)
    assert log_p[4].exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("pitch_class", [1, 9])
def test_all_octaves_of_a_class_have_probabilities_that_sum_to_one(networks, batch, pitch_class, monkeypatch):
    """By the sequence form: every pattern of eight octaves, or of seven; none is the empty one. What lies before the
    step is taken in once."""
    places = torch.arange(pitch_class, KEYS, CLASSES)
    patterns = (torch.arange(1, 2 ** len(places))[:, None] >> torch.arange(len(places))) & 1
    x = torch.zeros(len(patterns), KEYS, dtype=torch.double)
    x[:, places] = patterns.double()
    one = type(batch)(*(field[:, 1:2] for field in batch))
    one = one._replace(x=torch.cat([one.x[:2], x[None, 5:6]]), weight=one.weight[:2],
                       durations=one.durations[:HISTORY + 3])
    with torch.no_grad():
        alone, facts = networks[1].log_likelihood(one), networks[1]._sequence(one, networks[1]._held(one))
        monkeypatch.setattr(networks[1], "_sequence", lambda *_: tuple(widen(part, len(x)) for part in facts))
        wide = one._replace(x=torch.cat([one.x[:2].expand(-1, len(x), -1), x[None]]),
                            weight=one.weight.expand(-1, len(x)), durations=one.durations.expand(-1, len(x), -1))
        log_p = networks[1].log_likelihood(wide)[-1]
    torch.testing.assert_close(log_p[5:6], alone[-1], **CLOSE)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_all_keys_of_two_classes_have_probabilities_that_sum_to_one(networks, batch):
    """By the step form: every pattern of the first class, and of the second after each of them."""
    first, second = 3, 7
    places = torch.arange(first, KEYS, CLASSES)
    x = torch.zeros(255, KEYS, dtype=torch.double)
    x[:, places] = ((torch.arange(1, 256)[:, None] >> torch.arange(8)) & 1).double()
    given = torch.zeros(255, CLASSES, dtype=torch.double)
    given[:, [first, second]] = 1
    with torch.no_grad():
        state = widen(networks[1].start(batch.x[0, 1:2], batch.past[:, 1:2], 96), 255)
        one = torch.softmax(networks[1].scores(state, given, x, first), dim=-1).diagonal()
        two = torch.softmax(networks[1].scores(state, given, x, second), dim=-1)
    assert (one[:, None] * two).sum().item() == pytest.approx(1, abs=1e-9)
    assert (two[:, 127:] == 0).all()  # a class of seven keys has no eighth octave


def test_samples_are_as_frequent_as_the_likelihood_says(networks, batch):
    """One step of both networks, drawn 20 000 times, against the probabilities of its classes and octaves."""
    draws = torch.rand(20_000, CLASSES, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    states = [network.start(line[0, 1:2], past[:, 1:2], 96)
              for network, (line, past) in ((network, width(network, batch)) for network in networks)]
    given = torch.zeros(PARTS, CLASSES, dtype=torch.double)
    given[:, 4] = 1
    with torch.no_grad():
        wide = [widen(state, PARTS) for state in states]
        classes = [networks[0].step(wide[0], part) for part in draws.split(PARTS)]
        found = torch.cat([step.value for step in classes]).mean(dim=0)
        expected = torch.cat([step.trace["sounds"] for step in classes]).mean(dim=0)  # over paths, of p(class | before)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.02)
        keys = torch.cat([networks[1].step(wide[1], part, given=given).value for part in draws.split(PARTS)])
        p = torch.softmax(networks[1].scores(states[1], given[:1], keys[:1], 4), dim=-1)[0]
    found = torch.bincount(pattern_of(keys, torch.full((len(keys),), 4)), minlength=len(p)).double() / len(keys)
    torch.testing.assert_close(found, p, rtol=0, atol=0.02)


def test_no_class_is_lost_and_none_is_added(networks):
    """Whatever is asked for, the keys compress to it; a class without its eighth octave never gets one."""
    rng = torch.Generator().manual_seed(0)
    given = (torch.rand(200, CLASSES, generator=rng) < 0.3).double()
    state = networks[1].start(torch.zeros(200, KEYS, dtype=torch.double))
    with torch.no_grad():
        keys = networks[1].step(state, torch.rand(200, CLASSES, generator=rng).double(), given=given).value
    np.testing.assert_array_equal(compress(keys.numpy()), given.numpy())


@pytest.mark.parametrize("which", [0, 1])
def test_a_piece_does_not_depend_on_its_company(networks, batch, which):
    network = networks[which]
    line, past = width(network, batch)
    draws = torch.rand(line.shape[1], network.draw_size, generator=torch.Generator().manual_seed(1)).double()
    given = batch.x12[1] if which else None
    with torch.no_grad():
        together = network.step(network.start(line[0], past, 64), draws, given=given).value
        alone = [network.step(network.start(line[0, i:i + 1], past[:, i:i + 1], 64), draws[i:i + 1],
                              given=None if given is None else given[i:i + 1]).value for i in range(line.shape[1])]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=0)


@pytest.mark.parametrize("which", [0, 1])
def test_the_future_changes_nothing_before_it(networks, batch, which):
    changed = batch._replace(x=batch.x.clone(), x12=batch.x12.clone(), durations=batch.durations.clone())
    changed.x[20:] = changed.x[20:].flip(0)
    changed.x12[20:] = changed.x12[20:].flip(0)
    changed.durations[HISTORY + 20:] = changed.durations[HISTORY + 20:].flip(0)
    with torch.no_grad():
        a, b = (networks[which].log_likelihood(t) for t in (batch, changed))
    torch.testing.assert_close(a[:19], b[:19], **CLOSE)
    assert not torch.allclose(a[19:], b[19:])


def test_keys_are_judged_alike_in_every_transposition(networks, batch):
    """The net sees the keyboard from each class, so that places move with the music (but for its own number)."""
    x = batch.x[:6, 0]
    up = torch.roll(x, 5, dims=-1)
    torch.testing.assert_close(moved(x[:, None], torch.full((6,), 2)), moved(up[:, None], torch.full((6,), 7)), **CLOSE)


def test_the_order_of_classes_does_not_matter_to_the_memory(networks, batch):
    """Training rolls every fragment by a shift of its own: the loss of one shift is the likelihood of that roll."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        loss = networks[0].loss(batch, rng)
    assert loss.shape == batch.weight.shape
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_held_matters_from_the_next_step_on(networks, batch, which):
    """A note that is held longer changes later steps, none up to its own; a batch that tells nothing is another."""
    network = networks[which]
    longer = batch.durations.clone()
    (time, key), *_ = longer[HISTORY + 5:HISTORY + 20, 0].nonzero().tolist()
    longer[HISTORY + 5 + time, 0, key] += 7
    with torch.no_grad():
        one, other = (network.log_likelihood(batch._replace(durations=d)) for d in (batch.durations, longer))
        alone = network.log_likelihood(onsets_alone(batch))
        torch.testing.assert_close(network.held_out(batch, None), -alone, rtol=0, atol=0)
    torch.testing.assert_close(other[:5 + time], one[:5 + time], **CLOSE)
    assert not torch.isclose(other[5 + time:, 0], one[5 + time:, 0]).all()
    assert not torch.isclose(alone[alone < 0], one[alone < 0]).any()


def test_what_is_held_of_a_step():
    """By hand: C for two more steps in the longer of its octaves, a D that ends now, an E struck for one step."""
    left = torch.zeros(1, KEYS)
    left[0, [3, 15]], left[0, 5], left[0, 7] = torch.tensor([2.0, 3.0]), 1, 1
    told = still_held(left)[0]
    expected = torch.zeros(25)
    expected[3], expected[CLASSES + 5], expected[CLASSES + 7], expected[-1] = 2 / 7, 1, 1, 1
    torch.testing.assert_close(told, expected)


def test_pick_never_takes_what_has_no_probability():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).double()
    for u, expected in ((0.0, 1), (0.499999, 1), (0.5, 3), (1 - 1e-16, 3)):
        assert pick(logits, np.array([u])).item() == expected


def test_both_stages_keep_to_the_thesis_budget():
    for stage in MODEL.stages:
        assert sum(parameter.numel() for parameter in stage.build().parameters()) <= 425_004
    assert isinstance(MODEL.build()[0], ClassChain)
    assert isinstance(MODEL.build()[1], KeyChain)


@pytest.mark.parametrize("stage", [0, 1])
def test_activations_are_left_out_where_a_collection_is_gone_through_often(stage, batch):
    """In the loss alone: the likelihood is the same before and after."""
    network = seeded(MODEL.stages[stage].build, 1).double()
    network.prepare(passes=2.7)
    assert network.dropout == 0
    plain, level = (f(batch, torch.Generator().manual_seed(1)) for f in (network.loss, network.log_likelihood))
    network.prepare(passes=13)
    assert network.dropout > 0
    assert torch.equal(network.log_likelihood(batch), level)
    assert not torch.equal(network.loss(batch, torch.Generator().manual_seed(1)), plain)
