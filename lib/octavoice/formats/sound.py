"""Sound without a screen, a sound card or a sound font (thesis §2.2, §7.4).

Every tone is a sum of harmonics that die away, the higher the faster, as on a piano; a roll sounds as
its MIDI reads, at constant loudness: by its tempo map and its durations, or each chord until
the next step that has an onset.
MP3 is what is embedded: every browser plays it, and the encoder gives the same bytes each time. Where the
program ``fluidsynth`` and a SoundFont are found (:func:`find_soundfont`), a sampled piano can play instead.
"""

import base64
import html
import io
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from octavoice.errors import UserError
from octavoice.formats.midi import chord_notes, to_midi
from octavoice.music.tempo import Tempos, constant, seconds_at
from octavoice.paths import atomic

if TYPE_CHECKING:
    from IPython.display import HTML

RATE = 22_050
"""Samples per second; more than twice the second harmonic of the highest key."""
PEAK = 0.8
"""Largest sample; what is left keeps lossy codecs from clipping."""
ATTACK, RELEASE = 0.004, 0.12
"""Seconds a tone takes to rise, and to die away after its key is let go."""
LONGEST = 8.0
"""Seconds after which a held tone is let go of: by then it is inaudible."""
HARMONICS = 12
"""Sines in a tone; the low keys are heard by the upper ones."""
SOUNDFONTS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts", "/usr/local/share/soundfonts",
              "/opt/homebrew/share/soundfonts", "/opt/homebrew/share/sounds/sf2")
"""Where Linux distributions and Homebrew put SoundFonts."""
SUFFIXES = {".wav": "WAV", ".mp3": "MP3", ".ogg": "OGG"}


@lru_cache(maxsize=256)
def tone(pitch: int, seconds: float) -> np.ndarray:
    """One key held for ``seconds``: samples ``(time,)`` float32, its release after them.

    Harmonic ``h`` of the fundamental ``f`` Hz has amplitude ``h^-1.2`` and dies away at
    ``(0.4 + f/400) √h`` per second, so that high tones are short and lose their brightness
    first; harmonics above half the rate are left out.
    """
    fundamental = 440.0 * 2 ** ((pitch - 69) / 12)
    h = np.arange(1, HARMONICS + 1)[:, None]
    h = h[h[:, 0] * fundamental < RATE / 2]
    time = np.arange(round((seconds + RELEASE) * RATE)) / RATE
    waves = h**-1.2 * np.sin(2 * np.pi * fundamental * h * time)
    waves *= np.exp(-time * (0.4 + fundamental / 400) * np.sqrt(h))
    envelope = np.minimum(time / ATTACK, 1) * np.clip((seconds + RELEASE - time) / RELEASE, 0, 1) ** 2
    return (waves.sum(axis=0) * envelope).astype(np.float32)


def find_soundfont() -> Path | None:
    """A SoundFont that the program ``fluidsynth`` can play: ``OCTAVOICE_SOUNDFONT`` if set, else of the system's.

    None where the program or a font is missing, or where the variable is set but empty. Raises
    :class:`UserError` if the variable names a file that is not there.
    """
    named = os.environ.get("OCTAVOICE_SOUNDFONT")
    if named and not Path(named).is_file():
        raise UserError(f"{named}: there is no such SoundFont; mend or unset OCTAVOICE_SOUNDFONT.")
    if named == "" or not shutil.which("fluidsynth"):
        return None
    found = [font for folder in map(Path, SOUNDFONTS) for font in sorted(folder.glob("*.sf[23]"))]
    return Path(named) if named else next(iter(found), None)


def synthesize(roll: np.ndarray, tempo: float | Tempos = 120.0, soundfont: Path | None = None,
               durations: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """A roll ``(time, key)`` as mono sound: samples ``(time,)`` float32 in −0.8..0.8, and their rate in Hz.

    ``tempo`` is in quarters per minute, or a map (:mod:`octavoice.music.tempo`); the sound lasts exactly as long as
    the roll's steps, so what is held to its end is let go of a little early. ``durations`` ``(time, key)`` are those
    of :func:`octavoice.formats.midi.chord_notes`. Silence stays silence. ``soundfont`` is played by fluidsynth;
    without one the tones are ours. Raises :class:`UserError` for a tempo that is not above 0, or if fluidsynth fails.
    """
    tempos = constant(tempo)
    if not all(qpm > 0 for _, qpm in tempos):
        raise UserError(f"a tempo of {tempo} plays nothing; give quarters per minute above 0.")
    length = round(float(seconds_at(tempos, len(roll))) * RATE)
    samples = np.zeros(length, dtype=np.float32)
    if roll.any():
        samples = (_sampled(to_midi(roll, tempos, durations=durations), length, soundfont) if soundfont
                   else _summed(chord_notes(roll, durations), tempos, length))
    fade = min(length, round(RELEASE / 2 * RATE))
    samples[length - fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    loudest = np.abs(samples).max(initial=0)
    return (samples * (PEAK / loudest) if loudest else samples), RATE


def _summed(notes: list[tuple[int, int, int]], tempos: Tempos, length: int) -> np.ndarray:
    """Our own tones for ``(onset, end, midi_pitch)``, one on another: samples ``(length,)``."""
    times = np.round(seconds_at(tempos, np.array(notes).reshape(-1, 3)[:, :2]), 9).tolist()
    samples = np.zeros(length, dtype=np.float32)
    for (onset, end), (*_, pitch) in zip(times, notes, strict=True):
        start = round(onset * RATE)
        wave = tone(pitch, min(round(end - onset, 9), LONGEST))[:length - start]
        samples[start:start + len(wave)] += wave
    return samples


def _sampled(song: bytes, length: int, soundfont: Path) -> np.ndarray:
    """MIDI played by fluidsynth without reverb and chorus, made mono: samples ``(length,)``."""
    with tempfile.TemporaryDirectory() as folder:
        midi, sound = Path(folder) / "roll.mid", Path(folder) / "roll.wav"
        midi.write_bytes(song)
        try:
            subprocess.run(["fluidsynth", "-n", "-i", "-q", "-R", "0", "-C", "0", "-r", str(RATE), "-T", "wav",
                            "-F", str(sound), str(soundfont), str(midi)], check=True, capture_output=True)
            played, _ = soundfile.read(sound, dtype="float32", always_2d=True)
        except (OSError, subprocess.CalledProcessError, soundfile.SoundFileError) as error:
            raise UserError(f"{soundfont}: fluidsynth could not play it; name another with OCTAVOICE_SOUNDFONT, "
                            "or set that empty to do without.") from error
    mono = played.mean(axis=1)[:length]
    return np.pad(mono, (0, length - len(mono)))


def encode(samples: np.ndarray, rate: int, kind: str = "MP3") -> bytes:
    """Samples ``(time,)`` as the bytes of a sound file: ``MP3`` (about 5 kB a second), ``OGG`` or ``WAV``.

    MP3 and WAV bytes repeat exactly; an OGG stream carries a random serial number. The variable bit
    rate is deliberate: at a constant one this low, an MP3 frame has no room for the note that tells
    players how much padding to skip, and the sound would start late. No samples become one.
    """
    options = {"bitrate_mode": "VARIABLE", "compression_level": 0.5} if kind == "MP3" else {}
    handle = io.BytesIO()
    soundfile.write(handle, samples if len(samples) else np.zeros(1, np.float32), rate, format=kind, **options)
    return handle.getvalue()


def player(roll: np.ndarray, tempo: float | Tempos = 120.0, title: str = "", soundfont: Path | None = None,
           durations: np.ndarray | None = None) -> "HTML":
    """A notebook's player for a roll ``(time, key)``, the MP3 inside the page, ``title`` beneath it.

    ``durations`` as in :func:`synthesize`.
    """
    from IPython.display import HTML  # only here: sound outside a notebook does without

    sound = base64.b64encode(encode(*synthesize(roll, tempo, soundfont, durations))).decode()
    return HTML(f'<figure><audio controls preload="metadata" src="data:audio/mpeg;base64,{sound}"></audio>'
                f"<figcaption>{html.escape(title)}</figcaption></figure>")


def format_of(path: Path) -> str:
    """``WAV``, ``MP3`` or ``OGG``, as a path's suffix says; raises :class:`UserError` for another."""
    kind = SUFFIXES.get(Path(path).suffix.lower())
    if kind is None:
        raise UserError(f"{path}: is no sound file this program writes; end its name in {', '.join(SUFFIXES)}.")
    return kind


def write_audio(roll: np.ndarray, path: Path, tempo: float | Tempos = 120.0, soundfont: Path | None = None,
                durations: np.ndarray | None = None) -> Path:
    """Write a roll ``(time, key)`` as ``.wav``, ``.mp3`` or ``.ogg``, atomically; ``durations`` as above.

    Raises :class:`UserError` for another suffix.
    """
    kind = format_of(path)
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(encode(*synthesize(roll, tempo, soundfont, durations), kind))
    return Path(path)
