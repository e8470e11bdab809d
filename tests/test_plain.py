"""The fast forms of training against the plain one, step by step: values and gradients (§6.2–6.4)."""

import numpy as np
import pytest
import torch

from octavoice.model import Batch
from octavoice.music.roll import clock, compress
from octavoice.thesis import plain
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.voices import objective
from octavoice.training import fit, networks

TIME, BATCH = 24, 5
CLOSE = 1e-5


@pytest.fixture(scope="module")
def tensors():
    rng = np.random.default_rng(0)
    x = (rng.random((TIME, BATCH, 88)) < 0.04).astype(np.float32)
    history = (rng.random((128, BATCH, 12)) < 0.2).astype(np.float32)
    ticks = np.broadcast_to(clock(np.arange(TIME))[:, None], (TIME, BATCH, 6)).astype(np.float32)
    arrays = x, compress(x).astype(np.float32), history, np.ascontiguousarray(ticks), np.ones((TIME - 1, BATCH)), \
        np.zeros((128, BATCH, 88)), np.zeros((1, BATCH)), *[np.zeros((0, BATCH, 88))] * 2
    return Batch(*(torch.from_numpy(array).float() for array in arrays))


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters()}


def assert_close(ours, reference):
    for name, expected in reference.items():
        assert (ours[name] - expected).abs().max() <= CLOSE * max(1.0, expected.abs().max()), name


def test_voices_over_sequences_give_the_plain_values_and_gradients(tensors):
    generator = fit.seeded(OctaveGenerator, 4)
    u = torch.rand(generator.sampler.voices, TIME - 1, BATCH, generator=torch.Generator().manual_seed(1))
    expected, choices = plain.log_q(generator, tensors.x12, tensors.clock, tensors.history, u)
    objective(expected, tensors.x12[1:]).sum().backward()
    reference = gradients(generator)
    generator.zero_grad()
    ours = generator.log_q(tensors.x12, tensors.clock, tensors.history, u)
    objective(ours, tensors.x12[1:]).sum().backward()
    given, _ = plain.log_q(generator, tensors.x12, tensors.clock, tensors.history, u, choices)
    open_ = torch.isfinite(given)
    assert torch.equal(open_, torch.isfinite(ours))
    assert (given[open_] - ours[open_]).abs().max() < CLOSE
    assert_close(gradients(generator), reference)


def test_the_decoder_over_sequences_gives_the_plain_values_and_gradients(tensors):
    decoder = fit.seeded(Decoder, 4)
    u = torch.rand(TIME - 1, BATCH, decoder.hidden + 88, generator=torch.Generator().manual_seed(1))
    expected = plain.decoder_objective(decoder, tensors.x12, tensors.x, u)
    expected.sum().backward()
    reference = gradients(decoder)
    decoder.zero_grad()
    ours = decoder.objective(tensors.x12, tensors.x, u)
    ours.sum().backward()
    assert (ours - expected).abs().max() < CLOSE * expected.abs().max()
    assert_close(gradients(decoder), reference)


@pytest.mark.parametrize("build", [OctaveGenerator, Decoder])
def test_bfloat16_is_the_same_loss_to_its_own_precision_and_no_more(build, tensors, bf16):
    module = fit.seeded(build, 4)
    full, half = (networks.mean_loss(module, precision)(tensors, torch.Generator().manual_seed(2))
                  for precision in ("fp32", bf16))
    assert half.dtype == torch.float32
    assert 0 < abs((half - full).item()) < 0.02 * max(1.0, abs(full.item()))


def test_log_q_stays_normalised_to_float32_under_bfloat16(tensors, bf16):
    generator = fit.seeded(OctaveGenerator, 4)
    u = torch.rand(generator.sampler.voices, TIME - 1, BATCH)
    generator.precision = bf16
    with generator.lowered(torch.device("cpu")):
        log_q = generator.log_q(tensors.x12, tensors.clock, tensors.history, u)
    assert (torch.logsumexp(log_q.flatten(-2), dim=-1)).abs().max() < 1e-5
