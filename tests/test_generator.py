"""The composer: explicit state, primes of any length, one piece or many at once (§6.1, §7.3)."""

import numpy as np
import pytest
import torch

from octavoice import composer as composers
from octavoice.composer import Composer
from octavoice.music.roll import clock, compress, mask
from octavoice.thesis.attention import MainState
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator


@pytest.fixture(scope="module")
def composer():
    torch.manual_seed(0)
    return Composer(OctaveGenerator(), Decoder())


def primes(steps, batch, seed=0):
    return (np.random.default_rng(seed).random((steps, batch, 88)) < 0.04).astype(np.uint8)


def test_shapes_and_the_prime_kept(composer):
    prime = primes(16, 3)
    piece = composer.compose(prime, 20, seed=1)
    assert piece.roll.shape == (36, 3, 88)
    assert piece.x12.shape == (36, 3, 12)
    assert piece.start == 16
    assert piece.trace["choices"].shape == (20, 3, 5)
    assert piece.trace["log_q"].shape == (20, 3, 5, 2, 12)
    assert piece.trace["attention"].shape == (20, 3, 8)
    assert piece.trace["probability"].shape == (20, 3, 88)
    assert np.array_equal(piece.roll[:16], prime)


def test_no_key_outside_the_mask_and_lost_classes_are_counted(composer):
    piece = composer.compose(primes(16, 4), 60, seed=2)
    new, x12 = piece.roll[16:], piece.x12[16:]
    assert (new <= mask(x12)).all()
    assert not new[~x12.any(-1)].any()
    assert piece.decided == x12.sum()
    assert piece.lost == (x12.astype(int) - compress(new)).sum()


def test_the_generator_goes_on_from_its_own_classes(composer):
    """Recompressed keys would differ from x' wherever a class was lost; the run below loses some."""
    piece = composer.compose(primes(16, 4), 60, seed=2)
    assert piece.lost > 0
    line = torch.from_numpy(piece.x12).double()
    ticks = torch.from_numpy(clock(np.arange(len(line)))).double()[:, None].expand(-1, 4, -1)
    with torch.no_grad():
        _, attention, _ = composer.networks[0](line[:-1], ticks[:-1], MainState(torch.zeros(128, 4, 12).double()))
    np.testing.assert_allclose(attention[15:].numpy(), piece.trace["attention"], atol=1e-12)


def test_same_notes_whatever_the_batch(composer):
    prime = primes(16, 7)
    together = composer.compose(prime, 40, seed=5)
    for i in range(7):
        alone = composer.compose(prime[:, i:i + 1], 40, seed=5, first_index=i)
        assert np.array_equal(alone.roll[:, 0], together.roll[:, i])
    other = composer.compose(prime, 40, seed=6)
    assert not np.array_equal(other.roll, together.roll)


def test_two_hundred_pieces_are_the_same_at_batch_1_7_and_120(composer):
    prime = primes(4, 200)

    def in_batches_of(size):
        parts = [composer.compose(prime[:, i:i + size], 6, seed=5, first_index=i).roll for i in range(0, 200, size)]
        return np.concatenate(parts, axis=1)
    assert np.array_equal(in_batches_of(1), in_batches_of(120))
    assert np.array_equal(in_batches_of(7), in_batches_of(120))


def test_one_prime_many_variations_differ(composer):
    piece = composer.compose(np.repeat(primes(16, 1), 5, axis=1), 40, seed=1)
    assert len({piece.roll[:, i].tobytes() for i in range(5)}) == 5


@pytest.mark.parametrize("steps", [1, 2, 16, 129, 256, 400])
def test_primes_of_any_length(composer, steps):
    assert composer.compose(primes(steps, 1), 3, seed=0).roll.shape == (steps + 3, 1, 88)


def test_of_a_long_prime_only_the_last_steps_and_128_before_count(composer, monkeypatch):
    """With a context of 2 steps (256 outside this test) the past is near enough to be felt."""
    monkeypatch.setattr(composers, "CONTEXT", 2)
    long = primes(200, 1)

    def probability(silenced):
        changed = long.copy()
        changed[silenced] = 1 - changed[silenced]
        return composer.compose(changed, 4, seed=3).trace["log_q"]

    plain = composer.compose(long, 4, seed=3).trace["log_q"]
    assert np.array_equal(probability(slice(0, 200 - 2 - 128)), plain)
    assert not np.array_equal(probability(slice(200 - 2 - 127, 198)), plain)
    assert not np.array_equal(probability(199), plain)


def test_reading_a_prime_feeds_the_voices_as_in_training(composer):
    """The composer's voice distributions while listening are the training form's, given the same draws."""
    prime = primes(40, 2)
    draws = composer.draws(9, 0, 2, 39)
    x, x12 = (torch.from_numpy(a).double() for a in (prime, compress(prime)))
    state, seen = composer.start(x[0]), []
    for t in range(1, 40):
        state, trace = composer.step(state, draws[t - 1], (x12[t], x[t]))
        seen.append(trace["log_q"])
    ticks = torch.from_numpy(clock(np.arange(40))).double()[:, None].expand(-1, 2, -1)
    with torch.no_grad():
        log_q = composer.networks[0].log_q(x12, ticks, torch.zeros(128, 2, 12).double(),
                                           draws[:, :, :5].permute(2, 0, 1))
    torch.testing.assert_close(torch.stack(seen, 1), log_q.transpose(0, 2), atol=1e-12, rtol=0)


def test_the_published_programs_way_of_reading_a_prime_differs(composer):
    prime = primes(48, 4)
    a, b = (Composer(*composer.networks, truthful=flag).compose(prime, 8, seed=1).trace["log_q"]
            for flag in (True, False))
    assert a.shape == b.shape
    assert not np.array_equal(a, b)


def test_a_setting_that_no_network_has_is_an_error(composer):
    assert Composer(*composer.networks, gibbs_steps=3).networks[1].gibbs_steps == 3
    with pytest.raises(ValueError, match="no network of this model has a setting gibbs_stepps"):
        Composer(*composer.networks, gibbs_stepps=3)


def test_more_gibbs_steps_stay_inside_the_mask():
    torch.manual_seed(1)
    piece = Composer(OctaveGenerator(), Decoder(), gibbs_steps=3).compose(primes(8, 2), 30, seed=0)
    assert (piece.roll[8:] <= mask(piece.x12[8:])).all()
