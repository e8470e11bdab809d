"""Every test works in a temporary folder: none writes into the checkout's figures/, results/ or runs/."""

import os
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def octavoice_home(tmp_path_factory):
    """OCTAVOICE_HOME for the whole session; parallel workers share it, so that a corpus is packed once."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "octavoice"
    home.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCTAVOICE_HOME", str(home))
        yield home


@pytest.fixture(scope="session", autouse=True)
def _chorales_are_looked_up_once():
    """For every chorale music21 goes through all its files: most of a second, whenever a test asks for that corpus."""
    from octavoice.corpus import sources

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_chorales", cache(sources._chorales))
        yield


@pytest.fixture(scope="session")
def bf16() -> str:
    """The lower precision, where this processor can train at it; else the test is skipped and says why."""
    from octavoice.training import precision

    if not precision.possible():
        pytest.skip("this processor has no LSTM in bfloat16")
    return "bf16"


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of the checkout these tests belong to."""
    return CHECKOUT


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Fresh networks of the thesis's model, saved as weights."""
    import torch

    from octavoice.thesis import model as thesis
    from octavoice.thesis.decoder import Decoder
    from octavoice.thesis.generator import OctaveGenerator
    from octavoice.training import weights

    place = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    about = {"licence": "Nobody's, untrained."}
    weights.save(weights.Weights(thesis.MODEL, (OctaveGenerator(), Decoder()), about), place)
    return place


@pytest.fixture(scope="session")
def composer(folder):
    """A composer of those networks."""
    from octavoice.composer import Composer
    from octavoice.training import weights

    networks = weights.load(folder)
    return Composer(networks.generator, networks.decoder)


@pytest.fixture(scope="session")
def lopsided():
    """A function that builds a sampler of 4 features, 3 pitch classes, 6 hidden units and 2 voices, with a seed.

    It is small enough to enumerate, and ``scale`` makes its weights large enough to be lopsided.
    """
    import torch

    def build(kind, seed, scale):
        torch.manual_seed(seed)
        sampler = kind(4, 3, 6, 2).double().requires_grad_(False)
        for weights in sampler.parameters():
            weights.mul_(scale)
        return sampler
    return build


@pytest.fixture(scope="session")
def write_song():
    """A function that writes a MIDI file of notes."""
    import mido

    def write(path, notes, tempos=((0, 120),), signatures=((0, 4, 4),), resolution=480):
        """Notes are ``(velocity, pitch, start, end)`` in sixteenths; tempos and signatures stand at sixteenths."""
        events = [(at, 0, mido.MetaMessage("set_tempo", tempo=round(6e7 / qpm))) for at, qpm in tempos]
        events += [(at, 0, mido.MetaMessage("time_signature", numerator=n, denominator=d)) for at, n, d in signatures]
        for velocity, pitch, start, end in notes:
            events += [(start, 2, mido.Message("note_on", note=pitch, velocity=velocity)),
                       (end, 1, mido.Message("note_off", note=pitch))]
        song, track, now = mido.MidiFile(ticks_per_beat=resolution), mido.MidiTrack(), 0
        for at, _, message in sorted(events, key=lambda event: event[:2]):
            tick = round(at * resolution / 4)
            track.append(message.copy(time=tick - now))
            now = tick
        song.tracks.append(track)
        song.save(path)
        return path
    return write


@pytest.fixture
def song(tmp_path, write_song):
    """Four bars of 4/4, a scale in quarters."""
    return write_song(tmp_path / "song.mid", [(50 + 10 * (i % 3), 60 + (0, 2, 4, 5, 7, 9, 11)[i % 7], 4 * i, 4 * i + 4)
                                              for i in range(16)])


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """``octavoice`` with these words in an empty folder: exit status, what it said, files written there."""
    from octavoice import cli

    place = tmp_path / "out"
    place.mkdir()
    monkeypatch.chdir(place)

    def command(*words, weights=str(folder)):
        capsys.readouterr()
        status = cli.main([*map(str, words), "--weights", weights])
        said = capsys.readouterr()
        return status, said.out + said.err, sorted(path.name for path in place.iterdir())
    return command
