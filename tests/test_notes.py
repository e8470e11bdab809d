"""What the readers share: names of keys, titles, notes to a roll."""

import numpy as np
import pytest
from music21 import key

from octavoice.errors import UserError
from octavoice.music import notes


@pytest.mark.parametrize("mode", notes.MODES)
def test_keys_are_called_as_music21_calls_them(mode):
    for sharps in range(-7, 8):
        tonic = key.KeySignature(sharps).asKey(mode).tonic
        assert notes.key_name(sharps, mode) == tonic.name.replace("#", "♯").replace("-", "♭") + f" {mode}"


def test_signatures_without_a_mode():
    assert [notes.key_name(n) for n in (-2, -1, 0, 1, 7, 8)] == [
        "2 flats", "1 flat", "no accidentals", "1 sharp", "7 sharps", None]
    assert notes.key_name(3, "none") == notes.key_name(3, "") == "3 sharps"
    assert notes.tonic_name("e", "-", "minor") == "E♭ minor"


def test_titles_are_one_short_line():
    assert notes.title_of(" Six\n songs,", None, "", "Evening\0.") == "Six songs: Evening"
    assert notes.title_of("Evening", "Evening") == "Evening"
    assert notes.title_of(None, " ", ".") is notes.title_of() is None
    assert len(notes.title_of("long " * 1000)) <= notes.MAX_TITLE


def test_tied_notes_lengthen_the_piece_and_are_not_struck(tmp_path):
    piece = notes.from_notes(tmp_path / "a.x", [(0, 4, 60, True), (4, 8, 60, False)], 1, tracks=1, time_signatures=())
    assert (np.argwhere(piece.roll).tolist(), piece.steps, piece.name) == ([[0, 39]], 32, "a")
    for rows in ([], [(0, 4, 60, False)]):
        with pytest.raises(UserError, match=r"a\.x: holds no notes"):
            notes.from_notes(tmp_path / "a.x", rows, 1)
    for rows in ([(-1, 4, 60, True)], [(0, 10**6, 60, True)]):
        with pytest.raises(UserError, match=r"a\.x: spans"):
            notes.from_notes(tmp_path / "a.x", rows, 1)
