"""Statistics of the data and of octave compression, against numbers worked out by hand (thesis §2.2, §6.2, §7.1)."""

from fractions import Fraction

import numpy as np
import pytest
from matplotlib import pyplot as plt

from octavoice.corpus import report
from octavoice.corpus.filters import Verdict
from octavoice.figures import data as draw
from octavoice.formats.midi import write_midi
from octavoice.music import score
from octavoice.music.notes import to_step
from octavoice.music.piece import Piece
from octavoice.music.roll import CLASSES, KEYS, transpose
from octavoice.statistics import data_statistics as stats
from octavoice.thesis.decoder import Decoder


def roll_of(*chords, steps=None) -> np.ndarray:
    """A roll whose step t strikes the keys of ``chords[t]``."""
    roll = np.zeros((steps or len(chords), KEYS), np.uint8)
    for t, keys in enumerate(chords):
        roll[t, list(keys)] = 1
    return roll


def piece_of(roll, name="p", signature=(4, 4), **facts) -> Piece:
    return Piece(name, roll, 2, (signature,), **facts)


def random_roll(seed, steps=64, share=0.05) -> np.ndarray:
    return (np.random.default_rng(seed).random((steps, KEYS)) < share).astype(np.uint8)


def test_the_published_program_rounds_as_python_does():
    ticks = np.arange(0, 3 * 480)
    assert stats.to_step_half_even(ticks, 480).tolist() == [round(Fraction(4 * int(t), 480)) for t in ticks]
    differ = ticks[stats.to_step_half_even(ticks, 480) != to_step(ticks, 480)]
    assert differ.tolist() == [60, 300, 540, 780, 1020, 1260]  # half a step after an even step


def test_piece_table():
    row = stats.piece_table([piece_of(roll_of([0, 12], [], [3], [5, 6, 7, 19]), off_grid=0.25, pickup=4)]).loc["p"]
    assert row.steps == 4
    assert row.struck == 0.75
    assert row["keys"] == pytest.approx(7 / 3)
    assert row.classes == pytest.approx(5 / 3)
    assert (row.off_grid, row.place, row.parts) == (0.25, 12, 2)


def test_piece_table_has_what_a_piece_says_of_itself():
    said = {"title": "Evening", "key": "F♯ minor", "corpus": "c", "path": "a/b", "licence": "CC0"}
    piece = piece_of(roll_of([40]), signature=(2, 4), **said)
    table = stats.piece_table([piece, piece_of(roll_of([40]), "q")])
    assert table.loc["p", ["time", "key", "title", "corpus", "path", "licence"]].tolist() == [
        "2/4", "F♯ minor", "Evening", "c", "a/b", "CC0"]
    assert table.loc["q", ["key", "title", "corpus", "path", "licence"]].isna().all()


def test_the_funnel_figure_shows_both_views_and_the_thesis():
    table = report.funnel_table([Verdict("a", "kept", "", 300), Verdict("b", "kept", "", 100), Verdict("c", "tracks")])
    figure = draw.funnel(table, {"pieces kept": 7, "steps kept": 9000})
    texts = {text.get_text().strip() for axes in figure.axes for text in axes.texts}
    assert {"3", "2  −1", "1  −1", "7", "400", "300", "9,000"} <= texts
    plt.close(figure)


def test_a_score_with_many_flats_stays_on_the_page():
    page = score.engrave(roll_of([39], [], [], [], [43], steps=16), key="C- major")[0]
    figure = draw.representations(page, roll_of([39], [], [], [], [43], steps=16))
    assert figure.axes[0].get_position().x0 >= 0
    plt.close(figure)


@pytest.mark.parametrize(("pickup", "signature", "place"), [
    (0, (4, 4), 0), (4, (4, 4), 12), (4, (2, 4), 4), (8, (2, 4), 0), (4, (8, 4), 12)])
def test_place_in_bar(pickup, signature, place):
    assert stats.place_in_bar(piece_of(roll_of([40]), signature=signature, pickup=pickup)) == place


def test_polyphony_shares_leave_silence_out():
    assert stats.polyphony_shares([roll_of([1], [], [1, 2, 3]), roll_of([5], [])]).tolist() == [2 / 3, 0, 1 / 3]


def test_the_fragment_to_show_is_the_first_that_is_busy_enough():
    sparse, dense = roll_of([40], steps=48), roll_of([40], steps=48)
    dense[20:28, 50] = 1  # half of the second bar after a pickup
    pieces = [piece_of(sparse, "a"), piece_of(dense, "b", pickup=4)]
    piece, start, window = stats.fragment_to_show(pieces, bars=1)
    assert (piece.name, start) == ("b", 20)
    assert np.array_equal(window, dense[20:36])


def test_a_short_piece_is_shown_with_silence_after_it():
    _, start, window = stats.fragment_to_show([piece_of(roll_of([40], [41]))], bars=1)
    assert (start, window.shape, window.sum()) == (0, (16, KEYS), 2)


def test_without_a_busy_one_the_busiest_is_shown():
    quiet = roll_of([40], steps=32)
    quiet[[17, 20], 50] = 1
    piece, start, _ = stats.fragment_to_show([piece_of(roll_of([40], steps=32), "a"), piece_of(quiet, "b")], bars=1)
    assert (piece.name, start) == ("b", 16)


def test_midi_commands(tmp_path):
    table = stats.midi_commands(write_midi(roll_of([39, 43], [], [39]), tmp_path / "a.mid"))
    assert list(zip(table.tick, table.command, table.pitch, strict=True)) == [
        (0, "note on", 60), (0, "note on", 64), (240, "note off", 60), (240, "note off", 64), (240, "note on", 60),
        (360, "note off", 60)]
    assert table.wait.tolist() == [0, 0, 240, 0, 0, 120]


def test_round_trips():
    assert stats.exact_round_trips([random_roll(seed) for seed in range(3)]) == 3


def test_every_shift_loses_as_many_of_88_keys_as_it_has_semitones():
    lost = stats.losing_onsets([np.ones((1, KEYS), np.uint8)], range(-6, 6))
    assert (lost * KEYS).round(9).tolist() == [6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5]


def test_split_table_finds_a_transposed_copy_on_the_other_side():
    one, other = roll_of([40], [42]), roll_of([40], [43])
    table = stats.split_table({"train": [piece_of(one), piece_of(one), piece_of(other)],
                               "valid": [piece_of(transpose(one, 5))], "test": []})
    assert table["pieces"].tolist() == [3, 1, 0]
    assert table["different"].tolist() == [2, 1, 0]
    assert table["also elsewhere"].tolist() == [2, 1, 0]


def test_near_copies_sees_through_transposition():
    middle = (np.arange(KEYS) > 10) & (np.arange(KEYS) < 77)
    whole, other, stranger, ending = (random_roll(seed, 96) * middle for seed in range(4))
    half = np.concatenate([whole[:64], ending[:32]])
    table = stats.near_copies({"train": [piece_of(whole, "whole"), piece_of(other, "other")],
                               "valid": [piece_of(transpose(half, -3), "half")], "test": [piece_of(stranger, "x")]})
    assert table[["held-out piece", "side", "training piece"]].values.tolist() == [["half", "valid", "whole"]]
    assert table.shared[0] == pytest.approx(33 / 65)  # windows of 32 steps within 64, within 96


def test_short_and_sparse_pieces_have_no_windows():
    assert stats.windows(random_roll(0, 31)) == set()
    assert stats.windows(roll_of([40], [41], steps=64)) == set()


def test_compression_commutes_where_no_key_is_lost():
    inside, edge, doubled = roll_of([30, 42]), roll_of([0, 41]), roll_of([0, 12])
    table = stats.commuting([inside, edge, doubled], range(-1, 2))
    assert table.loc[-1].tolist() == [1, 1, 2, 1]  # an A in another octave hides the loss of the lowest A
    assert table.loc[0].tolist() == table.loc[1].tolist() == [3, 3, 0, 0]


def test_octave_patterns_and_their_past():
    patterns = stats.octave_patterns(roll_of([0, 24], [87], [12], [], [0]))
    assert patterns[:, 0].tolist() == [0b101, 0, 0b10, 0, 1]
    assert patterns[1, 3] == 1 << 7
    assert stats.last_patterns(patterns)[:, 0].tolist() == [0, 0b101, 0b101, 0b10, 0b10]


def test_entropies_by_hand():
    assert stats.entropy(np.array([1, 0, 1, 1, 1])) == 2.0
    found = stats.plug_in([roll_of([0], [12], [0, 12], [1])])
    assert found["classes"] == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * 2)
    assert found["octaves"] == pytest.approx(0.75 * np.log2(3))
    assert found["once"] == 1.0
    assert stats.plug_in([roll_of([0], [0], [5, 17], [])])["octaves"] == pytest.approx(0)


def test_the_octave_code_is_a_distribution_and_counts_as_it_should():
    code = stats.OctaveCode([roll_of([0], [12], [0, 12], [1])])
    assert code.plain.sum(axis=1) == pytest.approx(1)
    assert code.given_last.sum(axis=-1) == pytest.approx(1)
    assert code.plain[:, 0].tolist() == [0] * CLASSES
    assert (code.plain[4:, 128:] == 0).all()  # C♯ and above have no eighth octave
    assert code.plain[0, 1] == pytest.approx((1 + 1 / 255) / 4)
    assert code.plain[5, 1] == pytest.approx(1 / 127)
    assert code.given_last[0, 1, 2] == pytest.approx((1 + 4 * code.plain[0, 2]) / 5)
    bits = code.bits(roll_of([0, 5], []))
    assert bits[0, [0, 5]].tolist() == pytest.approx([-np.log2(code.plain[0, 1]), np.log2(127)])
    assert bits.sum() == pytest.approx(bits[0, 0] + bits[0, 5])


def test_estimates_lie_in_their_order():
    known, held_out = [random_roll(seed) for seed in range(8)], [random_roll(seed) for seed in range(8, 10)]
    table = stats.entropy_table(known, held_out)["bits per step"]
    assert table.iloc[4] <= table.iloc[3]  # the plug-in estimate below any code, on the same rolls
    assert table.iloc[3] <= table.iloc[1]  # fitting helps on what was fitted
    assert np.isfinite(table).all()


def test_free_octaves_cost_the_logarithm_of_their_number():
    table = stats.entropy_table([roll_of([0])], [roll_of([0, 12, 5], [])])
    assert table.iloc[0, 1:].tolist() == pytest.approx(
        [n * (np.log2(255) + np.log2(127)) for n in (0.5, 1, 0.5)])


def test_guessing_the_melody_from_its_chord():
    known = [roll_of([39, 43, 46], [39, 43, 46], [39, 43, 58])]  # C E G: twice G on top, once again G in another octave
    assert stats.edge_classes(known[0]).tolist() == [10, 10, 10]
    assert stats.edge_classes(known[0], top=False).tolist() == [3, 3, 3]
    held_out = [roll_of([41, 45, 48], [36, 45, 53], [40])]  # D F♯ A in root position, then A F♯ D, then E♯ alone
    found = stats.guess_edges(known, held_out)
    assert found == pytest.approx({"undetermined": 2 / 3, "guessed": 1 / 2, "chance": 1 / 3})


def test_compression_summary():
    found = stats.compression_summary([roll_of([0, 12, 5], [], [84, 87], [1, 2, 3])], voices=2)
    assert found == pytest.approx({"doubled": 1 / 3, "merged": 1 / 8, "crowded": 1 / 3, "top": 2, "onsets": 8,
                                   "most": 3})


def test_the_decoder_keeps_to_the_mask_and_to_its_seed():
    roll = random_roll(5, 12)
    keys, probability = stats.decode(Decoder(), roll, 4, seed=3)
    assert keys.shape == probability.shape == (8, KEYS)
    found = stats.decoded_counts(keys, roll[4:])
    assert found["outside the mask"] == 0
    assert found["onsets"] == roll[4:].sum()
    assert found["right"] + found["wrong"] == keys.sum()


def test_decoded_counts():
    assert stats.decoded_counts(roll_of([0, 12], [7]), roll_of([0], [5])) == {
        "onsets": 2, "right": 1, "wrong": 2, "outside the mask": 1}
    assert stats.decoded_counts(roll_of([0, 12], [7]) / 4, roll_of([0], [5]))["wrong"] == 0.5


def test_keys_by_register():
    code = stats.OctaveCode([roll_of([0], [12], [0, 12], [1])])
    probability = code.key_probability(np.eye(CLASSES, dtype=np.uint8)[:1])
    assert probability.shape == (1, KEYS)
    assert probability[0, [0, 12]] == pytest.approx((2 + 128 / 255) / 4)
    assert probability[0, 24] == pytest.approx(128 / 255 / 4)
    assert probability[0, np.arange(KEYS) % CLASSES != 0].sum() == 0


def test_the_score_of_fig_1_is_found_on_its_page():
    [page] = score.engrave(roll_of([39], [], [], [], [43], steps=16))
    first, last = draw._score_anchors(page)
    assert 0 < first < last < 1
