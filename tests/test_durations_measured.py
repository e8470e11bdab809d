"""What is measured of how long notes are held, against numbers worked out by hand (thesis §2.2)."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from octavoice.figures import durations as draw
from octavoice.music.piece import PLAYED, UNTOLD, WRITTEN, Piece
from octavoice.statistics import durations

HELD = {(0, 40): 4, (2, 45): 2, (4, 45): 1, (20, 41): 40, (24, 30): 36}


def piece(corpus=None, note_ends=WRITTEN, **facts) -> Piece:
    """Five notes of 60 steps: two cut by the rule, one prolonged, two kept."""
    grid = np.zeros((60, 88), np.uint16)
    grid[tuple(np.array(list(HELD)).T)] = list(HELD.values())
    told = None if note_ends == UNTOLD else grid[grid > 0]
    facts = {"time_signatures": ((4, 4),), **facts}
    return Piece("p", (grid > 0).astype(np.uint8), 2, corpus=corpus, durations=told, note_ends=note_ends, **facts)


def test_every_note_beside_the_rule():
    table = durations.note_table([piece("a", pickup=4), piece("b", note_ends=UNTOLD), piece(time_signatures=((2, 4),))])
    assert table.collection.tolist() == ["a"] * 5 + [durations.OWN] * 5
    assert table.held.tolist() == list(HELD.values()) * 2
    assert table.apart.tolist() == [-2, 0, 15, -36, 0] * 2  # the last chord is held to the piece's end
    assert table.place.tolist() == [12, 14, 0, 0, 4] + [durations.NOWHERE] * 5


def test_what_the_rule_does():
    row = durations.rule_table(durations.note_table([piece("a")])).loc["a"]
    assert row.to_dict() == pytest.approx({"notes": 5, "median": 4, "mean": 16.6, "long": 0.4, "kept": 0.4, "cut": 0.4,
                                           "prolonged": 0.2, "cut by": 19, "prolonged by": 15})


def test_where_ends_come_from():
    pieces = [piece("a", mended=2), piece("a", PLAYED), piece("b", UNTOLD), piece("b", UNTOLD, mended=1)]
    table = durations.source_table(pieces)
    assert table.loc["a"].to_dict() == {WRITTEN: 1, PLAYED: 1, UNTOLD: 0, "mended": 2}
    assert table.loc["b"].to_dict() == {WRITTEN: 0, PLAYED: 0, UNTOLD: 2, "mended": 1}


def test_shares_and_places():
    notes = durations.note_table([piece("a"), piece("b", pickup=4)])
    held = durations.shares(notes, "held", range(1, 33))
    assert held.sum().tolist() == pytest.approx([1, 1])
    assert held.loc[[1, 2, 4, 32], "a"].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.4])
    apart = durations.shares(notes, "apart", range(-16, 17))
    assert apart.loc[[-16, -2, 0, 15], "b"].tolist() == pytest.approx([0.2, 0.2, 0.4, 0.2])
    places = durations.held_by_place(notes)
    assert places.loc[[0, 2, 4, 8], "a"].tolist() == pytest.approx([4, 2, 20.5, 36])
    assert places.loc[[12, 14, 0, 4], "b"].tolist() == pytest.approx([4, 2, 20.5, 36])
    assert places["a"].isna().sum() == 12


@pytest.mark.parametrize("pieces", [[piece("a")], [piece("a"), piece("b")], [piece("a", time_signatures=((2, 4),))],
                                    [piece("a", UNTOLD)]])
def test_the_figure_shows_what_it_is_given(pieces):
    notes = durations.note_table(pieces)
    lengths = durations.shares(notes, "held", range(1, 33))
    figure = draw.held(lengths, durations.held_by_place(notes), durations.shares(notes, "apart", range(-16, 17)))
    first, second, third = figure.axes
    assert [bar.get_height() for bar in first.patches] == pytest.approx(lengths.T.to_numpy().ravel().tolist())
    assert len(third.patches) == 33 * lengths.shape[1]
    assert len(first.get_legend().texts if first.get_legend() else ()) == lengths.shape[1]
    assert len(second.lines) == len(set(notes.collection[notes.place >= 0]))
    plt.close(figure)
