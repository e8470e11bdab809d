"""The example runs from data to nats, and learns what can be learnt."""

import importlib.util

import numpy as np
import pytest

from octavoice.corpus import benchmarks, fetch
from octavoice.errors import UserError
from octavoice.music.roll import KEYS


@pytest.fixture
def example(checkout):
    spec = importlib.util.spec_from_file_location("jsb_lstm", checkout / "examples" / "jsb_lstm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_short_and_numbers_its_steps(checkout):
    lines = (checkout / "examples" / "jsb_lstm.py").read_text(encoding="utf-8").splitlines()
    steps = [line.split()[1] for line in lines if line.strip().startswith("# ") and line.split()[1][0].isdigit()]
    assert len(lines) <= 90
    assert steps == ["1.", "2.", "3.", "4.", "5."]


def test_it_learns_two_chords_in_turn_which_frequencies_cannot_tell(example, monkeypatch):
    roll = np.zeros((40, KEYS), np.uint8)
    roll[::2, [40, 44, 47]] = roll[1::2, [38, 42, 45]] = 1
    monkeypatch.setattr(example, "load_benchmark", lambda name: {side: [roll, roll[1:]] for side in benchmarks.SPLITS})
    found = example.main(iterations=150)
    assert found["marginal"] > 4
    assert found["lstm"] < 0.25 * found["marginal"]


def test_on_the_chorales_themselves_it_begins(example):
    try:
        fetch.locate("benchmarks/jsb")
    except UserError as error:
        pytest.skip(f"the benchmark set is not here: {error}")
    found = example.main(iterations=2)
    assert found["marginal"] == pytest.approx(11.09, abs=0.01)
    assert found["lstm"] < 60
