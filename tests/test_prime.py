"""Primes: any music file read without the filters, a named chord, or silence."""

from itertools import pairwise

import numpy as np
import pytest
from music21 import converter

from octavoice import composing
from octavoice.composer import Composer
from octavoice.composing import openings
from octavoice.errors import UserError
from octavoice.formats.midi import read_midi
from octavoice.music import keys
from octavoice.music.durations import clipped, remaining, until_next
from octavoice.music.roll import LOWEST_MIDI, compress
from octavoice.statistics import harmony


def scale(steps=64, every=4, first=0):
    return [(50 + 10 * (i % 3), 60 + (0, 2, 4, 5, 7, 9, 11)[i % 7], at, at + every)
            for i, at in enumerate(range(first, first + steps, every))]


def test_a_midi_prime_brings_its_metre_tempo_and_loudness(tmp_path, write_song):
    path = write_song(tmp_path / "a.mid", scale(60), tempos=((0, 60), (24, 90), (400, 200)),
                      signatures=((0, 4, 4), (20, 3, 4), (400, 7, 8)))
    prime = composing.read(path)
    assert prime.metre == (3, 4)
    assert prime.tempo == pytest.approx(90, abs=0.01)
    assert prime.tempos == (pytest.approx((0, 60)), pytest.approx((24, 90), abs=0.01))
    assert prime.velocity == 60
    assert prime.lead == (0 - 20) % 12
    assert np.array_equal(prime.roll, read_midi(path).roll)


def test_silence_before_the_first_onset_is_cut_and_the_bar_line_kept(tmp_path, write_song):
    prime = composing.read(write_song(tmp_path / "a.mid", scale(first=28)))
    assert prime.roll[0].any()
    assert prime.lead == 12


@pytest.mark.parametrize(("notes", "signature", "said"), [
    (scale(48), (3, 4), "is in 3/4 where the networks know 4/4"),
    ([(70, 60 + i % 7, 1.3 * i, 1.3 * i + 1) for i in range(50)], (4, 4), "of its onsets off the grid of sixteenths"),
    ([*scale(), (70, 12, 3, 4)], (4, 4), "1 notes outside the piano's 88 keys")])
def test_what_the_filters_would_drop_is_told_in_one_sentence_and_read(tmp_path, notes, signature, said, write_song):
    prime = composing.read(write_song(tmp_path / "odd.mid", notes, signatures=((0, *signature),)))
    assert prime.roll.any()
    assert prime.metre == signature
    assert said in prime.remark
    assert prime.remark.count(". ") == 0
    assert prime.remark.startswith("odd.mid ")


def test_an_ordinary_prime_needs_no_remark(song):
    assert not composing.read(song).remark


MUSICXML = """<score-partwise version="4.0"><part-list><score-part id="P1"><part-name>Piano</part-name></score-part>
</part-list><part id="P1"><measure number="1"><attributes><divisions>1</divisions><time><beats>3</beats><beat-type>4
</beat-type></time></attributes><sound tempo="66"/>{note}<direction><direction-type><words>x</words></direction-type>
<sound dynamics="80" tempo="72.5"/></direction>{note}{note}</measure></part></score-partwise>""".format(
    note="<note><pitch><step>C</step><octave>4</octave></pitch><duration>1</duration></note>")
KERN = "**kern\t**kern\n*M3/4\t*M3/4\n*MM66\t*MM66\n4C\t4c\n*MM72.5\t*MM72.5\n4D\t4d\n4E\t4e\n*-\t*-\n"
ABC = "X:1\nT:A tune\nM:3/4\nL:1/4\nQ:1/4=60\nK:C\nC D E|\nQ:3/8=48.3\nQ: \"slow\" 1/8=145\nC D E|\n"


@pytest.mark.parametrize(("name", "text", "place"), [("a.musicxml", MUSICXML, 4), ("a.krn", KERN, 4),
                                                     ("a.abc", ABC, 12)])
def test_scores_are_primes_too_with_the_tempi_they_tell(tmp_path, name, text, place):
    (tmp_path / name).write_text(text)
    prime = composing.read(tmp_path / name)
    assert prime.metre == (3, 4)
    assert prime.tempos == ((0, 66 if place == 4 else 60), (place, 72.5))
    assert prime.tempo == (72.5 if place == 4 else 60)
    assert prime.lead == 0
    assert prime.roll[[0, 4, 8]].any(axis=-1).all()


def test_a_packed_score_tells_its_tempo_and_a_pickup_stays_one(tmp_path):
    prime = composing.built_in()
    assert prime.lead == 12
    assert len(prime.roll) == 36
    assert prime.roll[[0, 4]].any(axis=-1).all()
    data = converter.parse(MUSICXML, format="musicxml").write("mxl", tmp_path / "a.mxl")
    assert composing.read(data).tempo == 72.5


@pytest.mark.parametrize(("name", "key"), [
    ("C", "C major"), ("f#", "F♯ major"), ("Bb", "B♭ major"), ("A minor", "A minor"), ("c major", "C major"),
    ("Am", "A minor"), ("E♭ minor", "E♭ minor"), (" A minor ,  Chorale", "A minor")])
def test_a_named_prime_is_written_out_in_its_key(name, key):
    prime = composing.resolve(name)
    assert prime.key == key
    assert len(prime.roll) == 32
    assert prime.roll.any(axis=-1).sum() >= 8
    assert not any((before & after).sum() > 2 for before, after in pairwise(prime.roll[prime.roll.any(axis=-1)]))


@pytest.mark.parametrize("opening", openings.NAMES)
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_opening_sounds_in_its_key_on_plausible_keys_of_the_piano(opening, mode):
    """In all keys the same music; the claims' estimator, which is told nothing, hears the key; two hands reach it."""
    home = composing.named(f"C {mode}, {opening}")
    for tonic in ("C", "C#", "D", "E♭", "E", "F", "F#", "G", "A♭", "A", "B♭", "B"):
        prime = composing.named(f"{tonic} {mode}, {opening}")
        told = prime.key.replace("C♯ major", "D♭ major").replace("A♭ minor", "G♯ minor")
        assert harmony.key_of(compress(prime.roll)).name == told
        assert keys.name_key(prime.held) == told or mode == "major"
        notes = np.flatnonzero(prime.roll.any(axis=0)) + LOWEST_MIDI
        assert 36 <= notes.min() <= 54
        assert 67 <= notes.max() <= 85
        assert np.array_equal(clipped(prime.held), prime.held)
        for step in remaining(prime.held):
            sounds = np.flatnonzero(step)
            assert any(np.ptp(sounds[:n] if n else [0]) <= 12 >= np.ptp(sounds[n:]) for n in range(len(sounds)))
        shift = int(np.flatnonzero(prime.roll[0])[0] - np.flatnonzero(home.roll[0])[0])
        assert np.array_equal(np.roll(home.held, shift, axis=1), prime.held)


def test_continuations_of_named_keys_stay_in_them_and_are_no_wall():
    """By the networks that ship: means over 24 continuations, with margin about those of held-out pieces' openings."""
    primes = 4 * [composing.named(key) for key in ("A minor", "C major", "E♭ major", "F# minor", "B major", "G minor")]
    rolls, held = (np.stack([getattr(prime, name) for prime in primes], axis=1) for name in ("roll", "held"))
    made = Composer(*composing.load_weights().stages).compose(rolls, 128, seed=3, durations=held)
    new = made.roll[made.start:].swapaxes(0, 1)
    inside = [harmony.in_key_share(compress(x), harmony.key_of(compress(prime.roll)))
              for x, prime in zip(new, primes, strict=True)]
    struck = [x[x.any(axis=-1)] for x in new]
    again = [(x[1:] & x[:-1]).any(axis=-1).mean() for x in struck]
    assert np.mean(inside) > 0.83
    assert 0.4 < new.any(axis=-1).mean() < 0.75
    assert 0.8 < new.sum(axis=-1).mean() < 1.9
    assert np.mean(again) < 0.4


def test_a_chord_that_is_no_key_is_broken():
    prime = composing.named("G7")
    assert len(prime.roll) == 32
    assert set((np.flatnonzero(prime.roll.any(axis=0)) + LOWEST_MIDI) % 12) == {7, 11, 2, 5}
    assert prime.roll.sum(axis=-1).max() == 1
    assert prime.held[0].max() == 16
    assert set((np.flatnonzero(composing.named("Bbmaj7").roll.any(axis=0)) + LOWEST_MIDI) % 12) == {10, 2, 5, 9}


@pytest.mark.parametrize("text", ["H", "C nonsense", "song", "?", "A minor major", "A minor, waltz", "G7, aria", ","])
def test_no_name_of_a_key_or_chord(text):
    with pytest.raises(UserError, match=r"neither a music file nor a key or chord.*after a comma.*chorale"):
        composing.resolve(text)


def test_a_files_notes_are_held_as_it_says(tmp_path, write_song):
    path = write_song(tmp_path / "a.mid", [(60, 48, 16, 32), (60, 60, 16, 20), (60, 62, 20, 23), (60, 64, 24, 25)])
    prime = composing.read(path)
    assert np.array_equal(prime.held, read_midi(path).held[16:])
    assert prime.held[0, 48 - LOWEST_MIDI] == 16
    (tmp_path / "a.krn").write_text(KERN)
    assert (composing.read(tmp_path / "a.krn").held[[0, 4, 8]].max(axis=-1) == 4).all()
    assert not composing.silence().held.any()


def test_of_the_built_in_prime_notes_are_held_as_in_the_score():
    prime = composing.built_in()
    assert prime.held.shape == prime.roll.shape
    assert np.array_equal(prime.held > 0, prime.roll > 0)
    assert not np.array_equal(prime.held, until_next(prime.roll))
