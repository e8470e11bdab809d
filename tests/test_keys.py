"""The key that is named to a reader: from what is held, and from what a file declares."""

import io
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
from music21 import converter, corpus, harmony
from music21 import key as keys21
from music21.analysis.discrete import SimpleWeights

from octavoice import composing
from octavoice.composing import output
from octavoice.corpus.sources import read_score
from octavoice.formats.midi import read_midi
from octavoice.music import keys, score
from octavoice.music.notes import key_name
from octavoice.music.roll import KEYS, LOWEST_MIDI, compress, transpose
from octavoice.music.score import find_key

PEDAL = ((0, 16, 43), (0, 4, 72), (4, 4, 67), (8, 2, 69), (10, 2, 71), (12, 2, 74), (14, 2, 67), (16, 8, 72),
         (16, 8, 64), (24, 8, 72), (24, 8, 48))
"""A cadence in C major, notes ``(onset, duration, midi)``, that strikes G and D more often than C."""


def grid_of(notes, steps=32):
    grid = np.zeros((steps, KEYS), np.uint16)
    for onset, duration, midi in notes:
        grid[onset, midi - LOWEST_MIDI] = duration
    return grid


def midi_of(path, key=None, notes=PEDAL):
    song, track, now = mido.MidiFile(ticks_per_beat=480), mido.MidiTrack(), 0
    if key:
        track.append(mido.MetaMessage("key_signature", key=key))
    events = [(at, "note_on", n) for at, _, n in notes] + [(at + lasting, "note_off", n) for at, lasting, n in notes]
    for at, kind, note in sorted(events, key=lambda event: (event[0], event[1] == "note_on")):
        track.append(mido.Message(kind, note=note, time=120 * (at - now)))
        now = at
    song.tracks.append(track)
    song.save(path)
    return path


def test_the_24_keys_are_music21s_with_their_signatures():
    assert len({(keys21.Key(score.as_key(name).tonic.name).tonic.pitchClass, score.as_key(name).mode)
                for name in keys.NAMES}) == len(keys.NAMES) == 24
    for name in (*keys.NAMES, "C♯ major", "A♭ minor"):
        assert keys.signature_of(name) == score.as_key(name).sharps, name
    assert [keys.signature_of(text) for text in ("3 sharps", "1 sharp", "2 flats", "no accidentals")] == [3, 1, -2, 0]
    assert [keys.signature_of(text) for text in ("D dorian", "F♯ phrygian", "B♭ mixolydian")] == [0, 2, -3]
    assert [keys.plain(name) for name in ("D dorian", "A minor", "B♭ mixolydian")] == ["C major", "A minor", "E♭ major"]
    assert [keys.signature_of(text) for text in ("", None, "H major", "C nonsense", "12")] == [None] * 5


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_music21s(seed):
    held = np.random.default_rng(seed).integers(1, 60, 12)
    notes = [(0, int(length), 60 + n) for n, length in enumerate(held)]
    stream = score.stream.Stream([score.note.Note(midi, quarterLength=length) for _, length, midi in notes])
    tonic, mode, correlation = SimpleWeights().process(stream)[0]
    best = keys.name_key(grid_of(notes, steps=64))
    assert (score.as_key(best).tonic.pitchClass, score.as_key(best).mode) == (tonic.pitchClass, mode)
    assert keys.fit(held, best) == pytest.approx(correlation)


def test_silence_has_no_key_and_what_says_nothing_the_plainest():
    assert keys.name_key(np.zeros((16, KEYS), np.uint16)) is None
    assert keys.name_key(np.zeros((16, KEYS), np.uint16), "2 sharps") is None
    assert keys.name_key(grid_of([(0, 3, 60 + n) for n in range(12)])) == "C major"


def test_long_notes_weigh_more():
    chord = [(0, 12, 48), (0, 12, 64), (0, 12, 67)]
    runs = [(at, 1, (67, 74, 78, 74)[at % 4]) for at in range(1, 13)]
    assert keys.name_key(grid_of(chord + runs)) == "C major"
    assert find_key(compress((grid_of(chord + runs) > 0).astype(np.uint8))).tonic.name != "C"


def test_a_signature_leaves_two_keys_and_a_declared_key_one():
    grid = grid_of(PEDAL)
    assert keys.name_key(grid, "no accidentals") == "C major"
    assert keys.name_key(grid, "1 sharp") in ("G major", "E minor")
    assert keys.name_key(grid, "7 sharps") in ("C♯ major", "A♯ minor")
    assert keys.name_key(grid, "D dorian") == "D dorian"
    assert keys.name_key(grid, "E♭ minor") == "E♭ minor"
    for shift in range(-5, 7):
        moved = transpose(grid, shift)
        name = next(name for name in keys.NAMES if score.as_key(name).tonic.pitchClass == shift % 12
                    and name.endswith("major"))
        assert keys.name_key(moved, key_name(keys.signature_of(name))) == name


def test_no_accidentals_in_midi_may_be_unasked_for(tmp_path):
    """A program's default does not make E major C major; where the sound is undecided it counts."""
    in_e = [(onset, lasting, midi + 4) for onset, lasting, midi in PEDAL]
    assert composing.read(midi_of(tmp_path / "e.mid", "C", in_e)).key == composing.read(
        midi_of(tmp_path / "none.mid", None, in_e)).key == "E major"
    assert composing.read(midi_of(tmp_path / "c.mid", "C")).key == "C major"
    assert composing.read(midi_of(tmp_path / "minor.mid", "F#m")).key == "F♯ minor"


def test_bwv_66_6_is_in_f_sharp_minor_whatever_is_declared(tmp_path):
    piece = read_score(Path(corpus.getWork("bwv66.6")))
    for declared in (None, "3 sharps", "F♯ minor"):
        assert keys.name_key(piece.held, declared) == "F♯ minor"
    assert composing.built_in().key == "F♯ minor"
    path = converter.parse(corpus.getWork("bwv66.6")).write("midi", tmp_path / "a.mid")
    assert composing.read(path).key == "F♯ minor"
    assert composing.introduce(composing.built_in()).splitlines()[0].endswith("in F♯ minor")


@pytest.mark.parametrize("prime", ["A minor", "C major", "E♭ minor", "F# major", "B minor, chorale"])
def test_everything_written_is_in_the_primes_key(composer, prime):
    start = composing.resolve(prime)
    (piece,) = composing.continuations(composer, start, 32, 1, 1)
    assert f"in {start.key}" in composing.introduce(start)
    song = pretty_midi.PrettyMIDI(io.BytesIO(output.midi(piece)))
    (sign,) = song.key_signature_changes
    tonic, mode = pretty_midi.key_number_to_key_name(sign.key_number).split()
    assert harmony.ChordSymbol(tonic.replace("b", "-")).root().pitchClass == score.as_key(start.key).tonic.pitchClass
    assert mode.lower() == start.key.split()[1]
    made = score.to_score(piece.roll, **composing.engraving(piece))
    for part in made.parts:
        assert part.recurse().getElementsByClass("KeySignature").first().sharps == keys.signature_of(start.key)


def test_a_files_key_is_named_and_engraved_and_comes_back(run, tmp_path):
    path = midi_of(tmp_path / "song.mid", "C")
    status, said, _ = run("compose", path, "-o", "o.mid", "--steps", 16, "--musicxml", "o.musicxml")
    assert status == 0
    assert "quarters a minute, in C major\n" in said
    made = converter.parse("o.musicxml", forceSource=True, storePickle=False)
    assert made.recurse().getElementsByClass("KeySignature").first().sharps == 0
    assert read_midi(Path("o.mid")).key == "no accidentals"


def test_modes_go_out_as_their_signature(composer):
    prime = composing.Prime("p", composing.named("C").roll, declared="D dorian")
    (piece,) = composing.continuations(composer, prime, 16, 1, 1)
    made = score.to_score(piece.roll, **composing.engraving(piece))
    assert made.parts[0].recurse().getElementsByClass("KeySignature").first().sharps == 0
    (sign,) = pretty_midi.PrettyMIDI(io.BytesIO(output.midi(piece))).key_signature_changes
    assert pretty_midi.key_number_to_key_name(sign.key_number) == "C Major"
