"""The survey's models on a keyboard of six keys: likelihoods by enumeration, samples against them, steps against
sequences, causality, and that each learns a toy whose keys hang together."""

import math

import numpy as np
import pytest
import torch

from octavoice import rbm, survey
from octavoice.composer import Composer
from octavoice.model import ESTIMATE, EXACT, HISTORY, Batch
from octavoice.music.roll import KEYS, compress
from octavoice.survey import chords, recurrent, rnn_dbn, rnn_nade, rnn_rbm, tcn, tied_parallel
from octavoice.training import models
from octavoice.training.fit import seeded

SMALL = 6
BUILDERS = {
    "lstm": lambda keys=SMALL: recurrent.lstm(keys, 10),
    "gru": lambda keys=SMALL: recurrent.gru(keys, 10),
    "tcn": lambda keys=SMALL: tcn.tcn(keys, 8, 3, 2),
    "rnn-nade": lambda keys=SMALL: rnn_nade.rnn_nade(keys, 10, 8),
    "tp-lstm-nade": lambda keys=SMALL: tied_parallel.tp_lstm_nade(keys, 8, 8),
    "balstm": lambda keys=SMALL: tied_parallel.balstm(keys, 8, 8, 8),
    "rnn-rbm": lambda keys=SMALL: rnn_rbm.rnn_rbm(keys, 10, 5),
    "rnn-dbn": lambda keys=SMALL: rnn_dbn.rnn_dbn(keys, 10, 5, 4),
}
EXACT_ONES = [name for name in BUILDERS if name not in ("rnn-rbm", "rnn-dbn")]
EVERY = ((torch.arange(2**SMALL)[:, None] >> torch.arange(SMALL)) & 1).double()
CLOSE = dict(rtol=0, atol=1e-9)
every_model = pytest.mark.parametrize("name", BUILDERS)


def built(name, keys=SMALL, scale=2.0):
    """A network with weights large enough that everything matters."""
    network = seeded(lambda: BUILDERS[name](keys), 1).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(scale).clamp_(-1.5, 1.5)  # the bias of "sounds" would else leave nothing but silence
        if isinstance(network.head, rnn_rbm.RBM):
            network.head.W.mul_(40)
        if isinstance(network.head, rnn_dbn.DBN):
            network.head.lower.mul_(25)
            network.head.upper.mul_(25)
    return network


def batch_of(x, past=None, position=0):
    """Rolls ``(time, batch, key)`` as a batch."""
    time, batch, keys = x.shape
    blank = x.new_zeros(HISTORY, batch, keys)
    return Batch(x, x, blank, x.new_zeros(time, batch, 6), x.new_ones(time - 1, batch),
                   blank if past is None else past, torch.full((1, batch), position), x[:0], x[:0])


def music(time=12, batch=3, keys=SMALL, seed=0):
    return (torch.rand(time, batch, keys, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def rng(seed=3):
    return torch.Generator().manual_seed(seed)


def of_every_step(network, x):
    """log p of all 64 steps after the steps ``x`` ``(time, key)``, by the sequence form."""
    line = torch.cat([x[:, None].expand(-1, len(EVERY), -1), EVERY[None]])
    with torch.no_grad():
        return network.log_likelihood(batch_of(line), rng())[-1]


# --- likelihoods ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", EXACT_ONES)
def test_all_steps_have_probabilities_that_sum_to_one(name):
    network = built(name)
    assert network.kind == EXACT
    p = of_every_step(network, music(5)[:, 0]).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    assert p.max() < 0.9


def enumerated(network, x):
    """log p of all 64 steps by the sum over all hidden units, for machines small enough."""
    h = network.after(state_after(network, x))[0][0]
    if isinstance(network.head, rnn_rbm.RBM):
        b, c = network.head.biases(h)
        return torch.log_softmax(-rbm.free_energy(EVERY, b, c, network.head.W), dim=0)
    b1, _, b2, c2 = (bias(h) for bias in network.head.biases)
    first = ((torch.arange(2**b2.shape[-1])[:, None] >> torch.arange(b2.shape[-1])) & 1).double()
    prior = torch.log_softmax(-rbm.free_energy(first, b2, c2, network.head.upper), dim=0)
    below = chords.bernoulli((b1 + first @ network.head.lower)[:, None].expand(-1, len(EVERY), -1),
                             EVERY.expand(len(first), -1, -1))
    return torch.logsumexp(prior[:, None] + below, dim=0)


def state_after(network, x):
    """The state when the steps ``x`` ``(time, key)`` were heard."""
    state = network.start(x[:1])
    for t in range(1, len(x)):
        state = network.step(state, torch.zeros(1, network.draw_size), heard=x[t:t + 1]).state
    return state


@pytest.mark.parametrize("name", ["rnn-rbm", "rnn-dbn"])
def test_an_estimate_is_near_the_sum_over_all_hidden_units(name):
    network, x = built(name), music(5)[:, 0]
    network.head.chains, network.head.rungs, network.head.posteriors = 200, 60, 1500
    assert network.kind == ESTIMATE
    with torch.no_grad():
        expected, found = enumerated(network, x), of_every_step(network, x)
    assert expected.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert expected.std() > 1
    torch.testing.assert_close(found, expected, rtol=0, atol=0.08)


def test_a_partition_function_by_annealing_is_the_sum_over_all_steps():
    draws = rng(1)
    W = 1.5 * torch.randn(5, SMALL, generator=draws).double()
    b, c = (torch.randn(7, width, generator=draws).double() for width in (SMALL, 5))
    exact = torch.logsumexp(-rbm.free_energy(EVERY[:, None], b, c, W), dim=0)
    torch.testing.assert_close(rbm.log_partition(b, c, W, draws, 400, 60), exact, rtol=0, atol=0.05)
    off = (rbm.log_partition(b, c, W, draws, 1, 1) - exact).abs().mean()
    assert off > 0.1  # a single rung is no estimate to rely on, so the test above tells something


def test_contrastive_divergence_teaches_what_the_likelihood_does():
    """With many Gibbs steps its gradient is that of log p, to the noise of its samples."""
    draws = rng(2)
    W = torch.randn(4, SMALL, generator=draws).double().requires_grad_()
    x = music(2000, 1)[:, 0]
    b, c = torch.zeros(SMALL).double(), torch.zeros(4).double()
    (exact,) = torch.autograd.grad(rbm.free_energy(x, b, c, W).mean()
                                   + torch.logsumexp(-rbm.free_energy(EVERY, b, c, W), dim=0), W)
    by_samples = contrast_gradient(x.repeat(10, 1), b, c, W, 20, draws)
    torch.testing.assert_close(by_samples, exact, rtol=0, atol=0.02)
    assert exact.abs().max() > 0.1


def contrast_gradient(x, b, c, W, steps, draws):
    b, c = (bias.expand(len(x), -1) for bias in (b, c))
    return torch.autograd.grad(rbm.contrast(x, b, c, W, steps, draws).mean(), W)[0]


def test_the_upper_machine_teaches_nothing_below_it():
    network, h = built("rnn-dbn"), torch.randn(4, 2, 10, generator=rng()).double().requires_grad_()
    lower = network.head.loss(h, music(4, 2), rng())
    grads = torch.autograd.grad(lower.sum(), [h, network.head.lower, network.head.upper])
    with torch.no_grad():
        network.head.upper.mul_(0)
        network.head.biases[2].weight.mul_(3)
    again = torch.autograd.grad(network.head.loss(h, music(4, 2), rng()).sum(), [h, network.head.lower])
    assert grads[2].abs().max() > 0
    torch.testing.assert_close(again, tuple(grads[:2]), **CLOSE)


# --- steps, samples ---------------------------------------------------------------------------------------------------

@every_model
def test_steps_give_the_features_that_the_sequence_has(name):
    """From a piece's start, and from amid one with a past."""
    network, x, past = built(name), music(10), music(HISTORY, 3, seed=5)
    for position, before in ((0, None), (200, past)):
        with torch.no_grad():
            expected, _ = network.features(batch_of(x, before, position))
            state = network.start(x[0], before, position)
            for t in range(len(x) - 1):
                torch.testing.assert_close(network.after(state)[0][0], expected[t], **CLOSE)
                state = network.step(state, torch.zeros(3, network.draw_size), heard=x[t + 1]).state


@every_model
def test_samples_are_as_frequent_as_the_likelihood_says(name):
    network, x = built(name), music(4, seed=2)[:, 0]
    if network.kind == ESTIMATE:
        network.gibbs_steps = 60
    count = 4000
    with torch.no_grad():
        expected = enumerated(network, x) if network.kind == ESTIMATE else of_every_step(network, x)
        h = network.after(state_after(network, x))[0][0].repeat_interleave(count, dim=0)
        draws = torch.rand(count, network.draw_size, generator=rng()).double()
        made = network.head.sample(h, draws, x[-1:].expand(count, -1), 1.0)
    found = torch.bincount((made @ 2.0 ** torch.arange(SMALL).double()).long(), minlength=2**SMALL) / count
    off = (found - expected.exp()).abs()
    assert (off < 5 * (expected.exp() / count).sqrt() + 2 / count).all(), off.max()


@every_model
def test_the_future_changes_nothing_before_it(name):
    network, x = built(name), music(12)
    network.kind == ESTIMATE and setattr(network.head, "rungs", 2)
    changed = x.clone()
    changed[7:] = 1 - changed[7:]
    with torch.no_grad():
        a, b = (network.features(batch_of(roll))[0] for roll in (x, changed))
        nats_a, nats_b = (network.log_likelihood(batch_of(roll), rng()) for roll in (x, changed))
    torch.testing.assert_close(a[:7], b[:7], **CLOSE)
    torch.testing.assert_close(nats_a[:6], nats_b[:6], **CLOSE)
    assert not torch.allclose(a[7:], b[7:])


@every_model
def test_a_piece_does_not_depend_on_its_company(name):
    network, x = built(name), music(2, 4)
    draws = torch.rand(4, network.draw_size, generator=rng()).double()
    with torch.no_grad():
        together = network.step(network.start(x[0]), draws).value
        alone = [network.step(network.start(x[0, i:i + 1]), draws[i:i + 1]).value for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=0)


@pytest.mark.parametrize("model", [*survey.MODELS, models.named("rnn-nade-classes")], ids=lambda model: model.name)
def test_every_model_composes(model):
    """At its true size, untrained; of classes none is lost."""
    prime = np.zeros((4, 2, KEYS), np.uint8)
    prime[::2, :, [40, 44, 47]] = 1
    networks = [seeded(stage.build, 1) for stage in model.stages]
    settings = {"gibbs_steps": 2} if networks[0].kind == ESTIMATE else {}
    piece = Composer(*networks, **settings).compose(prime, 3, seed=1)
    assert piece.roll.shape == (7, 2, KEYS)
    assert np.array_equal(compress(piece.roll), piece.x12)
    assert piece.lost == 0


# --- tied networks ----------------------------------------------------------------------------------------------------

WIDE, MOVE = 96, 5


def moved(x):
    return torch.roll(x, MOVE, dims=-1)


@pytest.mark.parametrize("name", ["tp-lstm-nade", "balstm"])
def test_moving_the_music_moves_the_features_with_it(name):
    """No key is told which it is."""
    network, x = built(name, WIDE), music(8, 2, WIDE)
    x[..., :20] = x[..., -20:] = 0
    with torch.no_grad():
        here, there = (network.features(batch_of(roll))[0] for roll in (x, moved(x)))
    torch.testing.assert_close(there[:, :, MOVE:], here[:, :, :-MOVE], **CLOSE)
    assert not torch.allclose(there, here)


@pytest.mark.parametrize(("name", "near"), [("tp-lstm-nade", 1e-9), ("balstm", 0.01)])
def test_music_is_as_probable_in_another_key(name, near):
    """Away from the ends of the keyboard. The net along the keys begins at the lowest one, and forgets how many silent
    ones it met."""
    network, x = built(name, WIDE, scale=1.2), music(8, 2, WIDE)
    x[..., :26] = x[..., 40:] = 0
    with torch.no_grad():
        here, there = (network.log_likelihood(batch_of(roll)) for roll in (x, moved(x)))
        mirrored = network.log_likelihood(batch_of(x.flip(-1)))
    torch.testing.assert_close(there, here, rtol=0, atol=near)
    assert not torch.allclose(mirrored, here, rtol=0, atol=10 * near)


# --- training ---------------------------------------------------------------------------------------------------------

def toy(time=24, batch=16, seed=0):
    """Two neighbouring keys, any of five pairs, in every other step; silence between: ln 5 nats for every two steps."""
    lower = torch.randint(SMALL - 1, (time, batch), generator=torch.Generator().manual_seed(seed))
    pair = torch.nn.functional.one_hot(lower, SMALL) + torch.nn.functional.one_hot(lower + 1, SMALL)
    return pair.float() * (1 - torch.arange(time) % 2).float()[:, None, None]


INDEPENDENT = ("lstm", "gru", "tcn")
FLOOR = 11 / 23 * math.log(5)
"""What a perfect model pays: eleven of the 23 predicted steps are pairs."""
ALONE = 11 / 23 * sum(-(p * math.log(p) + (1 - p) * math.log(1 - p)) for p in (0.2, 0.4, 0.4, 0.4, 0.4, 0.2))
"""What a perfect model of independent keys pays."""


@every_model
def test_a_toy_is_learned(name):
    """When to sound, and, unless keys are independent, that keys sound in pairs."""
    network, draws = seeded(BUILDERS[name], 1), rng()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    for n in range(300 if network.kind == ESTIMATE else 150):
        optimiser.zero_grad()
        network.loss(batch_of(toy(seed=n)), draws).mean().backward()
        optimiser.step()
    with torch.no_grad():
        nats = -network.log_likelihood(batch_of(toy(seed=999)), draws).mean().item()
    if name in INDEPENDENT:
        assert ALONE - 0.1 < nats < ALONE + 0.1
    else:
        assert FLOOR - 0.1 < nats < (ALONE - 0.3 if network.kind == ESTIMATE else FLOOR + 0.4)


def test_dropout_is_drawn_from_the_stream_and_keeps_the_mean():
    x = torch.ones(20_000)
    kept = chords.dropper(0.25, rng())(x)
    assert torch.equal(kept, chords.dropper(0.25, rng())(x))
    assert kept.mean().item() == pytest.approx(1, abs=0.02)
    assert (kept == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    with pytest.raises(ValueError, match=r"a share of activations lies in \[0, 1\), not 1"):
        chords.dropper(1, rng())


def test_dropout_is_in_the_loss_alone():
    network, t = built("tcn"), batch_of(music(12))
    with torch.no_grad():
        plain = network.loss(t, rng())
        network.dropout = 0.5
        assert not torch.allclose(network.loss(t, rng()), plain)
        torch.testing.assert_close(-network.log_likelihood(t), plain, **CLOSE)


@every_model
def test_a_loss_with_products_in_bfloat16_is_near_that_in_float32(name, bf16):
    """As training goes on a processor that is faster so: the trunk in bfloat16, the head in float32."""
    network, t = built(name).float(), batch_of(music(12))
    t = t._replace(**{field: value.float() for field, value in t._asdict().items() if value.is_floating_point()})
    plain = network.loss(t, rng())
    network.precision = bf16
    lowered = network.loss(t, rng())
    assert lowered.dtype == torch.float32
    lowered.mean().backward()
    assert lowered.mean().item() == pytest.approx(plain.mean().item(), abs=0.1)


def test_convolutions_that_see_too_far_are_refused():
    with pytest.raises(ValueError, match="the net sees 248 steps back, and a fragment comes with 128"):
        tcn.Convolutions(SMALL, 4, 5, 5)


# --- cards ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", [*survey.MODELS, *survey.CLASSES_MODELS], ids=lambda model: model.name)
def test_a_card_says_where_a_model_comes_from(model):
    card = model.card
    assert isinstance(card, chords.SurveyCard)
    assert "§" in card.section
    assert all([card.title, card.source, card.equations, card.deviations, card.size, card.data])
    assert all(figure.corpus.startswith("benchmarks/") and figure.source for figure in card.published)
