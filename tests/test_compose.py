"""Composing: a prime continued by the networks, one and the same for a seed; the hour; the notebook."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import papermill
import pytest
import torch

from octavoice import composing
from octavoice.composer import Composition
from octavoice.composing import continuation, output
from octavoice.composing.parameters import parameters
from octavoice.errors import UserError
from octavoice.figures import piano_roll
from octavoice.formats.midi import read_midi
from octavoice.music import keys
from octavoice.music.durations import until_next
from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS, compress
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training.fit import seeded


def scale(steps=64, every=4, first=0):
    return [(50 + 10 * (i % 3), 60 + (0, 2, 4, 5, 7, 9, 11)[i % 7], at, at + every)
            for i, at in enumerate(range(first, first + steps, every))]


# --- continuing -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("steps", [1, 300, 448, 1001])
def test_what_is_heard_of_a_long_prime_leaves_the_composer_in_the_same_state(composer, steps):
    """The networks' state, the history, and the clock's phase: counted from the prime's own first step."""
    roll = (np.random.default_rng(steps).random((steps, 1, KEYS)) < 0.02).astype(np.uint8)
    tail = continuation.heard(roll[:, 0])[:, None]
    draws = composer.draws(1, 0, 1, steps)
    whole, cut = composer.listen(roll, draws), composer.listen(tail, draws[steps - len(tail):])
    assert len(tail) < 256 + 128 + 64
    assert (whole.step + 1) % 64 == (cut.step + 1) % 64 == steps % 64
    later = composer.draws(2, 0, 1, 8)
    for draw in later:
        (whole, first), (cut, second) = composer.step(whole, draw), composer.step(cut, draw)
        torch.testing.assert_close(first["log_q"], second["log_q"], rtol=0, atol=1e-12)
        torch.testing.assert_close(first["probability"], second["probability"], rtol=0, atol=1e-12)


def test_same_seed_same_notes_however_many(composer, monkeypatch):
    prime = composing.named("A minor")
    together = composing.continuations(composer, prime, 24, 5, seed=3)
    alone = composing.continuations(composer, prime, 24, 1, seed=3)
    assert np.array_equal(alone[0].new, together[0].new)
    monkeypatch.setattr(continuation, "AT_ONCE", 48)
    pieces = composing.continuations(composer, prime, 24, 5, seed=3)
    assert all(np.array_equal(a.new, b.new) for a, b in zip(together, pieces, strict=True))
    assert len({piece.new.tobytes() for piece in pieces}) == 5
    assert not np.array_equal(composing.continuations(composer, prime, 24, 1, seed=4)[0].new, alone[0].new)


def test_the_live_step_plays_what_compose_writes(composer):
    """The example in the package's documentation."""
    prime = composing.named("G7")
    (piece,) = composing.continuations(composer, prime, 12, 1, seed=5)
    heard = len(prime.roll) - 1
    draws = composer.draws(5, 0, 1, heard + 12)
    state = composer.listen(prime.roll[:, None], draws, prime.held[:, None])
    for draw, struck in zip(draws[heard:], piece.new, strict=True):
        before = state.keys.clone()
        new, _ = composer.step(state, draw)
        assert torch.equal(state.keys, before)
        assert np.array_equal(new.keys[0].numpy(), struck)
        state = new


def test_what_is_written_begins_at_a_bar_line(composer, tmp_path, write_song):
    prime = composing.read(write_song(tmp_path / "a.mid", scale(40, first=12)))
    (kept,) = composing.continuations(composer, prime, 20, 1, 1)
    (dropped,) = composing.continuations(composer, prime, 20, 1, 1, keep=False)
    assert kept.mark == 52
    assert len(kept.roll) == 72
    assert np.array_equal(kept.roll[12:52], prime.roll)
    assert not kept.roll[:12].any()
    assert dropped.mark is None
    assert np.array_equal(dropped.roll[52 % 16:], kept.new)
    assert kept.key == keys.name_key(kept.durations[52:])


def test_an_excerpt_keeps_bar_lines_and_mark(composer, tmp_path, write_song):
    prime = composing.read(write_song(tmp_path / "a.mid", scale(150), signatures=((0, 3, 4),)))
    (piece,) = composing.continuations(composer, prime, 20, 1, 1)
    short = composing.excerpt(piece, bars=2)
    assert short.mark == 24 + 150 % 12 + 2  # the last of the notes begins at 148 and lasts until 152
    assert np.array_equal(short.roll[short.mark:], piece.new)
    assert np.array_equal(short.roll[:short.mark], prime.roll[len(prime.roll) - short.mark:])
    assert short.first_bar == 152 // 12 + 1 - 2
    assert composing.describe(short) == composing.describe(piece)
    again = composing.excerpt(short, bars=1)
    assert np.array_equal(again.roll, composing.excerpt(piece, bars=1).roll)
    assert again.first_bar == 152 // 12 + 1 - 1


def test_transposition_loses_no_class_and_finds_its_way_back():
    roll = np.eye(KEYS, dtype=np.uint8)
    for shift in range(-6, 6):
        moved = continuation.transposed(roll, shift)
        assert (moved.sum(axis=-1) == 1).all()
        assert np.array_equal(compress(moved), np.roll(compress(roll), shift, axis=-1))
    assert np.array_equal(continuation.transposed(continuation.transposed(roll, 4), -4)[:84], roll[:84])


class Fond:
    """A network that finds some pitch classes likelier than others, wherever they stand."""

    def log_likelihood(self, batch, rng):
        return batch.x12[1:] @ torch.arange(12.0) ** 2


@pytest.mark.parametrize(("network", "steps"), [(partial(seeded, OctaveGenerator, 1), 24), (Fond, 300)],
                         ids=["thesis", "long"])
def test_search_finds_one_and_the_same_transposition_for_all_transpositions(network, steps):
    """With an estimate, which takes long, of a short prime; of one that is longer than what is read, with a number."""
    fond = network()
    fond.particles = 4
    roll = np.zeros((steps, KEYS), np.uint8)
    roll[::3, 40] = roll[::4, 45] = roll[5::7, 50] = 1
    best = composing.best_shift(fond, roll, seed=1)
    for moved in (-5, 2, 6):
        found = composing.best_shift(fond, continuation.transposed(roll, moved), seed=1)
        assert (found + moved - best) % 12 == 0
    assert composing.best_shift(fond, roll[:1], seed=1) == 0


def test_a_shifted_composition_is_moved_back(composer):
    prime = composing.named("A minor")
    (shifted,) = composing.continuations(composer, prime, 16, 1, 1, shift=3)
    moved = composing.Prime("moved", continuation.transposed(prime.roll, 3),
                            durations=continuation.transposed(prime.held, 3))
    (there,) = composing.continuations(composer, moved, 16, 1, 1)
    assert np.array_equal(shifted.new, continuation.transposed(there.new, -3))
    assert np.array_equal(shifted.roll[:len(prime.roll)], prime.roll)


class Echo:
    """A composer whose every piece strikes the lowest key of its prime at each new step, ``lasting`` steps if told."""

    def __init__(self, lasting=None):
        self.lasting = lasting

    def compose(self, prime, steps, seed, first_index=0, progress=iter, durations=None):
        self.prime = prime
        low = np.argmax(prime[0], axis=-1)
        new = np.eye(KEYS, dtype=np.uint8)[np.broadcast_to(low, (steps, len(low)))]
        durations = None if self.lasting is None else np.concatenate([prime, new * np.uint16(self.lasting)])
        return Composition(np.concatenate([prime, new]), None, len(prime), {}, 0, 0, durations)


def test_the_hour_is_the_thesiss():
    keys = np.eye(KEYS, dtype=np.uint8)
    pieces = [Piece(str(i), keys[i:i + 1].repeat(9 + i, axis=0), 1, ((4, 4),)) for i in range(9)]
    echo = Echo()
    roll, durations = composing.hour(echo, pieces, seed=1)
    assert durations is None
    assert roll.shape == (28_760, KEYS)
    assert echo.prime.shape == (16, 120, KEYS)
    assert sorted(set(np.argmax(echo.prime[0], axis=-1))) == list(range(9))
    sounding = roll.any(axis=-1)
    for start in range(0, 28_760, 264):
        assert sounding[start:start + 240].all()
        assert not sounding[start + 240:start + 264].any()
        assert (roll[start:start + 240].argmax(axis=-1) == echo.prime[0, start // 264].argmax()).all()
    assert not np.array_equal(composing.hour(Echo(), pieces, seed=2)[0], roll)
    same, held = composing.hour(Echo(lasting=9), pieces, seed=1)
    assert np.array_equal(same, roll)
    assert (held[roll > 0].reshape(-1, 240)[:, :-1] == 1).all()  # each is struck again after a step
    assert held[239].max() == 9
    assert composing.hour(Echo(lasting=9), pieces, seed=1, held=False)[1] is None


def test_the_hours_command(run, tmp_path, monkeypatch, write_song):
    for i in range(12):
        write_song(tmp_path / f"{i}.mid", [(70, 50 + i + 3 * (t % (2 + i)), 4 * t, 4 * t + 4) for t in range(20)])
    monkeypatch.setattr(continuation, "HOUR_FRAGMENTS", 3)
    monkeypatch.setattr(continuation, "HOUR_NEW", 8)
    monkeypatch.setattr(continuation, "HOUR_STEPS", 80)
    status, said, files = run("hour", "-o", "hour.mid", "--corpus", f"folder:{tmp_path}")
    assert status == 0
    assert files == ["hour.mid"]
    assert "hour.mid: 80 steps" in said
    assert not read_midi("hour.mid").roll[[*range(8, 32), *range(40, 64)]].any()
    assert run("hour", "-o", "no.mid", "--corpus", "bahc")[0] == 2


# --- durations --------------------------------------------------------------------------------------------------------

def held_prime(*notes, steps, **facts):
    """A prime of notes ``(onset, duration, key)``."""
    grid = np.zeros((steps, KEYS), np.uint16)
    for onset, duration, key in notes:
        grid[onset, key] = duration
    return composing.Prime("p", (grid > 0).astype(np.uint8), durations=grid, **facts)


def test_the_thesiss_networks_leave_new_notes_until_the_next_onset(composer):
    prime = held_prime((0, 16, 20), (0, 3, 40), (4, 3, 41), (8, 3, 42), (12, 3, 43), steps=16)
    (piece,) = composing.continuations(composer, prime, 32, 1, 1)
    assert np.array_equal(piece.durations[:16], prime.durations)
    assert np.array_equal(piece.durations[16:], until_next(piece.new))
    (thesis,) = composing.continuations(composer, prime, 32, 1, 1, held=False)
    assert np.array_equal(thesis.roll, piece.roll)
    assert thesis.durations is None
    assert output.midi(thesis) != output.midi(piece)
    assert output.midi(thesis) == output.midi(replace(thesis, durations=until_next(thesis.roll)))


def test_a_models_durations_go_out_and_are_moved_back_with_their_keys():
    prime = held_prime((0, 16, 20), steps=16)
    for shift in (0, 3):
        (piece,) = composing.continuations(Echo(lasting=5), prime, 4, 1, 1, shift=shift)
        assert np.array_equal(piece.roll[16:], np.eye(KEYS, dtype=np.uint8)[[20] * 4])
        assert piece.durations[15:, 20].tolist() == [0, 1, 1, 1, 1]
    (dropped,) = composing.continuations(Echo(lasting=5), prime, 4, 1, 1, keep=False)
    assert np.array_equal(dropped.durations, piece.durations[16:])
    assert composing.continuations(Echo(lasting=5), prime, 4, 1, 1, held=False)[0].durations is None


def test_at_the_mark_a_prime_note_goes_on_to_its_own_end_or_until_its_key_is_struck_again():
    prime = held_prime((0, 40, 20), (4, 14, 50), (8, 100, 30), steps=16)
    (piece,) = composing.continuations(Echo(lasting=1), prime, 8, 1, 1)
    assert piece.durations[0, 20] == 16  # the new steps strike it
    assert piece.durations[4, 50] == 14
    assert piece.durations[8, 30] == 16  # as long as the piece


def test_an_excerpt_strikes_anew_what_is_held_over_its_beginning():
    prime = held_prime((12, 60, 20), (12, 5, 30), (16, 4, 40), (60, 4, 41), steps=64)
    (piece,) = composing.continuations(Echo(lasting=1), prime, 8, 1, 1)
    short = composing.excerpt(piece, bars=3)
    assert short.first_bar == 2
    assert np.flatnonzero(short.durations[0]).tolist() == [20, 40]  # of key 30 a step is left
    assert short.durations[0, [20, 40]].tolist() == [56, 4]
    assert np.array_equal(short.roll > 0, short.durations > 0)
    assert np.array_equal(short.roll[1:], piece.roll[17:])
    assert piece.roll[16].sum() == 1
    thesis = composing.excerpt(replace(piece, durations=None), bars=3)
    assert np.array_equal(thesis.roll, piece.roll[16:])


def test_piano_rolls_draw_notes_as_long_as_they_are_held():
    roll = np.zeros((16, KEYS), np.uint8)
    roll[[0, 4], [20, 40]] = 1
    grid = roll * np.uint16(11)
    for durations, lasting in ((grid, [11, 11]), (None, [4, 12])):
        (axes,) = piano_roll.piano_roll(roll, 2, 4, "", 1, durations).axes
        assert [round(4 * bar.get_width()) for bar in axes.patches] == lasting


# --- the notebook -----------------------------------------------------------------------------------------------------

GOOD = {"prime": "", "variations": 2, "bars": 1, "seed": 1, "temperature": 1.0, "weights": "", "model": ""}


@pytest.mark.parametrize(("change", "message"), [
    ({"variation": 8}, "unknown parameter 'variation'"), ({"variations": "8"}, "must be a int"),
    ({"variations": 0}, "variations 0 is not"), ({"temperature": True}, "must be a float"), ({"seed": -1}, "seed -1")])
def test_the_notebooks_parameters_are_checked(change, message):
    with pytest.raises(UserError, match=message):
        parameters({**GOOD, **change})


def test_a_whole_number_is_a_temperature_too():
    assert parameters({**GOOD, "temperature": 2})["temperature"] == 2.0


def test_the_notebook_plays_shows_and_writes(checkout, tmp_path, song, folder, octavoice_home):
    done = papermill.execute_notebook(
        checkout / "notebooks" / "compose.ipynb", tmp_path / "done.ipynb", kernel_name="python3", progress_bar=False,
        parameters={"prime": str(song), "variations": 2, "bars": 1, "seed": 5, "weights": str(folder)})
    outputs = [out for cell in done.cells for out in cell.get("outputs", [])]
    data = [out["data"] for out in outputs if "data" in out]
    assert sum("audio/mpeg" in str(one.get("text/html", "")) for one in data) == 3
    assert sum("image/png" in one for one in data) >= 3
    assert not [out for out in outputs if out.get("name") == "stderr"]
    assert len(json.dumps(done)) < 1_000_000
    place = octavoice_home / "runs" / "compose" / "song-mid" / "seed-5"
    for number in (1, 2):
        roll = read_midi(place / f"continuation-{number}.mid").roll
        assert np.array_equal(roll[:64], read_midi(song).roll)
        assert len(roll) == 80
