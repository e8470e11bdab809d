"""The decoder: the formulas of §4.4 against enumeration of small RBMs, the LSTM-RBM of §6.2 against cases by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from octavoice import rbm
from octavoice.likelihood import decoding
from octavoice.model import Batch
from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, KEYS, compress, mask
from octavoice.thesis import exact
from octavoice.thesis.decoder import Decoder
from octavoice.training.fit import seeded

SIZES = [(4, 3), (5, 1), (1, 4)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """These tensors are so small that a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small_rbm(keys: int = 4, hidden: int = 3, seed: int = 0, scale: float = 1.5):
    """``b, c, W`` of an RBM that can be enumerated, with strong couplings."""
    rng = torch.Generator().manual_seed(seed)
    sizes = (keys,), (hidden,), (hidden, keys)
    return tuple(scale * torch.randn(*size, generator=rng, dtype=torch.float64) for size in sizes)


def draws(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def constant_decoder(b: torch.Tensor, c: torch.Tensor, W: torch.Tensor) -> Decoder:
    """A decoder that gives the same biases at every step, whatever it hears."""
    decoder = Decoder(hidden=len(c), lstm=2).double()
    with torch.no_grad():
        decoder.v_bias_linear.weight.zero_()
        decoder.h_bias_linear.weight.zero_()
        decoder.v_bias_linear.bias.copy_(b)
        decoder.h_bias_linear.bias.copy_(c)
        decoder.W.copy_(W)
    return decoder


def random_batch(time: int, batch: int, seed: int = 0, share: float = 0.05, weight=None) -> Batch:
    """Random keys with their compression, as :class:`Batch` in float64."""
    x = (draws(time, batch, KEYS, seed=seed) < share).double()
    x12 = torch.from_numpy(compress(x.numpy()))
    weight = torch.ones(time - 1, batch).double() if weight is None else weight
    return Batch(x, x12, torch.zeros(128, batch, CLASSES), torch.zeros(time, batch, 6), weight,
                   torch.zeros(128, batch, KEYS), torch.zeros(1, batch), *[torch.zeros(0, batch, KEYS)] * 2)


# --- §4.4 against enumeration -----------------------------------------------------------------------


def test_states_are_numbered_in_counting_order():
    assert exact.states(3)[[1, 4, 6]].tolist() == [[0, 0, 1], [1, 0, 0], [1, 1, 0]]
    assert exact.number(exact.states(5)).tolist() == list(range(32))


def test_joint_by_hand():
    """One key, one hidden unit, (3) written out: the weights are 1, e^c, e^b, e^{b+c+W}."""
    b, c, W = torch.tensor([0.5]).double(), torch.tensor([-1.0]).double(), torch.tensor([[2.0]]).double()
    weights = np.exp([[0, -1.0], [0.5, 1.5]])
    np.testing.assert_allclose(exact.joint(b, c, W), weights / weights.sum())


@pytest.mark.parametrize("size", SIZES)
def test_free_energy_is_minus_log_of_the_sum_over_h(size):
    b, c, W = small_rbm(*size)
    by_sum = -exact.log_weight(b, c, W).logsumexp(dim=1)
    torch.testing.assert_close(rbm.free_energy(exact.states(size[0]), b, c, W), by_sum)


@pytest.mark.parametrize("size", SIZES)
def test_conditionals_4(size):
    b, c, W = small_rbm(*size, seed=1)
    x, h = exact.states(size[0]), exact.states(size[1])
    torch.testing.assert_close(rbm.hidden_given_visible(x, c, W), exact.hidden_given_visible(b, c, W))
    torch.testing.assert_close(rbm.visible_given_hidden(h, b, W), exact.visible_given_hidden(b, c, W))


def test_gradient_5_of_exact_log_likelihood():
    """∂(-log p)/∂θ = ∂E(x)/∂θ - E_p ∂E(x*)/∂θ, with the derivatives of E by hand."""
    b, c, W = (parameter.requires_grad_() for parameter in small_rbm(seed=2))
    x = exact.states(4)
    p = exact.visible(b, c, W).detach()
    s = torch.sigmoid(c + x @ W.T).detach()
    by_hand = {"b": -x, "c": -s, "W": -s[:, :, None] * x[:, None, :]}
    for n in (0, 6, 15):
        grads = torch.autograd.grad(-exact.visible(b, c, W)[n].log(), (b, c, W))
        for dE, grad in zip(by_hand.values(), grads, strict=True):
            torch.testing.assert_close(grad, dE[n] - torch.tensordot(p, dE, dims=1))


# --- Gibbs sampling and the mask --------------------------------------------------------------------


def gibbs_counts(k: int, start: list[int], parameters, chains: int = 20_000) -> np.ndarray:
    b, c, W = parameters
    x = torch.tensor(start, dtype=torch.float64).expand(chains, -1)
    for u in draws(k, chains, len(c) + len(b), seed=k):
        x, _ = rbm.gibbs_step(x, b, c, W, u)
    return torch.bincount(exact.number(x), minlength=2 ** len(b)).numpy()


def test_gibbs_frequencies_against_exact_probabilities():
    parameters = small_rbm(seed=3, scale=1.0)
    T, p = exact.gibbs_matrix(*parameters), exact.visible(*parameters)
    start = int(exact.number(torch.tensor([1, 0, 0, 1])))
    for k, q in ((1, T[start]), (2, T[start] @ T), (60, p)):
        assert stats.chisquare(gibbs_counts(k, [1, 0, 0, 1], parameters), q.numpy() * 20_000).pvalue > 1e-3
    assert stats.chisquare(gibbs_counts(1, [1, 0, 0, 1], parameters), p.numpy() * 20_000).pvalue < 1e-9


def test_gibbs_step_reports_the_probabilities_it_drew_from():
    b, c, W = small_rbm(seed=4)
    x, u = exact.states(4), draws(16, 7, seed=4)
    sample, probability = rbm.gibbs_step(x, b, c, W, u)
    h = (u[:, :3] < rbm.hidden_given_visible(x, c, W)).double()
    torch.testing.assert_close(probability, rbm.visible_given_hidden(h, b, W))
    assert torch.equal(sample, (u[:, 3:] < probability).double())
    assert not rbm.gibbs_step(x, b.requires_grad_(), c, W, u)[1].requires_grad


def test_model_distribution_is_the_fixed_point_of_the_gibbs_matrix():
    parameters = small_rbm(seed=5)
    T, p = exact.gibbs_matrix(*parameters), exact.visible(*parameters)
    torch.testing.assert_close(T.sum(dim=1), torch.ones(16).double())
    torch.testing.assert_close(p @ T, p)


def test_masked_chain_is_the_chain_of_the_restricted_rbm():
    """Masking every sample converges to p(x | outside = 0); masking once, or one step, does not."""
    b, c, W = small_rbm(seed=6)
    allowed = torch.tensor([0, 1, 0, 1], dtype=torch.float64)
    inside, keep = (exact.states(4) <= allowed).all(dim=1), allowed > 0
    T, p = exact.gibbs_matrix(b, c, W, allowed), exact.visible(b, c, W)
    conditional = exact.conditional(p, allowed)
    torch.testing.assert_close(T[inside][:, inside], exact.gibbs_matrix(b[keep], c, W[:, keep]))
    torch.testing.assert_close(conditional[inside], exact.visible(b[keep], c, W[:, keep]))
    many = torch.linalg.matrix_power(T, 200)
    torch.testing.assert_close(many, conditional.expand(16, -1))
    assert exact.total_variation(T, conditional).max() > 0.1
    assert exact.total_variation(p @ exact.silencing(allowed), conditional) > 0.01


def test_mask_and_a_draw_of_zero():
    """Even a uniform of exactly 0 never strikes a forbidden key, and always an allowed one."""
    b, c, W = small_rbm(seed=7)
    allowed = torch.tensor([1, 0, 1, 0], dtype=torch.float64)
    sample, probability = rbm.gibbs_step(torch.ones(4).double(), b, c, W, torch.zeros(7).double(), allowed)
    assert torch.equal(sample, allowed)
    assert (probability[allowed == 0] == 0).all()


# --- the LSTM-RBM of §6.2 ---------------------------------------------------------------------------


def test_parameter_count_by_hand():
    """LSTM 4·100·(100 + 100 + 2), linear layers to 88 and 36, W 36·88; names as in the published weights."""
    shapes = {name: tuple(tensor.shape) for name, tensor in Decoder().state_dict().items()}
    assert shapes == {
        "W": (36, 88), "decoder_lstm.weight_ih_l0": (400, 100), "decoder_lstm.weight_hh_l0": (400, 100),
        "decoder_lstm.bias_ih_l0": (400,), "decoder_lstm.bias_hh_l0": (400,), "v_bias_linear.weight": (88, 100),
        "v_bias_linear.bias": (88,), "h_bias_linear.weight": (36, 100), "h_bias_linear.bias": (36,)}
    assert sum(p.numel() for p in Decoder().parameters()) == 80_800 + 8_888 + 3_636 + 3_168 == 96_492


def test_w_starts_small():
    """N(0, 0.01²) [published program]."""
    W = seeded(Decoder, 3).W
    assert abs(W.std().item() - 0.01) < 0.001
    assert abs(W.mean().item()) < 0.001


def test_input_order_is_next_classes_then_previous_keys():
    """A weight on input column 3 sees class C of x'_{t+1}; one on column 12 + 40 sees key 40 of x_t."""
    for column, index in ((3, ("x12", 1, 3)), (12 + 40, ("x", 0, 40))):
        decoder = seeded(lambda: Decoder(lstm=4), 0).double()
        with torch.no_grad():
            decoder.decoder_lstm.weight_ih_l0.zero_()[:, column] = 1.0
        t = {"x12": torch.zeros(2, 1, CLASSES).double(), "x": torch.zeros(2, 1, KEYS).double()}
        silent, _, _ = decoder(t["x12"][1:], t["x"][:-1])
        name, time, unit = index
        t[name][time, 0, unit] = 1
        heard, _, _ = decoder(t["x12"][1:], t["x"][:-1])
        assert (heard - silent).abs().max() > 1e-3


def test_step_form_equals_sequence_form_and_batched_equals_single():
    decoder, t = seeded(Decoder, 1).double(), random_batch(9, 3)
    b, c, _ = decoder(t.x12[1:], t.x[:-1])
    for piece in range(3):
        state = None
        for step in range(8):
            only = slice(piece, piece + 1)
            b_t, c_t, state = decoder(t.x12[step + 1, only][None], t.x[step, only][None], state)
            torch.testing.assert_close(b_t[0, 0], b[step, piece])
            torch.testing.assert_close(c_t[0, 0], c[step, piece])


def test_decode_is_gibbs_steps_on_the_biases_masked_after_every_sample():
    """Fig. 18 written out by hand for k = 3, and another result if the mask came only last."""
    decoder, t = constant_decoder(*small_rbm(KEYS, 6, seed=8, scale=0.7)), random_batch(6, 40, seed=1)
    keys, probability = decoding.decode(decoder, t, 3, seed=5)
    rng, x, once = torch.Generator().manual_seed(5), t.x[0], t.x[0]
    differ = False
    for step in range(5):
        b, c, _ = decoder(t.x12[1:][step][None], x[None])
        allowed = mask(t.x12[step + 1])
        once = x
        for u in torch.rand(3, 40, 6 + KEYS, generator=rng):
            x, p = rbm.gibbs_step(x, b[0], c[0], decoder.W, u, allowed)
            once, _ = rbm.gibbs_step(once, b[0], c[0], decoder.W, u)
        differ |= not torch.equal(once * allowed, x)
        assert torch.equal(keys[step], x)
        assert torch.equal(probability[step], p)
    assert differ


def test_decoding_remembers():
    """Step by step with carried state, or the biases of the whole line of decoded keys at once: the same keys."""
    decoder, t = seeded(Decoder, 6).double(), random_batch(10, 5, seed=6)
    keys, _ = decoding.decode(decoder, t, 1, seed=2)
    before = torch.cat([t.x[:1], keys[:-1]])
    b, c, _ = decoder(t.x12[1:], before)
    u = torch.rand(9, 5, 36 + KEYS, generator=torch.Generator().manual_seed(2))
    at_once, _ = rbm.gibbs_step(before, b, c, decoder.W, u, mask(t.x12[1:]))
    assert torch.equal(keys, at_once)
    forgetful, _, _ = decoder(t.x12[5:6], before[4:5])
    assert not torch.allclose(forgetful, b[4:5], atol=1e-3)


@pytest.mark.parametrize("k", [1, 4])
def test_never_a_key_outside_the_mask_and_silence_stays_silent(k):
    t = random_batch(12, 20, seed=2, share=0.2)
    t.x12[5:7] = 0
    keys, probability = decoding.decode(seeded(Decoder, 2).double(), t, k, seed=1)
    assert (keys <= mask(t.x12[1:])).all()
    assert (probability <= mask(t.x12[1:])).all()
    assert keys[4:6].sum() == probability[4:6].sum() == 0
    assert keys[:4].sum() > 0


# --- CD-1 -------------------------------------------------------------------------------------------


def one_step(key_before: int, key_now: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two steps of one key each: x'  ``(2, 1, 12)`` and x ``(2, 1, 88)``."""
    x = torch.zeros(2, 1, KEYS).double()
    x[0, 0, key_before] = x[1, 0, key_now] = 1
    return torch.from_numpy(compress(x.numpy())), x


def test_cd1_objective_by_hand():
    """W = 0 and b = log 3 everywhere: E(x) = -log 3 · keys + constant, and p(x*_k) = 3/4 for every key.

    Uniforms ½ strike all allowed keys (eight A's, or all 88 without mask), uniforms 0.9 strike none.
    """
    b, c = torch.full((KEYS,), math.log(3)).double(), torch.ones(2).double()
    decoder = constant_decoder(b, c, torch.zeros(2, KEYS).double())
    x12, x = one_step(5, 12)
    for uniform, masked, keys in ((0.5, True, 8), (0.5, False, 88), (0.9, True, 0)):
        loss = decoder.objective(x12, x, torch.full((1, 1, 2 + KEYS), uniform).double(), masked)
        assert loss.shape == (1, 1)
        assert loss.item() == pytest.approx((keys - 1) * math.log(3))


def test_cd1_objective_step_by_step():
    """The biases for x_{t+1} come from x'_{t+1}, x_t and what was before."""
    decoder, t = seeded(Decoder, 7).double(), random_batch(5, 2, seed=7)
    u, state = draws(4, 2, 36 + KEYS, seed=7), None
    loss = decoder.objective(t.x12, t.x, u)
    for step in range(4):
        now = t.x[step + 1]
        b, c, state = decoder(t.x12[step + 1][None], t.x[step][None], state)
        x_star, _ = rbm.gibbs_step(now, b[0], c[0], decoder.W, u[step], mask(t.x12[step + 1]))
        energy, energy_star = (rbm.free_energy(keys, b[0], c[0], decoder.W) for keys in (now, x_star))
        torch.testing.assert_close(loss[step], energy - energy_star)


def test_cd1_starts_at_the_data_not_at_the_previous_step():
    """A hidden unit that copies key 12: x* has key 12 because x_{t+1} has it, although x_t has not."""
    W = torch.zeros(1, KEYS).double()
    W[0, 12] = 40
    decoder = constant_decoder(torch.full((KEYS,), -20.0).double(), torch.tensor([-20.0]).double(), W)
    x12, x = one_step(5, 12)
    assert decoder.objective(x12, x, torch.full((1, 1, 1 + KEYS), 0.5).double()).item() == 0
    x_star, _ = rbm.gibbs_step(x[0, 0], torch.full((KEYS,), -20.0).double(), torch.tensor([-20.0]).double(), W,
                               torch.full((1 + KEYS,), 0.5).double())
    assert x_star.sum() == 0


def test_cd1_gradient_is_the_difference_of_energy_gradients():
    """x* is a constant: ∂loss/∂b = x* - x, and nothing is learnt about keys outside the mask."""
    b, c, W = small_rbm(KEYS, 5, seed=9, scale=0.5)
    decoder, t, u = constant_decoder(b, c, W), random_batch(2, 1, seed=3), draws(1, 1, 5 + KEYS)
    allowed = mask(t.x12[1:])
    x_star, _ = rbm.gibbs_step(t.x[1:], b, c, W, u, allowed)
    decoder.objective(t.x12, t.x, u).sum().backward()
    torch.testing.assert_close(decoder.v_bias_linear.bias.grad, (x_star - t.x[1:])[0, 0])
    assert (decoder.W.grad[:, allowed[0, 0] == 0] == 0).all()
    assert (decoder.W.grad[:, allowed[0, 0] == 1] != 0).any()


def test_cd1_loss_is_zero_for_a_mirror_that_knows_nothing():
    b = c = torch.full((4,), -20.0).double()
    W, x = 40 * torch.eye(4).double(), exact.states(4)
    x_star, _ = rbm.gibbs_step(x, b, c, W, draws(16, 8))
    assert torch.equal(rbm.free_energy(x, b, c, W), rbm.free_energy(x_star, b, c, W))
    torch.testing.assert_close(exact.visible(b, c, W), torch.full((16,), 1 / 16).double(), atol=1e-6, rtol=0)


# --- judging ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]])
def test_pseudo_likelihood_against_enumeration(allowed):
    b, c, W = small_rbm(seed=10)
    x, p = exact.states(4), exact.visible(b, c, W)
    flipped = torch.stack([exact.number((x - unit).abs()) for unit in torch.eye(4)], dim=1)
    allowed = torch.tensor(allowed, dtype=torch.float64)
    by_sum = ((p[:, None] / (p[:, None] + p[flipped])).log() * allowed).sum(dim=1)
    torch.testing.assert_close(rbm.pseudo_likelihood(x, b, c, W, allowed), by_sum)


def test_one_class_likelihood_against_the_restricted_rbm():
    """Steps of one class among others: log p(x | outside = 0) by summing the joint over 2^8 · 2^3 states."""
    b, c, W = small_rbm(KEYS, 3, seed=11, scale=0.6)
    x = torch.zeros(6, 1, KEYS).double()
    for step, keys in enumerate([[3], [3, 27], [7], [4, 5], [40, 52, 64], [11]]):
        x[step, 0, keys] = 1
    x12 = torch.from_numpy(compress(x.numpy()))
    weight = torch.tensor([[1.0], [1], [1], [1], [0]]).double()  # the last step is padding, two classes at step 3
    t = Batch(x, x12, *[torch.zeros(0)] * 2, weight, *[torch.zeros(0)] * 4)
    likelihood, pseudo = decoding.one_class_log_likelihood(constant_decoder(b, c, W), t)
    by_sum = []
    for step in (1, 2, 4):
        keep = mask(x12[step, 0]) > 0
        p = exact.visible(b[keep], c, W[:, keep])
        by_sum.append(p[exact.number(x[step, 0, keep])].log())
    torch.testing.assert_close(likelihood, torch.stack(by_sum))
    torch.testing.assert_close(pseudo, rbm.pseudo_likelihood(x[[1, 2, 4], 0], b, c, W, mask(x12[[1, 2, 4], 0])))
    assert not torch.allclose(likelihood, pseudo, atol=1e-2)


def test_sampling_likelihood_against_enumeration_of_h():
    """k = 1: log Σ_h p(h | x_t) Π_k p(x_{t+1,k} | h) over the allowed keys; the start matters."""
    b, c, W = small_rbm(KEYS, 3, seed=12, scale=0.8)
    t = random_batch(3, 2, seed=4, share=0.03)
    h = exact.states(3)
    prior = rbm.hidden_given_visible(t.x[:-1], c, W)[..., None, :]
    p_h = torch.where(h > 0.5, prior, 1 - prior).prod(dim=-1)
    x, allowed = t.x[1:, :, None], mask(t.x12[1:])[:, :, None]
    given_h = decoding.keys_log_likelihood(rbm.visible_given_hidden(h, b, W), x, allowed)
    by_sum = (p_h.log() + given_h).logsumexp(dim=-1)
    estimate = decoding.sampling_log_likelihood(constant_decoder(b, c, W), t, 1, 1000, seed=0)
    torch.testing.assert_close(estimate, by_sum, atol=0.1, rtol=0)
    uniform_h = (given_h - math.log(8)).logsumexp(dim=-1)
    assert (uniform_h - by_sum).abs().max() > 0.2


def test_octave_memory_and_key_frequencies_by_hand():
    roll = np.zeros((4, KEYS), np.uint8)
    roll[0, 12] = roll[2, 12] = roll[3, 24] = 1  # class A three times: key 12 twice, then key 24
    memory = decoding.octave_memory(roll)
    assert memory[:, 12].tolist() == [0, 2, 2, 2]
    assert memory[:, 24].tolist() == [0, 1, 1, 1]
    assert memory[:, 13].tolist() == [0, 0, 0, 0]
    piece = Piece("by hand", roll, 1, ((4, 4),))
    plain = decoding.key_frequencies([piece], remember=False)
    assert plain[:, 12].tolist() == [(2 + 1 / 8) / 4] * 3
    kept = decoding.key_frequencies([piece], remember=True)
    assert kept[2, 12] == pytest.approx((1 + plain[0, 12]) / 3)  # kept once of two
    assert kept[1, 24] == pytest.approx((1 + plain[0, 24]) / 3)  # new once of two
    assert kept[0, 36] == pytest.approx(plain[0, 36] / 2)


def test_strikes_by_hand():
    """Keys of probability ½: class A has eight of them, class C♯ seven."""
    x = torch.zeros(2, 1, KEYS)
    x[1, 0, [0, 4]] = 1
    x12 = torch.from_numpy(compress(x.numpy()))
    t = Batch(x, x12, *[torch.zeros(0)] * 2, torch.ones(1, 1), *[torch.zeros(0)] * 4)
    assert decoding.strikes(0.5 * mask(x12[1:]), t) == pytest.approx(
        {"keys struck": 7.5, "truly struck": 1.0, "classes without a key": (2**-8 + 2**-7) / 2})
    only_a = x[1:].clone()
    only_a[..., 4] = 0
    assert decoding.strikes(only_a, t) == {"keys struck": 1, "truly struck": 1, "classes without a key": 0.5}


def test_before_mask_strikes_outside_too():
    decoder, t = seeded(Decoder, 5).double(), random_batch(4, 3, seed=5)
    raw = decoding.before_mask(decoder, t, seed=1)
    assert raw.shape == (3, 3, KEYS)
    assert (raw * (1 - mask(t.x12[1:]))).sum() > 1


def test_few_steps_of_training_learn_an_octave_that_alternates():
    """Class A sounds at every step, in turn in two octaves: a frequency gives ½ to both, the LSTM can know."""
    x = torch.zeros(24, 4, KEYS)
    x[0::2, :, 36] = x[1::2, :, 48] = 1
    x12 = torch.from_numpy(compress(x.numpy()))
    decoder = seeded(lambda: Decoder(hidden=4, lstm=12), 0)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.1)

    def judged() -> float:
        b, c, _ = decoder(x12[1:], x[:-1])
        return rbm.pseudo_likelihood(x[1:], b, c, decoder.W, mask(x12[1:])).mean().item()

    before = judged()
    for seed in range(60):
        optimiser.zero_grad()
        decoder.objective(x12, x, draws(23, 4, 4 + KEYS, seed=seed, dtype=torch.float32)).mean().backward()
        optimiser.step()
    assert before < -4
    assert judged() > 2 * functional.logsigmoid(torch.tensor(0.0)).item() + 0.5


def test_judges_agree_for_independent_keys():
    """With W = 0 the keys are independent: every likelihood is the Bernoulli one, for decoder and baseline alike."""
    b = small_rbm(KEYS, 1, seed=13, scale=1.0)[0]
    t = random_batch(6, 8, seed=8, share=0.015)
    decoder = constant_decoder(b, torch.ones(2).double(), torch.zeros(2, KEYS).double())
    judged = decoding.judge(decoder, t, chains=2, seed=0)
    assert judged == pytest.approx(decoding.judge_baseline(torch.sigmoid(b) * mask(t.x12[1:]), t))
    assert judged["pseudo-likelihood"] != pytest.approx(judged["one class: likelihood"], abs=0.1)
