"""Packed pieces give back what was packed; fragments, their history and their transposition are the thesis's (§7.2)."""

import numpy as np
import pytest

from octavoice.corpus import Pieces
from octavoice.music.piece import Piece
from octavoice.music.pieces import facts_of
from octavoice.music.roll import compress, transpose, transpose_classes
from octavoice.representations import steps as fragments


def piece(steps=40, seed=0, **facts):
    x = (np.random.default_rng(seed).random((steps, 88)) < 0.05).astype(np.uint8)
    x[:, :6] = x[:, -6:] = 0
    x[0, 40] = 1
    return Piece(**{"name": f"p{seed}", "roll": x, "tracks": 2, "time_signatures": ((4, 4),), **facts})


def test_packed_pieces_are_the_pieces():
    pieces = [piece(steps=n, seed=n) for n in (1, 40, 7)]
    packed = Pieces.of(pieces)
    for i, original in enumerate(pieces):
        assert np.array_equal(packed[i].roll, original.roll)
        assert np.array_equal(packed[i].held, original.held)
        assert facts_of(packed[i]) == facts_of(original)
    assert packed.bits.nbytes == 11 * 48
    assert [p.name for p in packed[1:]] == [p.name for p in packed.subset(np.array([1, 2]))] == ["p40", "p7"]
    assert packed[-1].name == "p7"
    assert packed.listed().splitlines()[2] == "p7\t–\t4/4\t–\t–"
    with pytest.raises(IndexError):
        packed[3]


@pytest.mark.parametrize(("begin", "end"), [(0, 40), (-5, 10), (30, 60), (-50, -10), (50, 70), (-3, 90), (10, 10)])
def test_windows_of_packed_pieces_are_silent_outside(begin, end):
    pieces = [piece(steps=n, seed=n) for n in (30, 40, 30)]
    padded = np.pad(pieces[1].roll, ((100, 100), (0, 0)))
    assert np.array_equal(Pieces.of(pieces).window(1, begin, end), padded[100 + begin: 100 + end])


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
