"""Any model beside the thesis's: the spaces that both have, parts that a model lacks, and where its curves end."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from octavoice.corpus import Fragments, Pieces
from octavoice.errors import UserError
from octavoice.laboratory import applies
from octavoice.likelihood import beside
from octavoice.model import Network
from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS
from octavoice.statistics import curves
from octavoice.training import models, presets
from octavoice.training.fit import seeded, to_tensors
from octavoice.training.networks import Networks


def pieces(*steps):
    """Of few notes, so that no step has more classes than there are voices."""
    rolls = [(np.random.default_rng(n).random((n, KEYS)) < 0.01).astype(np.uint8) for n in steps]
    return Pieces.of([Piece(str(len(roll)), roll, 1, ((4, 4),)) for roll in rolls])


def untrained(name):
    model = models.named(name)
    return Networks(model, tuple(seeded(stage.build, 1).eval() for stage in model.stages))


@pytest.fixture(scope="module")
def thesis():
    return untrained("thesis")


@pytest.fixture(scope="module")
def panel():
    return to_tensors(Fragments(pieces(300), 32, durations=True).panel(2))


@pytest.mark.parametrize(("name", "spaces"), [
    ("thesis", ["classes", "keys given classes", "keys"]), ("beyond", ["classes", "keys given classes", "keys"]),
    ("lstm", ["keys"]), ("rnn-nade-classes", ["classes", "keys given classes", "keys"])])
def test_models_are_judged_in_the_spaces_that_both_have(thesis, name, spaces):
    both = {"thesis": thesis, name: thesis if name == "thesis" else untrained(name)}
    judged = beside.judged(both, pieces(90), pieces(20, 30))
    assert list(judged) == spaces
    table = beside.levels(both, judged)
    assert (table.xs("thesis", level=1)["kind"] == "bound").all()
    assert (table.xs(name, level=1)["kind"] == ("bound" if name == "thesis" else "exact")).all()
    level = table.xs(name, level=1)["level"]
    assert np.isfinite(level).all()
    if len(spaces) == 3:
        assert level["keys"] == pytest.approx(level["classes"] + level["keys given classes"])


@pytest.mark.parametrize(("name", "rows"), [
    ("thesis", []), ("lstm", []), ("rnn-nade-classes", ["rnn-nade-classes: exact"]),
    ("beyond", ["beyond: exact", "beyond: exact, durations told"])])
def test_a_panel_is_read_by_every_network_of_classes(thesis, panel, name, rows):
    both = {"thesis": thesis, name: thesis if name == "thesis" else untrained(name)}
    found = beside.readings(both, panel)
    assert found.index.tolist() == ["thesis: its objective, a surrogate", "thesis: its sampler, bound", *rows]
    assert np.isfinite(found["level"]).all()


class Even(Network):
    """Gives every step the probability of one half."""

    def log_likelihood(self, batch, rng):
        return torch.full(batch.weight.shape, 0.5).log()


def test_all_steps_of_classes_have_one_probability_between_them(panel):
    for name in ("beyond", "rnn-nade-classes"):
        assert beside.every_step(untrained(name).stages[0], panel) == pytest.approx(1, abs=1e-4)
    assert beside.every_step(Even(), panel) == pytest.approx(2048)


def test_a_rival_needs_another_model():
    with pytest.raises(UserError, match="a rival is set beside another model"):
        beside.pair(None, "thesis", "folder")


def test_statistics_are_counted_by_hand():
    alike = pd.DataFrame({"music": [0.0, 0.0], "thesis": [1.0, 3.0], "thesis: within": [True, False],
                          "a": [2.0, -1.0], "a: within": [True, True]})
    sets = {name: pd.DataFrame({"longest rest, steps": [rest, 1.0]}) for name, rest in (("thesis", 7.0), ("a", 5.0))}
    found = beside.counted(alike, sets, pd.DataFrame({"longest rest, steps": [3.0]}))
    assert found == {
        "statistics": 2, "within the noise, thesis": 1, "within the noise, a": 2, "a nearer than thesis": 1,
        "longest rest of any sample, a": 5.0, "longest rest of any real piece": 3.0}
    alone = beside.counted(alike, {"thesis": sets["thesis"]}, pd.DataFrame({"longest rest, steps": [3.0]}))
    assert not any("nearer" in name for name in alone)


def test_sizes_are_a_row_for_every_stage():
    table = beside.sizes(presets.resolve("smoke"), models.named("thesis"), models.named("lstm"))
    assert table.index.tolist() == [("thesis", "main module"), ("thesis", "decoder"), ("lstm", "keys")]
    assert table.loc[("lstm", "keys"), "likelihood"] == "exact"


# --- what applies -----------------------------------------------------------------------------------------------------


@pytest.fixture
def said(monkeypatch):
    """What is displayed."""
    found = []
    monkeypatch.setattr(applies, "display", lambda thing: found.append(thing.data))
    return found


HAS = {"thesis": {"classes", "voices", "decoder", "thesis"},
       "beyond": {"classes", "exact classes", "durations", "beyond"},
       "lstm": set(), "rnn-nade-classes": {"classes", "exact classes"}}


@pytest.mark.parametrize(("name", "has"), HAS.items())
def test_what_a_model_has_is_shown_and_the_rest_is_told_in_a_sentence(name, has, said):
    only = applies.Only(name)
    for part, why in applies.LACKS.items():
        assert only(part, lambda part=part: part) == (part if part in has else None)
        assert said == ([] if part in has else [f"*Does not apply to {name}: {why}.*"])
        said.clear()


def test_something_may_stand_in_place_of_what_does_not_apply(said):
    assert applies.Only("lstm")("thesis", lambda: 1, lambda: 2) == 2
    assert said == ["*Of lstm, since this is the thesis's alone:*"]
    assert applies.Only("thesis")("thesis", lambda: 1, lambda: 2) == 1
    assert len(said) == 1


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_is_known_by_its_parts(name):
    assert applies.Only(name).has.keys() == applies.LACKS.keys()


# --- curves -----------------------------------------------------------------------------------------------------------


def test_ends_and_gap_of_a_curve_by_hand():
    metrics = pd.DataFrame({"train": np.r_[np.full(18, 9.0), 2.0, 1.0], "held_out": [np.nan] * 17 + [1.5, np.nan, 2.5]},
                           index=range(1, 21))
    assert curves.ends(metrics) == {"training, mean of the last tenth": -1.5, "held-out panel, last point": -2.5}
    assert curves.gap(metrics) == {"gap, training minus held-out": 1.0, "best held-out": -1.5, "at iteration": 18,
                                   "last held-out": -2.5}


def test_a_training_too_short_to_be_judged_has_no_held_out_level():
    metrics = pd.DataFrame({"train": [2.0]}, index=[1])
    assert np.isnan(curves.ends(metrics)["held-out panel, last point"])
    assert np.isnan(list(curves.gap(metrics).values())).all()


def test_curves_are_of_stages_and_some_are_of_an_objective():
    for name, expected in (("thesis", {"main module", "decoder"}), ("beyond", set()), ("rnn-rbm", {"keys"})):
        assert curves.objectives(untrained(name)) == expected
    model = models.named("thesis")
    table = SimpleNamespace(model=model, metrics=("one", "two"))
    assert curves.by_stage(table) == {"main module": "one", "decoder": "two"}
