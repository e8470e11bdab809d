"""How long notes are held: the rules by brute force, and every format by hand."""

from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavoice.corpus.sources import read_score
from octavoice.formats import midi
from octavoice.formats.abc import read_abc
from octavoice.formats.kern import read_kern
from octavoice.formats.midi import read_midi
from octavoice.formats.musicxml import read_musicxml
from octavoice.music import durations, notes
from octavoice.music.piece import PLAYED, UNTOLD, WRITTEN, Piece


def said(piece: Piece) -> dict:
    """A piece's notes as ``{(step, midi_pitch): steps held}``."""
    held = piece.held
    return {(int(t), int(k) + 21): int(held[t, k]) for t, k in np.argwhere(piece.roll)}


# --- the rules --------------------------------------------------------------------------------------------------------

rolls = st.integers(1, 30).flatmap(lambda steps: st.lists(
    st.tuples(st.integers(0, steps - 1), st.integers(0, 87), st.integers(1, 40)), max_size=30).map(
        lambda cells: (steps, cells)))


def grid_of(steps, cells) -> np.ndarray:
    grid = np.zeros((steps, 88), np.uint16)
    for t, key, held in cells:
        grid[t, key] = held
    return grid


@given(rolls)
def test_a_key_struck_again_or_the_end_cuts_what_is_held(cells):
    grid = grid_of(*cells)
    cut = durations.clipped(grid)
    for t, key in np.argwhere(grid):
        again = np.flatnonzero(grid[t + 1:, key])
        assert cut[t, key] == min(grid[t, key], again[0] + 1 if len(again) else len(grid) - t)
    assert ((cut > 0) == (grid > 0)).all()


@given(rolls)
def test_what_remains_of_each_note(cells):
    grid = durations.clipped(grid_of(*cells))
    left = durations.remaining(grid)
    for key in np.flatnonzero(grid.any(axis=0)):
        ends = [start + int(grid[start, key]) for start in range(len(grid)) if grid[start, key]]
        starts = np.flatnonzero(grid[:, key])
        for t in range(len(grid)):
            begun = [end for start, end in zip(starts, ends, strict=True) if start <= t]
            assert left[t, key] == max([0, *(end - t for end in begun)])
    assert ((left > 0).sum(axis=0) == grid.sum(axis=0)).all()


@given(rolls)
def test_the_thesiss_rule_is_what_is_written_out(cells):
    x = (grid_of(*cells) > 0).astype(np.uint8)
    grid = durations.until_next(x)
    assert [(t, t + int(grid[t, k]), k + 21) for t, k in np.argwhere(x).tolist()] == midi.chord_notes(x)
    assert (durations.spread(x, grid[x > 0]) == grid).all()
    struck = np.nonzero(x)[0]
    assert (durations.next_onset(struck, len(x)) - struck == grid[x > 0]).all()


TIED = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(60, 62), st.booleans()), max_size=12)


@given(TIED)
def test_ties_are_joined_as_one_walks_along_them(rows):
    """Rows that nobody would write, too: what is left of the walk is that ties past a note's end count for nothing."""
    rows = [(onset, onset + length, pitch, struck) for onset, length, pitch, struck in rows]
    onset, end, pitch = durations.joined(rows)
    assert sorted(zip(onset.tolist(), pitch.tolist(), strict=True)) == sorted((r[0], r[2]) for r in rows if r[3])
    for first, last, key in zip(onset, end, pitch, strict=True):
        assert first < last <= max(row[1] for row in rows if row[2] == key)
        assert last in {row[1] for row in rows if row[2] == key}


@pytest.mark.parametrize(("rows", "expected"), [
    ([(0, 4, 60, 1), (4, 8, 60, 0), (8, 9, 60, 0)], [(0, 9, 60)]),
    ([(0, 16, 60, 1), (0, 4, 60, 1), (16, 20, 60, 0)], [(0, 20, 60), (0, 4, 60)]),  # a unison, the longer one tied
    ([(0, 16, 60, 1), (8, 12, 60, 1), (16, 20, 60, 0)], [(0, 20, 60), (8, 12, 60)]),  # struck again by another voice
    ([(0, 4, 60, 1), (5, 8, 60, 0)], [(0, 4, 60)]),  # past the end
    ([(0, 6, 60, 1), (5, 8, 60, 0)], [(0, 8, 60)]),  # before the end
    ([(0, 4, 60, 1), (4, 8, 61, 0)], [(0, 4, 60)]),  # another key
    ([(4, 8, 60, 0), (4, 6, 60, 1)], [(4, 8, 60)]),  # both at once
    ([(0, 4, 60, 0)], [])])
def test_ties_by_hand(rows, expected):
    assert sorted(zip(*(a.tolist() for a in durations.joined(rows)), strict=True)) == sorted(expected)


@pytest.mark.parametrize(("rows", "steps", "expected", "mended"), [
    ([(0, 0, 60, 1), (8, 4, 62, 1)], 9, {(0, 60): 1, (8, 62): 1}, 2),  # no length, an end before its onset
    ([(0, 1, 60, 1), (3, 5, 60, 1)], 5, {(0, 60): 1, (3, 60): 2}, 0),
    ([(0, 21, 60, 1), (8, 9, 62, 1)], 21, {(0, 60): 8, (8, 62): 1}, 1),  # longer than the longest
    ([(0, 9, 60, 1), (8, 40, 62, 1)], 40, {(0, 60): 9, (8, 62): 32}, 1),  # the last one: to the roll's end
    ([(0, 30, 60, 1), (9, 12, 60, 1)], 30, {(0, 60): 9, (9, 60): 3}, 0),  # struck again: there is its end
    ([(0, 19, 60, 1), (0, 3, 60, 1)], 19, {(0, 60): 19}, 0)])
def test_what_has_no_proper_length_is_mended_and_counted(tmp_path, rows, steps, expected, mended):
    piece = notes.from_notes(tmp_path / "a", rows, 4, longest=20, tracks=1, time_signatures=())
    assert (piece.steps, said(piece), piece.mended, piece.note_ends) == (steps, expected, mended, WRITTEN)


# --- MIDI -------------------------------------------------------------------------------------------------------------

def messages(path, *tracks, ticks=4) -> Path:
    """A MIDI file of tracks of ``(tick, pitch, velocity)``, in the order given at equal ticks."""
    file = mido.MidiFile(ticks_per_beat=ticks)
    for track in tracks:
        now, out = 0, mido.MidiTrack()
        for at, pitch, velocity in track:
            kind = {"velocity": velocity} if isinstance(velocity, int) else {}
            message = mido.Message("control_change", control=64, value=127) if pitch is None else mido.Message(
                "note_on" if kind else "note_off", note=pitch, **kind)
            out.append(message.copy(time=at - now))
            now = at
        file.tracks.append(out)
    file.save(path)
    return path


ON, OFF = 64, "off"


@pytest.mark.parametrize(("track", "expected", "mended"), [
    ([(0, 60, ON), (0, 64, ON), (3, 60, OFF), (9, 64, 0)], {(0, 60): 3, (0, 64): 9}, 0),
    ([(0, 60, ON), (4, 60, ON), (4, 60, OFF), (8, 60, OFF)], {(0, 60): 4, (4, 60): 4}, 0),  # pressed, then released
    ([(0, 60, ON), (5, 60, ON), (7, 60, OFF), (9, 60, OFF)], {(0, 60): 5, (5, 60): 4}, 0),  # struck again while held
    ([(0, None, 127), (0, 60, ON), (2, 60, OFF), (8, 62, ON), (9, 62, OFF)], {(0, 60): 2, (8, 62): 1}, 0),  # pedal
    ([(0, 60, ON), (0, 60, OFF), (4, 62, ON), (6, 62, OFF)], {(0, 60): 1, (4, 62): 2}, 1),  # no length
    ([(0, 60, ON), (0, 62, ON), (3, 62, OFF)], {(0, 60): 3, (0, 62): 3}, 1),  # never released
    ([(0, 60, ON), (4, 62, ON), (8, 64, ON), (10, 64, OFF)], {(0, 60): 4, (4, 62): 4, (8, 64): 2}, 2),  # nor these
    ([(0, 60, ON), (4, 60, ON), (9, 60, OFF)], {(0, 60): 4, (4, 60): 5}, 0),  # one release for two strikes
    ([(0, 60, ON), (8, 62, ON), (10, 62, OFF), (600, 60, OFF)], {(0, 60): 8, (8, 62): 2}, 1),  # stuck
    ([(0, 60, ON), (8, 62, ON), (10, 62, OFF), (511, 60, OFF)], {(0, 60): 511, (8, 62): 2}, 0)])
def test_midi_by_hand(tmp_path, track, expected, mended):
    piece = read_midi(messages(tmp_path / "a.mid", track))
    assert (said(piece), piece.mended, piece.note_ends) == (expected, mended, WRITTEN)
    assert piece.steps == max(at for at, _, velocity in track if velocity in (OFF, 0))


def test_a_file_of_notes_without_note_offs_is_read_by_the_thesiss_rule(tmp_path):
    piece = read_midi(messages(tmp_path / "a.mid", [(0, 60, ON), (4, 62, ON), (4, 65, ON)], [(8, 48, ON)]))
    assert np.argwhere(piece.roll).tolist() == [[0, 60 - 21], [4, 62 - 21], [4, 65 - 21], [8, 48 - 21]]
    assert (piece.note_ends, piece.mended, piece.tracks, piece.durations) == (UNTOLD, 4, 2, None)
    assert piece.held[piece.roll > 0].tolist() == [4, 4, 4, 1]


def test_a_silenced_channel_ends_its_notes_and_drums_are_no_notes(tmp_path):
    file = mido.MidiFile(ticks_per_beat=4)
    on = [mido.Message("note_on", note=note, channel=channel) for note, channel in ((60, 0), (62, 1), (36, 9))]
    silence = mido.Message("control_change", control=123, value=0, channel=1, time=6)
    file.tracks.append(mido.MidiTrack([*on, silence, mido.Message("note_on", note=64, time=2)]))
    file.save(tmp_path / "a.mid")
    piece = read_midi(tmp_path / "a.mid")
    assert said(piece) == {(0, 60): 8, (0, 62): 6, (8, 64): 1}
    assert (piece.mended, piece.tracks) == (2, 2)


def test_notes_beyond_what_a_file_says_is_a_tracks_end_are_read(tmp_path):
    """One ends there, one lies there whole; a running status ends with the event that is none of a channel."""
    track = bytes.fromhex("00903c40 00ff2f00 08903c00 00904040 044000")
    head = b"MThd" + bytes.fromhex("00000006 0000 0001 0004")
    (tmp_path / "a.mid").write_bytes(head + b"MTrk" + len(track).to_bytes(4, "big") + track)
    piece = read_midi(tmp_path / "a.mid")
    assert (said(piece), piece.mended, piece.tracks) == ({(0, 60): 8, (8, 64): 4}, 0, 1)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(60, 63), st.sampled_from([ON, ON, OFF, 0])), max_size=14))
def test_no_struck_note_is_lost_whatever_ends_it_or_does_not(tmp_path_factory, steps):
    ticks = np.cumsum([wait for wait, _, _ in steps]).tolist()
    track = [(tick, pitch, kind) for tick, (_, pitch, kind) in zip(ticks, steps, strict=True)]
    struck = {(tick, pitch) for tick, pitch, kind in track if kind == ON}
    if struck:
        piece = read_midi(messages(tmp_path_factory.mktemp("midi") / "a.mid", track))
        assert {(t, k + 21) for t, k in np.argwhere(piece.roll).tolist()} == struck


def test_a_key_that_two_tracks_strike_at_once_is_held_as_the_longer_says(tmp_path):
    piece = read_midi(messages(tmp_path / "a.mid", [(0, 60, ON), (2, 60, OFF)], [(0, 60, ON), (7, 60, OFF)]))
    assert said(piece) == {(0, 60): 7}


def written_out(path, grid, ticks=480) -> Path:
    """A grid of durations ``(time, key)`` as MIDI, releases before strikes."""
    events = [(t * ticks // 4, 1, int(k) + 21, ON) for t, k in np.argwhere(grid)]
    events += [((t + int(grid[t, k])) * ticks // 4, 0, int(k) + 21, OFF) for t, k in np.argwhere(grid)]
    return messages(path, [(at, pitch, velocity) for at, _, pitch, velocity in sorted(events, key=lambda e: e[:3])],
                    ticks=ticks)


@given(rolls.filter(lambda cells: cells[1]))
def test_round_trip_keeps_durations(tmp_path_factory, cells):
    grid = durations.clipped(grid_of(*cells))
    piece = read_midi(written_out(tmp_path_factory.getbasetemp() / "round.mid", grid))
    assert (piece.held == grid[:piece.steps]).all()
    assert not grid[piece.steps:].any()


def events(seed=0, count=200):
    """Onsets on the grid and lengths in ticks of 480 to the quarter, of a random melody."""
    rng = np.random.default_rng(seed)
    lengths = 120 * rng.integers(1, 8, count)
    return np.cumsum(lengths) - lengths, lengths


def test_performances_and_lost_ends_are_told_apart_from_scores():
    onset, length = events()
    late = np.random.default_rng(1).normal(0, 20, len(onset)).astype(np.int64)  # 20 ms at 125 quarters a minute
    assert midi.note_ends_of(onset, length, 480) == WRITTEN
    assert midi.note_ends_of(onset + 100 + late, length, 480) == PLAYED
    assert midi.note_ends_of(onset, np.full_like(length, 60), 480) == UNTOLD
    assert midi.note_ends_of(onset, np.zeros_like(length), 480) == UNTOLD
    assert midi.note_ends_of(onset, np.full_like(length, 120), 480) == WRITTEN  # all of one step: somebody's grid
    assert midi.note_ends_of(onset[:31], np.full(31, 60), 480) == WRITTEN  # too few to tell
    assert midi.note_ends_of(160 * np.arange(90), np.full(90, 160), 480) == WRITTEN  # nothing but triplets
    assert midi.note_ends_of(480 * np.arange(90), np.full(90, 430), 480) == WRITTEN  # a constant gap
    assert midi.note_ends_of(np.zeros(0, np.int64), np.zeros(0, np.int64), 480) == WRITTEN


def test_untold_ends_are_the_thesiss_rule(tmp_path):
    onset, _ = events()
    track = sorted([(int(at), 60, ON) for at in onset] + [(int(at) + 10, 60, OFF) for at in onset], key=lambda e: e[0])
    piece = read_midi(messages(tmp_path / "a.mid", track, ticks=480))
    assert (piece.note_ends, piece.durations) == (UNTOLD, None)
    assert (piece.held == durations.until_next(piece.roll)).all()


# --- scores by hand ---------------------------------------------------------------------------------------------------

def xml_note(pitch, length, *marks, chord=False, voice=1):
    body = "<chord/>" * chord + f"<pitch><step>{pitch[0]}</step><octave>{pitch[1]}</octave></pitch>"
    grace = "<grace/>" if not length else ""
    lasting = f"<duration>{length}</duration>" if length else ""
    ties = "".join(f'<tie type="{mark}"/>' for mark in marks)
    return f"<note>{grace}{body}{lasting}{ties}<voice>{voice}</voice><type>quarter</type></note>"


def xml_score(*bars, divisions=12):
    metre = "<time><beats>2</beats><beat-type>4</beat-type></time>"
    head = f"<attributes><divisions>{divisions}</divisions>{metre}</attributes>"
    music = "".join(f"<measure number='{n}'>{head * (n == 1)}{bar}</measure>" for n, bar in enumerate(bars, 1))
    return ("<score-partwise><part-list><score-part id='P1'><part-name>Piano</part-name></score-part></part-list>"
            f"<part id='P1'>{music}</part></score-partwise>")


BACK = "<backup><duration>24</duration></backup>"
XML = [
    ([xml_note("C4", 24, "start"), xml_note("C4", 24, "stop", "start"), xml_note("C4", 12, "stop")], {(0, 60): 20}),
    ([xml_note("C4", 24, "start") + xml_note("E4", 24, chord=True),  # one note of a chord is tied
      xml_note("C4", 12, "stop") + xml_note("E4", 12, chord=True)], {(0, 60): 12, (0, 64): 8, (8, 64): 4}),
    ([xml_note("D4", 0) + xml_note("C4", 12) + xml_note("E4", 0, "start") + xml_note("E4", 12, "stop", "start"),
      xml_note("E4", 6, "stop")], {(0, 60): 4, (4, 64): 6}),  # a grace note tied on stands for its note
    ([xml_note("C4", 24, "start") + BACK + xml_note("C4", 12, voice=2), xml_note("C4", 24, "stop")], {(0, 60): 16}),
    ([xml_note("C4", 8) + xml_note("D4", 8) + xml_note("E4", 8)], {(0, 60): 3, (3, 62): 2, (5, 64): 3}),  # a triplet
    ([xml_note("C4", 24, "start"), xml_note("D4", 24), xml_note("C4", 24, "stop")], {(0, 60): 24, (8, 62): 8}),
    ([xml_note("C4", 24, "let-ring"), xml_note("C4", 24)], {(0, 60): 8, (8, 60): 8})]


@pytest.mark.parametrize(("bars", "expected"), XML)
@pytest.mark.parametrize("read", [read_musicxml, read_score])
def test_musicxml_by_hand(tmp_path, read, bars, expected):
    (tmp_path / "a.musicxml").write_text(xml_score(*bars))
    piece = read(tmp_path / "a.musicxml")
    assert (said(piece), piece.note_ends, piece.mended) == (expected, WRITTEN, 0)


def test_a_note_without_a_length_is_mended(tmp_path):
    (tmp_path / "a.musicxml").write_text(xml_score(xml_note("C4", 12).replace(">12<", ">0<") + xml_note("D4", 12)))
    piece = read_musicxml(tmp_path / "a.musicxml")
    assert (said(piece), piece.mended) == ({(0, 60): 1, (0, 62): 4}, 1)


@pytest.mark.parametrize(("lines", "expected"), [
    (["[2c\t2e", "2c_\t[2e", "4c]\t4e]"], {(0, 60): 20, (0, 64): 8, (8, 64): 12}),
    (["[4c 4e\t2g", "4c] 4e\t."], {(0, 60): 8, (0, 64): 4, (4, 64): 4, (0, 67): 8}),  # one note of a chord is tied
    (["8qd\t.", "4c\t2g", "[8qf\t.", "4f]\t."], {(0, 60): 4, (4, 65): 4, (0, 67): 8}),  # grace notes
    (["6c\t2g", "6d\t.", "6e\t."], {(0, 60): 3, (3, 62): 2, (5, 64): 3, (0, 67): 8}),  # a triplet
    (["4cyy\t2g", "8.d\t.", "16e\t."], {(0, 60): 4, (4, 62): 3, (7, 64): 1, (0, 67): 8}),  # hidden, dotted
    (["[2c\t2c", "2c]\t2d"], {(0, 60): 16, (8, 62): 8})])  # a unison, one of the two tied
def test_kern_by_hand(tmp_path, lines, expected):
    head = ["**kern\t**kern", "*Ipiano\t*Ipiano", "*M4/4\t*M4/4"]
    (tmp_path / "a.krn").write_text("\n".join([*head, *lines, "*-\t*-", ""]))
    piece = read_kern(tmp_path / "a.krn")
    assert (said(piece), piece.note_ends, piece.mended) == (expected, WRITTEN, 0)


@pytest.mark.parametrize(("body", "expected"), [
    ("C2-|C-|C2 D|", {(0, 60): 20, (20, 62): 4}), ("[C-E]2[CE]2|", {(0, 60): 16, (0, 64): 8, (8, 64): 8}),
    ("[CE]2-[CG]2|", {(0, 60): 16, (0, 64): 8, (8, 67): 8}), ("C-z C2|", {(0, 60): 4, (8, 60): 8}),
    ("(3C-CC C2|", {(0, 60): 5, (5, 60): 3, (8, 60): 8}), ("{d}C>D {e-}E2|", {(0, 60): 6, (6, 62): 2, (8, 64): 8}),
    ("^F2-|F2 F2|", {(0, 66): 16, (16, 65): 8}), ("C4-|[V:2]C2|", {(0, 60): 16})])
def test_abc_by_hand(tmp_path, body, expected):
    (tmp_path / "a.abc").write_text(f"X:1\nM:4/4\nL:1/4\nK:C\n{body}\n")
    piece = read_abc(tmp_path / "a.abc")
    assert (said(piece), piece.note_ends, piece.mended) == (expected, WRITTEN, 0)
