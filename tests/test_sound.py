"""The player: as long as the roll, loud where it is struck, and what went in comes out."""

import base64
import io
import os
import re
import sys

import numpy as np
import pytest
import soundfile

from octavoice.errors import UserError
from octavoice.formats.sound import PEAK, RATE, encode, find_soundfont, player, synthesize, tone, write_audio
from octavoice.music.durations import until_next
from octavoice.music.roll import KEYS, LOWEST_MIDI


def chords(steps: int = 64, every: int = 8) -> np.ndarray:
    """A roll with a C major triad every so many steps."""
    roll = np.zeros((steps, KEYS), dtype=np.uint8)
    roll[::every, [39, 43, 46]] = 1
    return roll


@pytest.mark.parametrize(("steps", "tempo"), [(64, 120.0), (7, 97.0), (16, 240.0)])
def test_sound_lasts_as_long_as_the_roll(steps, tempo):
    samples, rate = synthesize(chords(steps), tempo)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) / rate - steps * 60 / tempo / 4) <= 0.5 / rate


def test_loud_but_not_clipped():
    dense = np.ones((8, KEYS), dtype=np.uint8)
    for roll in (chords(), dense):
        samples, _ = synthesize(roll)
        assert np.abs(samples).max() == pytest.approx(PEAK, rel=1e-5)
        assert abs(samples.mean()) < 0.01
        assert abs(samples[-1]) < 1e-3


def test_silence_stays_silence():
    for steps in (0, 16):
        samples, rate = synthesize(np.zeros((steps, KEYS), np.uint8))
        assert len(samples) == steps * rate // 8
        assert not samples.any()
        assert encode(samples, rate)


def test_energy_rises_at_onsets_only():
    samples, _ = synthesize(chords(every=8), tempo=110.25)  # 3000 samples a step
    energy = (samples.reshape(-1, 3000).astype(np.float64) ** 2).mean(axis=1)
    rises = np.flatnonzero(np.diff(energy) > 0) + 1
    assert rises.tolist() == list(range(8, 64, 8))


def test_a_held_note_sounds_as_long_as_its_duration_says():
    roll = np.zeros((64, KEYS), np.uint8)
    roll[[0, 8], [39, 46]] = 1
    grid = roll * np.uint16([[4]])
    grid[0, 39] = 20
    loud = [(synthesize(roll, 110.25, durations=durations)[0].reshape(-1, 3000) ** 2).mean(axis=1)
            for durations in (grid, None)]
    assert loud[0][14:20].min() > 1e-5  # the first is held beneath the second, which is let go of
    assert not loud[0][22:].any()
    assert loud[1][22:28].min() > 1e-6  # by the thesis's rule the second is held to the end
    assert np.array_equal(synthesize(roll, durations=until_next(roll))[0], synthesize(roll)[0])
    assert player(roll, durations=grid).data != player(roll).data


def test_tone_has_the_pitch_of_its_key():
    for pitch in (LOWEST_MIDI, 57, 69, LOWEST_MIDI + KEYS - 1):
        spectrum = np.abs(np.fft.rfft(tone(pitch, 1.0)))
        frequency = np.fft.rfftfreq(len(tone(pitch, 1.0)), 1 / RATE)[spectrum.argmax()]
        assert abs(12 * np.log2(frequency / 440) - (pitch - 69)) < 0.6


def test_same_samples_and_bytes_each_time():
    (first, rate), (second, _) = synthesize(chords()), synthesize(chords())
    assert np.array_equal(first, second)
    assert encode(first, rate) == encode(second, rate)


@pytest.mark.parametrize("kind", ["MP3", "OGG", "WAV"])
def test_encoded_sound_decodes_to_itself(kind):
    samples, rate = synthesize(chords())
    decoded, decoded_rate = soundfile.read(io.BytesIO(encode(samples, rate, kind)))
    assert decoded_rate == rate
    assert abs(len(decoded) - len(samples)) <= 1152
    same = min(len(decoded), len(samples))
    assert np.corrcoef(decoded[:same], samples[:same])[0, 1] > 0.98
    assert np.abs(decoded).max() < 1


def test_player_embeds_a_small_mp3_and_escapes_its_title():
    rng = np.random.default_rng(0)
    page = player((rng.random((256, KEYS)) < 0.03).astype(np.uint8), title="<b>Nº 1</b>").data
    data = base64.b64decode(re.search(r"data:audio/mpeg;base64,([^\"]+)", page)[1])
    assert len(page) < 300_000
    assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(32, abs=0.1)
    assert "&lt;b&gt;Nº 1&lt;/b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize(("name", "kind"), [("a.wav", "WAV"), ("a.MP3", "MP3"), ("a.ogg", "OGG")])
def test_suffix_decides_the_format(name, kind, tmp_path):
    path = write_audio(chords(16), tmp_path / name, tempo=60.0)
    assert soundfile.info(path).format == kind
    assert soundfile.info(path).duration == pytest.approx(4, abs=0.1)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_unknown_suffix_and_tempo_are_user_errors(tmp_path):
    with pytest.raises(UserError, match=r"\.wav, \.mp3, \.ogg"):
        write_audio(chords(), tmp_path / "a.flac")
    with pytest.raises(UserError, match="tempo"):
        synthesize(chords(), 0)
    assert not list(tmp_path.iterdir())


# --- with a SoundFont -------------------------------------------------------------------------------------------------

FLUIDSYNTH = """#!{python}
import sys
import mido, numpy, soundfile
out, (font, midi) = sys.argv[sys.argv.index("-F") + 1], sys.argv[-2:]
if open(font).read() != "a font":
    sys.exit(1)
onsets = numpy.cumsum([message.time for message in mido.MidiFile(midi)])
clicks = [at for at, message in zip(onsets, mido.MidiFile(midi)) if message.type == "note_on" and message.velocity]
sound = numpy.zeros((int(22050 * (max(onsets) + 3)), 2), numpy.float32)
for at in clicks:
    sound[round(at * 22050):round(at * 22050) + 200] = 0.1
soundfile.write(out, sound, 22050)
"""


@pytest.fixture
def fluidsynth(tmp_path, monkeypatch):
    """A stand-in for the program: it clicks at every onset of the MIDI it is given; returns its SoundFont."""
    program, font = tmp_path / "bin" / "fluidsynth", tmp_path / "piano.sf2"
    program.parent.mkdir()
    program.write_text(FLUIDSYNTH.format(python=sys.executable))
    program.chmod(0o755)
    font.write_text("a font")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OCTAVOICE_SOUNDFONT", str(font))
    return font


def test_a_soundfont_plays_the_same_onsets_for_as_long(fluidsynth):
    samples, rate = synthesize(chords(every=8), 110.25, find_soundfont())
    assert len(samples) == 64 * 3000
    assert rate == RATE
    assert np.abs(samples).max() == pytest.approx(PEAK, rel=1e-5)
    struck = np.flatnonzero(np.diff((np.abs(samples) > 0.1).astype(int)) > 0) + 1
    assert np.abs(struck - np.arange(8, 64, 8) * 3000).max() <= 30


def test_which_soundfont(fluidsynth, tmp_path, monkeypatch):
    assert find_soundfont() == fluidsynth
    monkeypatch.delenv("OCTAVOICE_SOUNDFONT")
    monkeypatch.setattr("octavoice.formats.sound.SOUNDFONTS", (str(tmp_path / "none"), str(tmp_path)))
    assert find_soundfont() == fluidsynth
    monkeypatch.setenv("OCTAVOICE_SOUNDFONT", "")
    assert find_soundfont() is None
    monkeypatch.setenv("OCTAVOICE_SOUNDFONT", str(tmp_path / "other.sf2"))
    with pytest.raises(UserError, match=r"other\.sf2: there is no such SoundFont"):
        find_soundfont()
    monkeypatch.setenv("OCTAVOICE_SOUNDFONT", str(fluidsynth))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_soundfont() is None


def test_a_soundfont_that_cannot_be_played_is_a_user_error(fluidsynth):
    fluidsynth.write_text("no font")
    with pytest.raises(UserError, match="fluidsynth could not play it"):
        synthesize(chords(), 120, fluidsynth)
