"""One axis for every model, and samples beside music."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from octavoice import beyond
from octavoice.corpus import Fragments, Pieces
from octavoice.likelihood import axis, judging
from octavoice.model import Network
from octavoice.music.piece import WRITTEN, Piece
from octavoice.music.roll import KEYS
from octavoice.statistics import likeness
from octavoice.studies import parts
from octavoice.thesis import model as thesis
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training import presets
from octavoice.training.fit import seeded, to_tensors
from octavoice.training.networks import Networks


def pieces(steps=(40, 300), share=0.03):
    rolls = [(np.random.default_rng(n).random((n, KEYS)) < share).astype(np.uint8) for n in steps]
    return Pieces.of([Piece(str(len(roll)), roll, 1, ((4, 4),)) for roll in rolls])


@pytest.fixture(scope="module")
def network():
    return seeded(beyond.MODEL.stages[0].build, 1).eval()


def test_every_step_but_the_first_is_judged_once(network):
    table = axis.step_table({"ours": axis.network_judge(network)}, pieces())
    assert table.groupby("piece")["step"].agg(list).tolist() == [list(range(1, 40)), list(range(1, 300))]
    whole = to_tensors(Fragments(pieces((40,)), 40).gather(np.array([0])))
    with torch.no_grad():
        expected = network.log_likelihood(whole)[:, 0]
    np.testing.assert_allclose(table.loc[table["piece"] == 0, "ours"], expected, atol=1e-5)


def test_steps_that_one_cannot_make_are_left_out_for_all():
    """A sampler of one voice cannot play two classes; the chain is not judged on these steps either."""
    small = seeded(lambda: OctaveGenerator(voices=1), 1).eval()
    chain = seeded(beyond.MODEL.stages[0].build, 1).eval()
    judges = {"voice": axis.network_judge(small, particles=2), "chain": axis.network_judge(chain)}
    table = axis.step_table(judges, pieces((60,)))
    sums, left_out = axis.by_piece(table)
    impossible = ~np.isfinite(table["voice"])
    assert left_out == impossible.sum() > 0
    assert sums["steps"].tolist() == [59 - left_out]
    assert sums["chain"].iloc[0] == pytest.approx(table.loc[~impossible, "chain"].sum())


def test_a_bound_is_by_as_many_particles_as_a_headline_unless_fewer_are_asked_for(monkeypatch):
    small, asked = seeded(lambda: OctaveGenerator(voices=1), 1).eval(), []
    monkeypatch.setattr(OctaveGenerator, "log_likelihood", lambda self, t, _: asked.append(self.particles) or t.weight)
    for settings in ({}, {"particles": 3}):
        axis.network_judge(small, **settings)(to_tensors(Fragments(pieces((40,)), 40).gather(np.array([0]))))
    assert asked == [axis.PARTICLES, 3]
    assert small.particles not in asked


def test_a_gain_is_paired():
    """Pieces differ widely, the two models by the same amount on each: the interval knows."""
    sums = pd.DataFrame({"steps": [100, 50, 10], "a": [-100.0, -200, -5], "b": [-110.0, -205, -6]})
    found = axis.gain(sums, "a", "b")
    assert found == pytest.approx({"gain": 0.1, "low": 0.1, "high": 0.1})


def test_tables_are_judged_on_the_same_steps(network):
    train = pieces((200, 210))
    table = axis.step_table(axis.class_tables(train) | axis.key_tables(train), pieces((70,)))
    assert len(table) == 69
    assert (table.drop(columns=["piece", "step"]) <= 0).all(axis=None)


def test_a_panel_is_judged_by_where_its_fragments_begin(network):
    panel = to_tensors(Fragments(pieces((300,)), 64).panel(4))
    found = axis.panel_level(network, panel)
    begins = (panel.position[0] == 0).float()
    share = (panel.weight * begins).sum() / panel.weight.sum()
    mixed = share * found["beginnings"] + (1 - share) * found["middles"]
    assert found["level"] == pytest.approx(mixed.item(), abs=1e-5)


def test_the_portrait_of_a_piece_one_can_count():
    roll = np.zeros((32, KEYS), np.uint8)
    roll[[0, 4, 5, 16]] = np.isin(np.arange(KEYS), (39, 43, 46))  # C major in root position, middle C and above
    found = likeness.portrait(roll[:16], roll[16:].repeat(2, axis=0)[:16], np.zeros((16, 12), np.uint8))
    assert found["steps struck"] == 0.0
    found = likeness.portraits_of(roll)
    assert found["steps struck"] == 4 / 32
    assert found["classes per struck step"] == 3
    assert found["struck steps that repeat the last"] == pytest.approx(1 / 3)
    assert found["longest rest, steps"] == 15
    assert found["triads among steps of 3 or more"] == 1
    assert found["onsets on quarters"] == 3 / 4
    assert found["highest key, MIDI"] == 67
    assert found["range of a continuation"] == 7
    assert found["leap of the highest key"] == 0


def test_real_music_is_within_its_own_noise_and_silence_is_not():
    real = likeness.real_portraits(list(pieces(tuple(range(80, 120)))), 16, 60)
    silence = pd.DataFrame([{"steps struck": 0.0, "longest rest, steps": 60.0}] * 20).reindex(columns=real.columns)
    table = likeness.compare({"half": real.iloc[::2], "silent": silence}, real, seed=1)
    assert table["half: within"].mean() > 0.9
    assert not table.loc[["steps struck", "longest rest, steps"], "silent: within"].any()


def test_a_network_without_a_part_does_not_hear_it():
    network = parts.deaf(seeded(beyond.MODEL.stages[0].build, 1), "reads").eval()
    panel = to_tensors(Fragments(pieces((300,)), 64).panel(1))
    seen = []
    network.lower.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network.log_likelihood(panel)
    at = list(parts.PARTS).index("reads")
    start = sum(list(parts.PARTS.values())[:at])
    assert (seen[0][..., start:start + parts.PARTS["reads"]] == 0).all()
    assert (seen[0][..., :start] != 0).any()
    assert sum(parts.PARTS.values()) == network.lower.input_size


def test_what_is_still_held_rolls_with_its_fragment():
    """In training each fragment is rolled by a shift of its own: a note of two steps is told where it is heard, in the
    fragments that tell."""
    network, found = seeded(beyond.MODEL.stages[0].build, 1), []
    x = (np.random.default_rng(1).random((300, KEYS)) < 0.02).astype(np.uint8)
    x[1:] *= 1 - x[:-1].max(axis=1, keepdims=True)
    played = Piece("two steps", x, 1, ((4, 4),), durations=np.full(int(x.sum()), 2, np.uint16))
    t = to_tensors(Fragments([played], 64, durations=True).panel(8))
    network._nats = lambda heard, held, target, drop: found.append((heard.x12[:-1], held, target)) or heard.weight
    network.loss(t, torch.Generator().manual_seed(0))
    (heard, held, target), = found
    told = held[0, :, -1] > 0
    assert 0 < told.sum() < len(told)
    assert torch.equal(held[:, told, :12] > 0, heard[:, told] > 0)
    assert not held[:, ~told].any()
    assert not torch.equal(heard, t.x12[:-1])
    assert not torch.equal(heard[1:], target[:-1])  # some notes are wrong, none that is to be predicted
    assert torch.equal(target.sum(dim=-1), t.x12[1:].sum(dim=-1))


def test_a_whole_model_is_judged_without_a_notebook():
    """Each of its networks in its own space, that of durations on the pieces that tell them."""
    told = [replace(piece, note_ends=WRITTEN) for piece in pieces((60, 80))]
    run = SimpleNamespace(splits={"train": pieces((90,)), "test": Pieces.of([*told, *pieces((50,))])},
                          preset=presets.resolve("smoke"), device=torch.device("cpu"))
    stages = tuple(seeded(stage.build, 1).eval() for stage in beyond.MODEL.stages)
    table = judging.levels(run, Networks(beyond.MODEL, stages)).xs("beyond", level=1)
    assert table.index.tolist() == ["classes", "keys given classes", "keys", "durations given keys"]
    assert np.isfinite(table["level"]).all()
    assert table["steps"].tolist() == [59 + 79 + 49] * 3 + [59 + 79]
    assert table.loc["keys", "level"] == pytest.approx(table["level"].iloc[:2].sum(), abs=1e-9)


class Told(Network):
    """A network that finds ``nats`` for every step of a batch, in turn."""

    def __init__(self, space, kind, nats):
        super().__init__()
        self.space, self.kind, self.nats = space, kind, torch.tensor(nats)

    def log_likelihood(self, batch, rng):
        told = torch.zeros_like(batch.weight)
        told[:len(self.nats)] = self.nats[:, None]
        return told


def judged_as_told(lengths, stages):
    """The rows of a model of these two stages on pieces of so many steps."""
    run = SimpleNamespace(splits={"train": pieces((90,)), "test": pieces(lengths)}, preset=presets.resolve("smoke"),
                          device=torch.device("cpu"))
    return judging.levels(run, Networks(replace(thesis.MODEL, name="told"), stages)).xs("told", level=1)


@pytest.mark.parametrize(("kinds", "weaker"), [
    (("exact", "exact"), "exact"), (("bound", "exact"), "bound"), (("bound", "estimate"), "estimate")])
def test_keys_leave_out_what_either_stage_cannot_make(kinds, weaker):
    """Of four steps the classes cannot make the first, the keys cannot make the last."""
    table = judged_as_told((5,), (Told("classes", kinds[0], [-np.inf, -1.0, -2.0, -3.0]),
                                  Told("keys given classes", kinds[1], [-10.0, -20.0, -30.0, -np.inf])))
    assert table["level"].tolist() == [-2.0, -20.0, -26.5]
    assert table["steps"].tolist() == [3, 3, 2]
    assert table["left out"].tolist() == [1, 1, 2]
    assert table.loc["keys", "kind"] == weaker


def test_keys_are_paired_over_pieces():
    """Where the one stage gains over a longer piece what the other loses, both are uncertain and their sum is not."""
    falling = -np.arange(12.0, dtype=np.float32)
    table = judged_as_told((5, 9, 13), (Told("classes", "exact", falling),
                                        Told("keys given classes", "exact", -20 - falling)))
    assert (table["high"] - table["low"] > 0.1).tolist() == [True, True, False]
    assert table.loc["keys", ["low", "high"]].tolist() == [-20, -20]
