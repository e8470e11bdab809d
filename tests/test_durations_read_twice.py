"""How long notes are held, read a second time: MIDI by mido, scores by music21, ABC by abc2midi."""

import io
import os
import random
import re
import warnings
import zipfile
from collections import defaultdict
from fractions import Fraction
from itertools import islice
from math import floor
from pathlib import Path

import mido
import numpy as np
import pytest
import symusic

from octavoice.corpus.sources import read_score
from octavoice.errors import UserError
from octavoice.formats import musicxml
from octavoice.formats.abc import read_abc
from octavoice.formats.humdrum import read_lines
from octavoice.formats.kern import keyboard_staves, read_kern
from octavoice.formats.midi import read_midi
from octavoice.formats.musicxml import read_musicxml
from octavoice.music.durations import LONGEST
from octavoice.music.piece import Piece
from octavoice.music.roll import LOWEST_MIDI

FILES = 20
"""Real files of each collection that are read a second time."""


def step(quarters) -> int:
    return floor(4 * Fraction(quarters) + Fraction(1, 2))


def heard(rows) -> dict:
    """Rows ``(onset, end, midi_pitch, struck)`` in quarters as ``{(step, midi_pitch): steps held}``.

    By walking along ties one by one.
    Where two notes of a key end and one tie goes on, the one struck later has it: it is the one still held.
    """
    onward = defaultdict(list)
    for onset, end, pitch, struck in rows:
        if not struck:
            onward[onset, pitch].append(end)
    found, last = defaultdict(int), {}
    for onset, end, pitch, struck in sorted(rows, reverse=True):
        while struck and onward[end, pitch]:
            end = onward[end, pitch].pop()
        if struck and 21 <= pitch <= 108:
            place = step(onset), pitch
            found[place] = max(found[place], min(step(end) - step(onset), LONGEST), 1)
    for at, pitch in sorted(found, reverse=True):
        after = last.get(pitch, at + found[at, pitch])
        found[at, pitch] = min(found[at, pitch], after - at)
        last[pitch] = at
    return dict(found)


def by_mido(source) -> list:
    """Rows of a MIDI file as mido tells its messages: the first press of a key is the first released."""
    file, rows = mido.MidiFile(file=io.BytesIO(source)), []
    for track in file.tracks:
        now, down = 0, defaultdict(list)
        for message in track:
            now += message.time
            if message.type not in ("note_on", "note_off") or message.channel == 9:
                continue
            if message.type == "note_on" and message.velocity:
                down[message.channel, message.note].append(now)
            elif down[message.channel, message.note]:
                onset = down[message.channel, message.note].pop(0)
                rows.append((Fraction(onset, file.ticks_per_beat), Fraction(now, file.ticks_per_beat), message.note, 1))
    return rows


def by_music21(path, parts=None) -> list:
    """Rows of a score as music21 reads it; of the ``parts`` named, if any."""
    from music21 import converter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = converter.parse(path, forceSource=True, storePickle=False)
    rows = []
    for part in score.parts:
        if parts is not None and part.id not in parts and not any(part.id.startswith(f"{name}-") for name in parts):
            continue
        graces = set()
        for element in part.flatten().notes:
            onset = Fraction(element.offset)
            for single in getattr(element, "notes", [element]):
                tied, pitch = single.tie.type if single.tie else "", int(single.pitch.ps)
                if element.duration.isGrace:
                    graces |= {(onset, pitch)} if tied == "start" else set()
                else:
                    struck = tied not in ("stop", "continue") or (onset, pitch) in graces
                    rows.append((onset, onset + Fraction(element.quarterLength), pitch, struck))
    return rows


def differences(piece: Piece, rows) -> dict:
    """Notes of which only one reading knows, or that the two hold differently: ``(ours, theirs)``, 0 for unknown."""
    ours = {(t, k + LOWEST_MIDI): int(piece.held[t, k]) for t, k in np.argwhere(piece.roll).tolist()}
    theirs = heard(rows)
    return {place: pair for place in sorted(ours.keys() | theirs.keys())
            if len(set(pair := (ours.get(place, 0), theirs.get(place, 0)))) > 1}


@pytest.mark.parametrize("name", ["schumann_clara/polonaise_op1n3.mxl", "mozart/k545/movement1_exposition.mxl"])
def test_piano_music_that_music21_carries(name):
    from music21 import corpus as library

    path = Path(library.getWork(name))
    assert differences(read_musicxml(path), by_music21(path)) == {}


@pytest.mark.parametrize("name", ["bach/bwv281.krn", "bach/bwv277.krn", "bach/bwv366.krn"])
def test_chorales_in_kern_that_music21_carries(name):
    from music21 import corpus as library

    path = Path(library.getWork(name))
    assert path.read_text().count("[") > 5, "a chorale with ties"
    assert differences(read_kern(path), by_music21(path)) == {}
    assert differences(read_score(path), by_music21(path)) == {}


def by_abc2midi(text) -> list:
    """Rows of an ABC tune through symusic, that is abc2midi: it starts at tick 1 and ends notes a tick early."""
    score = symusic.Score.from_abc(text)
    return [(Fraction((note.time - 1) * 24 // score.ticks_per_quarter, 24),
             Fraction(round((note.time - 1 + note.duration) * 24 / score.ticks_per_quarter), 24), note.pitch, 1)
            for track in score.tracks for note in track.notes]


def plain_tunes(book: str) -> list:
    """The tunes of a book that music21 carries without what abc2midi plays otherwise than written.

    Taken out are grace notes and staccato dots, which it plays, and chord symbols, which it accompanies; repeat signs
    are made plain bar lines. Left out are tunes with two voices, numbered endings, or broken rhythm, which it reads
    only between equal notes.
    """
    from music21 import corpus as library

    text = library.getWork(book).read_text(encoding="utf-8", errors="replace")
    found = []
    for tune in re.split(r"(?m)^(?=X:)", text)[1:]:
        head, body = re.split(r"(?m)(?<=\n)(?=K:)", tune, maxsplit=1)
        key, music = body.split("\n", 1)
        music = re.sub(r'\{[^}]*\}|"[^"]*"|[.~T\\]', "", re.sub(r"(?m)^[A-Za-z]:.*|%.*", "", music))
        music = re.sub(r"\n\s*\n", "\n", music.strip())
        if not re.search(r"[<>]|[|\[]\s*[1-9]", music) and "V:" not in tune:
            found.append(f"{head}{key}\n" + re.sub(r":+\|*:*|\|+:+", "|", music))
    return found


@pytest.mark.parametrize("book", ["miscFolk/americanfifeopus.abc", "airdsAirs/book1.abc"])
def test_real_tunes_agree_with_abc2midi(tmp_path, book):
    tunes = plain_tunes(book)[:FILES]
    for one in tunes:
        (tmp_path / "a.abc").write_text(one, encoding="utf-8")
        assert differences(read_abc(tmp_path / "a.abc"), by_abc2midi(one)) == {}, one
    assert len(tunes) >= FILES // 2


def real_files(collection: str, pattern: str, fits, count: int = FILES) -> list[Path]:
    """Some files of a real collection, the same everywhere; the test is skipped where there are none."""
    if not os.environ.get("OCTAVOICE_DATA"):
        pytest.skip("OCTAVOICE_DATA names no folder of corpora")
    paths = sorted((Path(os.environ["OCTAVOICE_DATA"]) / collection).rglob(pattern))
    if not paths:
        pytest.skip(f"OCTAVOICE_DATA holds no {collection}")
    random.Random(1).shuffle(paths)
    found = list(islice(filter(fits, paths), count))
    assert len(found) == count
    return found


@pytest.mark.parametrize("collection", ["nottingham", "piano-midi"])
def test_real_midi_files_agree_with_mido(collection):
    for path in real_files(collection, "*.mid", lambda path: path.stat().st_size < 20_000):
        assert differences(read_midi(path), by_mido(path.read_bytes())) == {}, path.name


def test_real_pop_songs_agree_with_mido(tmp_path):
    """Three of these hold a key for minutes, as they say, but strike it again before."""
    if not os.environ.get("OCTAVOICE_DATA"):
        pytest.skip("OCTAVOICE_DATA names no folder of corpora")
    packed = sorted((Path(os.environ["OCTAVOICE_DATA"]) / "pop909-score").rglob("*.zip"))
    if not packed:
        pytest.skip("OCTAVOICE_DATA holds no pop909-score")
    with zipfile.ZipFile(packed[0]) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".mid"))
        random.Random(1).shuffle(names)
        for name in [*names[:FILES], *(name for name in names if Path(name).stem in ("005", "290", "487"))]:
            (tmp_path / "a.mid").write_bytes(archive.read(name))
            assert differences(read_midi(tmp_path / "a.mid"), by_mido(archive.read(name))) == {}, name


def test_real_songs_agree_with_music21():
    for path in real_files("openscore-lieder", "*.mxl", lambda path: path.stat().st_size < 12_000):
        root = musicxml._tree(musicxml.unpacked(path.read_bytes()))
        parts = [part.get("id") for part in musicxml.keyboard_parts(root)[0]]
        assert differences(read_musicxml(path), by_music21(path, parts)) == {}, path.name


def plain_kern(path: Path) -> bool:
    """Whether music21 reads a kern file whole: no spine splits (it drops notes there), nothing but keyboard staves."""
    try:
        text = path.read_text("utf-8")
        lines = list(read_lines(text))
    except ValueError:
        return False
    kept = lines[0].tokens.count("**kern") == len(keyboard_staves(lines))
    return kept and "*^" not in text and len(text) < 20_000


@pytest.mark.parametrize(("collection", "count"), [("nifc-polish", FILES), ("nifc-chopin", FILES // 2)])
def test_real_kern_files_agree_with_music21(collection, count):
    for path in real_files(collection, "*.krn", plain_kern, count):
        try:
            piece = read_kern(path)
        except UserError:
            continue  # voices that contradict each other in time
        assert differences(piece, by_music21(path)) == {}, path.name
