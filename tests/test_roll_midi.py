"""Rolls, octave compression, the clock, and MIDI in and out (§2.2, §6.2, §6.3)."""

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from octavoice.errors import UserError
from octavoice.formats import midi
from octavoice.music import durations, notes, roll

rolls = st.integers(1, 40).flatmap(lambda steps: arrays(np.uint8, (steps, 88), elements=st.integers(0, 1),
                                                        fill=st.just(0)))


def test_compression_is_or_over_octaves_including_the_top_four_keys():
    for key in range(88):
        x = np.eye(88, dtype=np.uint8)[key]
        assert np.flatnonzero(roll.compress(x)).tolist() == [key % 12]
    with pytest.raises(ValueError, match="88 keys"):
        roll.compress(np.zeros(12))


@given(rolls, st.integers(-6, 5))
def test_compression_is_a_homomorphism_of_transposition_away_from_the_edges(x, shift):
    x[:, :6] = x[:, -6:] = 0
    assert (roll.compress(roll.transpose(x, shift)) == roll.transpose_classes(roll.compress(x), shift)).all()


def test_transposition_loses_what_falls_off():
    x = np.ones((1, 88), np.uint8)
    assert roll.transpose(x, 5).sum() == roll.transpose(x, -5).sum() == 83
    assert not roll.transpose(x, 5)[0, :5].any()


@given(rolls)
def test_mask_allows_exactly_the_keys_of_sounding_classes(x):
    allowed = roll.mask(roll.compress(x))
    assert (allowed >= x).all()
    assert (roll.compress(allowed) == roll.compress(x)).all()
    assert allowed.sum() == sum([8, 8, 8, 8, 7, 7, 7, 7, 7, 7, 7, 7][p] for p in np.nonzero(roll.compress(x))[1])


def test_clock_counts_to_64_most_significant_bit_first():
    bits = roll.clock(np.arange(128))
    assert bits[1].tolist() == [0, 0, 0, 0, 0, 1]
    assert bits[32].tolist() == [1, 0, 0, 0, 0, 0]
    assert (bits @ 2 ** np.arange(5, -1, -1) == np.arange(128) % 64).all()


@settings(max_examples=60, deadline=None)
@given(rolls.filter(lambda x: x.any()), st.sampled_from([61.0, 90.0, 120.0, 137.3]))
def test_roll_to_midi_to_roll_is_exact(tmp_path_factory, x, tempo):
    path = midi.write_midi(x, tmp_path_factory.getbasetemp() / "round.mid", tempo)
    assert np.array_equal(midi.read_midi(path).roll, x)


@st.composite
def held_rolls(draw):
    """A roll and a grid of durations, whose last note ends where the roll does."""
    x = draw(rolls.filter(lambda x: x.any()))
    lengths = draw(arrays(np.uint16, x.shape, elements=st.integers(1, 50), fill=st.just(3)))
    grid = durations.clipped(x * lengths)
    steps = (np.arange(len(grid))[:, None] + grid)[grid > 0].max()
    return x[:steps], grid[:steps]


@settings(max_examples=60, deadline=None)
@given(held_rolls(), st.sampled_from([61.0, 90.0, 120.0, 137.3]))
def test_roll_and_durations_to_midi_and_back_is_exact(tmp_path_factory, both, tempo):
    x, grid = both
    piece = midi.read_midi(midi.write_midi(x, tmp_path_factory.getbasetemp() / "held.mid", tempo, grid))
    assert np.array_equal(piece.roll, x)
    assert np.array_equal(piece.held, grid)


def test_a_note_held_past_the_last_onset_comes_back_and_silence_after_it_does_not(tmp_path):
    grid = np.zeros((40, 88), np.uint16)
    grid[0, 30], grid[4, 50] = 33, 2
    piece = midi.read_midi(midi.write_midi((grid > 0).astype(np.uint8), tmp_path / "x.mid", durations=grid))
    assert piece.steps == 33
    assert np.array_equal(piece.held, grid[:33])


def test_a_key_that_is_struck_again_is_let_go_of_first(tmp_path):
    grid = np.zeros((12, 88), np.uint16)
    grid[0, 39], grid[4, 39], grid[0, 46] = 9, 8, 12
    path = midi.write_midi((grid > 0).astype(np.uint8), tmp_path / "x.mid", durations=grid)
    events, now = [], 0
    for message in mido.merge_tracks(mido.MidiFile(path).tracks):
        now += message.time
        if message.type == "note_on" and message.note == 60:
            events.append((now // 120, bool(message.velocity)))
    assert events == [(0, True), (4, False), (4, True), (12, False)]


def test_no_grid_is_the_thesiss_rule_to_the_byte(tmp_path):
    x = (np.random.default_rng(4).random((64, 88)) < 0.03).astype(np.uint8)
    plain, ruled = midi.write_midi(x, tmp_path / "a.mid"), midi.write_midi(x, tmp_path / "b.mid",
                                                                           durations=durations.until_next(x))
    assert plain.read_bytes() == ruled.read_bytes()
    with pytest.raises(ValueError, match="onsets"):
        midi.chord_notes(x, durations.until_next(x)[:-1])
    with pytest.raises(ValueError, match="onsets"):
        midi.chord_notes(x, np.zeros_like(x))


def test_written_midi_says_the_same_to_a_second_reader(tmp_path):
    x = (np.random.default_rng(3).random((64, 88)) < 0.03).astype(np.uint8)
    path, heard, now = midi.write_midi(x, tmp_path / "x.mid"), set(), 0
    for message in mido.merge_tracks(mido.MidiFile(path).tracks):
        now += message.time
        if message.type == "note_on" and message.velocity:
            heard.add((now / 120, message.note - 21))
    assert heard == {(t, k) for t, k in zip(*np.nonzero(x), strict=True)}


def test_a_chord_sounds_until_the_next_onset_of_any_key():
    x = np.zeros((10, 88), np.uint8)
    x[2, [39, 43]] = x[5, 39] = 1
    assert midi.chord_notes(x) == [(2, 5, 60), (2, 5, 64), (5, 10, 60)]


def test_the_grid_rounds_half_up_exactly():
    ticks = np.array([0, 59, 60, 61, 179, 180, 181])
    assert notes.to_step(ticks, 480).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert notes.to_step(np.array([10**12 + 60]), 480).tolist() == [10**12 // 120 + 1]


def test_off_grid_share_counts_onsets_more_than_a_fifth_of_a_step_away():
    assert notes.off_grid_share(np.array([0, 24, 25, 95, 96, 120]), 480) == pytest.approx(2 / 6)
    assert notes.off_grid_share(np.array([0, 160, 320, 480]), 480) == pytest.approx(0.5)


def _note_file(path, ticks=480, tracks=1, notes=((0, 60),), signature=None):
    file = mido.MidiFile(ticks_per_beat=ticks)
    for _ in range(tracks):
        track = mido.MidiTrack()
        if signature:
            track.append(mido.MetaMessage("time_signature", numerator=signature[0], denominator=signature[1]))
        for delta, pitch in notes:
            track.append(mido.Message("note_on", note=pitch, velocity=64, time=delta))
            track.append(mido.Message("note_off", note=pitch, time=ticks))
        file.tracks.append(track)
    file.save(path)
    return path


def test_reading_reports_what_the_filters_need(tmp_path):
    piece = midi.read_midi(_note_file(tmp_path / "a.mid", tracks=3, notes=((0, 60), (0, 20)), signature=(3, 4)))
    assert (piece.tracks, piece.time_signatures, piece.outside) == (3, ((3, 4),) * 3, 3)
    assert piece.steps == 8
    assert np.argwhere(piece.roll).tolist() == [[0, 39]]


@pytest.mark.parametrize(("names", "part", "title"), [
    (("Six songs", "Evening "), "Piano", "Six songs: Evening"), (("Träumerei",), "", "Träumerei"), ((), "Piano", None),
    (("Piano",), "Piano", None), (("Tempo Track",), "", None), (("Track 1",), "", None), (("untitled",), "", None),
    (("New World",), "", "New World"), (("Tempo di valse",), "", "Tempo di valse"), (("",), "", None)])
def test_the_title_is_what_opens_the_first_track_and_is_no_parts_name(tmp_path, names, part, title):
    file = mido.MidiFile(_note_file(tmp_path / "a.mid"), charset="utf-8")
    file.tracks[0].insert(0, mido.MetaMessage("track_name", name=part))
    file.tracks.insert(0, mido.MidiTrack(mido.MetaMessage("track_name", name=name) for name in names))
    file.save(tmp_path / "b.mid")
    assert midi.read_midi(tmp_path / "b.mid").title == title
    file.charset = "latin-1"
    file.save(tmp_path / "c.mid")
    assert midi.read_midi(tmp_path / "c.mid").title == title


@pytest.mark.parametrize(("signature", "key"), [("F#m", "F♯ minor"), ("Eb", "3 flats"), (None, None)])
def test_a_major_signature_is_only_a_signature(tmp_path, signature, key):
    file = mido.MidiFile(_note_file(tmp_path / "a.mid"))
    if signature:
        file.tracks[0].insert(0, mido.MetaMessage("key_signature", key=signature))
    file.save(tmp_path / "b.mid")
    assert midi.read_midi(tmp_path / "b.mid").key == key


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(midi, "MAX_BYTES", 20)
    with pytest.raises(UserError, match="larger than 20 bytes"):
        midi.read_midi(_note_file(tmp_path / "a.mid"))


def test_a_note_off_in_the_same_cell_does_not_erase_an_onset(tmp_path):
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    for time, kind in ((0, "note_on"), (118, "note_off"), (2, "note_on"), (10, "note_off")):
        track.append(mido.Message(kind, note=60, velocity=64, time=time))
    file.tracks.append(track)
    file.save(tmp_path / "a.mid")
    assert np.flatnonzero(midi.read_midi(tmp_path / "a.mid").roll[:, 39]).tolist() == [0, 1]


def test_bad_files_get_one_sentence_that_names_them(tmp_path):
    good = _note_file(tmp_path / "good.mid").read_bytes()
    smpte = bytearray(good)
    smpte[12] = 0xE7
    cases = {"missing.mid": None, "empty.mid": b"", "text.mid": b"not music", "cut.mid": good[:20],
             "smpte.mid": bytes(smpte), "zero.mid": good[:12] + b"\0\0" + good[14:],
             "silent.mid": mido_bytes(tmp_path)}
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=name) as caught:
            midi.read_midi(tmp_path / name)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


def mido_bytes(folder):
    file = mido.MidiFile()
    file.tracks.append(mido.MidiTrack())
    file.save(folder / "no-notes.mid")
    return (folder / "no-notes.mid").read_bytes()


def test_an_absurdly_long_file_is_refused(tmp_path):
    path = _note_file(tmp_path / "long.mid", ticks=1, notes=((0, 60), (10**6, 60)))
    with pytest.raises(UserError, match="cut it into shorter"):
        midi.read_midi(path)


def test_writing_silence_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="no onset"):
        midi.write_midi(np.zeros((8, 88), np.uint8), tmp_path / "x.mid")
    assert not list(tmp_path.iterdir())
