"""How fast music is read and drawn. Run by hand; prints ratios, each pair measured in one run.

    python benchmarks/corpus.py reading FOLDER      our MIDI reader beside message loops over mido and pretty_midi
    python benchmarks/corpus.py store [PIECES]      a synthetic corpus built and sampled, beside one of 100 pieces
    python benchmarks/corpus.py build NAME          a named corpus built cold and opened warm
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from octavoice import paths
from octavoice.corpus import Fragments, filters, store
from octavoice.corpus.pieces import facts_of, pack
from octavoice.formats.midi import read_midi
from octavoice.music.notes import to_step
from octavoice.music.piece import Piece
from octavoice.music.roll import KEYS


def seconds(work, repeats: int = 3) -> float:
    """Median seconds of ``work()`` over ``repeats`` calls."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


class Memory(threading.Thread):
    """Largest memory of this process's own (mapped files left out) while it runs, in MiB. Linux only."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.over = 0.0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            own = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.peak = max(self.peak, own / 1024)


def by_mido(path: Path) -> np.ndarray:
    """A roll by a loop over mido's messages, the way such programs are usually written."""
    import mido

    song, cells = mido.MidiFile(path), []
    for track in song.tracks:
        now = 0
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity and 21 <= message.note <= 108:
                cells.append((int(to_step(np.int64(now), song.ticks_per_beat)), message.note - 21))
    roll = np.zeros((max(t for t, _ in cells) + 1, 88), np.uint8)
    roll[tuple(np.array(cells).T)] = 1
    return roll


def by_pretty_midi(path: Path) -> np.ndarray:
    """A roll from pretty_midi's notes."""
    import pretty_midi

    song = pretty_midi.PrettyMIDI(str(path))
    cells = [(int(to_step(np.int64(song.time_to_tick(note.start)), song.resolution)), note.pitch - 21)
             for part in song.instruments for note in part.notes if 21 <= note.pitch <= 108]
    roll = np.zeros((max(t for t, _ in cells) + 1, 88), np.uint8)
    roll[tuple(np.array(cells).T)] = 1
    return roll


def reading(folder: str) -> None:
    """All MIDI files below a folder into rolls, three ways."""
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    ours = seconds(lambda: [read_midi(path) for path in files])
    print(f"{len(files)} files: ours {ours:.2f} s")
    for name, reader in (("mido", by_mido), ("pretty_midi", by_pretty_midi)):
        theirs = seconds(lambda reader=reader: [reader(path) for path in files], repeats=1)
        print(f"  {name:12} {theirs:7.2f} s   ratio {theirs / ours:6.1f}")


def synthetic(pieces: int, steps: int = 2000):
    """Readings of random pieces with full provenance, one at a time."""
    rng = np.random.default_rng(0)
    for i in range(pieces):
        name = f"a folder/of a collection/piece {i}.mid"
        roll = (rng.integers(0, 256, (steps, KEYS), dtype=np.uint8) < 8).astype(np.uint8)
        piece = Piece(name, roll, 2, ((4, 4),), title=f"Sonata No. {i}: Allegro con brio", key="F♯ minor",
                      corpus="synthetic", path=name, licence="CC-BY-SA-3.0-DE")
        durations = rng.integers(1, 16, int(roll.sum()), dtype=np.uint16)
        yield store.Reading(filters.judge(piece), pack(roll), durations, facts_of(piece), f"{rng.integers(2**63):016x}")


def store_and_sample(pieces: int) -> None:
    """Build a synthetic corpus and draw batches of the thesis's size from it, beside a small one."""
    with tempfile.TemporaryDirectory() as folder:
        costs = {}
        for count in (100, pieces):
            place = Path(folder) / str(count)
            with Memory() as building:
                began = time.perf_counter()
                store.write_store(place, "key", synthetic(count))
                built = time.perf_counter() - began
            with Memory() as sampling:
                opened = seconds(lambda place=place: store.open_store(place, "synthetic", "key"))
                corpus = store.open_store(place, "synthetic", "key")
                fragments, rng = Fragments(corpus.pieces, 256), np.random.default_rng(1)
                costs[count] = seconds(lambda fragments=fragments, rng=rng: fragments.draw(rng, 140), 15)
            steps = corpus.pieces.lengths.sum()
            size = sum(path.stat().st_size for path in place.iterdir()) / steps
            print(f"{count:7} pieces, {steps:>11,} steps, {size:.1f} bytes a step with index and facts: "
                  f"built in {built:.1f} s with at most {building.peak:.0f} MiB; "
                  f"opened in {opened:.2f} s and sampled with at most {sampling.peak:.0f} MiB; "
                  f"a batch of 140 x 256 in {1000 * costs[count]:.1f} ms", flush=True)
        print(f"cost of a batch, large over small corpus: {costs[pieces] / costs[100]:.2f}")


def build(name: str) -> None:
    """Build a named corpus in an empty home, then open it again."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OCTAVOICE_HOME"] = folder
        cold = seconds(lambda: store.load(name), 1)
        warm = seconds(lambda: store.load(name))
        corpus = store.load(name)
        print(f"{name}: cold {cold:.1f} s, warm {warm:.2f} s, {len(corpus.pieces)} pieces, "
              f"{corpus.pieces.lengths.sum():,} steps; {corpus.funnel()}; in {paths.store_dir().name}/")


if __name__ == "__main__":
    command, *rest = sys.argv[1:] or ["help"]
    if command == "reading" and rest:
        reading(rest[0])
    elif command == "store":
        store_and_sample(int(rest[0]) if rest else 100_000)
    elif command == "build" and rest:
        build(rest[0])
    else:
        sys.exit(__doc__)
