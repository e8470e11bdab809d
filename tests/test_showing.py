"""Tables with a part folded away, code as a page prints it, and the pictures of Figs. 14, 16 and 17."""

import inspect
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from octavoice.figures import model
from octavoice.figures import samples as draw
from octavoice.figures import training as draw_training
from octavoice.laboratory import showing
from octavoice.statistics import curves, harmony, samples
from octavoice.studies import survey_runs
from octavoice.studies import trainings as studies
from octavoice.survey import chords, recurrent, rnn_nade


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_part_of_a_table_is_folded_away():
    table = pd.DataFrame({"nats": [1], "on": ["a core"], "published": [2]}, index=["lstm"])
    html = showing.folded(table, ("minutes", "on")).data
    first, rest = html.split("<details><summary>machines and settings</summary>")
    assert "<th>nats</th>" in first
    assert "a core" not in first
    assert "a core" in rest
    assert "<details>" not in showing.folded(table, ("minutes",)).data


def test_published_figures_stand_right_after_the_nats():
    found = survey_runs.results(survey_runs.committed())
    table = survey_runs.benchmark_table(found)
    assert list(table.columns[:3]) == ["nats per frame", "published", "met"]
    shown = showing.folded(table, survey_runs.MACHINES).data.split("<details>")[0]
    assert not [name for name in survey_runs.MACHINES if f"<th>{name}</th>" in shown]


def test_a_benchmark_set_is_not_called_as_a_corpus_is():
    found = survey_runs.results(survey_runs.committed())
    sets = set(survey_runs.benchmark_table(found).index.levels[0])
    assert sets == set(survey_runs.SETS.values())
    assert not sets & set(survey_runs.OPEN)
    assert set(survey_runs.panels(found)) == sets | set(survey_runs.OPEN)
    assert set(survey_runs.tried(found).index.levels[0]) <= sets


@pytest.mark.parametrize("part", [recurrent.Recurrent.forward, chords.Bernoulli.nats, rnn_nade.NADE.sample,
                                  rnn_nade.NADE.logits, recurrent.gru])
def test_code_is_printed_without_what_leads_only_to_other_code(part):
    text = showing.source(part).data
    assert "See :" not in text
    assert ":class:" not in text
    last = [line.strip() for line in inspect.getsource(part).splitlines() if line.strip()][-1]
    assert last in text
    compile(text, "printed", "exec")


def test_docstrings_that_say_something_stay():
    assert '"""GRU and independent keys."""' in showing.source(recurrent.gru).data


def test_a_progression_names_each_harmony_once_until_another_comes():
    def step(*classes):
        return np.isin(np.arange(12), classes).astype(np.uint8)
    x12 = np.stack([step(0, 3, 7), step(0, 3, 7), step(), step(5), step(3, 7, 10, 1), step(0, 3, 7), step(8, 0, 3)])
    assert harmony.progression(x12) == [(0, "Am"), (4, "C7"), (5, "Am"), (6, "F")]
    assert harmony.progression(x12[2:4]) == []
    assert {name.partition(" ")[2] for name in harmony.chord_table().values()} <= harmony.SYMBOLS.keys()


def test_names_of_harmonies_keep_apart():
    assert draw._apart([(0, "Am"), (2, "F"), (4, "C"), (9, "G")], 4) == [(0, "Am"), (4, "C"), (9, "G")]


def test_fig_17_names_keys_and_harmonies():
    x12 = np.zeros((128, 12), np.uint8)
    x12[::8, [0, 3, 7]] = 1
    picture = {"title": "sample", **samples.key_picture(x12)}
    (axes,) = draw.harmonies_over_time([picture], 16).axes
    assert {"Am"} <= {text.get_text() for text in axes.texts}
    assert {name for _, name in picture["keys"]} <= {text.get_text() for text in axes.texts}


def test_fig_16_shows_every_decision_of_one_sample():
    rng = np.random.default_rng(1)
    classes, sounds = rng.integers(0, 12, (32, 5)), rng.random((32, 5)) < 0.5
    figure = draw.voices_over_time(classes, sounds, "sample")
    assert len(figure.axes) == 5
    for v, axes in enumerate(figure.axes):
        blue, orange = (line.get_xydata() for line in axes.lines)
        assert blue.astype(int).tolist() == [[t, classes[t, v]] for t in np.flatnonzero(sounds[:, v])]
        assert len(blue) + len(orange) == 32


def test_fig_14s_axis_names_the_objective():
    metrics = pd.DataFrame({"train": [3.0, 2.0], "held_out": [3.0, 2.5]}, index=[1, 2])
    label = draw_training.main_curves(metrics, {"marginal": -3.0}, []).axes[0].get_ylabel()
    together = draw_training.seeds_and_corpora({"bach": {1: metrics}}, {"bach": -3.0}, [(1, -2.0)])
    for said in (label, together.axes[0].get_ylabel()):
        assert "objective (a surrogate)" in said
        assert "likelihood" not in said


def test_how_much_held_out_still_rises():
    metrics = pd.DataFrame({"held_out": np.linspace(3.0, 2.0, 100)}, index=np.arange(1, 101))
    assert curves.rise(metrics) == pytest.approx(10 / 99)
    assert math.isnan(curves.rise(pd.DataFrame({"held_out": [1.0]}, index=[3])))


def test_what_was_not_measured_of_a_voice_is_no_panel_and_no_number():
    index = pd.Index(["voice 1", "voice 2"], name="voice")
    tables = {"own nets": pd.DataFrame({"pause, all steps": np.nan, "pause, steps with an onset": [0.1, 0.9],
                                        "notes so far, steps with an onset": [np.nan, 1.4]}, index=index)}
    assert studies.wide(tables).columns.tolist() == ["voice 1", "voice 2"]
    assert studies.wide(tables).index.get_level_values("measured").tolist() == [
        "pause, steps with an onset", "notes so far, steps with an onset"]
    assert studies.wide(tables).isna().to_numpy().sum() == 1
    panels = model.pause_bars(tables).axes
    assert [len(ax.get_xticklabels()) for ax in panels] == [2, 1]
