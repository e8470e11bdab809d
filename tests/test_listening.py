"""The blind listening test: balanced, hidden, kept on the disk, and right about made-up listeners."""

import io
import json
from collections import Counter
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
import soundfile
import torch
from ipywidgets import Audio

from octavoice.composing import listening
from octavoice.composing.listening import ListeningTest, Sitting, head_to_head, ratings, schedule
from octavoice.composing.listening_panel import panel
from octavoice.errors import UserError
from octavoice.formats import midi
from octavoice.laboratory import notebook
from octavoice.thesis import model as thesis
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training import weights

NAMES = ("bach", "ours", "chance")


@pytest.fixture
def blind(tmp_path):
    """A test of three sets of 2, 3 and 4 clips, which differ in density."""
    rng = np.random.default_rng(0)
    sets = {name: (rng.random((n, 16, 88)) < 0.005 * n).astype(np.uint8) for n, name in enumerate(NAMES, start=2)}
    return ListeningTest(sets, 4, 7, tmp_path / "listening")


# --- the schedule --------------------------------------------------------------------------------------


def test_every_two_sets_meet_once_a_round_on_both_sides_alike():
    pairs = schedule({"a": 3, "b": 5, "c": 1, "d": 2}, 8, [1])
    couples = [frozenset((pair.left.name, pair.right.name)) for pair in pairs]
    for first in range(0, len(pairs), 6):
        assert set(couples[first:first + 6]) == {frozenset(c) for c in combinations("abcd", 2)}
    sides = Counter((pair.left.name, pair.right.name) for pair in pairs)
    assert set(sides.values()) == {4}
    assert len(sides) == 12


def test_clips_take_turns():
    pairs = schedule({"a": 3, "b": 5}, 16, [1])
    for name, size in (("a", 3), ("b", 5)):
        heard = Counter(clip.index for pair in pairs for clip in pair if clip.name == name)
        assert set(heard) == set(range(size))
        assert max(heard.values()) - min(heard.values()) <= 1


def test_the_order_is_the_listeners_own_and_repeats(blind):
    assert blind.pairs("ann") == blind.pairs("ann")
    assert blind.pairs("ann") != blind.pairs("bob")
    lefts = {tuple(pair.left.name for pair in schedule({"a": 1, "b": 1}, 4, [seed])) for seed in range(40)}
    assert len(lefts) == 4, "which side comes first is not random"


# --- answers on the disk -------------------------------------------------------------------------------


def test_answers_are_resumed_and_synced(blind, monkeypatch):
    synced = []
    monkeypatch.setattr(listening.os, "fsync", lambda fd: synced.append(fd))
    first = Sitting(blind, "ann")
    assert not first.path.exists(), "looking at the test leaves no file"
    for choice in ("left", "cannot say", "right"):
        first.choose(choice)
    again = Sitting(blind, "ann")
    assert again.choices == ["left", "cannot say", "right"]
    assert len(synced) == 3
    again.choose("left")
    assert len(Sitting(blind, "ann").choices) == 4
    assert Sitting(blind, "bob").choices == []


def test_a_line_cut_by_a_crash_is_asked_again(blind):
    sitting = Sitting(blind, "ann")
    sitting.choose("left")
    sitting.choose("right")
    whole = sitting.path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1):
        sitting.path.write_bytes(whole[:-cut])
        resumed = Sitting(blind, "ann")
        assert resumed.choices == ["left"]
        resumed.choose("cannot say")
        assert Sitting(blind, "ann").choices == ["left", "cannot say"]


def test_an_empty_file_is_a_new_one(blind):
    blind.folder.mkdir()
    (blind.folder / "ann.jsonl").touch()
    Sitting(blind, "ann").choose("left")
    assert Sitting(blind, "ann").choices == ["left"]


def test_two_windows_do_not_write_over_each_other(blind):
    one, two = Sitting(blind, "ann"), Sitting(blind, "ann")
    one.choose("left")
    with pytest.raises(UserError, match="another window"):
        two.choose("right")
    assert Sitting(blind, "ann").choices == ["left"]


@pytest.mark.parametrize("damage", ["choice", "order", "json", "too many", "array"])
def test_damaged_files_are_refused_untouched(blind, damage):
    sitting = Sitting(blind, "ann")
    sitting.choose("left")
    row = {"choice": '{"pair": 1, "choice": "both"}', "order": '{"pair": 5, "choice": "left"}', "json": '{"pair": 1,',
           "array": "[1]", "too many": "\n".join(f'{{"pair": {i}, "choice": "left"}}' for i in range(1, 13))}[damage]
    sitting.path.write_text(sitting.path.read_text() + row + "\n")
    before = sitting.path.read_bytes()
    with pytest.raises(UserError, match=r"ann\.jsonl"):
        Sitting(blind, "ann")
    assert sitting.path.read_bytes() == before


def test_a_file_of_another_test_is_refused_and_not_counted(blind):
    Sitting(blind, "ann").choose("left")
    other = ListeningTest({**blind.sets, "ours": blind.sets["ours"][::-1].copy()}, 4, 7, blind.folder)
    with pytest.raises(UserError, match="other clips, rounds or seed"):
        Sitting(other, "ann")
    Sitting(other, "bob").choose("right")
    assert other.answers().listener.tolist() == ["bob"]
    assert blind.answers().listener.tolist() == ["ann"]


def test_answers_name_the_sets_that_were_heard(blind):
    sitting = Sitting(blind, "ann")
    for number in range(len(sitting.pairs)):
        assert not sitting.done
        sitting.choose(listening.CHOICES[number % 3])
    assert sitting.done
    for pair, row in zip(sitting.pairs, blind.answers().itertuples(), strict=True):
        assert (row.left, row.right, row.listener) == (pair.left.name, pair.right.name, "ann")


# --- blindness -----------------------------------------------------------------------------------------


def everything_shown(widget) -> str:
    state = {k: v for k, v in widget.get_state().items() if k not in ("value", "children")} | {
        "text": getattr(widget, "value", "") if not isinstance(widget, Audio) else ""}
    return repr(state) + "".join(everything_shown(child) for child in getattr(widget, "children", ()))


def test_nothing_tells_where_a_clip_is_from(blind):
    sitting = Sitting(blind, "ann")
    shown = panel(blind, sitting)
    _, players, answer, forward = shown.children
    for _ in sitting.pairs:
        assert not [name for name in NAMES if name in everything_shown(shown)]
        for player, clip in zip(players.children, sitting.pairs[len(sitting.choices)], strict=True):
            assert player.value == blind.sound(clip)
            assert not [name for name in NAMES if name.encode() in player.value]
        answer.value = "left"
        forward.click()
    _, *rows = sitting.path.read_text().splitlines()
    assert all(json.loads(row).keys() == {"pair", "choice"} for row in rows)


def test_clips_are_equally_long_and_loud(blind):
    heard = [listening.level(*listening.sound.synthesize(roll)) for clips in blind.sets.values() for roll in clips]
    assert {(len(samples), rate) for samples, rate in heard} == {(2 * 22_050, 22_050)}
    for samples, _ in heard:
        assert np.abs(samples).max() <= 1
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(listening.LOUDNESS, rel=1e-3)
    assert not listening.level(np.zeros(5, np.float32), 1)[0].any()
    for clip in blind.pairs("ann")[0]:
        played, rate = soundfile.read(io.BytesIO(blind.sound(clip)))
        assert (len(played), rate) == (2 * 22_050, 22_050)
        assert np.sqrt(np.mean(played**2)) == pytest.approx(listening.LOUDNESS, rel=0.05)


# --- the buttons ---------------------------------------------------------------------------------------


def test_buttons_record_what_is_chosen_and_a_double_click_counts_once(blind):
    sitting = Sitting(blind, "ann")
    title, players, answer, forward = panel(blind, sitting).children
    assert forward.disabled
    forward.click()
    assert sitting.choices == []
    answer.value = "right"
    answer.value = "left"
    assert not forward.disabled
    forward.click()
    forward.click()
    assert sitting.choices == ["left"]
    assert title.value.startswith("Pair 2 of 12")
    for _ in range(11):
        answer.value = "cannot say"
        forward.click()
    assert Sitting(blind, "ann").choices == ["left"] + 11 * ["cannot say"]
    assert "answered" in title.value
    assert players.children == ()
    forward.click()
    assert len(panel(blind, Sitting(blind, "ann")).children[1].children) == 0


def test_an_answer_that_cannot_be_kept_is_told(blind):
    sitting = Sitting(blind, "ann")
    title, _, answer, forward = panel(blind, sitting).children
    Sitting(blind, "ann").choose("left")
    answer.value = "left"
    forward.click()
    assert "another window" in title.value
    assert sitting.choices == []


# --- ratings -------------------------------------------------------------------------------------------


def answers(*rows):
    frame = listening.simulate([], {}, np.random.default_rng(0))
    for row in rows:
        frame.loc[len(frame)] = ["x", *row]
    return frame


def test_ratings_are_trueskills():
    """One game from the prior, by TrueSkill's own equations: 29.396 ± 7.171 for the winner, 25 ± 6.457 for a draw."""
    table = ratings(answers(("a", "b", "right")), ["a", "b"])
    assert table.index.tolist() == ["b", "a"]
    assert table.rating["b"] == pytest.approx(29.396, abs=5e-4)
    assert (table.high - table.low).to_numpy() == pytest.approx(2 * 1.96 * 7.171, abs=2e-3)
    table = ratings(answers(("a", "b", "cannot say")), ["a", "b"])
    assert table.rating.to_numpy() == pytest.approx(25)
    assert (table.high - table.low).to_numpy() == pytest.approx(2 * 1.96 * 6.457, abs=2e-3)


def test_tables_without_answers_are_empty_and_whole():
    nobody = answers()
    assert ratings(nobody, NAMES).heard.tolist() == [0, 0, 0]
    assert ratings(nobody, NAMES).rating.tolist() == [25, 25, 25]
    table = head_to_head(nobody, NAMES)
    assert len(table) == 3
    assert table[["low", "high"]].to_numpy().tolist() == 3 * [[0, 1]]


def test_head_to_head_counts_both_sides():
    rows = [("a", "b", "left"), ("b", "a", "right"), ("b", "a", "left"), ("a", "b", "cannot say"), ("a", "c", "right")]
    table = head_to_head(answers(*rows), ["a", "b", "c"])
    assert table.loc[("a", "b"), ["heard", "cannot say"]].tolist() == [4, 1]
    assert table.loc[("a", "b"), "first preferred"] == pytest.approx(2 / 3)
    assert table.loc[("a", "c"), "first preferred"] == 0
    assert table.loc[("b", "c"), "heard"] == 0
    # Wilson's interval for 2 of 3, from its formula
    z, n, p = NormalDist().inv_cdf(0.975), 3, 2 / 3
    middle, half = p + z**2 / 2 / n, z * (p * (1 - p) / n + z**2 / 4 / n**2) ** 0.5
    expected = [(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)]
    assert table.loc[("a", "b"), ["low", "high"]].tolist() == pytest.approx(expected)


def simulated(strengths: dict, rounds: int, seed: int):
    pairs = schedule(dict.fromkeys(strengths, 5), rounds, [seed])
    return listening.simulate(pairs, strengths, np.random.default_rng(seed))


def test_the_order_of_made_up_listeners_is_recovered():
    strengths = {"worst": 17.0, "best": 33.0, "middle": 25.0}
    for seed in range(20):
        assert ratings(simulated(strengths, 25, seed), strengths).index.tolist() == ["best", "middle", "worst"]


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Against the mean of the sets; about 95 of 100 (TrueSkill is a little cautious)."""
    rng, covered = np.random.default_rng(1), []
    for seed in range(100):
        true = dict(zip("abcd", rng.normal(25, 25 / 3, 4), strict=True))
        table = ratings(simulated(true, 10, seed), true)
        centred = {name: 25 + s - np.mean(list(true.values())) for name, s in true.items()}
        covered += [table.low[name] <= centred[name] <= table.high[name] for name in true]
    assert 0.91 < np.mean(covered) < 0.995


@pytest.mark.parametrize("gap", [0, 5])
def test_win_rates_cover_the_truth_as_often_as_they_say(gap):
    difference = NormalDist(gap, 2**0.5 * listening.BETA)
    win, lose = 1 - difference.cdf(listening.MARGIN), difference.cdf(-listening.MARGIN)
    tables = [head_to_head(simulated({"a": 25 + gap, "b": 25}, 30, seed), "ab").iloc[0] for seed in range(200)]
    assert 0.9 < np.mean([table.low <= win / (win + lose) <= table.high for table in tables]) < 0.995
    assert np.mean([table["cannot say"] / 30 for table in tables]) == pytest.approx(1 - win - lose, abs=0.02)


# --- where clips come from -----------------------------------------------------------------------------

PARAMETERS = {"preset": "smoke", "corpus": "bach", "seed": 1, "device": "cpu",
              "overrides": {"iterations": 1, "decoder_iterations": 1}, "sets": {"a": "data", "b": "table"},
              "clips": 2, "steps": 20, "rounds": 3, "listener": "ann", "reveal": False}


def begin(given):
    return notebook.start("listening_test", listening.parameters(given))


@pytest.fixture
def run():
    return begin(PARAMETERS)


@pytest.mark.parametrize("source", ["data", "run", "table"])
def test_clips_of_a_run(run, source):
    clips = listening.clips(run, source, 2, 20)
    assert clips.shape == (2, 20, 88)
    assert clips.dtype == np.uint8
    assert set(np.unique(clips)) <= {0, 1}
    assert np.array_equal(clips, listening.clips(run, source, 2, 20))


def test_data_are_the_bars_after_the_primes_of_pieces_no_network_has_seen(run):
    pieces = run.splits["test"] or run.splits["valid"]
    for clip in listening.clips(run, "data", 2, 20):
        assert any(np.array_equal(clip, piece.roll[16:36]) for piece in pieces)


def test_other_seeds_take_other_clips():
    rolls = [np.full((8, 88), i, dtype=np.uint8) for i in range(50)]
    first, again, other = (listening.excerpts(rolls, 5, 6, seed, "x")[:, 0, 0].tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 5


def test_chance_has_the_rates_of_the_music():
    piece = notebook.start("99_test", listening.parameters(PARAMETERS)).splits["train"][0]
    clips = listening.table_clips([piece], 40, 200, 1)
    assert clips.mean() == pytest.approx(piece.roll.mean(), rel=0.2)
    often = piece.roll.mean(axis=0).argmax()
    assert clips[..., often].mean() == pytest.approx(piece.roll[:, often].mean(), rel=0.2)


def test_an_imported_model_is_a_set(run, tmp_path):
    torch.manual_seed(0)
    weights.save(weights.Weights(thesis.MODEL, (OctaveGenerator(), Decoder()), {}), tmp_path / "imported")
    clips = listening.clips(run, f"weights:{tmp_path / 'imported'}", 2, 20)
    assert clips.shape == (2, 20, 88)
    assert not np.array_equal(clips, listening.clips(run, "run", 2, 20))


def test_a_folder_of_midi_is_a_set(run, tmp_path):
    roll = (np.random.default_rng(0).random((50, 88)) < 0.05).astype(np.uint8)
    roll[0, 40] = 1
    midi.write_midi(roll, tmp_path / "sample_1.mid")
    midi.write_midi(roll[:30], tmp_path / "short.MID")
    assert np.array_equal(listening.clips(run, f"folder:{tmp_path}", 5, 20), roll[None, 16:36])
    assert len(listening.clips(run, f"folder:{tmp_path}/sample_*.mid", 5, 20)) == 1
    with pytest.raises(UserError, match=r"short\*: has no piece of 36 steps"):
        listening.clips(run, f"folder:{tmp_path}/short*", 5, 20)


@pytest.mark.parametrize("source", ["dta", "folder", "folder:", "data:x", "weights:", "folder:none", "weights:none"])
def test_unknown_sources_get_one_sentence(run, source):
    with pytest.raises(UserError):
        listening.clips(run, source, 2, 20)


@pytest.mark.parametrize(("change", "message"), [
    ({"sets": {"a": "data"}}, "two sets"), ({"sets": {"a": 1, "b": "data"}}, "two sets"), ({"clips": 0}, "at least 1"),
    ({"round": 3}, "unknown parameter 'round'"), ({"steps": "64"}, "must be a int"),
    ({"listener": "../me"}, "listener"), ({"seed": -1}, "between 0 and"), ({"reveal": 1}, "must be a bool")])
def test_bad_parameters_get_one_sentence(change, message):
    with pytest.raises(UserError, match=message):
        begin({**PARAMETERS, **change})
