"""Likelihoods that need a partition function or a back door: against enumeration, and by hand."""

import numpy as np
import pytest
import torch

from octavoice import rbm
from octavoice.corpus import Pieces
from octavoice.likelihood import checks as likelihoods
from octavoice.likelihood import equilibrium, mixture
from octavoice.model import uniforms
from octavoice.music.piece import Piece
from octavoice.rbm import gibbs_step
from octavoice.thesis import exact
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator


@pytest.fixture
def rbms():
    """Six RBMs of eight keys and four hidden units that share their W, each with a mask of its own."""
    torch.manual_seed(1)
    b, c, W = (torch.randn(*shape, dtype=torch.float64) * 1.5 for shape in ((6, 8), (6, 4), (4, 8)))
    allowed = torch.tensor([[1.0] * 8, [1, 0] * 4, [0] * 8, [1, 1, 1, 0, 0, 0, 1, 1], [1] + [0] * 7, [1] * 7 + [0]])
    return b, c, W, allowed.double()


def enumerated(b, c, W, allowed):
    """log Z inside the mask, by summing the joint (3) over every state of both layers."""
    inside = (exact.states(8) <= allowed).all(dim=-1)
    return exact.log_weight(b, c, W)[inside].flatten().logsumexp(dim=0)


def test_the_partition_function_is_the_sum_over_all_states(rbms):
    b, c, W, allowed = rbms
    truth = torch.stack([enumerated(*row, W, mask) for *row, mask in zip(b, c, allowed, strict=True)])
    torch.testing.assert_close(equilibrium.log_partition_exact(b, c, W, allowed), truth, atol=1e-10, rtol=0)


def test_annealing_comes_to_the_partition_function_and_from_below(rbms):
    b, c, W, allowed = rbms
    truth = equilibrium.log_partition_exact(b, c, W, allowed)

    def estimate(chains, temperatures, seed=0):
        rng = torch.Generator().manual_seed(seed)
        return rbm.log_partition(b, c, W, rng, chains, temperatures, allowed)
    torch.testing.assert_close(estimate(4000, 100), truth, atol=0.03, rtol=0)
    rough = torch.stack([estimate(1, 3, seed) for seed in range(300)])
    assert (rough.mean(dim=0) <= truth + 0.05).all()
    assert (rough.exp().mean(dim=0) / truth.exp())[2:].sub(1).abs().max() < 0.3
    assert estimate(1, 3)[2] == pytest.approx(truth[2].item())  # nothing is allowed: only the hidden units are left


def test_likelihoods_sum_to_one_inside_the_mask(rbms):
    b, c, W, allowed = (part[:1] if part.shape[0] == 6 else part for part in rbms)
    x = exact.states(8)
    nats = equilibrium.log_likelihood(x, b.expand(256, -1), c.expand(256, -1), W, allowed.expand(256, -1),
                                      torch.Generator())
    assert nats.exp().sum().item() == pytest.approx(1, abs=1e-10)


def test_equilibrium_is_where_gibbs_steps_lead_and_one_step_is_elsewhere(rbms):
    """The distribution that stays as it is under the Gibbs matrix; generation's one step from silence is another."""
    b, c, W, allowed = (part[0] if part.shape[0] == 6 else part for part in rbms)
    x = exact.states(8)
    p = equilibrium.log_likelihood(x, b.expand(256, -1), c.expand(256, -1), W, allowed.expand(256, -1),
                                   torch.Generator()).exp()
    step = exact.gibbs_matrix(b, c, W)
    torch.testing.assert_close(p @ step, p, atol=1e-10, rtol=0)
    assert exact.total_variation(step[0], p) > 0.05
    u = uniforms(torch.Generator().manual_seed(0), 20_000, 12).double()
    drawn, _ = gibbs_step(torch.zeros(20_000, 8, dtype=torch.float64), b, c, W, u)
    seen = torch.bincount(exact.number(drawn), minlength=256) / 20_000
    assert exact.total_variation(seen, step[0]) < 0.05


def test_a_mixture_takes_in_impossible_steps_and_its_epsilon_is_the_best():
    log_p = np.array([-1.0] * 98 + [-np.inf] * 2)
    marginal = np.full(100, -6.0)
    epsilon = mixture.best_epsilon(log_p, marginal)

    def level(e):
        return mixture.mixed(log_p, marginal, e).mean()
    assert np.isfinite(level(epsilon))
    assert level(epsilon) >= max(level(e) for e in np.linspace(0.001, 0.2, 400)) - 1e-6
    assert epsilon == pytest.approx(0.02, rel=0.05)  # as often as it is needed, since it is worth little elsewhere


def test_a_mixture_is_a_distribution():
    p, marginal = np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.3, 0.5])
    with np.errstate(divide="ignore"):
        assert np.exp(mixture.mixed(np.log(p), np.log(marginal), 0.1)).sum() == pytest.approx(1)


def test_what_is_left_of_a_bound_that_falls_short_by_a_power():
    def level(n):
        return -2 - 0.3 * n**-0.5
    assert likelihoods.gap_left(level(8), level(32), level(128)) == pytest.approx(0.3 * 128**-0.5)
    assert likelihoods.gap_left(-2.0, -1.9, -1.7) == np.inf


def random_pieces(count, steps, seed):
    rng = np.random.default_rng(seed)
    return Pieces.of([Piece(str(i), (rng.random((steps, 88)) < 0.03).astype(np.uint8), 2, ((4, 4),))
                      for i in range(count)])


def test_a_decoder_is_judged_at_equilibrium_beside_as_generated(monkeypatch):
    """Without hidden units the RBM is independent keys, whose equilibrium is what one Gibbs step draws."""
    monkeypatch.setattr(likelihoods, "STEPS", 40)
    monkeypatch.setattr(likelihoods, "LENGTH", 60)
    monkeypatch.setattr(Decoder, "chains", 2)
    torch.manual_seed(0)
    found = likelihoods.decoder_levels(Decoder(hidden=0), random_pieces(2, 60, 0), seed=1)
    assert found["at equilibrium"] == pytest.approx(found["as generated"], abs=1e-3)
    assert found["at equilibrium"] == pytest.approx(found["pseudo-likelihood"], abs=1e-3)
    assert abs(found["annealed less exact"]) < 1e-3
    assert found["steps"] == 40


def test_the_bound_and_the_mixture_are_measured_of_a_generator(monkeypatch):
    monkeypatch.setattr(likelihoods, "PARTICLES", (1, 2, 4, 8))
    monkeypatch.setattr(likelihoods, "LENGTH", 40)
    torch.manual_seed(0)
    generator = OctaveGenerator().eval()
    sides = {name: random_pieces(2, 40, seed) for seed, name in enumerate(("train", "valid", "test"))}
    found = likelihoods.looseness(generator, sides["valid"])
    shown = likelihoods.bounds({4: found})
    assert shown.loc[(4, 0), 8] == found["levels"]["8"][0]
    assert shown.shape == (likelihoods.DRAWS, len(likelihoods.PARTICLES) + 1)
    assert list(found["levels"]) == ["1", "2", "4", "8"]
    assert all(len(draws) == likelihoods.DRAWS for draws in found["levels"].values())
    assert found["steps"] + found["left out"] == 2 * 39
    mixed = likelihoods.on_all_steps(generator, sides)
    assert mixed["steps"] == 2 * 39
    assert mixed["level"] >= mixed["marginal"] + np.log(mixed["epsilon"])
