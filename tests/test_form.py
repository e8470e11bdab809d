"""Statistics of form, on rolls in which it is known what returns."""

import numpy as np
import pytest

from octavoice.music import roll as rolls
from octavoice.statistics import form

BAR = form.BAR


def bar(seed: int) -> np.ndarray:
    """A bar of a few keys in the keyboard's middle ``(16, 88)``, another one for every seed."""
    x = np.zeros((BAR, 88), np.uint8)
    rng = np.random.default_rng(seed)
    x[rng.choice(BAR, 6, replace=False), rng.choice(np.arange(30, 60), 6, replace=False)] = 1
    return x


def piece(*bars) -> np.ndarray:
    """Bars in a row; a number is the bar of that seed."""
    return np.concatenate([bar(b) if isinstance(b, int) else b for b in bars])


REST = np.zeros((BAR, 88), np.uint8)


def test_a_bar_returns_if_an_earlier_one_is_equal():
    found = form.form(piece(1, 2, 3, 1, 2, 4))
    assert found["bars that return, classes"] == pytest.approx(2 / 6)
    assert found["bars that return, keys"] == pytest.approx(2 / 6)
    assert form.form(piece(1, 2, 3, 4))["bars that return, classes"] == 0


def test_bars_of_a_prime_are_returned_to_but_not_asked_about():
    found = form.form(piece(1, 1, 2, 1, 3), first=2)
    assert found["bars that return, keys"] == pytest.approx(1 / 3)


def test_rests_and_bars_of_two_notes_do_not_count():
    two = REST.copy()
    two[0, 40] = two[4, 44] = 1
    assert form.form(piece(1, REST, REST, two, two))["bars that return, classes"] == 0
    assert np.isnan(form.form(piece(REST, REST))["bars that return, classes"])


def test_another_octave_returns_as_classes_and_another_pitch_in_rhythm():
    octave, other = np.roll(bar(1), 12, axis=1), np.roll(bar(1), 1, axis=1)
    found = form.form(piece(1, octave, 2))
    assert (found["bars that return, classes"], found["bars that return, keys"]) == (pytest.approx(1 / 3), 0)
    found = form.form(piece(1, other, 2))
    assert (found["bars that return, classes"], found["bars that return, rhythm"]) == (0, pytest.approx(1 / 3))
    assert found["bars that return transposed"] == pytest.approx(1 / 3)


def test_one_note_of_many_changed_nearly_returns():
    changed = bar(1)
    step, key = np.argwhere(changed)[0]
    changed[step, key], changed[step, key + 1] = 0, 0
    found = form.form(piece(1, changed, 2))
    assert (found["bars that return, classes"], found["bars that nearly return"]) == (0, pytest.approx(1 / 3))


def test_the_distance_is_to_the_nearest_equal_bar():
    x = piece(1, 2, 1, 2, 2, 1, *range(10, 45), 1)
    counts = form.counted(form.bars_of(x))
    away = form.distances(form.equal(form.bars_of(x)), counts)
    assert away[:6].tolist() == [0, 0, 2, 2, 1, 3]
    assert away[-1] == 36
    found = form.how_far(away)
    assert found["returning bars, 2 back"] == pytest.approx(2 / 5)
    assert found["returning bars, beyond 32 bars"] == pytest.approx(1 / 5)
    assert found["returning bars, within 8 bars"] == pytest.approx(4 / 5)


def test_bars_return_together_if_they_return_from_the_same_distance():
    x = piece(1, 2, 3, 9, 1, 2, 3, 8, 2)
    counts = form.counted(form.bars_of(x))
    assert form.together(form.equal(form.bars_of(x)), counts).tolist() == [3, 3, 3, 1]


def test_a_rest_amid_a_stretch_belongs_to_it_and_is_not_counted():
    x = piece(1, REST, 3, 9, 1, REST, 3)
    counts = form.counted(form.bars_of(x))
    assert form.together(form.equal(form.bars_of(x)), counts).tolist() == [2, 2]


def test_keys_that_fall_off_the_keyboard_are_no_transposition():
    x = np.zeros((2 * BAR, 88), np.uint8)
    x[[0, 4, 8, 12], 86] = 1
    x[[BAR, BAR + 4, BAR + 8], 1] = 1
    assert not form.transposed(x, cyclic=False).any()


def test_similarity_and_agreement_by_hand():
    first, second = REST.copy(), REST.copy()
    first[[0, 4, 8], 40] = 1
    second[[0, 4, 12], 40] = 1
    alike = form.similarity(form.bars_of(piece(first, second, REST, REST)))
    np.testing.assert_allclose(alike, [[1, .5, 0, 0], [.5, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert form.agreement(piece(first, second, first), (1, 2)) == {1: 0.5, 2: 1.0}
    assert np.isnan(form.agreement(piece(first), (1,))[1])


def test_fitness_of_a_piece_that_repeats_one_section():
    """Four bars, thrice over: a segment of four has a score of (12 - 4) / 12 and a coverage of as much."""
    plot = form.fitness(form.similarity(form.bars_of(piece(*[1, 2, 3, 4] * 3))))
    assert plot[0, 3] == pytest.approx(2 / 3)
    assert plot[0, 4] == 0  # with a fifth bar a segment overlaps its repetition, and only one of the two is taken
    assert np.isnan(plot[11, 1])


def test_structureness_tells_sections_from_single_bars_and_from_nothing():
    sections = form.form(piece(1, 2, 3, 4, 1, 2, 3, 4))
    assert sections["structureness, short"] > 0.4
    assert sections["structureness, long"] == 0
    nothing = form.form(piece(*range(8)))
    assert nothing["structureness, short"] == nothing["structureness, middle"] == 0


def test_compression_is_that_of_the_rolls():
    x = np.random.default_rng(0).integers(0, 2, (20, 88)).astype(np.uint8)
    np.testing.assert_array_equal(form.compress(x), rolls.compress(x))
