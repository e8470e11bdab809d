"""Every network computes where its weights and batches are: on a device that is pretended, as a GPU is rarely at hand.

Its tensors say that they are elsewhere and hold their numbers on the CPU; an operation that mixes them with the CPU's
own is refused, as a GPU refuses it.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

from octavoice import provenance
from octavoice.corpus import Pieces
from octavoice.likelihood import axis, equilibrium
from octavoice.music.piece import Piece
from octavoice.statistics.event_samples import notes_of
from octavoice.studies import benchmark_runs, benchmark_sets
from octavoice.survey import recurrent
from octavoice.training import fit, models
from octavoice.training.run import machine, pick_device

ELSEWHERE = torch.device("meta")
MOVES = {"aten::_to_copy", "aten::copy_"}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
"""Operations that take places on the CPU for a tensor that is elsewhere."""


class Remote(torch.Tensor):
    """A tensor that says it is elsewhere; ``here`` are its numbers."""

    @staticmethod
    def __new__(cls, here):
        made = torch.Tensor._make_wrapper_subclass(cls, here.shape, here.stride(), here.storage_offset(),
                                                   dtype=here.dtype, device=ELSEWHERE)
        made.here = here
        return made

    def new_tensor(self, data):
        return Remote(torch.tensor(data, dtype=self.dtype))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError("outside the mode that knows this device")


class Pretended(TorchDispatchMode):
    """Inside it there is a device more."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), func._schema.name
        tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
        remote = [part for part in tensors if isinstance(part, Remote)]
        local = [part for part in tensors if not isinstance(part, Remote) and part.dim()]
        if remote and name not in MOVES and local and not (name in INDEXED and isinstance(args[0], Remote)):
            raise RuntimeError(f"{name} mixes devices")
        away = bool(remote)
        if kwargs.get("device") is not None:
            away, kwargs["device"] = kwargs["device"] == ELSEWHERE, torch.device("cpu")
        here = tree_map_only(Remote, lambda part: part.here, (args, kwargs))
        given = {id(part.here): part for part in remote}
        made = func(*here[0], **here[1])
        return tree_map(lambda part: given.get(id(part), Remote(part) if away else part)
                        if isinstance(part, torch.Tensor) else part, made)


@cache
def pieces():
    rolls = [(np.random.default_rng(i).random((40, 88)) < 0.03).astype(np.uint8) for i in range(3)]
    plain = [Piece(str(i), x, 2, ((4, 4),)) for i, x in enumerate(rolls)]
    return [replace(piece, notes=notes_of(piece)) for piece in plain]


STAGES = {stage.build.__name__: stage for model in models.MODELS.values() for stage in model.stages}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_network_trains_and_judges_where_it_is(stage):
    """And gives the numbers that it gives on the CPU."""
    network = fit.seeded(stage.build, 1)
    for part in (network, getattr(network, "head", network)):
        for setting in {"particles", "chains", "rungs", "posteriors", "contrasted"} & set(dir(part)):
            setattr(part, setting, 2)
    network.dropout = 0.5
    batch = fit.to_tensors(models.representation_of(stage).fragments(pieces(), 12, 8).panel(2))

    def numbers(t):
        loss = network.loss(t, torch.Generator().manual_seed(1))
        loss.sum().backward()
        with torch.no_grad():
            rest = [network.log_likelihood(t, torch.Generator().manual_seed(1)),
                    network.held_out(t, torch.Generator().manual_seed(1)),
                    *network.on_panel(t, torch.Generator().manual_seed(1)).values()]
        return [loss.detach(), *rest, *(p.grad for p in network.parameters() if p.grad is not None)]

    expected = numbers(batch)
    network.zero_grad()
    with Pretended():
        network.to(ELSEWHERE)
        found = numbers(type(batch)(*map(Remote, batch)))
    assert all(isinstance(part, Remote) for part in found)
    for theirs, ours in zip(found, expected, strict=True):
        torch.testing.assert_close(theirs.here, ours, rtol=1e-4, atol=1e-5)


def test_whole_pieces_and_windows_are_judged_there():
    network, music = fit.seeded(recurrent.lstm, 1).eval(), Pieces.of(pieces())
    table, whole = axis.step_table({"nats": axis.network_judge(network)}, music), \
        benchmark_sets.judge_whole(axis.network_judge(network), music)
    with Pretended():
        judge = axis.network_judge(network.to(ELSEWHERE))
        table_there = axis.step_table({"nats": judge}, music, ELSEWHERE)
        whole_there = benchmark_sets.judge_whole(judge, music, ELSEWHERE)
    np.testing.assert_allclose(table_there["nats"], table["nats"], rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(whole_there), np.concatenate(whole), rtol=1e-5)


def test_an_rbm_at_equilibrium_is_judged_there():
    draws = torch.Generator().manual_seed(1)
    shapes = (2, 20), (2, 20), (2, 5), (5, 20)
    x, b, c, W = (torch.randn(shape, generator=draws, dtype=torch.double) for shape in shapes)
    x, allowed = (x > 1).double(), torch.ones(2, 20, dtype=torch.double)
    allowed[1, 9:] = 0
    given = [x * allowed, b, c, W, allowed]
    here = equilibrium.log_likelihood(*given, torch.Generator().manual_seed(2), 4, 5)
    with Pretended():
        there = equilibrium.log_likelihood(*map(Remote, given), torch.Generator().manual_seed(2), 4, 5)
    torch.testing.assert_close(there.here, here)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("model", ["tcn", "rnn-rbm"])
def test_a_run_on_a_benchmark_set_keeps_to_its_device(model, tmp_path, monkeypatch):
    """Trained, watched, loaded again and judged; what it tells is what the same run on the CPU tells, but the key."""
    splits = {side: [piece.roll for piece in pieces()] for side in ("train", "valid", "test")}
    monkeypatch.setattr(benchmark_runs, "load_benchmark", lambda name: splits)
    texts, generator = ["iterations=2", "every=1", "batch=2", "length=16"], torch.Generator

    def run():
        return benchmark_runs.run(model, "benchmarks/jsb", 1, texts)
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path / "here"))
    here = run()
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path / "there"))
    monkeypatch.setattr(benchmark_runs, "pick_device", lambda device: ELSEWHERE)
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    monkeypatch.setattr(fit._Loop, "save", lambda loop: loop.settle())
    with Pretended():
        there = run()
    assert (here["device"], there["device"]) == ("cpu", "meta")
    assert here["depends_on"] == there["depends_on"]
    assert there["test"]["every frame"] == pytest.approx(here["test"]["every frame"], rel=1e-4)
    assert there["cost"]["best_iteration"] == here["cost"]["best_iteration"]


def test_a_gpu_is_named_and_keeps_float32(monkeypatch):
    assert machine(pick_device("cpu")) == {"processor": provenance.processor()}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert machine(pick_device("auto")) == {"processor": provenance.processor(), "gpu": "a card"}
    assert not torch.backends.cudnn.allow_tf32
