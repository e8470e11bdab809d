"""What a pianist would mark with a pencil, on the page, in MIDI and in MusicXML."""

import re
from pathlib import Path
from xml.etree import ElementTree

import mido
import numpy as np
import pytest
import verovio
from hypothesis import given
from hypothesis import strategies as st
from music21 import converter, stream

from octavoice import composing
from octavoice.composing import output
from octavoice.formats.midi import chord_notes, read_midi, to_midi
from octavoice.formats.musicxml import read_musicxml
from octavoice.music.durations import clipped
from octavoice.music.hands import Chord, hands
from octavoice.music.notation import tidied
from octavoice.music.roll import KEYS, LOWEST_MIDI
from octavoice.music.score import musicxml, to_score
from octavoice.music.tempo import by_bars
from octavoice.music.voices import in_bars


def grid_of(*notes: tuple[int, int, int], steps: int = 16) -> np.ndarray:
    """A grid of durations ``(time, key)`` from ``(onset, end, midi_pitch)``."""
    grid = np.zeros((steps, KEYS), np.uint16)
    for onset, end, pitch in notes:
        grid[onset, pitch - LOWEST_MIDI] = end - onset
    return clipped(grid)


def page_of(*notes: tuple[int, int, int], steps: int = 16, **options) -> bytes:
    grid = grid_of(*notes, steps=steps)
    return musicxml(to_score((grid > 0).astype(np.uint8), durations=grid, **options))


def in_quarters(*pitches: int) -> list[tuple[int, int, int]]:
    return [(4 * i, 4 * i + 4, pitch) for i, pitch in enumerate(pitches)]


# --- ends -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("rows", "ends"), [
    ([(0, 1), (2, 3), (4, 5)], [2, 4, 6]),  # a sixteenth before a sixteenth's rest is an eighth
    ([(0, 1), (1, 2), (2, 3), (3, 4)], [1, 2, 3, 4]),  # sixteenths stay
    ([(0, 3), (4, 7)], [4, 8]),  # a dotted eighth before a rest is a quarter
    ([(0, 3), (3, 4)], [3, 4]),  # and before a sixteenth stays
    ([(0, 5), (4, 8)], [4, 8]),  # a finger that lies over
    ([(0, 2), (1, 2)], [1, 2]), ([(0, 2), (2, 4)], [2, 4]), ([(0, 15)], [16]), ([(3, 4), (8, 9)], [4, 10])])
def test_ends_are_written_as_a_pianist_reads_them(rows, ends):
    chords = [Chord(start, end, (60 + i,)) for i, (start, end) in enumerate(rows)]
    assert [chord.end for chord in tidied(chords, 16)] == ends


def test_an_eighth_under_a_sixteenth_stays_an_eighth():
    """Two voices that are written: nothing stands alone."""
    chords = [Chord(0, 1, (72,)), Chord(0, 2, (60,)), Chord(1, 2, (74,))]
    assert tidied(chords, 16) == chords


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(50, 60)), max_size=20),
       st.sampled_from([16, 12, 3, 14]))
def test_no_end_moves_by_more_than_a_step_and_no_key_is_held_when_struck(rows, size):
    grid = grid_of(*((at, at + length, pitch) for at, length, pitch in rows), steps=64)
    chords = [Chord(at, end, (pitch,)) for at, end, pitch in chord_notes((grid > 0).astype(np.uint8), grid)]
    before = {(chord.start, chord.notes[0]): chord.end for chord in chords}
    after = {(chord.start, note): chord.end for chord in tidied(chords, size) for note in chord.notes}
    assert before.keys() == after.keys()
    for (start, pitch), end in after.items():
        assert abs(end - before[start, pitch]) <= 1
        assert end > start
        assert (end - 1) // size <= (before[start, pitch] - 1) // size  # over no bar line
        assert not any(start < other < end for other, same in after if same == pitch)


def test_the_sound_keeps_what_the_page_tidies():
    grid = grid_of((0, 1, 60), (2, 3, 62))
    roll = (grid > 0).astype(np.uint8)
    assert b"eighth" in page_of((0, 1, 60), (2, 3, 62))
    assert chord_notes(roll, grid) == [(0, 1, 60), (2, 3, 62)]


# --- octave lines -----------------------------------------------------------------------------------------------------

def shifts(data: bytes) -> list[tuple[str, str, str]]:
    """``(staff, kind, measure)`` of a page's octave lines."""
    return [(line.get("number"), line.get("type"), measure.get("number"))
            for measure in ElementTree.fromstring(data).iter("measure") for line in measure.iter("octave-shift")]


def drawn(data: bytes) -> list[tuple[int, int | None]]:
    """Octave on the page, and by sound where that is another, of each note, as verovio sees them."""
    toolkit = verovio.toolkit()
    toolkit.loadData(data.decode())
    notes = re.findall(r"<note [^>]*>", toolkit.getMEI())
    return [(int(re.search(r' oct="(\d)"', note)[1]), int(found[1]) if (found := re.search(r'oct\.ges="(\d)"', note))
             else None) for note in notes]


def test_a_high_run_stands_under_an_octave_line_and_sounds_as_before(tmp_path):
    notes = in_quarters(72, 91, 93, 76, 74, 60)
    data = page_of(*notes, steps=24)
    assert shifts(data) == [("1", "down", "1"), ("1", "stop", "1")]
    assert drawn(data) == [(5, None), (5, 6), (5, 6), (5, None), (5, None), (4, None)]
    (tmp_path / "a.musicxml").write_bytes(data)
    assert chord_notes(read_musicxml(tmp_path / "a.musicxml").roll) == notes
    score = converter.parse(data.decode(), format="musicxml", forceSource=True)
    assert sorted(int(note.pitch.midi) for note in score.recurse().notes) == sorted(pitch for *_, pitch in notes)


def test_a_low_run_stands_over_one():
    data = page_of(*in_quarters(24, 26, 36, 48, 60), steps=20)
    assert shifts(data) == [("2", "up", "1"), ("2", "stop", "1")]
    assert drawn(data)[:3] == [(2, 1), (2, 1), (2, None)]


def test_an_octave_line_goes_over_bar_lines_rests_and_ties():
    data = page_of((0, 4, 91), (6, 24, 91), (24, 28, 86), (28, 32, 93), steps=32)
    assert shifts(data) == [("1", "down", "1"), ("1", "stop", "2")]
    assert {ges for _, ges in drawn(data)} == {6}
    assert len(shifts(page_of((0, 4, 91), (8, 16, 91)))) == 4  # a rest of a quarter parts it


def test_of_two_voices_both_stand_under_it():
    data = page_of((0, 16, 84), *((i, i + 2, 91 + i // 2) for i in range(0, 16, 2)), (16, 20, 72), steps=32)
    assert shifts(data) == [("1", "down", "1"), ("1", "stop", "1")]
    assert [ges is not None for _, ges in drawn(data)] == [True] * 9 + [False]


@pytest.mark.parametrize("notes", [in_quarters(72, 88, 86, 76), in_quarters(30, 31, 36, 33), [(0, 4, 91), (0, 4, 71)],
                                   [(0, 2, 72), (2, 4, 91), (4, 6, 93), (6, 8, 76)]])
def test_what_is_read_without_or_would_be_too_low_has_none(notes):
    assert not shifts(page_of(*notes))


# --- rests, hands, marks ----------------------------------------------------------------------------------------------

@st.composite
def voices(draw) -> tuple[list[Chord], list[Chord]]:
    def voice(pitch):
        rows, now = [], 0
        for rest, length in draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=8)):
            rows.append(Chord(now + rest, now + rest + length, (pitch,)))
            now = rows[-1].end
        return [chord for chord in rows if chord.end <= 32]
    return voice(72), voice(60)


@given(voices())
def test_no_rest_shows_where_the_other_voice_moves(both):
    struck = [{chord.start for chord in voice} for voice in both]
    for number, bar in enumerate(in_bars(*both, 32, (4, 4))):
        for place, voice in enumerate(bar if len(bar) > 1 else []):
            shown = [one for one in voice if not one.notes and not one.hidden]
            assert not any(16 * number + at in struck[1 - place] for one in shown
                           for at in range(one.at, one.at + one.length))


def test_rests_of_a_staff_that_is_silent_stand_in_its_middle():
    data = page_of((0, 8, 60), (0, 4, 72), (4, 8, 74), (12, 16, 72))
    (rest,) = [note for note in ElementTree.fromstring(data).iter("note") if note.find("rest") is not None
               and note.findtext("staff") == "1" and note.get("print-object") != "no"]
    assert (rest.findtext("rest/display-step"), rest.findtext("rest/display-octave")) == ("B", "4")


def test_a_hand_takes_what_lies_in_its_reach_though_the_other_rests():
    grid = grid_of((0, 2, 49), (0, 2, 57), *((i, i + 1, 76 - i % 3) for i in range(1, 8)))
    right, left = hands((grid > 0).astype(np.uint8), durations=grid)
    assert left == [Chord(0, 2, (49, 57))]
    assert all(chord.notes[0] > 70 for chord in right)


def test_hands_do_not_cross_below_a_note_that_is_held():
    grid = grid_of((0, 16, 62), (0, 4, 50), (4, 8, 57), (8, 12, 59), (12, 16, 57))
    right, left = hands((grid > 0).astype(np.uint8), durations=grid)
    for upper in right:
        for lower in left:
            if upper.start < lower.end and lower.start < upper.end:
                assert lower.notes[-1] < upper.notes[0]


@pytest.mark.parametrize(("velocity", "mark"), [(80, "mf"), (20, "pp"), (50, "p"), (64, "mp"), (100, "f"), (127, "ff")])
def test_a_dynamic_mark_stands_at_the_beginning(velocity, mark):
    assert output.loudness(velocity) == mark
    data = page_of(*in_quarters(60, 62), dynamic=mark)
    assert [child.tag for found in ElementTree.fromstring(data).iter("dynamics") for child in found] == [mark]


def test_a_performances_tempi_are_bars_on_the_page():
    told = ((0.0, 100.0), (4.0, 50.0), (8.0, 100.0), (16.0, 120.0), (20.0, 80.0), (32.0, 90.0))
    assert by_bars(told, 64, 16) == [(0.0, 80, False), (16.0, 87, False), (32.0, 90.0, True)]
    data = page_of(*in_quarters(*[60] * 16), steps=64, tempo=told)
    assert [mark.text for mark in ElementTree.fromstring(data).iter("per-minute")] == ["80", "90"]
    assert b"<words" not in data


# --- files ------------------------------------------------------------------------------------------------------------

def test_midi_has_a_track_for_each_hand_and_the_key(tmp_path):
    notes = [*in_quarters(72, 76, 79, 84), (0, 16, 48)]
    grid = grid_of(*notes)
    (tmp_path / "a.mid").write_bytes(to_midi((grid > 0).astype(np.uint8), ((0, 100), (8, 50)), durations=grid,
                                             metre=(2, 4), key="F#m", title="Ænon"))
    facts, *tracks = mido.MidiFile(tmp_path / "a.mid").tracks
    assert [track.name for track in tracks] == ["Piano, right hand", "Piano, left hand"]
    assert [[message.note for message in track if message.type == "note_on" and message.velocity]
            for track in tracks] == [[72, 76, 79, 84], [48]]
    assert [(message.type, getattr(message, "key", None)) for message in facts if "signature" in message.type] == [
        ("time_signature", None), ("key_signature", "F#m")]
    piece = read_midi(tmp_path / "a.mid")
    assert np.array_equal(piece.held, grid)
    assert (piece.tracks, piece.key, piece.title, piece.time_signatures) == (2, "F♯ minor", "Ænon", ((2, 4),))
    assert piece.tempos == ((0, 100), (8, 50))


def test_a_name_that_is_not_unicode_is_a_title_all_the_same():
    assert b"Pr?lude" in to_midi(grid_of((0, 4, 60)).astype(np.uint8) > 0, title="Pr\udce9lude")


def test_one_part_of_two_staves_named_piano(run, song):
    assert run("compose", song, "-o", "o.mid", "--steps", 32, "--musicxml", "o.musicxml")[0] == 0
    root = ElementTree.parse("o.musicxml").getroot()
    assert [name.text for name in root.iter("part-name")] == ["Piano"]
    assert [staves.text for staves in root.iter("staves")] == ["2"]
    by_staff = {staff: {note.findtext("voice") for note in root.iter("note") if note.findtext("staff") == staff}
                for staff in "12"}
    assert by_staff["1"] <= {"1", "2"}
    assert by_staff["2"] <= {"3", "4"}
    assert [mark.tag for found in root.iter("dynamics") for mark in found] == ["mp"]
    score = converter.parse("o.musicxml", forceSource=True, storePickle=False)
    assert [type(part) for part in score.parts] == [stream.PartStaff, stream.PartStaff]
    assert len(list(score.getElementsByClass("StaffGroup"))) == 1
    piece = read_musicxml(Path("o.musicxml"))
    assert np.array_equal(piece.roll, read_midi("o.mid").roll[:piece.steps])
    accidentals = {sign.sharps for sign in score.recurse().getElementsByClass("KeySignature")}
    (told,) = [message.key for message in mido.MidiFile("o.mid").tracks[0] if message.type == "key_signature"]
    assert accidentals == {composing.output.score.as_key(
        told.rstrip("m").replace("b", "-") + (" minor" if told.endswith("m") else " major")).sharps}
