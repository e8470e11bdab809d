"""Melodies and performances as events: by hand, back again, judged, sampled, and from the shell."""

import mido
import numpy as np
import pytest
import torch

from octavoice import cli, corpus
from octavoice.composing import events as composing
from octavoice.errors import UserError
from octavoice.formats.midi import read_midi
from octavoice.formats.sound import synthesize_notes
from octavoice.likelihood import axis
from octavoice.likelihood import events as judged
from octavoice.music.note_table import NOTE, Notes
from octavoice.music.piece import WRITTEN, Piece
from octavoice.music.roll import KEYS, LOWEST_MIDI
from octavoice.representations import performance
from octavoice.representations.events import PAST, Events
from octavoice.representations.melody import LOWEST, MELODY, NO_EVENT, NOTE_OFF, in_range
from octavoice.representations.performance import LOUDNESS, OFF, ON, PERFORMANCE, SHIFT
from octavoice.survey.events import EventLSTM
from octavoice.training import fit
from octavoice.training.fit import Task, seeded
from octavoice.training.networks import mean_loss


def piece_of(*notes, steps=16):
    """Notes ``(step, MIDI pitch, steps held)`` as a piece."""
    grid = np.zeros((steps, KEYS), np.uint16)
    for step, pitch, held in notes:
        grid[step, pitch - LOWEST_MIDI] = held
    roll = (grid > 0).astype(np.uint8)
    return Piece("by hand", roll, 1, ((3, 8),), durations=grid[roll > 0], note_ends=WRITTEN)


def pitch(number):
    return 2 + number - LOWEST


# --- melody -----------------------------------------------------------------------------------------------------------

def test_a_melody_by_hand():
    events = MELODY.encode(piece_of((0, 60, 2), (2, 62, 1), (4, 64, 12)))
    assert events.tolist() == [pitch(60), NO_EVENT, pitch(62), NOTE_OFF, pitch(64), *[NO_EVENT] * 11]


def test_the_top_line_goes_on_over_what_begins_below_it():
    events = MELODY.encode(piece_of((0, 72, 8), (0, 60, 4), (4, 64, 4), (6, 74, 2), (10, 60, 6)))
    assert {step: event for step, event in enumerate(events.tolist()) if event} == {
        0: pitch(72), 6: pitch(74), 8: NOTE_OFF, 10: pitch(60)}


def test_a_melody_moves_by_octaves_into_the_range():
    assert in_range(np.array([60, 83, 48])).tolist() == [60, 83, 48]
    assert in_range(np.array([84, 90, 95])).tolist() == [72, 78, 83]
    assert in_range(np.array([60, 61, 62, 108, 21])).tolist() == [60, 61, 62, 72, 57]


def test_a_melody_moved_past_the_edge_moves_by_an_octave_less():
    line = np.array([NO_EVENT, NOTE_OFF, pitch(48), pitch(83), MELODY.size])
    assert MELODY.moved(line, -1).tolist() == [NO_EVENT, NOTE_OFF, pitch(59), pitch(82), MELODY.size]
    assert MELODY.moved(line, 2).tolist() == [NO_EVENT, NOTE_OFF, pitch(50), pitch(73), MELODY.size]


def test_silence_is_a_melody_without_events():
    assert not MELODY.encode(piece_of()).any()
    assert not MELODY.decode(np.zeros(5, int)).roll.any()


@pytest.mark.parametrize("told", [MELODY, PERFORMANCE], ids=["melody", "performance"])
def test_any_events_tell_a_piece(told):
    for seed in range(5):
        events = np.random.default_rng(seed).integers(told.size, size=200)
        again = told.encode(told.decode(events))
        np.testing.assert_array_equal(told.encode(told.decode(again)), again)


# --- performance ------------------------------------------------------------------------------------------------------

def performed(*rows, pedals=(), tempos=()):
    notes = Notes.of(np.array([(*row, 0, 0) for row in rows], NOTE), 100, pedals, tempos)
    return Piece("performed", np.zeros((1, KEYS), np.uint8), 1, ((4, 4),), notes=notes)


def test_a_performance_by_hand():
    """At 100 ticks a quarter and 120 quarters a minute a tick is half of a hundredth."""
    events = PERFORMANCE.encode(performed((100, 200, 60, 64), (150, 500, 62, 66), (200, 210, 60, 127)))
    assert events.tolist() == [LOUDNESS + 16, ON + 60, SHIFT + 24, ON + 62, SHIFT + 24, OFF + 60, LOUDNESS + 31,
                               ON + 60, SHIFT + 4, OFF + 60, SHIFT + 99, SHIFT + 44, OFF + 62]
    assert PERFORMANCE.seconds(events).sum() == pytest.approx(2.0)


def test_the_pedal_and_the_tempo_map_are_heard_in_a_performance():
    held = PERFORMANCE.encode(performed((0, 10, 60, 64), pedals=[(5, 200, 0)], tempos=[(0, 1_000_000)]))
    assert held.tolist() == [LOUDNESS + 16, ON + 60, SHIFT + 99, SHIFT + 99, OFF + 60]


def test_a_performance_comes_back_to_the_hundredth(tmp_path):
    draw = np.random.default_rng(3)
    rows = [(int(on), int(on + draw.integers(4, 300)), int(draw.integers(21, 109)), int(draw.integers(1, 128)))
            for on in draw.integers(0, 4000, 100)]
    told = performed(*rows)
    back = PERFORMANCE.decode(PERFORMANCE.encode(told))
    first, second = performance.markers(told.notes), performance.markers(back.notes)
    assert first == second
    path = tmp_path / "back.mid"
    composing.write(back, {"midi": path})
    np.testing.assert_array_equal(PERFORMANCE.encode(read_midi(path)), PERFORMANCE.encode(told))


def test_a_roll_is_no_performance():
    with pytest.raises(UserError, match="tells steps, but no seconds; give a file with notes"):
        PERFORMANCE.encode(piece_of((0, 60, 1)))


def test_notes_sound_in_their_own_time():
    samples, rate = synthesize_notes(Notes.of([(100, 200, 69, 80, 0, 0)], 100, tempos=[(0, 1_000_000)]))
    assert not samples[:rate // 2].any()
    assert 1.9 < len(samples) / rate < 2.3
    assert np.abs(samples).max() == pytest.approx(0.8, abs=0.01)


class Five(Events):
    """Five events that mean nothing."""

    size = 5


# --- the network ------------------------------------------------------------------------------------------------------

def small():
    return seeded(lambda: EventLSTM(Five(), 12, 1, 6), 1).double().eval()


def test_samples_come_as_often_as_their_probability_says():
    network = small()
    with torch.no_grad():
        state = network.start(torch.full((4000, 1), 2))
        draws = torch.rand(4000, 1, generator=torch.Generator().manual_seed(1)).double()
        _, value, trace = network.step(state, draws)
    found = torch.bincount(value[:, 0], minlength=5) / 4000
    torch.testing.assert_close(found.double(), trace["p"][0], rtol=0, atol=0.025)


def test_a_toy_is_learned():
    """Two events in turn, and then the same backwards."""
    pieces = [piece_of(*((t, 60 + 2 * (t // 2 % 2), 2) for t in range(0, 64, 2)), steps=64) for _ in range(2)]
    network = seeded(lambda: EventLSTM(MELODY, 24, 1, 8), 1)
    cut = MELODY.fragments(pieces, 32, 4)
    def draw(rng):
        return cut.gather(rng.integers(len(cut), size=8))

    losses = fit.fit(Task("toy", network, mean_loss(network), draw), 250, 1)["train"]
    assert losses.iloc[:3].mean() > 3
    assert losses.iloc[-5:].mean() < 0.2


def test_tables_of_events_sum_to_one_and_know_what_they_counted():
    line = piece_of((0, 60, 1), (1, 60, 1), (2, 60, 1), (3, 62, 13))
    tables = judged.tables(MELODY, [line])
    cut = MELODY.tiling([line], 4)
    batch = fit.to_tensors(cut.gather(np.array([0])))
    every = type(batch)(torch.stack([torch.full((MELODY.size,), pitch(60)), torch.arange(MELODY.size)]),
                        batch.past.expand(-1, MELODY.size), torch.ones(1, MELODY.size), batch.position)
    for name, table in tables.items():
        assert np.exp(table(every)).sum() == pytest.approx(1), name
    assert tables["bigram"](every)[0, pitch(60)] == pytest.approx(np.log((2 + 3.5 / 35) / 4))


def test_levels_are_of_every_event_but_the_first_and_of_their_seconds():
    pieces = [piece_of((0, 60, 1), (5, 62, 1), steps=steps) for steps in (30, 300)]
    network = seeded(lambda: EventLSTM(MELODY, 8), 1)
    cut = MELODY.tiling(pieces, 257)
    table, seconds = axis.tile_table({"it": axis.network_judge(network)}, cut), judged.seconds_of(cut)
    assert len(table) == 29 + 299
    assert seconds == pytest.approx(328 / 8)
    assert table["step"].tolist() == [*range(1, 30), *range(1, 300)]


def test_a_variation_is_the_same_whatever_its_company_and_begins_with_its_prime():
    network = seeded(lambda: EventLSTM(MELODY, 8), 1)
    prime = MELODY.encode(piece_of((0, 60, 2), (4, 64, 2)))
    one, two = (composing.continued(MELODY, network, prime, 8, 5, number) for number in (1, 2))
    assert one.events[:16].tolist() == prime.tolist()
    assert one.new == 8
    assert one.events.tolist() != two.events.tolist()
    assert composing.continued(MELODY, network, prime, 8, 5, 2).events.tolist() == two.events.tolist()
    assert next(network.parameters()).dtype == torch.float32  # what was lent comes back as it was


def test_the_past_of_a_fragment_is_what_lies_before_it():
    cut = MELODY.tiling([piece_of(*((t, 50 + t % 30, 1) for t in range(150)), steps=150)], 100)
    batch = cut.gather(np.arange(2))
    line = cut.lines[0]
    assert (batch.past[:, 0] == MELODY.size).all()
    np.testing.assert_array_equal(batch.past[:, 1], line[99 - PAST:99])
    np.testing.assert_array_equal(batch.x[:51, 1], line[99:])
    assert batch.weight[:, 1].sum() == 50


# --- from the shell ---------------------------------------------------------------------------------------------------

@pytest.fixture
def tunes(tmp_path):
    """Ten tunes in 6/8 and 4/4 as MIDI with velocities, which both kinds of model take."""
    for i in range(10):
        song, draw = mido.MidiFile(ticks_per_beat=48), np.random.default_rng(i)
        track = mido.MidiTrack()
        for _ in range(60):
            key = int(draw.integers(55, 80))
            track += [mido.Message("note_on", note=key, velocity=int(draw.integers(1, 128))),
                      mido.Message("note_off", note=key, time=24)]
        song.tracks.append(track)
        song.save(tmp_path / f"{i}.mid")
    return tmp_path


@pytest.mark.parametrize("model", ["melody-lstm", "performance-lstm"])
def test_a_model_of_events_is_trained_judged_and_heard_by_the_usual_commands(model, tunes, tmp_path, capsys):
    given = ["--preset", "smoke", "--corpus", f"folder:{tunes}", "--model", model]
    cli.main(["levels", *given, "--overrides", '{"iterations": 3}'])
    said = capsys.readouterr().err
    for word in (model, "uniform", "unigram", "bigram", "per second", "nats per event"):
        assert word in said
    from octavoice import paths
    weights = next(paths.home().glob(f"runs/**/{model.replace('-', '_')}.safetensors")).parent
    out = tmp_path / "out" / "made.mid"
    cli.main(["compose", str(tunes / "0.mid"), "--model", model, "--weights", str(weights), "--bars", "1",
              "-o", str(out), "--audio", str(out.with_suffix(".wav"))])
    assert "new events of a" in capsys.readouterr().out
    assert read_midi(out).roll.any()
    assert out.with_suffix(".wav").stat().st_size > 1000
    assert cli.main(["compose", "--model", model, "--weights", str(weights), "-o", str(out),
                     "--png", str(out.with_suffix(".png"))]) == 2
    assert "this model tells events; ask for MIDI and --audio" in capsys.readouterr().err


def test_fiddle_tunes_in_any_metre_come_with_music21():
    tunes = corpus.load("ryans-mammoth", 40)
    assert {piece.time_signatures[0] for piece in tunes.pieces} >= {(6, 8), (4, 4)}
    assert len(tunes.pieces) > 30
    events = MELODY.encode(tunes.pieces[0])
    np.testing.assert_array_equal(MELODY.encode(MELODY.decode(events)), events)
