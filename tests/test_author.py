"""The author's published weights: imported, they compute what the raw arrays do; anything else is refused."""

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from octavoice import cli
from octavoice.composer import Composer
from octavoice.music.roll import clock
from octavoice.rbm import free_energy
from octavoice.thesis.attention import MainState
from octavoice.training import author, weights


def lstm(inputs: int, hidden: int) -> dict:
    return {"weight_ih_l0": (4 * hidden, inputs), "weight_hh_l0": (4 * hidden, hidden),
            "bias_ih_l0": (4 * hidden,), "bias_hh_l0": (4 * hidden,)}


def linear(inputs: int, outputs: int) -> dict:
    return {"weight": (outputs, inputs), "bias": (outputs,)}


def shapes(parts: dict) -> dict:
    return {f"{part}.{name}": shape for part, names in parts.items() for name, shape in names.items()}


# Names and shapes as the published files have them, written out here and nowhere taken from our modules.
MAIN = shapes({"local_lstm": lstm(18, 100), "history_reader.read_lstm": lstm(18, 100),
               "history_reader.read_linear": linear(100, 8), "aggregation_lstm": lstm(112, 130),
               "sampler.lstm": lstm(154, 100), "sampler.linear": linear(100, 24)})
DECODER = {"W": (36, 88), **shapes({"decoder_lstm": lstm(100, 100), "v_bias_linear": linear(100, 88),
                                    "h_bias_linear": linear(100, 36)})}
LOUDNESS = shapes({"velocity_lstm": lstm(188, 60), "velocity_linear": linear(60, 88)})


def arrays(shapes: dict, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def state_dict(raw: dict) -> OrderedDict:
    return OrderedDict((name, torch.from_numpy(array.copy())) for name, array in raw.items())


def saved(content, path: Path, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.fixture
def raw() -> tuple[dict, dict]:
    return arrays(MAIN, 1), arrays(DECODER | LOUDNESS, 2)


@pytest.fixture
def files(raw, tmp_path) -> tuple[Path, Path]:
    return tuple(saved(state_dict(r), tmp_path / name)
                 for r, name in zip(raw, ("MODEL.pt", "DECODER.pt"), strict=True))


@pytest.fixture
def refused(tmp_path, capsys):
    """Run the command on two files that must be refused; returns what it said."""
    def command(model, decoder) -> str:
        target = tmp_path / "imported"
        before = sorted(tmp_path.rglob("*"))
        assert cli.main(["import-author", str(model), str(decoder), "-o", str(target)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
        assert sorted(tmp_path.rglob("*")) == before
        return said.err
    return command


# --- the same sums in numpy, from the raw arrays -------------------------------------------------------


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


class NumpyLSTM:
    """One cell of §4.3 in float64, gates in the order i, f, c', o."""

    def __init__(self, raw: dict, part: str):
        get = {name: raw[f"{part}.{name}"].astype(float) for name in lstm(1, 1)}
        self.W, self.U, self.b = get["weight_ih_l0"], get["weight_hh_l0"], get["bias_ih_l0"] + get["bias_hh_l0"]
        self.h = self.c = np.zeros(self.U.shape[1])

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        i, f, candidate, o = np.split(self.W @ np.concatenate(inputs) + self.U @ self.h + self.b, 4)
        self.c = sigmoid(f) * self.c + sigmoid(i) * np.tanh(candidate)
        self.h = sigmoid(o) * np.tanh(self.c)
        return self.h


def affine(raw: dict, part: str, z: np.ndarray) -> np.ndarray:
    return raw[f"{part}.weight"].astype(float) @ z + raw[f"{part}.bias"]


def features_of(raw: dict, x12: np.ndarray, history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features ``(time, 130)`` and attention ``(time, 8)`` of one piece ``(time, 12)``, step by step."""
    local, read, aggregate = (NumpyLSTM(raw, p) for p in
                              ("local_lstm", "history_reader.read_lstm", "aggregation_lstm"))
    line, features, attention = np.concatenate([history, x12]), [], []
    for t, x in enumerate(x12):
        bits = [int(bit) for bit in format(t % 64, "06b")]
        a = np.exp(log_softmax(affine(raw, "history_reader.read_linear", read(x, bits))))
        past = sum(weight * line[128 + t + 1 - period]
                   for weight, period in zip(a, (4, 8, 16, 32, 48, 64, 96, 128), strict=True))
        attention.append(a)
        features.append(aggregate(local(x, bits), past))
    return np.array(features), np.array(attention)


def voices_of(raw: dict, features: np.ndarray, target: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """log q ``(voice, time, 24)`` with the classes ``choices (voice, time)`` chosen and the truth passed on."""
    cells = [NumpyLSTM(raw, "sampler.lstm") for _ in range(5)]
    log_q = np.full((5, len(features), 24), -np.inf)
    for t, F in enumerate(features):
        sounds, silent = np.zeros(12), np.zeros(12)
        for v, cell in enumerate(cells):
            z = affine(raw, "sampler.linear", cell(F, sounds, silent))
            open_ = np.tile(sounds + silent == 0, 2)
            log_q[v, t, open_] = log_softmax(z[open_])
            p = choices[v, t] % 12
            (sounds if target[t, p] else silent)[p] = 1
    return log_q


# --- what must come out --------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old pickle"])
def test_both_formats_load_and_every_parameter_arrives(raw, tmp_path, zipped, capsys):
    files = [saved(state_dict(r), tmp_path / f"{i}.pt", zipped) for i, r in enumerate(raw)]
    assert cli.main(["import-author", *map(str, files), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    loaded = weights.load(tmp_path / "out")
    for module, r in ((loaded.generator, raw[0]), (loaded.decoder, raw[1])):
        for name, tensor in module.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), r[name])
    assert set(loaded.about["left out"]) == set(LOUDNESS)
    assert all(name in said for name in LOUDNESS)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "about.json", "decoder.safetensors", "main.safetensors"]


@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_state_dicts_of_the_time_load(raw, tmp_path):
    """Files of 2018 rebuild tensors by a function that newer torch no longer writes."""
    class Tensor2018:
        def __init__(self, tensor):
            self.tensor = tensor

        def __reduce__(self):
            t = self.tensor
            return torch._utils._rebuild_tensor, (t.storage(), t.storage_offset(), tuple(t.shape), t.stride())

    old = OrderedDict((name, Tensor2018(tensor)) for name, tensor in state_dict(raw[0]).items())
    old._metadata = OrderedDict()
    read = author.read(saved(old, tmp_path / "old.pt", zipped=False))
    assert all(np.array_equal(read[name].numpy(), array) for name, array in raw[0].items())


def test_imported_generator_computes_what_the_raw_arrays_do(raw, files, tmp_path):
    author.import_author(*files, tmp_path / "out")
    generator = weights.load(tmp_path / "out").generator.double()
    rng = np.random.default_rng(3)
    x12, history = (rng.random((70, 12)) < 0.3).astype(float), (rng.random((128, 12)) < 0.3).astype(float)
    uniforms = torch.from_numpy(rng.random((5, 69, 1)))
    piece, before = (torch.from_numpy(a)[:, None] for a in (x12, history))
    with torch.no_grad():
        ticks = torch.from_numpy(clock(np.arange(69))).double()[:, None]
        F, attention, _ = generator(piece[:-1], ticks, MainState(before))
        log_q, choices, _, _ = generator.sampler(F, uniforms, piece[1:])
    features, weighed = features_of(raw[0], x12[:-1], history)
    np.testing.assert_allclose(attention[:, 0].numpy(), weighed, atol=1e-9)
    np.testing.assert_allclose(F[:, 0].numpy(), features, atol=1e-9)
    expected = voices_of(raw[0], features, x12[1:], choices[:, :, 0].numpy())
    np.testing.assert_allclose(log_q[:, :, 0].flatten(-2).numpy(), expected, atol=1e-9)
    assert np.ptp(expected[0][:, 0]) > 0.5, "the voices are all but even: the comparison shows nothing"


def test_imported_decoder_computes_what_the_raw_arrays_do(raw, files, tmp_path):
    author.import_author(*files, tmp_path / "out")
    decoder = weights.load(tmp_path / "out").decoder.double()
    rng = np.random.default_rng(4)
    x12, x = (rng.random((40, 12)) < 0.3).astype(float), (rng.random((40, 88)) < 0.05).astype(float)
    following = (rng.random((40, 88)) < 0.05).astype(float)
    with torch.no_grad():
        b, c, _ = decoder(torch.from_numpy(x12)[:, None], torch.from_numpy(x)[:, None])
        energy = free_energy(torch.from_numpy(following)[:, None], b, c, decoder.W)[:, 0].numpy()
    cell, W = NumpyLSTM(raw[1], "decoder_lstm"), raw[1]["W"].astype(float)
    for t in range(40):
        h = cell(x12[t], x[t])
        b_t, c_t = affine(raw[1], "v_bias_linear", h), affine(raw[1], "h_bias_linear", h)
        np.testing.assert_allclose(b[t, 0].numpy(), b_t, atol=1e-9)
        np.testing.assert_allclose(c[t, 0].numpy(), c_t, atol=1e-9)
        expected = -b_t @ following[t] - np.log(1 + np.exp(c_t + W @ following[t])).sum()
        assert energy[t] == pytest.approx(expected, abs=1e-9)


def test_imported_weights_compose(files, tmp_path):
    author.import_author(*files, tmp_path / "out")
    imported = weights.load(tmp_path / "out")
    prime = np.zeros((16, 1, 88), dtype=np.uint8)
    prime[::4, 0, 39] = 1
    music = Composer(imported.generator, imported.decoder).compose(prime, 32, seed=1)
    assert music.roll.shape == (48, 1, 88)
    assert music.roll[16:].any()


# --- what is refused -----------------------------------------------------------------------------------


def test_swapped_files_are_told_apart(files, refused):
    assert "MODEL.pt" not in (said := refused(*files[::-1]))
    assert "DECODER.pt" in said
    assert "other network" in said
    assert "other network" in refused(files[0], files[0])


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "text", "number", "nan", "integers", "list", "module"])
def test_contents_that_do_not_fit_are_refused(raw, files, refused, tmp_path, change):
    tensors = state_dict(raw[0])
    name = "sampler.linear.bias"
    content = {"missing": {n: t for n, t in tensors.items() if n != name}, "extra": tensors | {"new": torch.ones(2)},
               "shape": tensors | {name: torch.ones(23)}, "text": tensors | {name: "no"}, "number": {1: torch.ones(2)},
               "nan": tensors | {name: torch.full((24,), torch.nan)}, "integers": tensors | {name: torch.arange(24)},
               "list": list(tensors.values()), "module": torch.nn.Linear(2, 2)}[change]
    said = refused(saved(content, tmp_path / "bad.pt"), files[1])
    assert "bad.pt" in said
    expected = {"missing": f"{name} is missing", "extra": "new is unknown", "shape": f"{name} is (23,)"}
    assert expected.get(change, "") in said


def test_loudness_belongs_to_the_decoder_alone(raw, files, refused, tmp_path):
    with_loudness = saved(state_dict(raw[0] | arrays(LOUDNESS, 5)), tmp_path / "loud.pt")
    assert "velocity_linear.bias is unknown" in refused(with_loudness, files[1])


def test_decoder_without_loudness_is_fine(raw, files, tmp_path):
    plain = saved(state_dict({n: a for n, a in raw[1].items() if n in DECODER}), tmp_path / "plain.pt")
    assert "nothing" in author.import_author(files[0], plain, tmp_path / "out")


class Dangerous:
    """A pickle of this runs a command of the attacker's choice when it is read carelessly."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["zip", "old", "plain pickle"])
def test_code_in_a_pickle_is_refused_and_never_run(raw, files, refused, tmp_path, kind):
    mark, bad = tmp_path / "executed", tmp_path / "bad.pt"
    content = state_dict(raw[0]) | {"extra": Dangerous(mark)}
    if kind == "plain pickle":
        bad.write_bytes(pickle.dumps({"extra": Dangerous(mark)}))
    else:
        saved(content, bad, kind == "zip")
    assert "bad.pt" in (said := refused(bad, files[1]))
    assert "never executed" in said
    assert not mark.exists()
    with suppress(Exception):
        torch.load(bad, weights_only=False)
    assert mark.exists(), "the file was harmless: the test shows nothing"


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files_are_refused(raw, refused, tmp_path, zipped):
    whole = saved(state_dict(raw[0]), tmp_path / "whole.pt", zipped).read_bytes()
    bad = tmp_path / "cut.pt"
    for length in (0, 1, 2, 20, 300, 5000, len(whole) // 2, len(whole) - 4):
        bad.write_bytes(whole[:length])
        assert "cut.pt" in refused(bad, bad)


def test_things_that_are_no_pickle_are_refused(files, refused, tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("hello.txt", "hello")
    for content in (b"not a pickle at all\n", b"\0" * 64, archive.getvalue(), pickle.dumps({"a": 1}), b"\x80\x02}q\0."):
        (tmp_path / "bad.pt").write_bytes(content)
        assert "bad.pt" in refused(tmp_path / "bad.pt", files[1])
    assert "nowhere.pt" in refused(tmp_path / "nowhere.pt", files[1])
    assert str(tmp_path) in refused(files[0], tmp_path)


def test_a_folder_in_use_is_left_alone(files, tmp_path, capsys):
    used = tmp_path / "used"
    used.mkdir()
    (used / "main.safetensors").write_bytes(b"precious")
    assert cli.main(["import-author", *map(str, files), "-o", str(used)]) == 2
    assert "used: is in use" in capsys.readouterr().err
    assert (used / "main.safetensors").read_bytes() == b"precious"
    assert cli.main(["import-author", *map(str, files), "-o", str(files[0])]) == 2


def test_where_they_come_from_is_recorded(files, tmp_path):
    author.import_author(*files, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert "author" in about["about"]
    assert about["sha256"].keys() == {"main", "decoder"}
    assert about["left out"]["velocity_linear.bias"] == [88]
