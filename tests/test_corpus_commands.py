"""`octavoice corpus` on a folder of one's own: what was left out and why, every kind of MIDI file, any file name."""

import io
import os
import subprocess
import sys

import mido
import numpy as np
import pytest

from octavoice import cli, corpus, paths
from octavoice.composing import prime
from octavoice.corpus.sources import READERS
from octavoice.errors import UserError
from octavoice.formats.midi import read_midi, write_midi

FRENCH = os.fsdecode(b"Pr\xe9lude.mid")


def tune(seed=0):
    """A roll ``(time, key)`` of 64 steps, one note a step."""
    keys = np.random.default_rng(seed).integers(30, 60, 64)
    return (np.arange(88) == keys[:, None]).astype(np.uint8)


@pytest.fixture
def mixed(tmp_path):
    """Two pieces, one of them twice, a waltz, an orchestra, and a file that is damaged."""
    place = tmp_path / "music"
    for seed in range(2):
        write_midi(tune(seed), place / f"{seed}.mid")
    write_midi(tune(1), place / "copy of 1.mid")
    (place / "broken.mid").write_bytes(b"MThd but no more")
    notes = [mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=240)]
    waltz, orchestra = mido.MidiFile(), mido.MidiFile()
    waltz.tracks.append(mido.MidiTrack([mido.MetaMessage("time_signature", numerator=3, denominator=4), *notes]))
    orchestra.tracks.extend(mido.MidiTrack(notes) for _ in range(3))
    waltz.save(place / "waltz.mid")
    orchestra.save(place / "orchestra.mid")
    return place


def test_build_tells_which_files_were_left_out_and_why(mixed, capsys):
    assert cli.main(["corpus", "build", f"folder:{mixed}"]) == 0
    first, *listed = capsys.readouterr().err.splitlines()
    assert first == (f"folder:{mixed}: 2 of 6 files kept; left out: 1 unreadable, 1 time signature, 1 tracks, "
                     "1 duplicate")
    assert listed == [
        "  broken.mid: unreadable, is a damaged MIDI file; export it again",
        "  copy of 1.mid: duplicate, 100% of its windows are in 1.mid",
        "  orchestra.mid: tracks, 3 tracks hold notes", "  waltz.mid: time signature, has 3/4"]


def test_a_long_list_is_cut_and_the_whole_one_lies_where_it_says(mixed, capsys):
    for number in range(30):
        (mixed / f"damaged {number:02}.mid").write_bytes(b"MThd")
    assert cli.main(["corpus", "build", f"folder:{mixed}", "--files", "0"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 14
    whole = paths.corpus_report(f"folder:{mixed}", 0)
    assert said[-1] == f"  and 22 more; all of them: {whole}"
    rows = whole.read_text().splitlines()
    assert rows[0] == "name,reason,detail,steps,off_grid"
    assert len(rows) == 37


def test_a_corpus_of_which_nothing_is_left_says_why_of_its_first_file(mixed):
    for path in mixed.glob("*"):
        if path.name != "waltz.mid":
            path.unlink()
    with pytest.raises(UserError, match=r"1 stopped by time signature; waltz.mid: has 3/4\); add"):
        corpus.load(f"folder:{mixed}")


def test_show_tells_of_a_folder_too(mixed, capsys):
    assert cli.main(["corpus", "show", f"folder:{mixed}"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"folder:{mixed}: 2 of 6 files kept; left out: 1 unreadable")
    assert said[-2:] == ["steps kept: 128", "pieces by side: train 1, valid 1, test 0"]
    assert cli.main(["corpus", "show", "bach@strict"]) == 0
    assert cli.main(["corpus", "show", f"folder:{mixed}/no such"]) == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_run_of_too_few_pieces_says_so_where_its_corpus_is_read(mixed, pieces, capsys):
    """Two are judged on the piece that validates; of one nothing is trained, but it can be looked at."""
    for path in mixed.glob("*"):
        if path.name not in [f"{number}.mid" for number in range(pieces)]:
            path.unlink()
    marker = mixed.parent / "marker.json"
    assert cli.main(["corpus", "build", f"folder:{mixed}"]) == 0
    assert capsys.readouterr().err.count("\n") == 1
    status = cli.main(["corpus", "build", f"folder:{mixed}", "--manifest", str(marker)])
    said = capsys.readouterr().err.splitlines()[-1]
    assert (status, marker.exists()) == ((2, False) if pieces == 1 else (0, True))
    assert ("fewer than two different pieces" if pieces == 1 else "none is left to test") in said


# --- kinds of MIDI files ----------------------------------------------------------------------------------------------

def riff(data: bytes, before: bytes = b"") -> bytes:
    """MIDI in a RIFF wrapper, after other chunks."""
    body = b"RMID" + before + b"data" + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def test_karaoke_and_riff_are_seen_wherever_midi_is(tmp_path):
    plain = write_midi(tune(), tmp_path / "plain.mid").read_bytes()
    (tmp_path / "a.kar").write_bytes(plain)
    (tmp_path / "b.rmi").write_bytes(riff(plain))
    (tmp_path / "C.RMI").write_bytes(riff(plain, b"DISP\x03\0\0\0abc\0"))
    (tmp_path / "d.mid").write_bytes(riff(plain))
    wanted = read_midi(tmp_path / "plain.mid").roll
    for path in tmp_path.iterdir():
        assert READERS[path.suffix.lower()] is read_midi
        assert np.array_equal(read_midi(path).roll, wanted)
        assert np.array_equal(prime.resolve(str(path)).roll, wanted)
    assert len(corpus.load(f"folder:{tmp_path}").report) == 5


@pytest.mark.parametrize("data", [b"RIFF\x04\0\0\0RMID", b"RIFF\x04\0\0\0RMIDdata\xff\xff\0\0MThd", b"RIFF\0\0\0\0WAVE",
                                  b"RIFF\x10\0\0\0RMIDLIST\xff\xff\xff\xffab"])
def test_a_wrapper_without_a_whole_midi_file_is_one_sentence(tmp_path, data):
    (tmp_path / "a.rmi").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.rmi: is (not a|a damaged) MIDI file"):
        read_midi(tmp_path / "a.rmi")


def test_a_prime_without_note_offs_is_continued(tmp_path):
    file = mido.MidiFile(ticks_per_beat=4)
    file.tracks.append(mido.MidiTrack([mido.Message("note_on", note=note, time=2) for note in (60, 64, 67)]))
    file.save(tmp_path / "a.mid")
    found = prime.resolve(str(tmp_path / "a.mid"))
    assert found.roll.sum() == 3


# --- file names -------------------------------------------------------------------------------------------------------

@pytest.fixture
def french(tmp_path):
    """A folder with a file whose name is no UTF-8, where a file system allows that."""
    try:
        write_midi(tune(), tmp_path / FRENCH)
    except OSError:
        pytest.skip("this file system takes no such name")
    return tmp_path


def test_names_that_are_no_utf8_are_told_apart_and_can_be_written(french):
    write_midi(tune(5), french / os.fsdecode(b"Pr\xe8lude.mid"))
    loaded = corpus.load(f"folder:{french}")
    assert [verdict.name for verdict in loaded.report] == [r"Pr\xe8lude.mid", r"Pr\xe9lude.mid"]
    assert prime.resolve(str(french / FRENCH)).name == "Pr\ufffdlude.mid"
    (french / FRENCH).write_bytes(b"MThd")
    with pytest.raises(UserError) as raised:
        read_midi(french / FRENCH)
    assert "Pr\ufffdlude.mid: is a damaged" in str(raised.value).encode("utf-8").decode()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_any_name_is_shown_and_all_its_files_written(french, folder, monkeypatch, encoding):
    """Whatever a standard output takes that refuses what it cannot encode."""
    monkeypatch.chdir(french)
    out = {kind: os.fsdecode(b"S\xe9" + suffix) for kind, suffix in (
        ("-o", b".mid"), ("--musicxml", b".musicxml"), ("--svg", b".svg"), ("--png", b".png"),
        ("--sheet", b"-all.svg"))}
    words = [word for kind, name in out.items() for word in (kind, name)]
    commands = [["compose", FRENCH, *words, "--bars", "1", "--weights", str(folder), "--model", "thesis"],
                ["corpus", "build", "folder:."], ["corpus", "show", "folder:."],
                ["corpus", "show", "folder:.", "--pieces"]]
    for command in commands:
        strict = [io.TextIOWrapper(io.BytesIO(), encoding, "strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", strict[0])
        monkeypatch.setattr(sys, "stderr", strict[1])
        assert cli.main(command) == 0
        strict[1].flush()
        said = strict[0].buffer.getvalue() + strict[1].buffer.getvalue()
        assert (b"files kept" if command[1:] in (["build", "folder:."], ["show", "folder:."]) else b"Pr") in said
    assert all((french / name).exists() for name in out.values())


def test_a_locale_that_knows_no_names_at_all(french):
    done = subprocess.run([sys.executable, "-m", "octavoice", "corpus", "show", "folder:.", "--pieces"], cwd=french,
                          capture_output=True, env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Pr\\xe9lude.mid" in done.stdout
    (french / FRENCH).write_bytes(b"MThd")
    done = subprocess.run([sys.executable, "-m", "octavoice", "corpus", "show", "folder:."], cwd=french,
                          capture_output=True, env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert done.returncode == 2
    assert done.stderr.startswith(b"octavoice: corpus folder:.: none of its 1 files survives")
