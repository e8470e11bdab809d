"""Corpora, filters, splits, the store and fragments (§7.1)."""

import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from octavoice import corpus, paths
from octavoice.corpus import Pieces, catalogue, duplicates, filters, report, splits, store
from octavoice.corpus.filters import REASONS, cut_silence, judge, judge_strictly
from octavoice.corpus.pieces import facts_of, pack
from octavoice.errors import UserError
from octavoice.formats.midi import write_midi
from octavoice.music.piece import Piece, bar_steps
from octavoice.music.roll import transpose


def piece(steps=40, seed=0, **facts):
    x = (np.random.default_rng(seed).random((steps, 88)) < 0.05).astype(np.uint8)
    x[:, :6] = x[:, -6:] = 0
    x[0, 40] = 1
    return Piece(**{"name": f"p{seed}", "roll": x, "tracks": 2, "time_signatures": ((4, 4),), **facts})


def assert_same(a: Piece, b: Piece):
    assert np.array_equal(a.roll, b.roll)
    assert np.array_equal(a.held, b.held)
    assert facts_of(a) == facts_of(b)


@pytest.mark.parametrize(("facts", "reason"), [
    ({}, "kept"), ({"time_signatures": ((2, 4), (4, 8), (2, 2))}, "kept"),
    ({"time_signatures": ((4, 4), (3, 4))}, "time signature"), ({"time_signatures": ((6, 8),)}, "time signature"),
    ({"time_signatures": ((4, 3),)}, "time signature"), ({"tracks": 3}, "tracks"),
    ({"tracks": 4, "reduction": True}, "kept"), ({"outside": 1}, "range"),
    ({"tracks": 3, "time_signatures": ((3, 4),)}, "time signature")])
def test_filters(facts, reason):
    assert judge(piece(**facts)).reason == reason


def test_leading_silence_is_cut_and_the_pickup_follows():
    x = np.zeros((20, 88), np.uint8)
    x[6, 40] = 1
    cut = cut_silence(piece(roll=x, pickup=8))
    assert (cut.steps, cut.pickup) == (14, 2)
    assert cut.roll[0, 40] == 1


@pytest.mark.parametrize(("metre", "pickup"), [((2, 4), 0), ((4, 4), 8), ((4, 2), 24), ((3, 32), 8)])
def test_a_pickup_is_shorter_than_a_bar_of_its_piece(metre, pickup):
    """Ten silent steps, of which the first two stand before a bar line."""
    x = np.zeros((20, 88), np.uint8)
    x[10:, 40] = 1
    assert cut_silence(piece(roll=x, pickup=2, time_signatures=(metre,))).pickup == pickup


@pytest.mark.parametrize(("metre", "steps"), [((4, 4), 16), ((3, 4), 12), ((6, 8), 12), ((6, 4), 24), ((2, 2), 16)])
def test_steps_of_a_bar(metre, steps):
    assert bar_steps(metre) == Piece("a", np.zeros((4, 88), np.uint8), 1, (metre,)).bar == steps


@pytest.mark.parametrize("metre", [(3, 32), (4, 3), (0, 4), (65, 4)])
def test_a_bar_that_is_not_of_whole_sixteenths_has_no_length(metre):
    with pytest.raises(ValueError, match="cannot be written in sixteenths"):
        bar_steps(metre)


@pytest.fixture
def folder(tmp_path):
    for seed in range(6):
        write_midi(piece(steps=60 + 40 * seed, seed=seed).roll, tmp_path / "music" / f"piece {seed}.mid")
    (tmp_path / "music" / "broken.mid").write_bytes(b"MThd but no more")
    (tmp_path / "music" / "notes.txt").write_text("not music")
    return tmp_path / "music"


def test_one_bad_file_never_stops_a_corpus(folder):
    loaded = corpus.load(f"folder:{folder}")
    assert loaded.funnel() == {**dict.fromkeys(REASONS, 0), "unreadable": 1, "kept": 6}
    bad = next(v for v in loaded.report if v.reason == "unreadable")
    assert bad.name == "broken.mid"
    assert str(folder) not in bad.detail
    assert [p.name for p in loaded.pieces] == [f"piece {i}.mid" for i in range(6)]


def test_the_store_gives_back_the_same_pieces_and_is_never_stale(folder):
    name = f"folder:{folder}"
    first, again = corpus.load(name), corpus.load(name)
    assert first.sha256 == again.sha256
    assert first.report == again.report
    for a, b in zip(first.pieces, again.pieces, strict=True):
        assert_same(a, b)
    write_midi(piece(seed=9).roll, folder / "piece 0.mid")
    assert np.array_equal(corpus.load(name).pieces[0].roll, piece(seed=9).roll)
    assert corpus.load(name).sha256 != first.sha256


def test_the_hash_is_of_the_music_and_not_of_the_code_that_read_it(folder, monkeypatch):
    name = f"folder:{folder}"
    before = corpus.load(name)
    monkeypatch.setattr(store, "_key", lambda *_: "f" * 64)
    after = corpus.load(name)
    assert list(paths.store_dir().glob("*-" + "f" * 16))
    assert after.sha256 == before.sha256


def test_a_damaged_store_is_made_again(folder):
    name = f"folder:{folder}"
    before = corpus.load(name)
    for file, kept in (("onsets.bits", 100), ("durations.u16", 100), ("durations.u16", -2), ("facts.jsonl", -1),
                       ("index.json", 100)):
        for path in store.paths.store_dir().glob(f"folder-music-*/{file}"):
            damaged = path.read_bytes()[:kept]
            path.unlink()  # the whole one is still mapped
            path.write_bytes(damaged)
        again = corpus.load(name)
        assert again.report == before.report
        assert_same(again.pieces[5], before.pieces[5])


def test_a_store_from_before_durations_were_kept_is_made_again(folder):
    name, others = f"folder:{folder}", set(paths.store_dir().glob("*"))
    before = corpus.load(name)
    (place,) = set(paths.store_dir().glob("*")) - others
    index = json.loads((place / "index.json").read_text())
    (place / "durations.u16").unlink()
    (place / "index.json").write_text(json.dumps({k: v for k, v in index.items() if k not in ("notes", "bytes")}))
    again = corpus.load(name)
    assert again.sha256 == before.sha256
    assert_same(again.pieces[3], before.pieces[3])
    assert (place / "durations.u16").exists()


def readings(pieces):
    return (store.Reading(judge(p), pack(p.roll), p.held[p.roll > 0], facts_of(p), splits.content_hash(p.roll)[:16])
            for p in pieces)


def test_a_note_has_two_bytes_and_lengths_change_no_hash(tmp_path):
    pieces = [piece(steps=100, seed=i) for i in range(5)]
    held = [replace(p, durations=np.arange(1, 1 + p.roll.sum(), dtype=np.uint16), note_ends="written") for p in pieces]
    opened = []
    for name, some in (("by rule", pieces), ("written", held)):
        store.write_store(tmp_path / name, "key", readings(some))
        opened.append(store.open_store(tmp_path / name, "name", "key"))
        assert (tmp_path / name / "durations.u16").stat().st_size == 2 * sum(int(p.roll.sum()) for p in pieces)
        for original, stored in zip(some, opened[-1].pieces, strict=True):
            assert_same(original, stored)
    assert opened[0].sha256 == opened[1].sha256
    assert (opened[0].contents, opened[0].sides) == (opened[1].contents, opened[1].sides)
    assert (tmp_path / "by rule" / "onsets.bits").read_bytes() == (tmp_path / "written" / "onsets.bits").read_bytes()


def test_windows_of_durations_are_the_pieces_durations():
    pieces = [piece(steps=n, seed=n) for n in (40, 70)]
    pieces = [replace(p, durations=np.arange(1, 1 + p.roll.sum(), dtype=np.uint16)) for p in pieces]
    packed = Pieces.of(pieces)
    for i, begin, end in ((0, 0, 40), (1, -5, 10), (1, 33, 90), (0, 12, 12), (1, 70, 80)):
        grid = np.zeros((end - begin, 88), np.uint16)
        inside = range(max(begin, 0), min(end, pieces[i].steps))
        grid[[t - begin for t in inside]] = pieces[i].held[list(inside)]
        assert np.array_equal(packed.held(i, begin, end), grid)


def test_unknown_and_empty_corpora_get_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, word in (("bahc", "unknown corpus"), (f"folder:{tmp_path}/none", "not a folder"),
                       (f"folder:{tmp_path}/empty", "holds no music file")):
        with pytest.raises(UserError, match=word):
            corpus.load(name)


def test_a_corpus_in_which_nothing_survives_says_why(tmp_path):
    (tmp_path / "a.mid").write_bytes(b"MThd")
    with pytest.raises(UserError, match="1 stopped by unreadable"):
        corpus.load(f"folder:{tmp_path}")


def test_the_bach_chorales_are_a_keyboard_reduction():
    loaded = corpus.load("bach", limit=6)
    assert len(loaded.report) == 6
    assert all(p.reduction and p.tracks == 4 and not p.outside for p in loaded.pieces)
    assert all(p.roll[0].any() for p in loaded.pieces)
    assert all(p.key.split()[1] in ("major", "minor") for p in loaded.pieces)
    assert {(p.corpus, p.path.partition(".")[0][:3], p.title) for p in loaded.pieces} == {("bach", "bwv", None)}


def test_a_known_chorale_is_read_note_for_note():
    """BWV 66.6: the pickup and the first downbeat, as printed in any edition (MIDI numbers)."""
    from music21 import corpus as library

    from octavoice.corpus.sources import read_score
    x = read_score(library.getWork("bach/bwv66.6"))
    assert x.pickup == 4
    heard = [(np.flatnonzero(step) + 21).tolist() for step in x.roll[:5]]
    assert heard == [[57, 64, 73], [], [56, 59, 71], [], [54, 61, 66, 69]]


def test_splits_hold_whole_pieces_and_never_shift():
    hashes = [splits.content_hash(piece(seed=i).roll) for i in range(60)]
    sides = splits.sides_of(hashes)
    assert set(sides) == {"train", "valid", "test"}
    assert splits.sides_of(hashes[:40]) == sides[:40]
    assert splits.sides_of(hashes[::-1]) == sides[::-1]


def test_the_side_depends_on_the_notes_whatever_the_key():
    original = piece(seed=3)
    copy = piece(roll=transpose(original.roll, 3))
    assert splits.content_hash(original.roll) == splits.content_hash(copy.roll) != splits.content_hash(piece().roll)


def test_every_side_holds_a_piece_from_three_pieces_on():
    for count in range(3, 25):
        for first in range(0, 400, 20):
            hashes = [sha256(f"{first + i}") for i in range(count)]
            sides = splits.sides_of(hashes)
            assert set(sides) == {"train", "valid", "test"}, (count, first)
            assert splits.sides_of(hashes[::-1]) == sides[::-1]


def test_two_pieces_train_and_validate_and_one_alone_trains():
    """Wherever their hashes lie; copies of one piece are one."""
    for first in range(0, 400, 2):
        one, two = sha256(f"{first}"), sha256(f"{first + 1}")
        assert sorted(splits.sides_of([one, two])) == ["train", "valid"]
        assert splits.sides_of([one, one]) == ["train", "train"]
        assert len(set(splits.sides_of([one, two, one])[::2])) == 1
    assert splits.sides_of([]) == []


def test_splits_of_corpora_that_fill_every_side_are_what_they_were():
    """Committed results depend on them: a digest of the sides of a thousand hashes, and those of the first chorales."""
    assert sha256(" ".join(splits.sides_of([sha256(f"{i}") for i in range(1000)])))[:16] == "a5cc86bbab0af6dd"
    sides = corpus.load("bach", limit=24).sides
    assert [i for i, side in enumerate(sides) if side == "valid"] == [3, 5, 13]
    assert [i for i, side in enumerate(sides) if side == "test"] == [6, 15]


def test_fewer_than_two_different_pieces_are_not_split(folder):
    paths = sorted(folder.glob("piece*"))
    for path in paths[1:]:
        path.unlink()
    with pytest.raises(UserError, match="fewer than two different"):
        corpus.load(f"folder:{folder}").splits()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- sources and views -----------------------------------------------------------------------------------------------

def test_a_folder_may_hold_every_format(tmp_path):
    from music21 import converter, meter, stream

    score = converter.parse("tinynotation: 4/4 c4 e8 g8 c'4 a4 f4 d4 g4 e4 c1 e4 g4 b4 d'4")
    assert isinstance(score, stream.Stream)
    assert score.recurse().getElementsByClass(meter.TimeSignature)
    score.write("musicxml", tmp_path / "a tune.musicxml")
    write_midi(piece(seed=1).roll, tmp_path / "deep" / "b.MID")
    (tmp_path / "c.abc").write_text("X:1\nT:t\nM:4/4\nL:1/4\nK:C\nC D E F | G A B c | d c B A | G4 |]\n")
    (tmp_path / "d.krn").write_text("!!!OTL: A scale.\n**kern\n*d:\n*M4/4\n4c\n4d\n4e\n4f\n=\n1g\n==\n*-\n")
    loaded = corpus.load(f"folder:{tmp_path}")
    assert [v.name for v in loaded.report] == ["a tune.musicxml", "c.abc", "d.krn", "deep/b.MID"]
    assert not [v for v in loaded.report if v.reason == "unreadable"]
    assert [(p.name, p.title, p.key) for p in loaded.pieces][1:] == [
        ("c.abc", "t", "C major"), ("d.krn", "A scale", "D minor"), ("deep/b.MID", None, None)]
    assert {(p.corpus, p.path, p.licence) for p in loaded.pieces} == {(None, None, None)}


def test_the_strict_view_asks_for_length_and_grid(folder):
    plain, strict = (corpus.load(f"folder:{folder}{view}") for view in ("", "@strict"))
    assert [p.name for p in strict.pieces] == [p.name for p in plain.pieces if p.steps >= 256]
    assert strict.funnel()["strict"] == sum(p.steps < 256 for p in plain.pieces) > 0
    assert judge_strictly(judge(piece(steps=300, off_grid=0.06))).detail == "300 steps, 6.0% off the grid"
    assert judge_strictly(judge(piece(steps=300, off_grid=0.05))).reason == "kept"
    assert judge_strictly(judge(piece(tracks=3))).reason == "tracks"
    assert store.paths.slug("bach@strict") == "bach-strict"


def test_the_strict_view_reads_nothing_again(folder, monkeypatch):
    corpus.load(f"folder:{folder}")
    monkeypatch.setattr(store, "_read", None)
    assert len(corpus.load(f"folder:{folder}@strict").pieces)


def test_the_strict_view_keeps_the_sides(tmp_path):
    pieces = [piece(steps=100 if i % 2 else 300, seed=i) for i in range(40)]
    store.write_store(tmp_path / "store", "key", (
        store.Reading(judge(p), pack(p.roll), p.held[p.roll > 0], facts_of(p), f"{2**32 * i // 40:08x}")
        for i, p in enumerate(pieces)))
    plain = store.open_store(tmp_path / "store", "name", "key")
    strict = plain.strict()
    assert (strict.name, len(strict.pieces), strict.funnel()["strict"]) == ("name@strict", 20, 20)
    assert strict.sha256 != plain.sha256
    assert strict.sides == plain.sides[::2]
    assert set(strict.sides) == {"train", "valid", "test"}
    for p, original in zip(strict.pieces, pieces[::2], strict=True):
        assert np.array_equal(p.roll, original.roll)
        assert p.name == original.name


def test_a_small_strict_view_still_has_a_validation_piece(folder):
    write_midi(piece(steps=300, seed=9).roll, folder / "piece 9.mid")
    assert {"train", "valid"} <= set(corpus.load(f"folder:{folder}@strict").sides)


@pytest.mark.skipif(not os.environ.get("OCTAVOICE_DATA"), reason="OCTAVOICE_DATA names no folder of corpora")
def test_a_catalogued_corpus_is_read_from_where_it_lies():
    loaded = corpus.load("piano-midi", limit=12)
    assert len(loaded.report) == 12
    first = loaded.pieces[0]
    assert (first.corpus, first.path, first.licence) == ("piano-midi", first.name, "CC-BY-SA-3.0-DE")
    assert first.title == "Espana Op. 165: Tango"
    assert first.key == "2 sharps"


@pytest.mark.skipif(not os.environ.get("OCTAVOICE_DATA"), reason="OCTAVOICE_DATA names no folder of corpora")
def test_a_benchmark_keeps_its_own_splits():
    loaded = corpus.load("benchmarks/jsb")
    assert {side: len(part) for side, part in loaded.splits().items()} == {"train": 229, "valid": 76, "test": 77}
    assert set(corpus.load("benchmarks/jsb", limit=24).sides) == {"train", "valid", "test"}


def test_both_views_are_told_from_either_report():
    plain = [filters.Verdict("a", "kept", "", 300, 0.0), filters.Verdict("b", "kept", "", 300, 0.06),
             filters.Verdict("c", "kept", "", 255), filters.Verdict("d", "duplicate", "", 500),
             filters.Verdict("e", "unreadable")]
    strict = [filters.judge_strictly(verdict) for verdict in plain]
    for told in (plain, strict):
        table = report.funnel_table(told)
        assert table.loc["files found"].tolist() == [5, 5]
        assert table.loc["stopped: strict"].tolist() == [0, 2]
        assert table.loc["stopped: duplicate"].tolist() == [1, 1]
        assert table.loc["pieces kept"].tolist() == [3, 1]
        assert table.loc["steps kept"].tolist() == [855, 300]
    assert report.file_table(strict).loc["b"].tolist() == ["strict", "300 steps, 6.0% off the grid", 300, 0.06]


def test_an_independent_count_ends_at_the_last_onset():
    rolls = [np.pad(piece(steps=20, seed=seed).roll[:1], ((0, 19), (0, 0))) for seed in range(2)]
    table = report.independent_count("piano-midi", [piece(roll=roll) for roll in rolls])
    assert table.here.tolist() == [2, 40, 2]
    assert table["independent count"].tolist()[0] == catalogue.entry("piano-midi").counted["pieces"]
    for nobody_counted in ("bach", "benchmarks/jsb", "piano-midi@strict", ""):
        assert not len(report.independent_count(nobody_counted, []))


# --- duplicates -------------------------------------------------------------------------------------------------------

def music(seed, steps=200):
    """Something with enough harmony to be recognised: three keys a step, on every other step."""
    rng = np.random.default_rng(seed)
    x = np.zeros((steps, 88), np.uint8)
    for t in range(0, steps, 2):
        x[t, rng.choice(np.arange(20, 70), 3, replace=False)] = 1
    return x


def test_windows_are_the_same_in_every_key_octave_and_tempo():
    x = music(1)
    slower = np.zeros((2 * len(x), 88), np.uint8)
    slower[::2] = x
    for other in (transpose(x, 5), transpose(x, -3), np.roll(x, 12, axis=1), slower):
        assert np.array_equal(duplicates.windows(x), duplicates.windows(other))
    assert not np.intersect1d(duplicates.windows(x), duplicates.windows(music(2))).size


def test_repeated_chords_are_no_evidence():
    x = np.zeros((64, 88), np.uint8)
    x[::2, [40, 44, 47]] = 1
    assert not len(duplicates.windows(x))
    assert not len(duplicates.windows(music(1)[:14]))


def test_copies_excerpts_and_changed_versions_of_a_work_are_found():
    original = music(1)
    excerpt, changed = original[40:140], original.copy()
    changed[::48] = music(9)[::48]
    found = duplicates.find(Pieces.of([piece(roll=x) for x in (
        original, music(2), transpose(original, 4), excerpt, changed, music(3))]))
    assert {copy: first for copy, (first, _) in found.items()} == {2: 0, 3: 0, 4: 0}
    assert found[2][1] == found[3][1] == 1.0 > found[4][1] > duplicates.SHARE


def test_a_copy_is_dropped_from_the_corpus_and_said_so(folder):
    write_midi(transpose(piece(steps=260, seed=5).roll, 2), folder / "piece 6, in another key.mid")
    loaded = corpus.load(f"folder:{folder}")
    copy = next(v for v in loaded.report if v.reason == "duplicate")
    assert (copy.name, copy.detail) == ("piece 6, in another key.mid", "100% of its windows are in piece 5.mid")
    assert [p.name for p in loaded.pieces] == [f"piece {i}.mid" for i in range(6)]
    assert loaded.funnel()["duplicate"] == 1
