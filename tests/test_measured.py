"""Measurements behind the claims, on rolls small enough to check by hand."""

import numpy as np
import pytest
import torch

from octavoice.corpus import Fragments
from octavoice.model import uniforms
from octavoice.music.piece import Piece
from octavoice.statistics import (
    chords,
    copies,
    field,
    intervals,
    keys,
    priming,
    register,
    rhythm,
)
from octavoice.statistics import (
    corpora as music,
)
from octavoice.statistics import (
    decisions as voices,
)
from octavoice.studies import attending, cost
from octavoice.studies import sampled as samples
from octavoice.thesis import model as thesis
from octavoice.thesis.attention import MainModule
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training.fit import Task, fit, seeded
from octavoice.training.weights import Weights


def classes(*steps):
    """A compressed roll from the classes of each step."""
    x12 = np.zeros((len(steps), 12), np.uint8)
    for t, step in enumerate(steps):
        x12[t, list(step)] = 1
    return x12


def pieces(count, steps, seed=0):
    rng = np.random.default_rng(seed)
    rolls = [(rng.random((steps, 88)) < 0.03).astype(np.uint8) for _ in range(count)]
    return [Piece(str(i), roll, 2, ((4, 4),), off_grid=i / 10) for i, roll in enumerate(rolls)]


def test_intervals_hold_their_value_and_leave_out_what_is_no_number():
    found = intervals.mean([1.0, 2.0, 3.0, np.nan])
    assert found["value"] == 2
    assert found["units"] == 3
    assert found["low"] < 2 < found["high"]
    assert intervals.ratio([1, 3], [2, 6])["value"] == 0.5
    assert intervals.gap([3.0, 5.0], [1.0, 1.0])["value"] == 3
    assert np.isnan(intervals.mean([1.0])["low"])


def test_what_a_declined_voice_tells_of_later_ones():
    """Two samples of four steps, two voices: choices from 12 on are declined."""
    choices = np.array([[[0, 1], [0, 13]], [[12, 1], [12, 13]], [[12, 13], [0, 1]], [[0, 1], [12, 13]]])
    found = voices.measure(choices)
    (pair,) = found["pairs"]
    assert pair["sounds if declined"]["value"] == pytest.approx(1 / 4)
    assert pair["sounds if sounded"]["value"] == pytest.approx(3 / 4)
    (struck,) = found["pairs on struck steps"]
    assert struck["sounds if declined"]["value"] == 1  # where nothing sounds at all, nothing is asked
    assert found["sounds"][0]["value"] == 0.5


def all_or_nothing(steps=12, count=40):
    """Steps that strike every class or none, at random: one declined class tells of all the others."""
    rng = np.random.default_rng(3)
    rolls = [np.repeat(rng.random((steps, 1)) < 0.5, 88, axis=1).astype(np.uint8) for _ in range(count)]
    music = [Piece(str(i), roll, 1, ((4, 4),)) for i, roll in enumerate(rolls)]
    return Fragments(music, steps).gather(np.arange(count))


def test_what_was_declined_is_made_use_of_where_it_tells_something():
    batch = all_or_nothing()
    generator = seeded(lambda: OctaveGenerator(voices=3, sampler_hidden=16), 1)

    def untrue(t, rng):
        log_q = generator.log_q(t.x12, t.clock, t.history, uniforms(rng, 3, len(t.x12) - 1, t.x12.shape[1]))
        return -voices._true(log_q, t.x12[1:]).mean()
    fit(Task("toy", generator, untrue, lambda rng: batch), 40, 1)
    found = voices.use_of_declined(generator.eval(), batch, 1)
    assert set(found) == {"voice 2", "voice 3", "all later voices"}
    for gains in found.values():
        assert gains["hidden"]["low"] > 0.1
        assert gains["another's"]["low"] > 0.1
    with torch.no_grad():
        generator.sampler.lstm.weight_ih_l0[:, -12:] = 0
    for gains in voices.use_of_declined(generator, batch, 1).values():
        assert {gain["value"] for gain in gains.values()} == {0.0}


def test_a_voice_that_is_told_the_truth_is_the_samplers():
    generator = OctaveGenerator()
    features, decided = torch.randn(3, 2, 130), (torch.rand(2, 3, 2, 12) < 0.2).float()
    sounds, silent = decided[0], decided[1] * (1 - decided[0])
    with torch.no_grad():
        told = voices._open(generator.sampler, features, sounds, silent, silent)
        assert torch.equal(told, generator.sampler.voice(features, sounds, silent)[0])


def test_triads_and_their_moves():
    C, F, a = (3, 7, 10), (8, 0, 3), (0, 3, 7)
    x12 = classes(C, C, (), (5,), F, a, a, C)
    assert [root for root, _ in chords.sequence(x12)] == [3, 8, 0, 3]
    counts = chords.moves(chords.sequence(x12))
    assert counts.sum() == 3
    assert counts[(5 * 4 + 0) * 4 + 0] == 1  # a fourth up, major to major
    assert counts[(4 * 4 + 0) * 4 + 1] == 1  # F to A minor
    assert counts[(3 * 4 + 1) * 4 + 0] == 1  # A minor to C
    assert chords.distance(counts, counts) == pytest.approx(0)
    assert chords.distance(np.array([1, 0]), np.array([0, 1])) == pytest.approx(1)


def test_the_seven_notes_of_a_scale_are_a_form():
    C_major = [3, 5, 7, 8, 10, 0, 2]
    x12 = classes(*[(note,) for note in C_major * 9 + [C_major[0]]])
    found = keys.window_facts(x12)
    assert found == {"out of key": 0.0, "notes of the form in use": 7.0, "seven most frequent are a form": 1.0}
    chromatic = classes(*[(note % 7,) for note in range(64)])
    assert keys.window_facts(chromatic)["seven most frequent are a form"] == 0
    assert keys.window_facts(classes((0,), (1,))) == {}


def test_changes_of_key_and_unlikely_draws_are_associated_where_they_coincide():
    """C major, then F♯ major: the least likely draw is at the change, or it is elsewhere."""
    C = [(3, 7, 10), (8, 0, 3), (10, 2, 5), (3, 7, 10)] * 24
    F_sharp = [tuple((p + 6) % 12 for p in chord) for chord in C]
    rolls = [classes(*C, *F_sharp)] * 12
    lines = keys.modulations(rolls[0])
    assert lines[96]
    assert not lines[128]
    at_change, elsewhere = np.zeros(192), np.zeros(192)
    at_change[96], elsewhere[140] = 5, 5
    assert keys.association(rolls, [at_change] * 12, 0)["difference in nats"] > 0
    assert keys.association(rolls, [at_change] * 12, 0)["p"] < 0.01
    assert keys.association(rolls, [elsewhere] * 12, 0)["p"] > 0.05


def test_surprise_is_zero_on_average():
    rng = np.random.default_rng(0)
    log_q = np.log(rng.dirichlet(np.ones(24), size=(4000, 1))).reshape(4000, 1, 2, 12)
    flat = np.exp(log_q.reshape(4000, 24))
    drawn = np.array([rng.choice(24, p=q) for q in flat])[:, None]
    assert abs(keys.surprise(log_q, drawn).mean()) < 0.05


def test_a_prime_passes_on_what_its_sample_shares_with_it():
    bar, other = classes(*[(3,), ()] * 8), classes(*[(4,)] * 16)
    found = priming.measure([bar, other], [np.tile(bar, (2, 1)), np.tile(other, (2, 1))], [np.tile(other, (2, 1))] * 2)
    assert found["rhythm"]["own"]["value"] == 1
    assert found["rhythm"]["another's"]["value"] == 0.5
    assert found["continuation"]["own"]["value"] == 0.5


def test_rhythm_figures_and_the_triplets_place():
    assert rhythm.triplet_on_the_grid() == rhythm.TRIPLET == "1101"
    x12 = classes(*[(0,), (), (0,), ()] * 4, *[(0,), (), (), ()] * 4, *[(0,), (0,), (), (0,)] * 4)
    found = rhythm.of_roll(x12)
    assert found["simple figures"] == pytest.approx(2 / 3)
    assert found["bits a quarter"] == pytest.approx(np.log2(3))
    assert found["changes of bar figure"] == 1
    assert found["changes to fewer onsets"] == 0.5
    assert found["1101"] == pytest.approx(1 / 3)


def test_copies_are_found_at_their_period_and_must_be_rich():
    rng = np.random.default_rng(3)
    block = (rng.random((16, 12)) < 0.2).astype(np.uint8)
    block[::4, 0] = 1
    fresh = (rng.random((40, 12)) < 0.3).astype(np.uint8)
    x12 = np.concatenate([fresh[:20], block, block, block, fresh[20:]])
    assert copies.longest(x12) >= 32
    assert copies.longest(classes(*[(0,)] * 60)) == 0
    assert copies.longest(np.zeros((60, 12), np.uint8)) == 0
    found = copies.survival([x12])
    assert 0.9 < found["per step"]["value"] < 1
    assert found["copies"] >= 1


def test_windows_of_the_training_pieces_are_known_in_any_key():
    train = pieces(3, 64)
    known = copies.known_windows(train)
    moved = np.roll(train[0].roll, 3, axis=1)
    moved[:, :3] = 0
    kept = train[0].roll.copy()
    kept[:, -3:] = 0
    found = copies.from_training([kept[:32], pieces(1, 64, seed=9)[0].roll], copies.known_windows([
        Piece("moved", moved, 2, ((4, 4),))]))
    assert found["windows"]["value"] == pytest.approx(0.5)
    assert copies.from_training([train[1].roll], known)["windows"]["value"] == 1


def test_reads_of_even_attention_are_the_even_read():
    x12 = (np.random.default_rng(0).random((200, 12)) < 0.2).astype(np.uint8)
    found = attending.reads(np.full((184, 8), 1 / 8), x12)
    assert found["even read"] == pytest.approx(1)
    assert found["periods in use"] == pytest.approx(8)
    one = np.zeros((184, 8))
    one[:, 0] = 1
    assert attending.reads(one, np.tile(x12[:4], (50, 1)))["next step"] == pytest.approx(1)  # period 4 tells it


def test_repeats_are_marked_where_the_next_step_goes_on_with_them():
    block = (np.random.default_rng(1).random((16, 12)) < 0.3).astype(np.uint8)
    found = attending.repeating(np.tile(block, (5, 1)))
    assert not found[:16].any()
    assert found[40:79, 2].all()
    assert not found[79].any()  # no next step


def test_locks_are_looked_for_amid_repeats_only():
    """An untrained network spreads its weights: on a repeat it puts about as much as even weights would."""
    torch.manual_seed(0)
    block = pieces(1, 16)[0].roll
    piece = Piece("repeat", np.concatenate([pieces(1, 200, 5)[0].roll, *[block] * 8]), 2, ((4, 4),))
    found = attending.locks(MainModule(), [piece, *pieces(1, 300, 6)])
    assert found["pieces with a repeat"] == 1
    assert found["weight of the repeat"]["value"] == pytest.approx(found["even weight"]["value"], abs=0.15)
    assert found["locked amid repeats"]["value"] == found["locked elsewhere"]["value"] == 0


def test_the_fields_statistics_by_hand():
    roll = np.zeros((32, 88), np.uint8)
    roll[[0, 4, 8, 12, 16, 20, 24], 39] = 1
    roll[0, 43] = 1
    found = field.of_roll(roll)
    assert found["empty-beat rate"] == 1 / 8
    assert found["polyphony"] == pytest.approx(8 / 7)
    assert found["groove consistency"] == pytest.approx(15 / 16)
    assert found["pitch-class entropy, bits"] == pytest.approx(-(7 / 8 * np.log2(7 / 8) + 1 / 8 * np.log2(1 / 8)))
    assert found["scale consistency"] == 1


def test_equal_sets_overlap_and_distant_ones_do_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 60))
    area, divergence = field.overlap(a, b)
    far_area, far = field.overlap(a, b + 30)
    assert area > 0.9 > 0.1 > far_area
    assert divergence < 0.1 < far


def test_registers_out_of_key_and_leaps():
    roll = np.zeros((8, 88), np.uint8)
    roll[:, [39, 43, 46]] = 1
    roll[::2, 4] = 1
    found = register.of_roll(roll)
    assert found["leaps of the lowest key"] == 1
    assert found["leaps of the highest key"] == 0
    assert found["low onsets out of key"] == 1
    assert found["high onsets out of key"] == 0


def test_a_corpus_answers_its_claims():
    found = music.measure({"train": pieces(6, 400), "valid": pieces(2, 100, 1), "test": pieces(2, 100, 2)})
    assert found["compression"]["ratio"] == pytest.approx(88 / 12)
    assert sum(found["classes at once"]["shares"]) == pytest.approx(1)
    assert len(found["lags"]["agreement"]) == len(music.LAGS)
    assert {48, 96} < set(music.SUMS) - {7}


def test_keys_cost_more_than_classes():
    found = cost.measure(pieces(2, 80), batch=8, length=48)
    assert found["parameters"]["88 keys"] > found["parameters"]["12 classes"]
    assert found["88 keys over 12 classes"]["value"] > 1


def test_everything_is_measured_of_a_runs_samples():
    torch.manual_seed(0)
    weights = Weights(thesis.MODEL, tuple(network.eval() for network in thesis.MODEL.build()), {})
    splits = {"train": pieces(2, 300), "valid": pieces(2, 300, 1), "test": pieces(2, 300, 2)}
    found = samples.measure(weights, splits, seed=1, count=3)
    assert found["fragments"] == 3
    assert {"voices", "chords", "keys", "modulations", "prime", "rhythm", "attention", "register", "field",
            "copies"} <= set(found)
    assert 1 <= found["attention"]["periods in use"]["value"] <= 8
