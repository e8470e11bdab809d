"""The Humdrum reader: what is read of **kern, which staves, when; and against music21."""

import math
import os
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavoice.corpus.sources import read_score
from octavoice.errors import UserError
from octavoice.formats import humdrum, kern
from octavoice.formats.kern import read_kern
from octavoice.music.notes import MAX_STEPS

HEAD = """\
**kern	**kern
*part1	*part1
*Ipiano	*Ipiano
*M4/4	*M4/4
"""
END = "*-	*-\n"
SONG = """\
!!!OTL: Song with piano, written for this test
**kern	**dynam	**kern	**dynam	**kern	**text
*part2	*part2	*part2	*part2	*part1	*part1
*staff3	*staff3	*staff2	*staff2	*staff1	*staff1
*Ipiano	*	*Ipiano	*	*Ivox	*
*k[f#]	*	*k[f#]	*	*k[f#]	*
*M2/4	*	*M2/4	*	*M2/4	*
8r	.	8d/	p	8d/	Up
=1	=1	=1	=1	=1	=1
(8GL 8B	.	4.g 4.b	f	4.g	one
8d 8g)	.	.	.	.	.
8G 8BJ	.	.	.	.	.
16ryy	.	[16bb-	.	8a	two
16C	.	16bb-]	.	.	.
!! a global comment
=2	=2	=2	=2	=2	=2
.	.	8qee	.	.	.
12DL	.	4dd-	.	4b	three
12E	.	.	.	.	.
12F#J	.	.	.	.	.
4GG	.	8.cc	.	4r	.
.	.	16cc#	.	.	.
==	==	==	==	==	==
*-	*-	*-	*-	*-	*-
"""
SPLIT = """\
**kern	**kern
*staff2	*staff1
*ICklav	*ICklav
*M4/4	*M4/4
4C	4e
=1	=1
*	*^
2C	4ee	2c 2e
.	4ff	.
*^	*	*
4D	2DD	4gg	4B 4d
*	*	*^	*
4E	.	8aa	8cc	4c
.	.	8bb	8cc	.
*	*	*v	*v	*
*v	*v	*	*
=2	=2	=2
1C	1ccc	2ryy
.	.	2g
*	*v	*v
==	==
*-	*-
"""
PIECE = """\
**kern	**kern
*part1	*part1
*staff2	*staff1
*Ipiano	*Ipiano
*clefF4	*clefG2
*M3/4	*M3/4
*tb8	*tb8
4r	8.gLL
.	16aJk
=1	=1
[2C [2G	12bL
.	12cc#
.	12ddJ
.	qee
.	4ff# a-
4C] 4G]	16ddLL
.	16cc
.	16b-
.	16anJJ
=2	=2
2.GGG	4g_
.	8bb-L
.	8ggJ
.	4dd
=3	=3
*M4/4	*M4/4
1C	8%3r
.	8%5gg
.	64ccLLL
.	64dd
.	32eeJJJ
.	16ff
==	==
*-	*-
"""


@pytest.fixture
def read(tmp_path):
    """Reads a text, given as in a file, as kern."""
    def _read(text):
        path = tmp_path / "a.krn"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_kern(path)
    return _read


def heard(roll, first=0, last=None):
    """MIDI numbers by step, for steps with onsets."""
    return {int(t): (np.flatnonzero(roll[t]) + 21).tolist()
            for t in np.flatnonzero(roll.any(axis=1)) if first <= t < (last or len(roll))}


def test_a_song_gives_its_piano(read):
    piece = read(SONG)
    assert heard(piece.roll) == {0: [62], 2: [55, 59, 67, 71], 4: [62, 67], 6: [55, 59], 8: [82], 9: [48],
                                 10: [50, 73], 11: [52], 13: [54], 14: [43, 72], 17: [73]}
    assert (piece.steps, piece.tracks, piece.time_signatures, piece.pickup) == (18, 2, ((2, 4),), 2)
    assert not piece.reduction
    assert piece.off_grid == 2 / 18  # the second and third note of the triplet


def test_splits_and_joins(read):
    piece = read(SPLIT)
    assert heard(piece.roll) == {0: [48, 64], 4: [48, 60, 64, 76], 8: [77], 12: [38, 50, 59, 62, 79],
                                 16: [52, 60, 72, 81], 18: [72, 83], 20: [48, 84], 28: [67]}
    assert (piece.steps, piece.tracks, piece.pickup) == (36, 2, 4)


def test_exchanged_added_and_ended_spines(read):
    text = ("**kern\t**text\n*Ipiano\t*\n4c\tla\n*x\t*x\nla\t4d\n*\t*+\n*\t*\t**kern\nla\t4e\t4G\n*\t*-\t*\n"
            "*-\t*x\n").replace("*\t*-\t*\n*-\t*x\n", "*-\t*-\t*-\n")
    assert heard(read(text).roll) == {0: [60], 4: [62], 8: [64]}  # the added spine is another staff, of no instrument


def test_a_join_across_staves_keeps_the_lower_one():
    """One edition of Chopin's opus 40 joins the wrong two of three columns; the third is then the upper staff."""
    text = "**kern\t**kern\n*\t*^\n4C\t4c\t4e\n*v\t*v\t*\n4D\t4f\n*-\t*-\n"
    last = list(humdrum.read_lines(text))[-1]
    assert [strand.staff for strand in last.strands] == [0, 1]


@pytest.mark.parametrize(("token", "quarters"), [
    ("4c", 1), ("4.c", Fraction(3, 2)), ("2..c", Fraction(7, 2)), ("0c", 8), ("00r", 16), ("0.c", 12),
    ("12c", Fraction(1, 3)),
    ("3%2c", Fraction(8, 3)), ("32%3r", Fraction(3, 8)), ("2nX.dd]", 3), ("(>16c#\\LL0)", Fraction(1, 4)),
    ("4c e g", 1),
    ("c 8e", Fraction(1, 2)), ("8qc", None), ("qqc", None), ("r", None), ("4", 1), (" /", None)])
def test_durations(token, quarters):
    assert kern._token(token).quarters == quarters


@pytest.mark.parametrize(("token", "pitch"), [
    ("4c", 60), ("4cc", 72), ("4C", 48), ("4CC", 36), ("4AAAA", 21), ("4ccccc", 108), ("4f##X", 67), ("4b--", 69),
    ("4Bn", 59),
    ("4E-yy", 51), ("4rcc", None), ("4R", None), ("24ede-", 87)])
def test_pitches(token, pitch):
    assert [note.pitch for note in kern._token(token).notes] == [pitch]


def test_ties_sound_once_and_a_tie_from_a_grace_note_is_struck(read):
    text = HEAD + ".\t[8qg\n[4c [4e\t4g]\n4c_ 4e]\t4g\n=1\t=1\n4c] 4e\t4a_ 4b\n" + END
    piece = read(text)
    assert heard(piece.roll) == {0: [60, 64, 67], 4: [67], 8: [64, 69, 71]}  # nothing ties to the a
    assert piece.steps == 12


@pytest.mark.parametrize(("lines", "expected"), [
    (["1c]\t1e"], {0: [60, 64]}), (["4c\t2e", "[4c\t.", "4d\t2e", "4c]\t."], {0: [60, 64], 4: [60], 8: [62, 64]}),
    (["[1c\t1e", "=\t=", "1c]\t1e", "=:|!\t=:|!", "1c]\t1e"], {0: [60, 64], 16: [64], 32: [60, 64]}),
    (["[1c\t1e", "=\t=", "1c]\t1e", "=\t=", "1c]\t1e"], {0: [60, 64], 16: [64], 32: [64]}),
    (["[16c\t8r", "[16e\t.", "8c] 8e]\t[8g", "4r\t8r", ".\t8g]"], {0: [60], 1: [64], 2: [67]}),
    (["[1c\t1e", "1d\t1c]"], {0: [60, 64], 16: [62]}), (["[2c\t2e", "2c\t2d"], {0: [60, 64], 8: [60, 62]}),
    (["[8c\t0e", "8d\t.", "1f\t.", "2.c]\t."], {0: [60, 64], 2: [62], 4: [65], 20: [60]})])
def test_ties_that_lack_an_end(read, lines, expected):
    assert heard(read(HEAD + "\n".join(lines) + "\n" + END).roll) == expected


def test_notes_outside_the_keyboard_are_counted(read):
    piece = read(HEAD + "4AAAA- 4C\t4cccccc\n" + END)
    assert (piece.outside, heard(piece.roll)) == (2, {0: [48]})


@pytest.mark.parametrize(("signs", "expected"), [
    (("*M4/4", "*M2/2", "*M4/4"), ((4, 4), (2, 2))), (("*M3+2/8",), ((5, 8),)), (("*M2/0",), ((4, 1),)),
    (("*met(c)", "*M", "*M0/4"), ((4, 4),)), (("*MM120", "*M6/8"), ((6, 8),))])
def test_time_signatures(read, signs, expected):
    rows = "".join(f"{sign}\t*\n4c\t4e\n" for sign in signs)
    assert read("**kern\t**kern\n" + rows + END).time_signatures == expected


@pytest.mark.parametrize(("signs", "key"), [
    (("*k[f#c#g#]", "*f#:"), "F♯ minor"), (("*k[b-e-]",), "2 flats"), (("*k[]",), "no accidentals"),
    (("*B-:",), "B♭ major"), (("*k[f#]", "*k[]", "*d:dor", "*C:"), "D dorian"), ((), None),
    (("*k[q]", "*?:", "*X:", "*C/G:"), None)])
def test_the_key_is_the_first_designation_or_else_signature(read, signs, key):
    assert read(HEAD + "".join(f"{sign}\t{sign}\n" for sign in signs) + "4c\t4e\n" + END).key == key


def test_the_title_and_the_keyboards_own_key(read):
    assert read(SONG).title == "Song with piano, written for this test"
    assert read(SONG).key == "1 sharp"
    other = SONG.replace("*k[f#]\n", "*k[b-]\n").replace("!!!OTL:", "!!!OTL@@PL:")
    assert (read(other).key, read(other).title) == (read(SONG).key, read(SONG).title)
    assert read(PIECE).title is read(PIECE).key is None
    assert read(HEAD + "4c\t4e\n*C:\t*C:\n4c\t4e\n" + END).key is None


@pytest.mark.parametrize(("bars", "pickup"), [
    ("4c\t4e\n=1\t=1\n1c\t1e\n", 4), ("=1-\t=1-\n4c\t4e\n=2\t=2\n1c\t1e\n", 4), ("=1\t=1\n1c\t1e\n=2\t=2\n4c\t4e\n", 0),
    ("1c\t1e\n=1\t=1\n4c\t4e\n", 0), ("1c\t1e\n", 0), (".\t8qe\n8c\t8e\n=-\t=-\n1r\t1e\n", 2)])
def test_the_pickup_is_what_stands_before_the_first_bar_line(read, bars, pickup):
    assert read(HEAD + bars + END).pickup == pickup


@pytest.mark.parametrize(("staves", "chosen"), [
    (["*part2 *Ipiano", "*part2 *Ipiano", "*part1 *Ivox"], {0, 1}), (["*part1 *Iempty", "*part1 *Iforte"], {0, 1}),
    (["*part2 *Iempty", "*part1 *Iorgan"], {0, 1}), (["*part2 *ICklav", "*part1"], {0, 1}),
    (["*part3 *Iempty", "*part2 *Iforte", "*part1 *Itenor"], {0, 1}),
    (["*part2 *Ipiano", "*part2 *Ipiano", "*part1"], {0, 1}),
    (["*part2 *ICklav *Ipiano", "*part1 *ICvox *Ipiano"], {0}),
    (["*part2", '*part2 *I"[Piano]', '*part1 *I"VIOLINO.'], {0, 1}),
    (["*part1", '*part1 *I"SONATE.'], {0, 1}), (["*part3", "*part3", '*part2 *I"Celle.', '*part1 *I"Flûte'], {0, 1}),
    (["*part2 *staff2", "*part1 *staff1"], {0, 1}), (['*part2 *I"PIANO.', "*part1"], {0, 1}), (["*", "*"], {0, 1}),
    (["*"], {0}), (["*part1 *staff1"], {0}), (["*part2 *staff2"], set()), (["*staff3"], set()),
    (["*part2 *Iempty", '*part1 *I"Piano RH'], {0, 1}), (['*part2 *I"LH', '*part1 *I"Piano RH'], {0, 1}),
    (['*part2 *I"Pedal', '*part1 *I"Organ'], {0, 1}), (['*I"L.H.', '*I"R.H.'], {0, 1}),
    (['*part1 *I"FINALE.'], set()), (["*Ivioln", "*Icello"], set()),
    (["*Icello", "*Ivioln", "*Iforte *part1", "*Iforte *part1"], {2, 3})])
def test_the_keyboard_part(staves, chosen):
    tags = [tag.split() for tag in staves]
    rows = [[tag[i] if i < len(tag) else "*" for tag in tags] for i in range(max(map(len, tags)))]
    table = [["**kern"] * len(staves), *rows, ["4c"] * len(staves), ["*-"] * len(staves)]
    assert kern.keyboard_staves(list(humdrum.read_lines("\n".join("\t".join(row) for row in table)))) == chosen


def test_a_score_without_a_keyboard_is_read_whole_and_says_so(read, tmp_path):
    piece = read(SONG.replace("*Ipiano", "*Ivioln"))
    assert heard(piece.roll, last=5) == {0: [62], 2: [55, 59, 67, 71], 4: [62, 67]}
    assert (piece.reduction, piece.tracks) == (True, 3)
    with pytest.raises(UserError, match="no keyboard part"):
        read_kern(tmp_path / "a.krn", reduce=False)


def test_an_unwritten_rest_is_allowed_and_a_contradiction_is_not(read):
    short = HEAD + "8C\t8c\n.\t8d\n=1\t=1\n4D\t4e\n" + END
    assert heard(read(short).roll) == {0: [48, 60], 2: [62], 4: [50, 64]}
    with pytest.raises(UserError, match="line 6 its voices disagree"):
        read(HEAD + "8C\t4c\n4D\t4e\n" + END)


def test_line_ends_encodings_and_empty_lines(read):
    plain = read(SONG).roll
    for text in (SONG.replace("\n", "\r\n"), SONG.replace("\n", "\r"), "\ufeff" + SONG, SONG.replace("\n", "\n\n"),
                 SONG.rstrip("\n"), SONG.replace("Song", "Pieśń"), SONG.replace("Song", "Lied für").encode("latin-1")):
        assert np.array_equal(read(text).roll, plain)
        assert read(text).title.endswith(" with piano, written for this test")


@pytest.mark.parametrize(("text", "word"), [
    ("", "holds no spines"), ("!! only a comment\n", "holds no spines"), (b"MThd\0\0\0\6", "not text"),
    ("4c\t4d\n", "begin with"),
    ("<xml>\n", "begin with"), (SONG[:SONG.index("==")], "ends before"), (SONG[:300], "disagree|ends before|tokens"),
    (HEAD + "4c\n" + END, "line 5 has 1 tokens where 2 are due"), (HEAD + "*v\t*\n4c\n" + END, "partner"),
    (HEAD + "*x\t*\n4c\t4c\n" + END, "partner"), (HEAD + END + HEAD, "line 6"),
    (HEAD + "4.5.c\t4e\n" + END, "line 5 '4.5.c'"),
    (HEAD + "04c\t4e\n" + END, "proper duration"), (HEAD + "4%0c\t4e\n" + END, "proper duration"),
    (HEAD + "1234567890c\t4e\n" + END, "proper duration"), (HEAD + "4.......c\t4e\n" + END, "dots"),
    (HEAD + "c\t4e\n" + END, "no duration"), (HEAD + "00000c\t4e\n" + END, "proper duration"),
    (HEAD + "1%999999999c\t1%999999999e\n" + END, f"longer than {MAX_STEPS}"),
    (HEAD + "4ccccccccc\t4e\n" + END, "not a note"),
    (HEAD + "".join(f"{p}r\t{p}r\n" for p in (1000003, 1000033, 1000037)) + END, "absurd"),
    (HEAD + "4c" * 600 + "\t4e\n" + END, "characters"),
    (HEAD + "4r\t4r\n" + END, "holds no notes"), 
    ("**text\nla\n*-\n", "no keyboard part"), ("\t".join(["**kern"] * 500) + "\n", "more than 128 spines"),
    (HEAD + "*^\t*\n" + "".join("\t".join(["*^"] * 2**k + ["*"]) + "\n" for k in range(1, 9)), "more than 128 spines")])
def test_bad_files_get_one_sentence(read, text, word):
    with pytest.raises(UserError, match=word) as caught:
        read(text)
    assert "a.krn: " in str(caught.value)


def test_a_missing_and_an_oversized_file(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"cannot be read .*check the path"):
        read_kern(tmp_path / "none.krn")
    monkeypatch.setattr(kern, "MAX_BYTES", 10)
    (tmp_path / "big.krn").write_text(SONG)
    with pytest.raises(UserError, match="larger than 10 bytes"):
        read_kern(tmp_path / "big.krn")


# --- against music21 --------------------------------------------------------------------------------------------------

def agrees(path):
    """Whether music21 gives the same onsets; for files without spine splits and with nothing but keyboard staves."""
    ours, other = read_kern(path), read_score(path)
    return heard(ours.roll) == heard(other.roll) and math.isclose(ours.off_grid, other.off_grid)


@pytest.mark.parametrize("text", [
    PIECE,
    HEAD + "4.c 8e\t[8gg 8b\n.\t4gg]\n.\t8%3qb-\n2GG\t2bb--\n=\t=\n0c\t1r\n.\t1a\n" + END])
def test_music21_reads_the_same(tmp_path, text):
    (tmp_path / "a.krn").write_text(text)
    assert agrees(tmp_path / "a.krn")


def simple(text):
    """Whether a text has two **kern spines that never split."""
    return "*^" not in text and next(humdrum.read_lines(text)).tokens.count("**kern") == 2


@pytest.mark.skipif(not os.environ.get("OCTAVOICE_DATA"), reason="OCTAVOICE_DATA names no folder of corpora")
def test_music21_reads_the_same_of_real_files():
    """Ten small files of two staves without splits."""
    files = sorted(path for name in ("nifc-polish", "nifc-chopin")
                   for path in (Path(os.environ["OCTAVOICE_DATA"]) / name).rglob("*.krn"))
    random.Random(1).shuffle(files)
    plain = [path for path in files[:200] if path.stat().st_size < 25_000 and simple(path.read_text("utf-8"))][:10]
    if not plain:
        pytest.skip("OCTAVOICE_DATA holds no kern files")
    assert [path.name for path in plain if not agrees(path)] == []


# --- damaged files ----------------------------------------------------------------------------------------------------

FRAGMENTS = [b"\t", b"\n", b"*^", b"*v", b"*x", b"*+", b"*-", b"**kern", b"=", b".", b"%", b"9" * 12, b"0", b"4.5.",
             b"q", b"[", b"]", b"_", b"r", b" ", b"!", b"\xff", b"\0", b"*M", b"/0", b"*M999/999", b"*Ivox", b"*Ipiano",
             b"\xc2\xb2", b"a" * 40]


@settings(max_examples=300, deadline=1000)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    text = bytearray(data.draw(st.sampled_from([SONG, SPLIT, PIECE])).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 0, 1, 1, 2, 5, 50, len(text)]))
        text[start:start + length] = data.draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=6))
    path = tmp_path_factory.getbasetemp() / "damaged.krn"
    path.write_bytes(bytes(text))
    try:
        piece = read_kern(path)
    except UserError:
        return
    assert piece.roll.any() or piece.outside
    assert len(piece.roll) <= MAX_STEPS
