"""The shared likelihood by particle filter against enumeration of every decision sequence (§6.4, C8)."""

import math

import pytest
import torch

from octavoice.thesis import particles
from octavoice.thesis.enumeration import vector_index, voice_paths
from octavoice.thesis.voices import VoiceSampler


@pytest.fixture
def tiny(lopsided):
    return lopsided(VoiceSampler, 4, 2)


def test_one_step_estimates_average_to_the_enumerated_likelihood(tiny):
    F = torch.randn(1, 1, 4, dtype=torch.float64)
    exact = voice_paths(tiny, F[0, 0]).vectors()
    for index in range(8):
        y = torch.tensor([[[index >> p & 1 for p in range(3)]]]).double()
        assert vector_index(y).item() == index
        wide = particles.particle_log_likelihood(tiny, F, y, 4000, torch.Generator().manual_seed(0))
        if index == 7:
            assert wide.item() == -math.inf
            assert exact[7] == 0
        else:
            assert wide.exp().item() == pytest.approx(exact[index].item(), rel=0.03)


def enumerated_likelihood(sampler, F, y):
    """P(y) over all decisions at all steps, by recursion: states make each step depend on those before."""
    def later(t, v, sounds, silent, states, ends):
        if v == sampler.voices:
            if not torch.equal(sounds, y[t:t + 1]):
                return 0.0
            return later(t + 1, 0, zero, zero, ends, []) if t + 1 < len(F) else 1.0
        log_q, end = sampler.voice(F[t:t + 1], sounds, silent, states[v] if states else None)
        right = torch.stack([y[t] > 0.5, y[t] < 0.5], dim=-2)  # decisions are final: a wrong one never leads to y
        open_choices = torch.nonzero((torch.isfinite(log_q[0]) & right).flatten())
        return sum(math.exp(log_q.flatten()[c].item()) * later(
            t, v + 1, *sampler.pass_on(sounds, silent, c[None], None), states, [*ends, end]) for c in open_choices)
    zero = torch.zeros(1, 1, sampler.classes, dtype=torch.float64)
    return later(0, 0, zero, zero, None, [])


def test_two_step_estimates_average_to_the_enumerated_likelihood(tiny):
    F, y = torch.randn(2, 1, 4, dtype=torch.float64), torch.tensor([[[1., 0, 1]], [[0., 1, 0]]]).double()
    estimate = particles.particle_log_likelihood(tiny, F, y, 20_000, torch.Generator().manual_seed(1)).sum()
    assert estimate.exp().item() == pytest.approx(enumerated_likelihood(tiny, F, y), rel=0.03)


PIECE = torch.tensor([[1., 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).double()[:, None]
"""Four steps of three classes: chords, one class, silence."""


@pytest.fixture
def remembering(lopsided):
    """As ``tiny``, with weights so large that what a voice decided weighs heavily on its next steps."""
    return lopsided(VoiceSampler, 7, 6)


def standard_errors(sampler, count):
    """By how many standard errors the mean of 24 000 estimates with ``count`` particles each misses the enumeration."""
    F = torch.randn(4, 1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    exact = enumerated_likelihood(sampler, F, PIECE)
    wide = [a.expand(-1, 800, -1) for a in (F, PIECE)]
    found = torch.cat([particles.particle_log_likelihood(sampler, *wide, count, torch.Generator().manual_seed(seed))
                       .sum(dim=0).exp() for seed in range(30)])
    return ((found.mean() - exact) / (found.std() / len(found) ** 0.5)).item(), found.mean().item() / exact


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_whole_piece_is_estimated_without_bias(remembering, count):
    """In the mean over seeds, whatever the number of particles."""
    assert abs(standard_errors(remembering, count)[0]) < 4


def test_the_filter_needs_its_resampling(remembering, monkeypatch):
    """Particles that go on whatever they weighed estimate something else: the test above would see it."""
    monkeypatch.setattr(particles, "resampled", lambda states, log_weight, rng: states)
    assert abs(standard_errors(remembering, 5)[0]) > 8
