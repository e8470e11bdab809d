"""ABC: ties, chords, tuplets, pickups and voices, and agreement with a second, independent reader."""

import random
import re
from fractions import Fraction

import numpy as np
import pytest
import symusic

from octavoice.errors import UserError
from octavoice.formats import abc
from octavoice.formats.abc import read_abc


@pytest.fixture
def read(tmp_path):
    """Reads a tune given as its body after a header."""
    def reading(body, header="M:4/4\nL:1/4\nK:C\n"):
        path = tmp_path / "a.abc"
        path.write_text(f"X:1\nT:Title\n{header}{body}\n", encoding="utf-8")
        return read_abc(path)
    return reading


def onsets(piece):
    return [(int(t), int(k) + 21) for t, k in np.argwhere(piece.roll)]


@pytest.mark.parametrize(("field", "key"), [
    ("C", "C major"), ("Am", "A minor"), ("Bb", "B♭ major"), ("F#min", "F♯ minor"), ("D Dorian", "D dorian"),
    ("Gmix", "G mixolydian"), ("Ebmaj clef=bass", "E♭ major"), ("A clef=bass", "A major"),
    ("HP", None), ("none", None), ("D Phr ^f", "D phrygian"), ("D exp _b ^f", None), ("^f", None), ("G =c", "G major")])
def test_key_and_title(read, field, key):
    piece = read("CDEF|", f"M:4/4\nL:1/4\nK:{field}\n")
    assert (piece.key, piece.title) == (key, "Title")


@pytest.mark.parametrize(("body", "expected"), [
    ("CDEF-|F2 G2|", [(0, 60), (4, 62), (8, 64), (12, 65), (24, 67)]),
    ("C2-C2-|C2D2|", [(0, 60), (24, 62)]),
    ("[CE]2-[CE]2|[C-E]2[CE]2|", [(0, 60), (0, 64), (16, 60), (16, 64), (24, 64)]),
    ("C>D E<F G>>A|", [(0, 60), (6, 62), (8, 64), (10, 65), (16, 67), (23, 69)]),
    ("C>-C D->D|", [(0, 60), (8, 62)]),
    ("c>.B (A>uG)|", [(0, 72), (6, 71), (8, 69), (14, 67)]),
    ("(3CDE (3:2:2F2G|C", [(0, 60), (3, 62), (5, 64), (8, 65), (13, 67), (16, 60)]),
    ('">x"C "Am7"D !trill!E +fermata+F|', [(0, 60), (4, 62), (8, 64), (12, 65)]),
    ("{ab}C {[ce]}D ~E .F|", [(0, 60), (4, 62), (8, 64), (12, 65)]),
    ("x2 z C|", [(12, 60)]),
    ("^F F f F|F4|", [(0, 66), (4, 66), (8, 78), (12, 66), (16, 65)]),
    ("[^CE]2 C =C|", [(0, 61), (0, 64), (8, 61), (12, 60)]),
    ("^F4-|F2F2|", [(0, 66), (24, 65)]),
    ("|:CDEF|1 G4:|2 A4|]", [(0, 60), (4, 62), (8, 64), (12, 65), (16, 67), (32, 69)]),
    ("CDEF::GABc:|", [(0, 60), (4, 62), (8, 64), (12, 65), (16, 67), (20, 69), (24, 71), (28, 72)]),
    ("wC kD E;$ T!slide!F|", [(0, 60), (4, 62), (8, 64), (12, 65)]),
    ("CD % a comment\nEF|\nw:la la\n\nThis is no music: CDE.", [(0, 60), (4, 62), (8, 64), (12, 65)]),
    ("C [K:D]F [L:1/8]F2|", [(0, 60), (4, 66), (8, 66)]),
    ("C2|\n%\nD2|", [(0, 60), (8, 62)]), ("C2|\n%%MIDI program 0\n  % said\nD2|", [(0, 60), (8, 62)]),
    ("C2|\n%%begintext\nCDE\n%%endtext\nD2|", [(0, 60), (8, 62)]), ("C2|\n \t\nD2|", [(0, 60)]),
    ("c2|[1-2 c2:|[3 d2|]", [(0, 72), (8, 72), (16, 74)]), ("c2|[1,3 c2:|[2 d2|]", [(0, 72), (8, 72), (16, 74)]),
    ("c2-|1-2 c2:|3,4 d2|]", [(0, 72), (16, 74)]), ('c2|["1.-3." c2:|["last" d2|]', [(0, 72), (8, 72), (16, 74)]),
    ("c2-|[1 c2 e2:|[2 c2|]", [(0, 72), (16, 76), (24, 72)]),  # a tie into a second ending
    ("c-z c d-|e d|", [(0, 72), (8, 72), (12, 74), (16, 76), (20, 74)]), ("c -c|", [(0, 72)]),
    ("C2 Z2|D2|", [(0, 60), (40, 62)]), ("C4 & E2 F2|D4|", [(0, 60), (0, 64), (8, 65), (16, 62)]),
    ("+CEG+2 +ce+ +fermata+C|", [(0, 60), (0, 64), (0, 67), (8, 72), (8, 76), (12, 60)]),
    ("[C\nE][\nFA]|", [(0, 60), (0, 64), (4, 65), (4, 69)]), ("[+CE]|", [(0, 60), (0, 64)]),
    ("^F-|F F|", [(0, 66), (8, 65)]), ("^c-_d|", [(0, 73)]), ("G/A//<B//", [(0, 67), (2, 69), (3, 71)])])
def test_notation(read, body, expected):
    piece = read(body)
    assert onsets(piece) == expected
    assert (piece.tracks, piece.time_signatures[0]) == (1, (4, 4))


@pytest.mark.parametrize(("field", "pitches"), [
    ("C", [65, 66, 60, 71]), ("D", [66, 66, 61, 71]), ("D =c", [66, 66, 60, 71]), ("D Phr ^f", [66, 66, 60, 70]),
    ("D exp _b ^f", [66, 66, 60, 70]), ("Ddor^c_b", [65, 66, 61, 70]), ("Dmix=f", [65, 66, 60, 71]),
    ("Am", [65, 66, 60, 71]),
    ("Cb", [64, 66, 59, 70]),
    ("C#", [66, 66, 61, 72]), ("^f _b", [66, 66, 60, 70]), ("D clef=bass", [66, 66, 61, 71]), ("HP", [65, 66, 60, 71]),
    ("Hp", [66, 66, 61, 71]), ("none", [65, 66, 60, 71]), ("Gm ^f", [66, 66, 60, 70]), ("G __b", [66, 66, 60, 69]),
    ("D =c treble-8", [54, 54, 48, 59]), ("C octave=1", [77, 78, 72, 83]), ("D transpose=-2", [64, 64, 59, 69])])
def test_the_accidentals_and_clef_of_the_key(read, field, pitches):
    """The standard's examples among them (§3.1.14)."""
    piece = read("F^F|CB|", f"L:1/4\nK:{field}\n")
    assert [pitch for _, pitch in onsets(piece)] == pitches
    assert [pitch for _, pitch in onsets(read(f"[K:{field}]F^F|CB|[K:bass]|", "L:1/4\nK:E\n"))] == pitches


def test_three_voices_are_a_reduction_and_a_tenors_clef_is_heard(read):
    piece = read("V:1\nc4|\nV:2\nG4|\nV:3\nE4|", "M:4/4\nL:1/4\nV:3 clef=treble-8 name=Tenor\nK:C\n")
    assert (onsets(piece), piece.tracks, piece.reduction) == ([(0, 52), (0, 67), (0, 72)], 3, True)
    assert not read("V:1\nc4|\nV:2\nG4|").reduction


def test_voices_in_turn_and_inline(read):
    expected = [(0, 60), (0, 64), (16, 62), (16, 65), (32, 67), (32, 69)]
    for body in ("V:1\nC4|D4|\nV:2\nE4|F4|\nV:1\nG4|\nV:2\nA4|", "V:lh\nC4|D4|G4|\nV:rh\nE4|F4|A4|",
                 "[V:1]C4|D4|G4|\n[V:2]E4|F4|A4|"):
        piece = read(body)
        assert onsets(piece) == expected
        assert piece.tracks == 2


@pytest.mark.parametrize(("body", "header", "pickup"), [
    ("C|DEFG|", "M:4/4\nL:1/4\nK:C\n", 4), ("CDEF|G4|", "M:4/4\nL:1/4\nK:C\n", 0), ("CD", "L:1/4\nK:C\n", 0),
    ("|:D|G2A B2c|", "M:6/8\nL:1/8\nK:G\n", 2), ("V:1\nC|D4|\nV:2\nz|E4|", "M:C\nL:1/4\nK:C\n", 4)])
def test_pickups(read, body, header, pickup):
    assert read(body, header).pickup == pickup


@pytest.mark.parametrize(("header", "signatures", "step"), [
    ("M:C|\nK:G\n", ((2, 2),), 2), ("M:2/4\nK:C\n", ((2, 4),), 1), ("K:C\n", ((4, 4),), 2),
    ("M:none\nK:C\n", ((4, 4),), 2), ("M:(2 + 3)/8\nK:C\n", ((5, 8),), 1),
    ("M:C\nL:1/8\nK:C\n", ((4, 4),), 2), ("M:6/8\nL:1/16\nK:C\n", ((6, 8),), 1)])
def test_metre_and_the_unit_length_it_implies(read, header, signatures, step):
    piece = read("CD|", header)
    assert (piece.time_signatures, onsets(piece)[1][0]) == (signatures, step)
    assert read("CD|[M:3/4]E|", "M:4/4\nL:1/4\nK:C\n").time_signatures == ((4, 4), (3, 4))


@pytest.mark.parametrize(("text", "words"), [
    (b"", "no key field"), (b"MThd\0\0\0\6", "no key field"), (b"X:1\nK:C\n", "no notes"),
    (b"X:1\nK:C\nz4|\n", "no notes"), (b"X:1\nK:C\nC\n\nX:2\nK:C\nD\n", "2 tunes; save each"),
    (b"X:1\nK:C\n(0CDE|\n", "is no tuplet"),
    (b"X:1\nL:1/0\nK:C\nC|\n", "no length"),
    (b"X:1\nK:C\nZ9999|Z9999|C|\n", "longer than 200000 steps"),
    (b"X:1\nK:C\nC =20D|\n", "accidental without a note"), (b"X:1\nM:1234/8\nK:C\nC|\n", "no metre"),
    (b"X:1\nK:C\nC999999|\n", "longer than 200000 steps"), (b"X:1\nK:C\nC1/0|\n", "cannot be read as ABC"),
    (b"X:1\nK:C\n" + b"C" * 200_000, "larger than"), (b"X:1\nL:1/997\nK:C\nC[L:1/1009]C[L:1/1013]C\n", "finer|absurd")])
def test_bad_files_get_one_sentence(tmp_path, text, words):
    path = tmp_path / "bad.abc"
    path.write_bytes(text)
    with pytest.raises(UserError, match=words) as caught:
        read_abc(path)
    assert "bad.abc" in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def tune(seed):
    """A random tune of plain bars with accidentals, chords, ties, tuplets and broken rhythm."""
    draw = random.Random(seed)

    def one(letters="CDEFGABcdefgab"):
        return draw.choice(["", "", "", "^", "_", "="]) + draw.choice(letters)

    def chord():
        return f"[{one('CDEF')}{one('gab')}]"

    def twice(what, between="-"):
        return f"{what}{between}{what}"
    units = [lambda: one() + "2", lambda: f"{one()}/{one()}3/2", lambda: "z2", lambda: f"{one()}>{one()}",
             lambda: f"{one()}<{one()}", lambda: f"(3{one()}{one()}{one()}", lambda: f"{chord()}2",
             lambda: twice(one()), lambda: twice(chord()), lambda: twice(one(), ">-")]
    bars = [" ".join(draw.choice(units)() for _ in range(4)) for _ in range(8)]
    key = draw.choice(["C", "G", "Eb", "Ador", "Bm", "F#"])
    return f"X:1\nT:t\nM:4/4\nL:1/8\nK:{key}\n" + "|\n".join(bars) + "|]\n"


@pytest.mark.parametrize("seed", range(12))
def test_random_tunes_agree_with_abc2midi(tmp_path, seed):
    """symusic reads ABC through abc2midi, which starts at tick 1 and rolls chords by 1/48 quarter."""
    path = tmp_path / "a.abc"
    path.write_text(tune(seed))
    second = symusic.Score.from_abc(path.read_text())
    theirs = sorted(((note.time - 1) * 24 // second.ticks_per_quarter, note.pitch)
                    for track in second.tracks for note in track.notes)
    voices = map(abc._played, abc._voices(path.read_text()))
    ours = sorted((int(row[0] * 24), row[2]) for rows, *_ in voices for row in rows if row[3])
    assert ours == theirs
    assert read_abc(path).roll.sum() == len({(int(4 * Fraction(at, 24) + Fraction(1, 2)), pitch) for at, pitch in ours})


def test_real_tunes_are_read(tmp_path):
    """The opening tunes of a book of fife music that music21 carries."""
    from music21 import corpus as library

    text = library.getWork("miscFolk/americanfifeopus.abc").read_text(encoding="utf-8", errors="replace")
    tunes = re.split(r"(?m)^(?=X:)", text)[1:]
    for number, one in enumerate(tunes[:8]):
        (tmp_path / f"{number}.abc").write_text(one, encoding="utf-8")
        assert read_abc(tmp_path / f"{number}.abc").roll.sum() > 30
