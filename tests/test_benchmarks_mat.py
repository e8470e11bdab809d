"""The benchmark sets: bad files are refused, and the real ones give the field's control values."""

import math
import os

import numpy as np
import pytest
from scipy.io import savemat

from octavoice.corpus import benchmarks
from octavoice.errors import UserError

SIDES = ("traindata", "validdata", "testdata")


def cells(rolls):
    found = np.empty((1, len(rolls)), object)
    found[0] = [*rolls]
    return found


def roll(steps=5, seed=0, keys=88):
    return (np.random.default_rng(seed).random((steps, keys)) < 0.1).astype(np.uint8)


def write(path, **changes):
    rolls = {side: cells([roll(5 + i, i), roll(9, i + 9)]) for i, side in enumerate(SIDES)}
    savemat(path, {k: v for k, v in {**rolls, **changes}.items() if v is not None}, do_compression=True)
    return path


def test_a_file_gives_its_three_splits(tmp_path):
    splits = benchmarks.read_mat(write(tmp_path / "a.mat"))
    assert list(splits) == ["train", "valid", "test"]
    assert all(x.dtype == np.uint8 and x.shape[1] == 88 for rolls in splits.values() for x in rolls)
    assert np.array_equal(splits["valid"][0], roll(6, 1))


@pytest.mark.parametrize("bad", [None, cells([roll(keys=87)]), cells([roll(0)]), cells([roll() * 2]),
                                 cells([roll() * np.nan]), cells([roll().astype(str)]), cells(["x", roll()])])
def test_anything_but_rolls_of_zeros_and_ones_is_refused(tmp_path, bad):
    path = write(tmp_path / "a.mat", testdata=bad)
    with pytest.raises(UserError, match=r"a\.mat: is damaged or not a benchmark"):
        benchmarks.read_mat(path)


def test_damaged_files_are_refused(tmp_path):
    whole = write(tmp_path / "a.mat").read_bytes()
    for data in (b"", b"not MATLAB", whole[:100], whole[:200], whole[:-50], b"\x80\x04]\x94."):
        (tmp_path / "b.mat").write_bytes(data)
        with pytest.raises(UserError, match=r"b\.mat: is damaged"):
            benchmarks.read_mat(tmp_path / "b.mat")


def test_flipped_bytes_give_a_refusal_or_rolls(tmp_path):
    whole = write(tmp_path / "a.mat").read_bytes()
    for i in np.random.default_rng(1).integers(0, len(whole), 200):
        (tmp_path / "b.mat").write_bytes(whole[:i] + bytes([whole[i] ^ 0xff]) + whole[i + 1:])
        try:
            splits = benchmarks.read_mat(tmp_path / "b.mat")
        except UserError:
            continue
        assert all(set(np.unique(x)) <= {0, 1} and x.shape[1] == 88 for rolls in splits.values() for x in rolls)


def test_a_missing_file_and_an_unknown_name_get_one_sentence(tmp_path):
    with pytest.raises(UserError, match="is missing; check the path"):
        benchmarks.read_mat(tmp_path / "none.mat")
    with pytest.raises(UserError, match="unknown benchmark 'jsb'; known are benchmarks/jsb"):
        benchmarks.load_benchmark("jsb")


def test_marginal_likelihood_by_hand():
    """Three training frames, one key that sounds in two of them; one scored frame that has it."""
    train, test = np.zeros((3, 88), np.uint8), np.zeros((2, 88), np.uint8)
    train[:2, 40] = test[1, 40] = 1
    expected = -math.log(2.5 / 4) - 87 * math.log(3.5 / 4)
    assert benchmarks.marginal_nll({"train": [train], "test": [test]}) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(UserError, match="no second frame"):
        benchmarks.marginal_nll({"train": [train], "test": [test[:1]]})


@pytest.mark.parametrize(("name", "frames", "nll"), [
    ("benchmarks/jsb", 4725, 11.091), ("benchmarks/nottingham", 44463, 10.261),
    ("benchmarks/musedata", 64339, 11.514), ("benchmarks/piano-midi", 19036, 11.052)])
def test_control_values(name, frames, nll):
    if not os.environ.get("OCTAVOICE_DATA"):
        pytest.skip("OCTAVOICE_DATA names no folder with the benchmark files")
    splits = benchmarks.load_benchmark(name)
    assert sum(len(x) for x in splits["test"]) == frames
    assert round(benchmarks.marginal_nll(splits), 3) == nll
