"""The main module with attention (§4.3, §6.3)."""

from copy import deepcopy

import pytest
import torch

from octavoice.composer import StepGRU, StepLSTM
from octavoice.music.roll import clock
from octavoice.representation import HISTORY
from octavoice.thesis.attention import PERIODS, MainModule, MainState, read_past
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.lstm import lstm_step


@pytest.fixture
def rolls():
    rng = torch.Generator().manual_seed(0)
    return [(torch.rand(n, 3, 12, generator=rng) < 0.3).double() for n in (70, HISTORY)]


def ticks(steps, batch=3):
    return torch.from_numpy(clock(range(steps))).double()[:, None].expand(-1, batch, -1)


def test_parameter_counts_by_hand():
    """4 gates × hidden × (inputs + hidden + two biases), and the linear heads, from §7.2's sizes."""
    local = controller = 4 * 100 * (12 + 6 + 100 + 2)
    head = 8 * 100 + 8
    aggregate = 4 * 130 * (100 + 12 + 130 + 2)
    sampler = 4 * 100 * (130 + 12 + 12 + 100 + 2) + 24 * 100 + 24
    assert local + controller + head + aggregate + sampler == 328_512
    assert sum(p.numel() for p in OctaveGenerator().parameters()) == 328_512


def test_names_and_shapes_are_those_of_the_published_state_dict():
    shapes = {name: tuple(p.shape) for name, p in OctaveGenerator().state_dict().items()}
    expected = {"history_reader.read_linear.weight": (8, 100), "history_reader.read_linear.bias": (8,),
                "sampler.linear.weight": (24, 100), "sampler.linear.bias": (24,)}
    for name, inputs, hidden in (("local_lstm", 18, 100), ("history_reader.read_lstm", 18, 100),
                                 ("aggregation_lstm", 112, 130), ("sampler.lstm", 154, 100)):
        expected |= {f"{name}.weight_ih_l0": (4 * hidden, inputs), f"{name}.weight_hh_l0": (4 * hidden, hidden),
                     f"{name}.bias_ih_l0": (4 * hidden,), f"{name}.bias_hh_l0": (4 * hidden,)}
    assert shapes == expected


def test_the_read_is_the_gather_of_the_equation(rolls):
    x, past = rolls
    line = torch.cat([past, x])
    read = read_past(x, past)
    assert read.shape == (70, len(PERIODS), 3, 12)
    for t in (0, 1, 37, 69):
        for i, h in enumerate(PERIODS):
            assert torch.equal(read[t, i], line[HISTORY + t + 1 - h])


def test_the_longest_period_reaches_the_edge_of_the_history_and_no_further(rolls):
    x, past = rolls
    assert torch.equal(read_past(x, past)[0, PERIODS.index(128)], past[1])
    changed = past.clone()
    changed[0] = 1 - changed[0]
    assert torch.equal(read_past(x, past), read_past(x, changed))


def test_step_form_equals_sequence_form(rolls):
    x, past = rolls
    torch.manual_seed(0)
    main = MainModule().double()
    with torch.no_grad():
        features, attention, end = main(x, ticks(70), MainState(past))
        state = MainState(past)
        for t in range(70):
            f, a, state = main(x[t:t + 1], ticks(70)[t:t + 1], state)
            torch.testing.assert_close(f[0], features[t], atol=1e-12, rtol=0)
            torch.testing.assert_close(a[0], attention[t], atol=1e-12, rtol=0)
    assert torch.equal(state.past, end.past)
    torch.testing.assert_close(state.aggregate, end.aggregate, atol=1e-12, rtol=0)


def test_attention_is_a_distribution_and_reaches_the_features_only_through_the_read(rolls):
    x, past = rolls
    main = MainModule().double()
    features, attention, _ = main(x, ticks(70), MainState(past))
    torch.testing.assert_close(attention.sum(-1), torch.ones(70, 3, dtype=torch.float64))
    silent, _, _ = main(x, ticks(70), MainState(torch.zeros_like(past)))
    assert not torch.allclose(features[0], silent[0])
    assert torch.equal(main(x, ticks(70), MainState(past * 0))[1], attention)


def test_one_period_alone_is_read_exactly(rolls):
    x, past = rolls
    main = MainModule().double()
    with torch.no_grad():
        main.history_reader.read_linear.weight.zero_()
        main.history_reader.read_linear.bias.copy_(torch.where(torch.tensor(PERIODS) == 32, 0.0, -800.0))
        _, attention, _ = main(x, ticks(70), MainState(past))
    assert torch.equal(attention[..., PERIODS.index(32)], torch.ones(70, 3, dtype=torch.float64))


def test_the_lstm_equations_are_torchs_cell():
    torch.manual_seed(1)
    lstm, x = torch.nn.LSTM(5, 7).double(), torch.randn(6, 2, 5, dtype=torch.float64)
    h = c = torch.zeros(2, 7, dtype=torch.float64)
    output, (h_end, c_end) = lstm(x)
    for t in range(6):
        h, c = lstm_step(lstm, x[t], h, c)
        torch.testing.assert_close(h, output[t], atol=1e-14, rtol=0)
    torch.testing.assert_close((h, c), (h_end[0], c_end[0]), atol=1e-14, rtol=0)


@pytest.mark.parametrize("form", [StepLSTM, StepGRU])
def test_single_steps_of_the_quick_form_are_torchs(form):
    net = form.__base__(7, 5).double()
    quick = deepcopy(net)
    quick.__class__ = form
    x = torch.randn(6, 3, 7, dtype=torch.float64)
    expected, end = net(x)
    state, outputs = None, []
    for x_t in x:
        output, state = quick(x_t[None], state)
        outputs.append(output)
    torch.testing.assert_close((torch.cat(outputs), state), (expected, end), rtol=0, atol=1e-14)
    assert torch.equal(quick(x)[0], expected)
