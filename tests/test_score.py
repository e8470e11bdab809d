"""The engraver: what is on the page is what is in the roll, and it is the same page every time."""

import hashlib
import io
import os
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music21 import converter, expressions, key

from octavoice.errors import UserError
from octavoice.music.hands import hands, split_points
from octavoice.music.notation import tidied
from octavoice.music.piece import bar_steps
from octavoice.music.rhythm import VALUES, values
from octavoice.music.roll import CLASSES, KEYS, LOWEST_MIDI, compress, transpose
from octavoice.music.score import as_key, engrave, find_key, musicxml, spell, to_musicxml, to_png, to_score


def roll_of(*steps: str | None, length: int | None = None) -> np.ndarray:
    """A roll from one string of note names a step ("C4 E4"), None for a step without onset."""
    roll = np.zeros((length or len(steps), KEYS), dtype=np.uint8)
    names = {"C": 0, "C#": 1, "D": 2, "E-": 3, "E": 4, "F": 5, "F#": 6, "G": 7, "A-": 8, "A": 9, "B-": 10, "B": 11}
    for t, step in enumerate(steps):
        for name in (step or "").split():
            roll[t, names[name[:-1]] + 12 * (int(name[-1]) + 1) - LOWEST_MIDI] = 1
    return roll


def random_roll(seed: int, steps: int) -> np.ndarray:
    """Sparse, syncopated, wide: everything that makes ties, rests and ledger lines."""
    rng = np.random.default_rng(seed)
    roll = (rng.random((steps, KEYS)) < 0.03).astype(np.uint8)
    roll[rng.random(steps) < 0.6] = 0
    return roll


def written(roll: np.ndarray, size: int = 16) -> list[tuple[int, int, int]]:
    """``(onset, end, midi_pitch)`` of a roll as a page writes it."""
    return sorted((chord.start, chord.end, note) for hand in hands(roll) for chord in tidied(hand, size)
                  for note in chord.notes)


def sounding(score) -> list[tuple[int, int, int]]:
    """``(onset, end, midi_pitch)`` of a score in steps, notes joined over their ties."""
    done = []
    for part in score.parts:
        held = {}
        for element in part.flatten().notes:
            start, end = 4 * element.offset, 4 * (element.offset + element.quarterLength)
            for one in getattr(element, "notes", (element,)):
                link = one.tie.type if one.tie else None
                if link in ("stop", "continue"):
                    first, joint = held.pop(one.pitch.midi)
                    assert joint == start
                else:
                    first = start
                if link in ("start", "continue"):
                    held[one.pitch.midi] = (first, end)
                else:
                    done.append((int(first), int(end), one.pitch.midi))
        assert not held
    return sorted(done)


GRACEFUL = roll_of("G3 B3 D4", None, "F#4", None, "G4 D5", None, None, "A4", None, "F#4 C4", *[None] * 8, "G2 G4", None)


@pytest.mark.parametrize("roll", [GRACEFUL, random_roll(1, 77), random_roll(2, 64)], ids=["short", "odd", "full"])
def test_musicxml_holds_the_notes_of_the_roll(roll, tmp_path):
    path = to_musicxml(roll, tmp_path / "score.musicxml")
    score = converter.parse(path, forceSource=True, storePickle=False)
    assert sounding(score) == written(roll)
    assert [p.name for p in tmp_path.iterdir()] == ["score.musicxml"]


@pytest.mark.parametrize("steps", [0, 1, 16, 77])
def test_every_bar_is_full_on_both_staves(steps):
    score = to_score(random_roll(3, steps))
    assert len(score.parts) == 2
    for part in score.parts:
        bars = list(part.getElementsByClass("Measure"))
        assert len(bars) == max(1, -(-steps // 16))
        for bar in bars:
            ends = np.cumsum([float(e.quarterLength) for e in bar.notesAndRests])
            assert [float(e.offset) for e in bar.notesAndRests] == [0.0, *ends[:-1]]
            assert ends[-1] == 4


def test_silent_roll_is_a_page_of_rests():
    assert not sounding(to_score(np.zeros((40, KEYS), np.uint8)))
    assert len(engrave(np.zeros((40, KEYS), np.uint8))) == 1


@given(st.integers(0, 80), st.integers(1, 50), st.booleans())
@settings(deadline=None)
def test_values_fill_the_stretch_with_legal_lengths(start, length, rest):
    parts = values(start, start + length, rest)
    ends = [at + n for at, n in parts]
    assert [at for at, _ in parts] == [start, *ends[:-1]]
    assert ends[-1] == start + length
    assert all(n in (1, 2, 3, 4, 6, 8, 12, 16) and at // 16 == (at + n - 1) // 16 for at, n in parts)


def test_values_show_the_beat():
    assert values(1, 5) == [(1, 3), (4, 1)]
    assert values(2, 6) == [(2, 4)]
    assert values(2, 6, rest=True) == [(2, 2), (4, 2)]
    assert values(0, 12, rest=True) == [(0, 8), (8, 4)]


METRES = [(4, 4), (3, 4), (6, 8), (9, 8), (12, 8), (5, 4), (7, 8), (2, 2), (3, 16), (2, 4)]


@given(st.sampled_from(METRES), st.integers(0, 60), st.integers(1, 60), st.booleans())
@settings(deadline=None)
def test_values_of_every_metre_fill_the_stretch_and_cross_no_bar_line(metre, start, length, rest):
    parts, size = values(start, start + length, rest, metre), bar_steps(metre)
    ends = [at + n for at, n in parts]
    assert [at for at, _ in parts] == [start, *ends[:-1]]
    assert ends[-1] == start + length
    assert all(at // size == (at + n - 1) // size for at, n in parts)
    assert all(n in VALUES or (rest and n == size) for _, n in parts)


def test_values_show_the_beat_of_other_metres():
    waltz, jig, nine, five = (3, 4), (6, 8), (9, 8), (5, 4)
    assert values(0, 12, metre=waltz) == [(0, 12)]
    assert values(0, 8, metre=waltz) == [(0, 8)]
    assert values(0, 8, rest=True, metre=waltz) == [(0, 4), (4, 4)]
    assert values(2, 8, metre=waltz) == [(2, 6)]
    assert values(0, 10, metre=waltz) == [(0, 8), (8, 2)]
    assert values(8, 16, metre=waltz) == [(8, 4), (12, 4)]
    assert values(3, 9, metre=jig) == [(3, 3), (6, 3)]
    assert values(0, 12, metre=jig) == [(0, 12)]
    assert values(0, 18, metre=nine) == [(0, 12), (12, 6)]
    assert values(0, 20, metre=five) == [(0, 12), (12, 8)]
    assert values(0, 20, rest=True, metre=five) == [(0, 20)]


@pytest.mark.parametrize("metre", METRES)
def test_bars_are_as_long_as_the_metre_says_and_hold_the_notes(metre, tmp_path):
    roll = random_roll(6, 61)
    score = converter.parse(to_musicxml(roll, tmp_path / "score.musicxml", metre=metre, tempo=96), forceSource=True,
                            storePickle=False)
    padded = -(-61 // bar_steps(metre)) * bar_steps(metre)
    assert sounding(score) == written(roll, bar_steps(metre))
    for part in score.parts:
        bars = list(part.getElementsByClass("Measure"))
        assert [4 * bar.offset for bar in bars] == list(range(0, padded, bar_steps(metre)))
        assert all(4 * bar.duration.quarterLength == bar_steps(metre) for bar in bars)
        assert bars[0].timeSignature.ratioString == "{}/{}".format(*metre)
    assert [mark.number for mark in score.recurse().getElementsByClass("MetronomeMark")] == [96]


def test_tempo_is_drawn_with_a_letter_that_every_font_has():
    (page,) = engrave(GRACEFUL, tempo=90)
    assert "♩" in page
    assert "\ueca5" not in page


@pytest.mark.parametrize("metre", [(5, 32), (4, 3), (0, 4)])
def test_a_bar_that_is_not_whole_sixteenths_is_refused(metre):
    with pytest.raises(ValueError, match="sixteenths"):
        to_score(GRACEFUL, metre=metre)


def test_notes_are_spelled_in_the_key():
    scale = roll_of("G4", "A4", "B4", "C5", "D5", "E5", "F#5", "G5")
    assert "F#" in {p.name for p in to_score(scale).pitches}
    assert {p.name for p in to_score(scale, key="D- major").pitches} >= {"G-", "G"}
    assert to_score(scale).parts[0].recurse().getElementsByClass("KeySignature").first().sharps == 1


@pytest.mark.parametrize("tonic", ["C major", "D- major", "F# major", "a", "g#", "e-"])
def test_spelling_keeps_the_sound_and_the_scale(tonic):
    signature = as_key(tonic) if " " in tonic else key.Key(tonic)
    spelled = [spell(midi, signature) for midi in range(LOWEST_MIDI, LOWEST_MIDI + KEYS)]
    assert [p.midi for p in spelled] == list(range(LOWEST_MIDI, LOWEST_MIDI + KEYS))
    assert {p.name for p in signature.pitches} <= {p.name for p in spelled}
    assert len({p.name for p in spelled}) == CLASSES


def test_notes_outside_the_scale_take_near_neighbours():
    for name, spelling in (("C major", "C C# D E- E F F# G G# A B- B"), ("A minor", "C C# D D# E F F# G G# A B- B"),
                           ("A♭ major", "C D- D E- E F G- G A- A B- C-"),
                           ("F♯ major", "B# C# D D# E E# F# G G# A A# B"),
                           ("G♯ minor", "B# C# D D# E E# F# F## G# A A# B"),
                           ("G♭ major", "C D- D E- F- F G- G A- A B- C-")):
        assert " ".join(spell(midi, as_key(name)).name for midi in range(60, 72)) == spelling


def test_scale_notes_need_no_accidentals():
    page = musicxml(to_score(roll_of("G4 B3", "A4", "B4", "C5", "D5", "E5", "F#5", "F#4 D3"), key="G major"))
    assert b"<accidental>" not in page
    assert b"<accidental>natural" in musicxml(to_score(roll_of("G4", "A4", "B4", "F4"), key="G major"))


def test_key_follows_transposition():
    for shift in (-6, -1, 3, 5):
        found, moved = find_key(compress(GRACEFUL)), find_key(compress(transpose(GRACEFUL, shift)))
        assert (moved.tonic.pitchClass - found.tonic.pitchClass - shift) % 12 == 0
        assert moved.mode == found.mode
        assert abs(moved.sharps) <= 6
    assert find_key(np.zeros((4, CLASSES))) is None


@pytest.mark.parametrize("name", ["H major", "G", "G dorian", "G## minor", ""])
def test_unknown_key_is_a_user_error(name):
    with pytest.raises(UserError, match="is not a key"):
        as_key(name)


def test_a_line_stays_on_its_staff():
    high = roll_of("E4", "D4", "C4", "B3", "A3", "B3", "C4", "E4")
    low = roll_of("G3", "A3", "B3", "C4", "D4", "C4", "B3", "G3")
    right, left = to_score(high).parts
    assert not left.pitches
    assert len(right.pitches) == 8
    right, left = to_score(low).parts
    assert not right.pitches
    assert len(left.pitches) == 8


def test_wide_chords_are_shared_by_the_hands():
    chords = roll_of("C2 G2 E4 C5", "F2 C3 F4 A4", "B3 D4 G4 F5")
    right, left = to_score(chords).parts
    assert max(p.midi for p in left.pitches[:4]) < 60 <= min(p.midi for p in right.pitches[:4])
    assert len(split_points(chords)) == 3


def test_mark_stands_over_its_step():
    roll = random_roll(4, 48)
    texts = list(to_score(roll, mark=20).recurse().getElementsByClass(expressions.TextExpression))
    assert [(t.content, t.measureNumber, t.offset) for t in texts] == [("continuation", 2, 1.0)]
    assert "continuation" in engrave(roll, mark=20)[0]
    assert "continuation" not in engrave(roll)[0]
    with pytest.raises(ValueError, match="outside"):
        to_score(roll, mark=48)


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="axes"):
        to_score(np.zeros((16, 12), np.uint8))


def pixels(png: bytes) -> np.ndarray:
    """Darkness ``(row, column)`` of a PNG, 0 white to 1 black."""
    return 1 - matplotlib.image.imread(io.BytesIO(png))[..., :3].mean(axis=-1)


def test_png_has_the_width_and_ink():
    (page,) = engrave(GRACEFUL)
    dark = pixels(to_png(page, width=700))
    assert dark.shape[1] == 700
    assert 0.005 < dark.mean() < 0.5
    assert dark[0].max() == 0
    titled = pixels(to_png(engrave(GRACEFUL, title="Prelude")[0], width=700))
    assert titled.shape[0] > dark.shape[0]
    assert titled[:40, 250:450].mean() > 0.01
    assert titled[:40, :200].max() == 0


def test_letters_are_drawn_without_system_fonts():
    empty = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="40">{}</svg>'
    text = empty.format('<text x="5" y="30" font-family="Times, serif" font-size="24">Фa 7</text>')
    assert pixels(to_png(text, width=90)).max() > 0.9
    assert pixels(to_png(empty.format(""), width=90)).max() == 0


DIGESTS = """
import hashlib, numpy as np
from octavoice.music.score import engrave, musicxml, to_png, to_score
roll = np.zeros((40, 88), np.uint8)
roll[::3, 40] = roll[::5, 30] = roll[7::11, 66] = 1
(page,) = engrave(roll, title="Study", mark=16)
for data in (musicxml(to_score(roll, title="Study", mark=16)), page.encode(), to_png(page)):
    print(hashlib.sha256(data).hexdigest())
"""


def test_same_bytes_in_another_process_and_again_in_this_one():
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", DIGESTS], capture_output=True, text=True, check=True, env=env)
    roll = np.zeros((40, KEYS), np.uint8)
    roll[::3, 40] = roll[::5, 30] = roll[7::11, 66] = 1
    for _ in range(2):
        (page,) = engrave(roll, title="Study", mark=16)
        data = (musicxml(to_score(roll, title="Study", mark=16)), page.encode(), to_png(page))
        assert there.stdout.split() == [hashlib.sha256(one).hexdigest() for one in data]
    assert b"encoding-date" not in data[0]
