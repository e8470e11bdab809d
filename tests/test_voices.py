"""The voice-by-voice sampler, its objective, and its rivals (§6.4)."""

import math
from itertools import product

import pytest
import torch

from octavoice.thesis import enumeration, rivals
from octavoice.thesis.voices import VoiceSampler, choose, log_any, log_not, objective, ordered_decisions, surrogate


@pytest.fixture
def tiny(lopsided):
    return lopsided(VoiceSampler, 0, 3)


def features(steps=1, batch=1, seed=0, size=4):
    return torch.randn(steps, batch, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniforms(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_choose_inverts_the_distribution_and_never_draws_zero():
    log_q = torch.tensor([-math.inf, math.log(0.25), -math.inf, math.log(0.75), -math.inf])
    u = torch.tensor([0.0, 0.2499, 0.2501, 0.9999999])
    assert choose(log_q.expand(4, -1), u).tolist() == [1, 1, 3, 3]


def test_decided_classes_have_probability_exactly_zero():
    sampler, u = VoiceSampler(), torch.rand(5, 20, 3)
    log_q, choices, sounds, _ = sampler(torch.randn(20, 3, 130), u)
    q = log_q.exp()
    torch.testing.assert_close(q.sum((-1, -2)), torch.ones(5, 20, 3))
    classes = choices % 12
    for v in range(1, 5):
        for earlier in range(v):
            taken = torch.nn.functional.one_hot(classes[earlier], 12).bool()
            assert (q[v].transpose(-1, -2)[taken] == 0).all()
    assert all(len(set(column.tolist())) == 5 for column in classes.flatten(1).T)
    assert ((sounds.sum(-1)) == (choices < 12).sum(0)).all()


def test_sampling_frequencies_match_enumerated_paths(tiny):
    """Chi-square over all 24 decision paths at a fixed seed."""
    paths, draws = enumeration.voice_paths(tiny, features()[0, 0]), 40_000
    assert len(paths.choices) == 6 * 4
    assert paths.probability.sum().item() == pytest.approx(1, abs=1e-12)
    _, choices, _, _ = tiny(features().expand(1, draws, -1), uniforms(2, 1, draws))
    code = choices[0, 0] * 6 + choices[1, 0]
    expected = torch.zeros(36, dtype=torch.float64).index_add(0, paths.choices @ torch.tensor([6, 1]),
                                                              paths.probability * draws)
    seen = torch.bincount(code, minlength=36).double()
    assert seen[expected == 0].sum() == 0
    used = expected > 0
    assert ((seen - expected)[used] ** 2 / expected[used]).sum() < 49.7  # 99.9th percentile of chi2(23)


def test_path_sum_is_the_marginal_and_the_surrogate_is_not(tiny):
    paths = enumeration.voice_paths(tiny, features()[0, 0])
    torch.testing.assert_close(paths.mean_path_sum(), paths.marginal(), atol=1e-12, rtol=0)
    assert (paths.marginal() - paths.mean_surrogate()).abs().max() > 0.01
    by_hand = sum(p * s for p, s in zip(paths.vectors(), torch.tensor(list(product((0., 1.), repeat=3))).flip(-1),
                                        strict=True))
    torch.testing.assert_close(by_hand.double(), paths.marginal(), atol=1e-7, rtol=0)


def test_step_form_equals_sequence_form():
    torch.manual_seed(0)
    sampler = VoiceSampler().double()
    F, u = features(20, 3, size=130), uniforms(5, 20, 3)
    target = (uniforms(20, 3, 12, seed=2) < 0.2).double()
    for goal, forcing in ((None, "own"), (target, "truth"), (target, "own"), (target, "ordered")):
        log_q, choices, sounds, _ = sampler(F, u, goal, forcing)
        states = None
        for t in range(20):
            now = slice(t, t + 1)
            q_t, c_t, s_t, states = sampler(F[now], u[:, now], None if goal is None else goal[now], forcing, states)
            torch.testing.assert_close(q_t[:, 0], log_q[:, t], atol=1e-12, rtol=0)
            assert torch.equal(c_t[:, 0], choices[:, t])
            assert torch.equal(s_t[0], sounds[t])


def test_each_voice_keeps_its_own_state_along_time():
    sampler = VoiceSampler().double()
    _, _, _, states = sampler(features(4, 2, size=130), uniforms(5, 4, 2))
    assert len(states) == 5
    assert all(not torch.equal(states[0][0], states[v][0]) for v in range(1, 5))


def test_teacher_forcing_passes_on_the_truth_for_the_class_that_was_chosen():
    sampler, target = VoiceSampler(), (torch.rand(6, 4, 12) < 0.3).float()
    _, choices, sounds, _ = sampler(torch.randn(6, 4, 130), torch.rand(5, 6, 4), target)
    decided = torch.nn.functional.one_hot(choices % 12, 12).sum(0)
    assert torch.equal(sounds, decided * target)


def test_ordered_decisions():
    y = torch.tensor([0., 1., 0., 0., 1.])
    assert [tuple(a.tolist() for a in ordered_decisions(y, n)) for n in (0, 1, 3)] == [
        ([0.] * 5, [0.] * 5), ([0., 1., 0., 0., 0.], [0.] * 5), ([0., 1., 0., 0., 1.], [1., 0., 0., 0., 0.])]


def test_the_objective_is_the_plain_formula():
    sampler, target = VoiceSampler().double(), (uniforms(9, 4, 12) < 0.2).double()
    log_q, *_ = sampler(features(9, 4, size=130), uniforms(5, 9, 4), target)
    q = log_q.exp()
    on, off = (1 - torch.prod(1 - q[..., i, :], dim=0) for i in (0, 1))
    P = on * (1 - off)
    plain = -(target * P.log() + (1 - target) * (1 - P).log()).sum(-1)
    torch.testing.assert_close(objective(log_q, target), plain, atol=1e-10, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_the_objective_stays_finite_and_correct_at_saturation(scale):
    """Against the same formula in 400-digit arithmetic, float32 logits up to ±300·3."""
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 400
    logits = torch.randn(2, 6, generator=torch.Generator().manual_seed(1)) * scale
    log_q = torch.log_softmax(logits, -1).unflatten(-1, (2, 3)).requires_grad_()
    log_p, log_not_p = surrogate(log_q)
    for p in range(3):
        exact = [[mpmath.exp(mpmath.mpf(x.item())) for x in voice.flatten()] for voice in logits]
        q = [[e / mpmath.fsum(row) for e in row] for row in exact]
        on, off = (1 - mpmath.fprod(1 - row[p + 3 * i] for row in q) for i in (0, 1))
        P = on * (1 - off)
        assert log_p[p].item() == pytest.approx(float(mpmath.log(P)), rel=2e-5, abs=2e-5)
        assert log_not_p[p].item() == pytest.approx(float(mpmath.log(1 - P)), rel=2e-5, abs=2e-5)
    objective(log_q[:, None, None], torch.tensor([[[1., 0., 1.]]])).sum().backward()
    assert torch.isfinite(log_q.grad).all()


def test_log_not_and_log_any():
    q = torch.tensor([[0.2, 0.8], [0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(log_not(q.log()).exp(), 1 - q)
    torch.testing.assert_close(log_any(q.log(), log_not(q.log())).exp(), 1 - torch.prod(1 - q, dim=0))


def test_gradients_flow_through_probabilities_not_through_choices():
    sampler, F = VoiceSampler(), torch.randn(5, 2, 130, requires_grad=True)
    target = torch.zeros(5, 2, 12)
    log_q, choices, _, _ = sampler(F, torch.rand(5, 5, 2), target)
    assert not choices.requires_grad
    objective(log_q, target).mean().backward()
    assert F.grad.abs().sum() > 0
    assert all(torch.isfinite(p.grad).all() for p in sampler.parameters())


# --- scheme one and the joint softmax ---------------------------------------------------------------------------------

def test_the_one_sample_estimate_is_unbiased_for_the_written_expression_only():
    """The thesis's slip: voice 2 repeats voice 1, p¹ = (½, ½). True 0.50, written expression 0.75."""
    q1, q2 = torch.tensor([0.5, 0.5]), torch.eye(2)
    estimate = torch.stack([rivals.first_scheme_estimate(torch.stack([q1, q2[n]])) for n in (0, 1)])
    assert (q1 @ estimate).tolist() == [0.75, 0.75]
    true = torch.stack([q1[n] * torch.maximum(torch.eye(2)[n], q2[n]) for n in (0, 1)]).sum(0)
    assert true.tolist() == [0.5, 0.5]


def test_scheme_one_frequencies_match_enumeration(lopsided):
    scheme = lopsided(rivals.FirstScheme, 3, 3)
    paths, draws = enumeration.first_scheme_paths(scheme, features()[0, 0]), 40_000
    assert len(paths.choices) == 16
    _, choices = scheme(features().expand(1, draws, -1), uniforms(2, 1, draws))
    seen = torch.bincount(choices[0, 0] * 4 + choices[1, 0], minlength=16).double()
    expected = torch.zeros(16, dtype=torch.float64).index_add(0, paths.choices @ torch.tensor([4, 1]),
                                                              paths.probability * draws)
    assert ((seen - expected) ** 2 / expected).sum() < 37.7  # 99.9th percentile of chi2(15)


def test_voices_that_share_a_net_answer_alike_until_one_sounds():
    """Why a shared net cannot leave all the work to one voice: a pause tells the next voice nothing."""
    shared, own = (rivals.FirstScheme(4, 3, 6, 3, shared=flag).double() for flag in (True, False))
    for scheme in (shared, own):
        for linear in scheme.linears:
            torch.nn.init.constant_(linear.bias[-1:], 50.0)  # everybody pauses
    alike, apart = (scheme(features(6, 2), uniforms(3, 6, 2))[0] for scheme in (shared, own))
    assert torch.equal(alike[0], alike[1])
    assert torch.equal(alike[1], alike[2])
    assert not torch.equal(apart[0], apart[1])


def test_scheme_one_objective_is_the_cross_entropy_of_the_estimate():
    scheme, target = rivals.FirstScheme().double(), (uniforms(7, 3, 12) < 0.2).double()
    log_q, _ = scheme(features(7, 3, size=130), uniforms(5, 7, 3))
    p = rivals.first_scheme_estimate(log_q.exp())[..., :-1]
    plain = -(target * p.log() + (1 - target) * (1 - p).log()).sum(-1)
    torch.testing.assert_close(rivals.first_scheme_objective(log_q, target), plain, atol=1e-10, rtol=0)
    pause = log_q[..., -1].exp().sum(0)
    torch.testing.assert_close(rivals.first_scheme_objective(log_q, target, 0.5), plain + 0.5 * pause)


def test_the_joint_softmax_is_a_distribution_over_step_vectors():
    joint = rivals.JointSoftmax(features=4, classes=3).double()
    vectors = torch.tensor(list(product((0., 1.), repeat=3))).double()
    nll = joint.objective(features()[0].expand(8, -1), vectors)
    assert torch.exp(-nll).sum().item() == pytest.approx(1)


