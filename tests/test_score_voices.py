"""Scores of true durations: two staves of two voices hold the notes of a grid, and say how many do not fit."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import verovio
from hypothesis import given, settings
from hypothesis import strategies as st
from music21 import converter

from octavoice.corpus.sources import READERS
from octavoice.formats.midi import chord_notes
from octavoice.formats.musicxml import read_musicxml
from octavoice.music.durations import clipped, until_next
from octavoice.music.hands import Chord, hands
from octavoice.music.notation import tidied
from octavoice.music.piece import bar_steps
from octavoice.music.roll import KEYS, LOWEST_MIDI
from octavoice.music.score import engrave, musicxml, to_musicxml, to_score
from octavoice.music.voices import Written, in_bars, shared, shortened


def grid_of(*notes: tuple[int, int, int], steps: int) -> np.ndarray:
    """A grid of durations ``(time, key)`` from ``(onset, end, midi_pitch)``."""
    grid = np.zeros((steps, KEYS), np.uint16)
    for onset, end, pitch in notes:
        grid[onset, pitch - LOWEST_MIDI] = end - onset
    return grid


def score_of(grid: np.ndarray, **options):
    return to_score((grid > 0).astype(np.uint8), durations=grid, **options)


@st.composite
def grids(draw, most: int = 40, low: int = 40, high: int = 80) -> np.ndarray:
    """Random notes on a few bars, dense enough that many do not fit into two voices."""
    steps = draw(st.integers(1, most))
    note = st.tuples(st.integers(0, steps - 1), st.integers(1, 24), st.integers(low, high))
    notes = draw(st.lists(note, max_size=24))
    return clipped(grid_of(*((at, at + length, pitch) for at, length, pitch in notes), steps=steps))


def check_bars(part, steps: int) -> None:
    """Every voice of every bar of a staff fills it without a gap or an overlap."""
    for bar in part.getElementsByClass("Measure"):
        voices = list(bar.voices) or [bar]
        assert len(voices) <= 2
        for voice in voices:
            ends = np.cumsum([float(element.quarterLength) for element in voice.notesAndRests])
            assert [float(element.offset) for element in voice.notesAndRests] == [0.0, *ends[:-1]]
            assert 4 * ends[-1] == steps


def read_back(path: Path) -> list[tuple[int, int, int]]:
    """``(onset, end, midi_pitch)`` in steps as music21 reads them, ties joined within their staff."""
    score, done = converter.parse(path, forceSource=True, storePickle=False), []
    for part in score.parts:
        held = {}
        for element in sorted(part.recurse().notes, key=lambda one: one.getOffsetInHierarchy(part)):
            start = 4 * element.getOffsetInHierarchy(part)
            for one in getattr(element, "notes", (element,)):
                link = one.tie.type if one.tie else None
                first, joint = held.pop(one.pitch.midi) if link in ("stop", "continue") else (start, start)
                assert joint == start
                end = start + 4 * element.quarterLength
                if link in ("start", "continue"):
                    held[one.pitch.midi] = (first, end)
                else:
                    done.append((int(first), int(end), one.pitch.midi))
        assert not held
    return sorted(done, key=lambda note: (note[0], note[2]))


def check_same_notes(grid: np.ndarray, folder: Path, metre: tuple[int, int] = (4, 4)) -> int:
    """What both readers find is the grid, tidied, but for as many shorter notes as the score counts."""
    roll = (grid > 0).astype(np.uint8)
    path, size = folder / "score.musicxml", bar_steps(metre)
    notes = sorted(((chord.start, chord.end, note) for hand in hands(roll, durations=grid)
                    for chord in tidied(hand, size) for note in chord.notes), key=lambda note: (note[0], note[2]))
    path.write_bytes(musicxml(score := to_score(roll, durations=grid, metre=metre)))
    found = read_back(path)
    assert [(on, pitch) for on, _, pitch in found] == [(on, pitch) for on, _, pitch in notes]
    assert all(now <= then for (_, now, _), (_, then, _) in zip(found, notes, strict=True))
    assert sum(now < then for (_, now, _), (_, then, _) in zip(found, notes, strict=True)) == score.editorial.shortened
    if len(notes):
        piece = read_musicxml(path)
        assert chord_notes(piece.roll, piece.held) == found
    return score.editorial.shortened


# --- the score holds the grid -----------------------------------------------------------------------------------------

@settings(max_examples=25, deadline=None)
@given(grids(), st.sampled_from([(4, 4), (3, 4), (6, 8)]))
def test_scores_hold_the_notes_of_any_grid_but_those_counted(tmp_path_factory, grid, metre):
    check_same_notes(grid, tmp_path_factory.getbasetemp(), metre)
    for part in score_of(grid, metre=metre).parts:
        check_bars(part, 16 if metre == (4, 4) else 12)


@settings(max_examples=10, deadline=None)
@given(grids())
def test_the_thesiss_rule_as_a_grid_gives_the_same_bytes_as_none(grid):
    roll = (grid > 0).astype(np.uint8)
    assert musicxml(to_score(roll, durations=until_next(roll))) == musicxml(to_score(roll))


def test_verovio_reads_them_without_a_word(capfd):
    rng = np.random.default_rng(1)
    grid = clipped((rng.integers(1, 20, (96, KEYS)) * (rng.random((96, KEYS)) < 0.006)).astype(np.uint16))
    verovio.enableLog(verovio.LOG_WARNING)
    toolkit = verovio.toolkit()
    assert toolkit.loadData("<score-partwise/>") is False
    assert "[" in capfd.readouterr().err  # it speaks where something is wrong
    assert toolkit.loadData(musicxml(score_of(grid)).decode())
    assert toolkit.renderToSVG(1).count('class="note"') >= (grid > 0).sum()
    assert not capfd.readouterr().err


@pytest.mark.parametrize("pattern", ["nifc-chopin/kern/006-1-*.krn", "openscore-lieder/scores/Schubert*/*/*/*.mxl",
                                     "piano-midi/midis/Mozart/mz_331_*.mid"])
def test_real_pieces_come_back_with_few_notes_shortened(pattern, tmp_path):
    folder = os.environ.get("OCTAVOICE_DATA")
    if not folder:
        pytest.skip("the corpora are not here; OCTAVOICE_DATA names their folder")
    path = sorted(Path(folder).glob(pattern))[0]
    piece = READERS[path.suffix](path)
    assert check_same_notes(clipped(piece.held[:256]), tmp_path) <= 0.02 * piece.roll[:256].sum()


# --- hands and voices -------------------------------------------------------------------------------------------------

def test_a_held_bass_stays_on_its_staff_under_chords_that_move():
    chords = [(4 * i, 4 * i + 4, pitch) for i in range(4) for pitch in (55 + i, 59 + i, 64 + i)]
    grid = grid_of((0, 16, 48), *chords, steps=16)
    right, left = hands((grid > 0).astype(np.uint8), durations=grid)
    assert Chord(0, 16, (48,)) in left
    assert not score_of(grid).editorial.shortened
    assert all(note >= 55 for chord in right for note in chord.notes)


def test_melody_above_and_a_held_note_below_are_two_voices_that_do_not_cross():
    melody = [Chord(2 * i, 2 * i + 2, (72 + i % 3,)) for i in range(8)]
    held = Chord(0, 16, (60,))
    assert shared(sorted([*melody, held])) == (melody, [held])
    high = Chord(0, 16, (84,))
    assert shared(sorted([*melody, high])) == ([high], melody)


def test_chords_that_never_overlap_need_one_voice():
    chords = [Chord(4 * i, 4 * i + 3, (60 + i, 67)) for i in range(6)]
    assert shared(chords) == (chords, [])
    assert all(len(bar) == 1 for bar in in_bars(chords, [], 32, (4, 4)))


def test_of_three_things_at_once_the_inner_one_gives_way():
    bass, inner, top = Chord(0, 16, (48,)), Chord(2, 16, (60,)), Chord(4, 12, (72,))
    voices = shared([bass, inner, top])
    assert voices == ([inner._replace(end=4), top], [bass])
    assert shortened([bass, inner, top], *voices) == 1


@settings(max_examples=100, deadline=None)
@given(grids(), st.booleans())
def test_voices_hold_every_note_once_and_never_overlap_themselves(grid, upper_first):
    for chords in hands((grid > 0).astype(np.uint8), durations=grid):
        voices = shared(chords, upper_first)
        assert sorted((chord.start, note) for voice in voices for chord in voice for note in chord.notes) == sorted(
            (chord.start, note) for chord in chords for note in chord.notes)
        for voice in voices:
            assert all(a.end <= b.start for a, b in pairwise(voice))


def test_rests_are_shown_where_the_staff_is_silent_and_hidden_where_it_is_not():
    upper = [Chord(0, 2, (72,)), Chord(3, 4, (74,)), Chord(12, 16, (76,))]
    lower = [Chord(0, 8, (60,))]
    ((first, second),) = in_bars(upper, lower, 16, (4, 4))
    assert [(one.at, one.length, one.hidden) for one in first if not one.notes] == [(2, 1, False), (4, 4, True),
                                                                                    (8, 4, False)]
    assert second == [Written(0, 8, (60,)), Written(8, 4, hidden=True), Written(12, 4, hidden=True)]


def test_a_note_tied_over_a_bar_line_keeps_its_voice():
    upper, lower = [Chord(0, 16, (72,)), Chord(24, 32, (74,))], [Chord(0, 8, (60,)), Chord(12, 20, (62,))]
    first, second = in_bars(upper, lower, 32, (4, 4))
    assert first[1][-1] == Written(12, 4, (62,), "start")
    assert second[1][0] == Written(0, 4, (62,), "stop")


def test_stems_tell_two_voices_apart_and_a_lone_one_is_free():
    grid = grid_of((0, 16, 60), (0, 8, 72), (8, 16, 74), (16, 24, 72), (24, 32, 76), steps=32)
    data = musicxml(score_of(grid, split=55)).decode()
    first, second = data.split("<measure")[1:]
    assert first.count("<stem>up") == 2
    assert first.count("<stem>down") == 1
    assert "<stem>" not in second
    assert [f"<voice>{n}</voice>" in first for n in (1, 2, 3)] == [True, True, True]


def test_a_grid_of_other_onsets_is_refused():
    grid = grid_of((0, 4, 60), steps=8)
    with pytest.raises(ValueError, match="onsets"):
        to_score(np.zeros((8, KEYS), np.uint8), durations=grid)
    with pytest.raises(ValueError, match="onsets"):
        to_score((grid[:4] > 0).astype(np.uint8), durations=grid)


def test_engraved_voices_are_written_to_disk_too(tmp_path):
    grid = grid_of((0, 16, 60), (0, 8, 72), (8, 20, 74), steps=20)
    roll = (grid > 0).astype(np.uint8)
    assert read_back(to_musicxml(roll, tmp_path / "a.musicxml", durations=grid)) == chord_notes(roll, grid)
    (page,) = engrave(roll, durations=grid)
    assert engrave(roll, durations=grid) == [page]
    assert engrave(roll) != [page]
