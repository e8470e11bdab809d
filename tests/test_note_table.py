"""All notes of a piece: pedals, seconds, bytes, and file → piece → MIDI → piece → store with nothing lost."""

import io
from pathlib import Path

import mido
import numpy as np
import pytest

from octavoice import corpus
from octavoice.corpus.filters import cut_silence
from octavoice.errors import UserError
from octavoice.formats.abc import read_abc
from octavoice.formats.midi import read_midi
from octavoice.formats.midi_notes import midi_of
from octavoice.music.note_table import DRUMS, NOTE, PEDAL, TEMPO, Notes
from octavoice.music.piece import Piece
from octavoice.music.pieces import Pieces


def song(tmp_path: Path) -> Path:
    """Two hands, a pedal, drums, two tempi, a key struck again as it ends, and a beginning of silence."""
    file = mido.MidiFile(ticks_per_beat=120)
    tempi = [mido.MetaMessage("set_tempo", tempo=400_000), mido.MetaMessage("set_tempo", tempo=600_000, time=300)]
    file.tracks.append(mido.MidiTrack(tempi))
    right = [mido.Message("program_change", program=5), mido.Message("note_on", note=60, velocity=90, time=240),
             mido.Message("control_change", control=64, value=127, time=10), mido.Message("note_off", note=60, time=50),
             mido.Message("note_on", note=60, velocity=17), mido.Message("note_on", note=64, velocity=1, time=3),
             mido.Message("note_off", note=60, time=27), mido.Message("note_off", note=64),
             mido.Message("control_change", control=64, value=0, time=101)]
    left = [mido.Message("note_on", note=40, velocity=33, channel=1, time=241),
            mido.Message("note_off", note=40, channel=1, time=120)]
    drums = [mido.Message("note_on", note=38, velocity=100, channel=9, time=240),
             mido.Message("note_off", note=38, channel=9, time=5)]
    file.tracks += [mido.MidiTrack(part) for part in (right, left, drums)]
    file.save(tmp_path / "song.mid")
    return tmp_path / "song.mid"


def same(found: Notes, stored: Notes) -> None:
    assert found.ticks == stored.ticks
    for name in ("rows", "pedals", "tempos"):
        np.testing.assert_array_equal(getattr(found, name), getattr(stored, name))


def test_a_file_is_told_in_full(tmp_path):
    notes = read_midi(song(tmp_path)).notes
    assert notes.rows.tolist() == [(240, 245, 38, 100, 2, DRUMS), (240, 300, 60, 90, 0, 5), (241, 361, 40, 33, 1, 0),
                                   (300, 330, 60, 17, 0, 5), (303, 330, 64, 1, 0, 5)]
    assert notes.pedals.tolist() == [(250, 431, 0)]
    assert notes.tempos.tolist() == [(0, 400_000), (300, 600_000)]
    assert len(notes.pitched) == 4


def test_file_to_piece_to_midi_to_piece_keeps_all_of_it(tmp_path):
    piece = read_midi(song(tmp_path))
    (tmp_path / "again.mid").write_bytes(midi_of(piece.notes))
    again = read_midi(tmp_path / "again.mid")
    same(again.notes, piece.notes)
    np.testing.assert_array_equal(again.roll, piece.roll)
    np.testing.assert_array_equal(again.held, piece.held)


def test_the_pedal_holds_notes_of_its_own_piano_until_their_key_is_struck_again(tmp_path):
    notes = read_midi(song(tmp_path)).notes.pedalled()
    ends = {(row["onset"], row["pitch"]): row["end"] for row in notes.rows}
    assert ends == {(240, 60): 300, (300, 60): 431, (303, 64): 431, (241, 40): 361, (240, 38): 245}
    assert not len(notes.pedals)


def test_seconds_follow_the_tempo_map():
    notes = Notes.of([], 100, tempos=[(50, 1_000_000), (150, 250_000)])
    np.testing.assert_allclose(notes.seconds(np.array([0, 50, 100, 150, 250])), [0, 0.25, 0.75, 1.25, 1.5])


def test_a_store_keeps_them(tmp_path):
    (tmp_path / "a").mkdir()
    piece = read_midi(song(tmp_path / "a"))
    chords = "X:1\nM:4/4\nL:1/8\nQ:1/4=90\nK:C\nCDEF GABc|" * 1
    (tmp_path / "a" / "other.abc").write_text(chords)
    tmp = corpus.load(f"folder:{tmp_path / 'a'}")
    stored = {kept.name: kept for kept in tmp.pieces}
    assert list(stored) == ["other.abc"]  # the other has three tracks
    other = read_abc(tmp_path / "a" / "other.abc")
    same(stored["other.abc"].notes, other.notes)
    assert other.notes.tempos["microseconds"].tolist() == [666667]
    packed = Pieces.of([other, piece, other])
    same(packed[1].notes, piece.notes)
    same(packed.subset(np.array([2]))[0].notes, other.notes)


def test_cut_silence_says_where_the_roll_begins(tmp_path):
    piece = cut_silence(read_midi(song(tmp_path)))
    assert piece.notes.origin == 240
    same(Notes.unpacked(piece.notes.packed()), piece.notes)
    assert Notes.unpacked(piece.notes.packed()).origin == 240


def test_a_piece_that_is_only_a_roll_has_none():
    piece = Piece("roll", np.eye(4, 88, dtype=np.uint8), 1, ((4, 4),))
    assert Pieces.of([piece])[0].notes is None


def test_no_notes_are_no_midi():
    with pytest.raises(UserError, match="no notes to write"):
        midi_of(Notes.of([], 120))


def test_random_notes_come_back_from_midi(tmp_path):
    draw = np.random.default_rng(1)
    for seed in range(20):
        rows = np.zeros(40, NOTE)
        rows["onset"] = draw.integers(0, 400, 40)
        rows["end"] = rows["onset"] + draw.integers(1, 60, 40)
        rows["pitch"], rows["velocity"] = draw.integers(60, 72, 40), draw.integers(1, 128, 40)
        rows["part"] = rows["program"] = draw.integers(0, 3, 40)
        rows = apart(rows)
        pedals = np.array([(10 + seed, 30, 0)], PEDAL) if (rows["part"] == 0).any() else ()
        notes = Notes.of(rows, 96, pedals, np.array([(0, 500_000), (7, 612_345)], TEMPO))
        (tmp_path / "r.mid").write_bytes(midi_of(notes))
        found = read_midi(tmp_path / "r.mid").notes
        order = np.unique(rows["part"])
        expected = notes.rows.copy()
        expected["part"] = np.searchsorted(order, expected["part"])
        np.testing.assert_array_equal(found.rows, np.sort(expected, order=["onset", "pitch", "end", "part"]))


def apart(rows: np.ndarray) -> np.ndarray:
    """Notes of which none of a part is struck while its key is held: MIDI cannot tell those apart."""
    kept = []
    for row in np.sort(rows, order="onset"):
        if all(row["onset"] >= other["end"] for other in kept
               if (other["pitch"], other["part"]) == (row["pitch"], row["part"])):
            kept.append(row)
    return np.array(kept, NOTE)


def test_midi_is_a_format_1_file_with_a_track_a_part():
    rows = [(0, 5, 60, 1, 0, 3), (0, 5, 60, 1, 4, 9)]
    file = mido.MidiFile(file=io.BytesIO(midi_of(Notes.of(rows, 96))))
    assert (file.type, len(file.tracks)) == (1, 3)
