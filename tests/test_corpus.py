"""Corpora, filters, splits, the store and fragments (§7.1)."""

import numpy as np
import pytest

from octavoice import corpus
from octavoice.corpus import fragments, splits, store
from octavoice.corpus.filters import REASONS, cut_silence, judge
from octavoice.errors import UserError
from octavoice.music.midi import write_midi
from octavoice.music.piece import Piece
from octavoice.music.roll import compress, transpose, transpose_classes


def piece(steps=40, seed=0, **facts):
    x = (np.random.default_rng(seed).random((steps, 88)) < 0.05).astype(np.uint8)
    x[:, :6] = x[:, -6:] = 0
    x[0, 40] = 1
    return Piece(**{"name": f"p{seed}", "roll": x, "tracks": 2, "time_signatures": ((4, 4),), **facts})


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
        assert np.array_equal(a.roll, b.roll)
        assert {**vars(a), "roll": 0} == {**vars(b), "roll": 0}
    write_midi(piece(seed=9).roll, folder / "piece 0.mid")
    assert np.array_equal(corpus.load(name).pieces[0].roll, piece(seed=9).roll)


def test_a_damaged_store_is_made_again(folder):
    name = f"folder:{folder}"
    before = corpus.load(name)
    for path in store.paths.store_dir().glob("folder-music-*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    assert corpus.load(name).report == before.report


def test_unknown_and_empty_corpora_get_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, word in (("bahc", "unknown corpus"), (f"folder:{tmp_path}/none", "not a folder"),
                       (f"folder:{tmp_path}/empty", "holds no MIDI")):
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


def test_a_known_chorale_is_read_note_for_note():
    """BWV 66.6: the pickup and the first downbeat, as printed in any edition (MIDI numbers)."""
    from music21 import corpus as library

    from octavoice.corpus.sources import read_score
    x = read_score(library.getWork("bach/bwv66.6"))
    assert x.pickup == 4
    heard = [(np.flatnonzero(step) + 21).tolist() for step in x.roll[:5]]
    assert heard == [[57, 64, 73], [], [56, 59, 71], [], [54, 61, 66, 69]]


def test_splits_hold_whole_pieces_and_never_shift():
    pieces = [piece(seed=i) for i in range(60)]
    sides = splits.split_pieces(pieces)
    assert sum(len(side) for side in sides.values()) == 60
    fewer = splits.split_pieces(pieces[:40])
    for side in sides:
        kept = {p.name for p in fewer[side]}
        assert kept == {p.name for p in sides[side]} & {p.name for p in pieces[:40]}


def test_a_transposed_copy_stays_on_its_side():
    original = piece(seed=3)
    copy = piece(roll=transpose(original.roll, 3))
    assert splits.content_hash(original.roll) == splits.content_hash(copy.roll) != splits.content_hash(piece().roll)


def test_tiny_corpora_still_have_a_validation_piece():
    for count in range(2, 9):
        sides = splits.split_pieces([piece(seed=i) for i in range(count)])
        assert sides["train"]
        assert sides["valid"]
    with pytest.raises(UserError, match="fewer than two"):
        splits.split_pieces([piece(), piece()])


def test_fragments_start_at_multiples_of_the_stride_and_must_fit():
    pieces = [piece(steps=T, seed=T) for T in (40, 64, 65, 96, 97, 200)]
    starts = {}
    for i, start in fragments.Fragments(pieces, 64, 32).index:
        starts.setdefault(pieces[i].steps, []).append(int(start))
    assert starts == {40: [0], 64: [0], 65: [0], 96: [0], 97: [0, 32], 200: [0, 32, 64, 96, 128]}
    assert fragments.Fragments.count_as_thesis(pieces, 64, 32) == 0 + 0 + 1 + 1 + 2 + 5


def test_a_fragment_carries_its_history_and_masks_its_padding():
    pieces = [piece(steps=300, seed=1), piece(steps=20, seed=2)]
    batch = fragments.Fragments(pieces, 64, 32).gather(np.array([5, 8]))
    whole = compress(pieces[0].roll)
    assert np.array_equal(batch.x12[:, 0], whole[160:224])
    assert np.array_equal(batch.history[:, 0], whole[32:160])
    assert not batch.history[:, 1].any()
    assert not batch.x[20:, 1].any()
    assert batch.weight[:, 0].all()
    assert batch.weight[:, 1].tolist() == [1.0] * 19 + [0.0] * 44
    assert np.array_equal(batch.clock[:, 0], batch.clock[:, 1])


def test_history_before_the_piece_is_silent():
    batch = fragments.Fragments([piece(steps=300, seed=1)], 64, 32).gather(np.array([1]))
    assert not batch.history[:96].any()
    assert batch.history[96:].any()


@pytest.mark.parametrize("shift", range(-6, 6))
def test_augmentation_shifts_keys_and_rolls_classes(shift):
    pieces = [piece(steps=100, seed=4)]
    plain, shifted = (fragments.Fragments(pieces, 64).gather(np.array([0, 1]), s) for s in (0, shift))
    assert np.array_equal(shifted.x, transpose(plain.x, shift))
    assert np.array_equal(shifted.x12, transpose_classes(plain.x12, shift))
    assert np.array_equal(shifted.history, transpose_classes(plain.history, shift))


def test_batches_draw_with_replacement_and_one_shift_from_the_seed():
    pool = fragments.Fragments([piece(steps=300, seed=i) for i in range(4)], 64)
    a, b = (pool.draw(np.random.default_rng(7), 50) for _ in range(2))
    assert np.array_equal(a.x, b.x)
    assert len({a.x[:, i].tobytes() for i in range(50)}) < 50
    shifts = {s for seed in range(200) for s in [int(_drawn_shift(pool, seed))]}
    assert shifts == set(range(-6, 6))


def _drawn_shift(pool, seed):
    rng = np.random.default_rng(seed)
    rng.integers(len(pool), size=1)
    return rng.integers(*fragments.SHIFTS, endpoint=True)
