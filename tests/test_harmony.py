"""Keys, scales and chords: known music gets its known names, and transposing it transposes them."""

import math
import time
from itertools import combinations

import numpy as np
import pytest
from music21 import chord

from octavoice.music.roll import CLASS_NAMES, CLASSES, transpose_classes
from octavoice.statistics.harmony import (
    TRIADS,
    chord_names,
    chord_table,
    in_key_share,
    is_triad,
    key_of,
    keys_over_time,
    scale_classes,
    scale_forms,
    triad_share,
)

MAJOR = [0, 4, 7]


def steps(*classes: list[int]) -> np.ndarray:
    """A compressed roll from the classes struck at each step (0 = A)."""
    x12 = np.zeros((len(classes), CLASSES), dtype=np.uint8)
    for t, struck in enumerate(classes):
        x12[t, struck] = 1
    return x12


A_MAJOR = steps(MAJOR, [5, 9, 0], [7, 11, 2], [0], [2], [4], [5], [7], [9], [11], MAJOR)
A_MINOR = steps([0, 3, 7], [5, 8, 0], [7, 11, 2], [0], [2], [3], [5], [7], [8], [11], [0, 3, 7])


def test_known_keys_are_found():
    found = key_of(A_MAJOR)
    assert (found.name, found.tonic, found.mode) == ("A major", 0, "major")
    assert 0.8 < found.correlation <= 1
    assert key_of(A_MINOR).name == "A minor"
    assert key_of(transpose_classes(A_MAJOR, 8)).name == "F major"
    assert key_of(transpose_classes(A_MAJOR, 4)).name == "D♭ major"
    assert key_of(transpose_classes(A_MINOR, 1)).name == "B♭ minor"
    assert key_of(steps([], [])) is None


@pytest.mark.parametrize("music", [A_MAJOR, A_MINOR], ids=["major", "minor"])
def test_transposing_transposes_key_and_share(music):
    home = key_of(music)
    for shift in range(1, CLASSES):
        there = key_of(transpose_classes(music, shift))
        assert (there.tonic, there.mode) == ((home.tonic + shift) % CLASSES, home.mode)
        assert there.correlation == pytest.approx(home.correlation)
        assert scale_classes(there) == {(p + shift) % CLASSES for p in scale_classes(home)}
        assert in_key_share(transpose_classes(music, shift), there) == pytest.approx(in_key_share(music, home))


def test_windows_see_the_modulation():
    music = np.concatenate([np.tile(A_MAJOR, (3, 1))[:32], np.tile(transpose_classes(A_MAJOR, 6), (3, 1))[:32]])
    keys = keys_over_time(music, window=32, hop=16)
    assert [start for start, _ in keys] == [0, 16, 32]
    assert (keys[0][1].tonic, keys[2][1].tonic) == (0, 6)
    assert [start for start, _ in keys_over_time(music[:10], window=32, hop=16)] == [0]
    assert keys_over_time(np.zeros((64, CLASSES)), window=32, hop=32) == [(0, None), (32, None)]


def test_scales():
    assert scale_classes(key_of(A_MAJOR)) == {0, 2, 4, 5, 7, 9, 11}
    assert scale_classes(key_of(A_MINOR)) == {0, 2, 3, 5, 7, 8, 10}
    forms = scale_forms()
    assert len(forms) == 48
    assert len(set(forms.values())) == 36
    assert {len(s) for s in forms.values()} == {7}
    assert forms["A harmonic minor"] == {0, 2, 3, 5, 7, 8, 11}
    assert forms["A melodic minor"] == {0, 2, 3, 5, 7, 9, 11}
    assert forms["C major"] == forms["A natural minor"]
    assert "A♭ major" in forms
    assert "G♯ harmonic minor" in forms


def test_share_in_key():
    assert in_key_share(A_MAJOR, key_of(A_MAJOR)) == 1
    assert in_key_share(steps([0, 1], [2], [4]), key_of(A_MAJOR)) == 0.75
    assert math.isnan(in_key_share(steps([]), key_of(A_MAJOR)))


def test_chord_names():
    music = steps(MAJOR, [1, 4, 8], [0, 3, 6], [1, 5, 9], [0, 4, 7, 10], [2, 5, 9, 0], [0, 4], [], [0, 1, 2])
    assert chord_names(music) == [
        "A major triad", "B♭ minor triad", "A diminished triad", "B♭ augmented triad",
        "A dominant seventh chord", "B minor seventh chord", None, None, None]


def test_chords_transpose():
    for shift in range(CLASSES):
        (name,) = chord_names(transpose_classes(steps(MAJOR), shift))
        assert name == f"{CLASS_NAMES[shift]} major triad"
    assert len(chord_table()) == 3 * 12 + 4 + 7 * 12 + 3


def test_triads_are_those_music21_names_so():
    triads = {f"{kind} triad" for kind in TRIADS}
    for classes in combinations(range(CLASSES), 3):
        named = chord.Chord([(p + 9) % CLASSES for p in classes]).commonName
        assert is_triad(classes) == (named in triads), (classes, named)
    assert not is_triad([0, 4])
    assert not is_triad([0, 4, 7, 10])


def test_triad_share_counts_steps_of_three_and_more():
    assert triad_share(steps(MAJOR, [0, 1, 2], [0, 4, 7, 10], [0, 4], [], [0, 3, 6])) == 0.5
    assert math.isnan(triad_share(steps([0, 4], [])))


def test_a_sample_takes_well_under_a_second():
    x12 = (np.random.default_rng(0).random((256, CLASSES)) < 0.2).astype(np.uint8)
    started = time.perf_counter()
    key_of(x12), keys_over_time(x12), chord_names(x12), triad_share(x12)
    assert time.perf_counter() - started < 1
