"""Tempo maps: what files tell comes back, new bars take what holds longest, sound and pages keep it."""

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from music21 import converter

from octavoice import composing
from octavoice.composing import output
from octavoice.formats.abc import read_abc
from octavoice.formats.midi import read_midi, write_midi
from octavoice.formats.musicxml import read_musicxml
from octavoice.formats.sound import synthesize
from octavoice.music import tempo
from octavoice.music.roll import KEYS

SLOWING = ((0, 120), (48, 30))
"""Four bars of 4/4, the last of them at a quarter of the tempo."""


@pytest.fixture
def slowing(tmp_path, write_song):
    """Quarters in four bars, at 120, then 30."""
    return write_song(tmp_path / "slowing.mid", [(70, 60 + i, 4 * i, 4 * i + 4) for i in range(16)], tempos=SLOWING)


def struck(every: int = 4, steps: int = 64) -> np.ndarray:
    roll = np.zeros((steps, KEYS), np.uint8)
    roll[::every, 40] = 1
    return roll


def test_a_piece_that_slows_in_its_last_bar_gives_new_bars_at_the_tempo_before(composer, slowing):
    prime = composing.read(slowing)
    assert (prime.tempo, prime.tempos) == (120, SLOWING)
    (piece,) = composing.continuations(composer, prime, 32, 1, 1)
    assert piece.tempos == ((0, 120), (48, 30), (64, 120))
    assert composing.excerpt(piece, 2).tempos == ((0, 120), (16, 30), (32, 120))
    assert composing.excerpt(piece, 0).tempos == ((0, 120),)
    (alone,) = composing.continuations(composer, prime, 32, 1, 1, keep=False)
    assert alone.tempos == ((0, 120),)
    assert "at 120 quarters a minute for the most part (30 to 120), in" in composing.introduce(prime)


def test_the_tempi_are_the_same_in_midi_musicxml_and_sound(run, slowing):
    assert run("compose", slowing, "-o", "o.mid", "--steps", 32, "--musicxml", "o.musicxml", "--audio", "o.wav")[0] == 0
    told = ((0, 120), (48, 30), (64, 120))
    assert read_midi("o.mid").tempos == told
    assert read_musicxml(Path("o.musicxml")).tempos == told
    assert soundfile.info("o.wav").duration == pytest.approx(6 + 8 + 4, abs=0.01)
    assert mido.MidiFile("o.mid").length <= 18
    score = converter.parse("o.musicxml", forceSource=True, storePickle=False)
    assert [(mark.measureNumber, mark.number) for mark in score.recurse().getElementsByClass("MetronomeMark")] == [
        (1, 120), (4, 30), (5, 120)]


def test_silence_before_the_first_onset_shifts_the_map(tmp_path, write_song, composer):
    notes = [(70, 60, 24 + 4 * i, 28 + 4 * i) for i in range(10)]
    path = write_song(tmp_path / "late.mid", notes, tempos=((0, 50), (8, 60), (32, 90)))
    prime = composing.read(path)
    assert prime.tempos == ((0, 60), (8, pytest.approx(90, abs=0.01)))
    (piece,) = composing.continuations(composer, prime, 8, 1, 1)
    assert [step for step, _ in piece.tempos] == [0, 16]  # from the bar line before the first onset
    assert np.array_equal(read_midi(path).roll[16:], piece.roll[:len(read_midi(path).roll) - 16])


def test_midi_without_a_tempo_tells_none_and_before_the_first_it_is_120(tmp_path, write_song):
    song = [(70, 60, 0, 16)]
    assert read_midi(write_song(tmp_path / "a.mid", song, tempos=())).tempos == ()
    assert read_midi(write_song(tmp_path / "b.mid", song, tempos=((8, 60),))).tempos == ((0, 120), (8, 60))
    assert composing.read(tmp_path / "a.mid").tempo == 120


maps = st.lists(st.tuples(st.integers(0, 7680), st.integers(60_000, 6_000_000)), min_size=1, max_size=30).map(
    lambda rows: tempo.tempo_map([(0, 120), *((tick / 120, 6e7 / each) for tick, each in rows)]))


@given(maps)
def test_any_map_comes_back_from_midi(tmp_path_factory, told):
    path = write_midi(struck(), tmp_path_factory.getbasetemp() / "map.mid", told)
    assert read_midi(path).tempos == pytest.approx(np.array(told))


@given(maps, st.integers(0, 64))
def test_what_is_cut_holds_as_before(told, start):
    rest = tempo.cut(told, start)
    places = np.arange(0, 80, 0.5)
    assert tempo.seconds_at(rest, places) == pytest.approx(
        tempo.seconds_at(told, places + start) - tempo.seconds_at(told, np.array(start)), abs=1e-6)


@pytest.mark.parametrize(("told", "steps", "right"), [
    (SLOWING, 64, 120), (((0, 90), (32, 60)), 64, 90), (((0, 90), (31, 60)), 64, 60), ((), 64, 120),
    (((0, 30), (16, 100), (24, 103), (32, 98), (40, 55)), 56, 100), (((0, 60), (100, 90)), 64, 60)])
def test_which_tempo_holds_longest(told, steps, right):
    """Tempi that swing about one count as one: 100, 103 and 98 hold 24 steps, longer than 30's 16 and 55's 16."""
    assert tempo.prevailing(told, steps) == right


def test_absurd_tempi_are_left_out():
    assert tempo.tempo_map([(0, 100), (4, 0.001), (8, 5e6), (12, 100)]) == ((0, 100),)


def test_sound_follows_the_map():
    samples, rate = synthesize(struck(), SLOWING)
    assert len(samples) == 14 * rate
    loud = np.abs(samples).reshape(-1, rate // 2).max(axis=1)  # half a second: a quarter, then a quarter of one
    assert (loud[:12] > 0.3).all()
    assert (loud[12::4] > 0.3).all()
    assert (loud[15::4] < 0.3).all()


# --- scores -----------------------------------------------------------------------------------------------------------

def musicxml_of(*bars: str, other: str = "") -> str:
    song = '<score-part id="P2"><part-name>Voice</part-name></score-part>' if other else ""
    measures = "".join(f'<measure number="{n}">{bar}</measure>' for n, bar in enumerate(bars, 1))
    return (f'<score-partwise version="4.0"><part-list>{song}<score-part id="P1"><part-name>Piano</part-name>'
            f"</score-part></part-list>{other}<part id='P1'>{measures}</part></score-partwise>")


NOTE = "<note><pitch><step>C</step><octave>4</octave></pitch><duration>{}</duration></note>"
FIRST = "<attributes><divisions>2</divisions></attributes>"


@pytest.mark.parametrize(("mark", "qpm"), [
    ("<sound tempo='54'/>", 54), ("<direction><direction-type><words>Lento</words></direction-type>"
                                  "<sound tempo='54.5'/></direction>", 54.5),
    ("<direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>60</per-minute>"
     "</metronome></direction-type></direction>", 90),
    ("<direction><direction-type><metronome><beat-unit>half</beat-unit><per-minute>40</per-minute></metronome>"
     "</direction-type><sound tempo='84'/></direction>", 84)])
def test_musicxml_tells_tempi_as_sound_or_as_marks(tmp_path, mark, qpm):
    path = tmp_path / "a.musicxml"
    path.write_text(musicxml_of(FIRST + "<sound tempo='100'/>" + NOTE.format(8),
                                NOTE.format(3) + mark + NOTE.format(5)))
    assert read_musicxml(path).tempos == ((0, 100), (22, qpm))


@pytest.mark.parametrize("mark", ["<sound tempo='fast'/>", "<sound tempo='0'/>", "<sound tempo='-4'/>", "<direction/>",
                                  "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><per-minute>ca. "
                                  "60</per-minute></metronome></direction-type></direction>"])
def test_what_tells_no_tempo_is_passed_over(tmp_path, mark):
    (tmp_path / "a.musicxml").write_text(musicxml_of(FIRST + mark + NOTE.format(8)))
    assert read_musicxml(tmp_path / "a.musicxml").tempos == ()


def test_a_singers_part_tells_the_pianos_tempo(tmp_path):
    other = ("<part id='P2'><measure number='1'><attributes><divisions>3</divisions></attributes>"
             "<note><rest/><duration>6</duration></note><direction><direction-type><words>x</words></direction-type>"
             "<offset>3</offset><sound tempo='44'/></direction><note><rest/><duration>6</duration></note></measure>"
             "</part>")
    (tmp_path / "a.musicxml").write_text(musicxml_of(FIRST + "<sound tempo='66'/>" + NOTE.format(8), other=other))
    assert read_musicxml(tmp_path / "a.musicxml").tempos == ((0, 66), (12, 44))


@pytest.mark.parametrize(("body", "told"), [
    ("CDEF|[Q:1/4=50]GABc|", ((0, 100), (16, 50))), ("C|[Q: \"Lento\" 1/8=90] CDEF|", ((0, 100), (4, 45))),
    ("|:CDEF:|\nQ:1/4 1/4=40\nGABc|", ((0, 100), (16, 80))), ("CDEF|[Q:\"Allegro\"]GABc|", ((0, 100),)),
    ("V:1\nCDEF|[Q:50]GABc|\nV:2\nC4|C4|\nV:1\nCDEF|[Q:60]GABc|", ((0, 100), (16, 50), (48, 60)))])
def test_abc_tells_tempi_in_bars(tmp_path, body, told):
    text = f"X:1\nM:4/4\nL:1/4\nQ:1/4=100\nK:C\n{body}\n"
    (tmp_path / "a.abc").write_text(text)
    assert read_abc(tmp_path / "a.abc").tempos == told


def test_key_and_title_of_what_is_written(composer, slowing):
    (piece,) = composing.continuations(composer, composing.read(slowing), 8, 1, 1)
    assert output.engraving(piece)["key"] == output.written_in(piece) == output.written_in(composing.excerpt(piece, 0))
