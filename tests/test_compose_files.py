"""What compose writes, so that others read the same notes; what it cannot do is one sentence."""

import io
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import mido
import numpy as np
import pretty_midi
import pytest
import soundfile
from music21 import converter

from octavoice import cli, composing
from octavoice.composing import openings, output
from octavoice.figures import style
from octavoice.formats.midi import chord_notes, read_midi
from octavoice.formats.musicxml import read_musicxml
from octavoice.music.roll import KEYS, LOWEST_MIDI
from octavoice.training import weights


def scale(steps=64, every=4, first=0):
    return [(50 + 10 * (i % 3), 60 + (0, 2, 4, 5, 7, 9, 11)[i % 7], at, at + every)
            for i, at in enumerate(range(first, first + steps, every))]


SCORE = """<score-partwise version="4.0"><part-list><score-part id="P1"><part-name>Piano</part-name></score-part>
</part-list><part id="P1"><measure number="1"><attributes><divisions>1</divisions></attributes><note><pitch>
<step>C</step><octave>4</octave></pitch><duration>4</duration></note></measure></part></score-partwise>"""


# --- files ------------------------------------------------------------------------------------------------------------

def notes_of_mido(path):
    """``(step, pitch, velocity)`` of a MIDI file, read by mido at the tempo it states."""
    song, now, found = mido.MidiFile(path), 0, []
    for message in mido.merge_tracks(song.tracks):
        now += message.time
        if message.type == "note_on" and message.velocity:
            found.append((now * 4 / song.ticks_per_beat, message.note, message.velocity))
    return sorted(found)


@pytest.fixture
def long(tmp_path, write_song):
    """A hundred bars of 3/4, and one more begun."""
    return write_song(tmp_path / "long.mid", scale(1204), tempos=((0, 90),), signatures=((0, 3, 4),))


def test_the_midi_holds_the_prime_and_opens_the_same_in_mido_and_music21(run, tmp_path, write_song):
    path = write_song(tmp_path / "waltz.mid", scale(96, first=4), tempos=((0, 150),), signatures=((0, 3, 4),))
    status, said, files = run("compose", path, "-o", "out.mid", "--bars", 4)
    assert status == 0
    assert files == ["out.mid"]
    assert "waltz.mid is in 3/4 where the networks know 4/4" in said
    assert "Nobody's, untrained." in said
    assert f"the first new step is {96 % 64} of 64" in said
    roll = read_midi("out.mid").roll
    assert np.array_equal(roll[:100], read_midi(path).roll)
    assert len(roll) == 100 + 48
    notes = sorted((float(at), pitch, 60) for at, _, pitch in chord_notes(roll))
    assert notes_of_mido("out.mid") == notes
    score = converter.parse("out.mid", forceSource=True, storePickle=False)
    assert sorted((float(4 * chord.getOffsetInHierarchy(score)), note.pitch.midi, 60) for chord in score.recurse().notes
                  for note in getattr(chord, "notes", [chord])) == notes
    assert [sign.ratioString for sign in score.recurse().getElementsByClass("TimeSignature")][:1] == ["3/4"]
    tempi = [message.tempo for message in mido.MidiFile("out.mid") if message.type == "set_tempo"]
    assert tempi == [400_000]


def test_every_kind_of_file(run, song):
    status, said, files = run("compose", song, "-o", "o.mid", "--steps", 16, "--variations", 2, "--musicxml",
                              "o.musicxml", "--svg", "o.svg", "--png", "pages/o.png", "--audio", "o.mp3")
    assert status == 0
    assert files == ["o-1.mid", "o-1.mp3", "o-1.musicxml", "o-1.svg", "o-2.mid", "o-2.mp3", "o-2.musicxml", "o-2.svg",
                     "pages"]
    assert len(re.findall(r"^o-[12]\.mid, .*: 16 new steps from bar 5, \d+ of them struck, in \w", said, re.M)) == 2
    for name in ("o-1", "o-2"):
        roll = read_midi(f"{name}.mid").roll
        score = converter.parse(f"{name}.musicxml", forceSource=True, storePickle=False)
        (mark,) = score.recurse().getElementsByClass("TextExpression")
        assert (mark.content, mark.measureNumber) == ("continuation", 5)
        assert sum(chord_notes(roll)[i][0] < 64 for i in range(len(chord_notes(roll)))) == 16
        assert soundfile.info(f"{name}.mp3").duration == pytest.approx(80 / 8, abs=0.1)
    assert read_midi("o-1.mid").roll.tobytes() != read_midi("o-2.mid").roll.tobytes()


def test_of_a_long_prime_scores_and_sound_show_the_last_bars_and_the_midi_all(run, long):
    status, said, _ = run("compose", long, "-o", "o.mid", "--bars", 2, "--musicxml", "o.musicxml", "--audio", "o.wav",
                          "--svg", "o.svg")
    assert status == 0
    assert "score, pages and sound show the last 4 bars of the prime, from bar 97 on; the MIDI file holds all" in said
    assert "24 new steps from bar 101" in said
    assert len(read_midi("o.mid").roll) == 1204 + 24
    score = converter.parse("o.musicxml", forceSource=True, storePickle=False)
    bars = list(score.parts[0].getElementsByClass("Measure"))
    assert [bar.number for bar in bars] == [*range(97, 104)]
    assert bars[0].timeSignature.ratioString == "3/4"
    assert [mark.number for mark in score.recurse().getElementsByClass("MetronomeMark")] == [90]
    assert [text.measureNumber for text in score.recurse().getElementsByClass("TextExpression")] == [101]
    assert soundfile.info("o.wav").duration == pytest.approx((48 + 4 + 24) / 6, abs=0.01)


def test_whole_shows_all_of_it(run, long):
    status, said, _ = run("compose", long, "-o", "o.mid", "--bars", 1, "--audio", "o.wav", "--whole")
    assert status == 0
    assert "show" not in said
    assert soundfile.info("o.wav").duration == pytest.approx((1204 + 12) / 6, abs=0.01)


def test_what_is_cut_is_told_of_the_files_that_are_cut(composer, long):
    (piece,) = composing.continuations(composer, composing.read(long), 8, 1, 1)
    assert composing.tell_cut(piece, {"png": ..., "midi": ..., "sheet": ...}).startswith("pictures show the last 4")
    assert composing.tell_cut(piece, {"audio": ...}).startswith("sound shows the last 4")
    assert not composing.tell_cut(piece, {"midi": ..., "sheet": ...})
    assert not composing.tell_cut(piece, {"audio": ...}, whole=True)
    assert not composing.tell_cut(composing.excerpt(piece), {"audio": ...})


def test_sixteen_bars_are_the_default_whatever_the_metre(run, song, tmp_path, write_song, monkeypatch):
    """Asked for here; that as many are made as are asked for, the other tests see."""
    asked, continued = [], composing.continuations
    monkeypatch.setattr(composing, "continuations", lambda composer, prime, steps, *words, **named: asked.append(
        steps) or continued(composer, prime, 1, *words, **named))
    waltz = write_song(tmp_path / "waltz.mid", scale(24), signatures=((0, 3, 4),))
    for words in ((song,), (waltz,), (waltz, "--steps", 240)):
        assert run("compose", *words, "-o", "o.mid")[0] == 0
    assert asked == [256, 192, 240]


def test_notes_are_held_in_every_kind_of_file_and_as_the_thesis_says_on_request(run, tmp_path, write_song):
    """A bass of a bar beneath a melody in quarters: four notes a bar, or one that ends with the first quarter."""
    path = write_song(tmp_path / "song.mid", [*scale(), *((60, 40, at, at + 16) for at in range(0, 64, 16))])
    for word in ("held", "thesis"):
        words = ("--musicxml", f"{word}.musicxml", "--audio", f"{word}.wav", "--sheet", f"{word}.svg",
                 "--png", f"{word}.png")
        assert run("compose", path, "-o", f"{word}.mid", "--steps", 16, "--durations", word, *words)[0] == 0
    held, thesis = read_midi("held.mid"), read_midi("thesis.mid")
    assert np.array_equal(held.held[:60], read_midi(path).held[:60])
    assert (held.held[:64:16, 40 - LOWEST_MIDI] == 16).all()
    assert (thesis.held[:60:4].max(axis=-1) == 4).all()
    assert np.array_equal(held.roll[:80], thesis.roll[:80])
    assert (read_musicxml(Path("held.musicxml")).held[:64:16, 40 - LOWEST_MIDI] == 16).all()
    assert (read_musicxml(Path("thesis.musicxml")).held[:64:16, 40 - LOWEST_MIDI] == 4).all()
    for kind in ("wav", "svg", "png"):
        assert Path(f"held.{kind}").read_bytes() != Path(f"thesis.{kind}").read_bytes()
    assert soundfile.info("held.wav").duration == soundfile.info("thesis.wav").duration


# --- the sheet --------------------------------------------------------------------------------------------------------

def pixels_like(png, colour):
    """How many pixels of a picture are (nearly) of a colour."""
    picture = plt.imread(io.BytesIO(png))[..., :3]
    return int((np.abs(picture - np.array(colour)).max(axis=-1) < 0.02).sum())


@pytest.mark.parametrize("variations", [1, 3])
def test_a_sheet_shows_every_variation(run, long, variations):
    words = ("-o", "o.mid", "--bars", 1, "--variations", variations, "--sheet", "s.png")
    status, said, files = run("compose", long, *words)
    assert status == 0
    assert said.endswith("\ns.png: all at a glance\n")
    assert files == [*(["o.mid"] if variations == 1 else ["o-1.mid", "o-2.mid", "o-3.mid"]), "s.png"]
    data = Path("s.png").read_bytes()
    assert pixels_like(data, style.ORANGE) > 100
    assert pixels_like(data, style.BLUE) > 100


def test_a_sheets_rows_say_whose_they_are(composer, long, monkeypatch):
    drawn = []
    monkeypatch.setattr(style, "render", lambda figure: drawn.append(figure) or {"svg": b""})
    pieces = composing.continuations(composer, composing.read(long), 24, 14, 1)
    names = [f"o-{i}.mid" for i in range(1, 15)]
    assert len(composing.sheet(pieces, names, "svg")) == 2
    assert [len(figure.axes) for figure in drawn] == [12, 2]
    assert [figure.get_suptitle() for figure in drawn] == [f"long.mid, continued (page {n} of 2)" for n in (1, 2)]
    rows = [axes for figure in drawn for axes in figure.axes]
    for axes, piece, name in zip(rows, pieces, names, strict=True):
        assert axes.get_title(loc="left") == f"{name}: {piece.new.sum()} new notes, in {piece.key}"
        assert axes.get_xlim() == (97, 97 + (48 + 4 + 24) / 12)
        assert len(axes.collections[1].get_paths()) == piece.new.sum()


def test_a_sheet_of_silence_and_of_a_name_with_odd_letters(composer, recwarn):
    prime, silent = composing.named("C"), np.zeros((32, KEYS), np.uint8)
    piece = composing.Continuation(prime, silent, silent, None, None)
    first, again = (composing.sheet([piece], ["$x_1$ 我.mid"]) for _ in range(2))
    assert first == again
    assert not recwarn.list


@pytest.mark.parametrize(("sheet", "picture"), [
    ("o.png", "o.png"), ("o-2.png", "o.png"), ("o-page-2.png", "o.png"), ("o.svg", "o-page-2.svg")])
def test_a_sheet_never_takes_the_name_of_a_page(run, song, sheet, picture):
    kind = Path(picture).suffix[1:]
    status, said, files = run("compose", song, "-o", "o.mid", "--sheet", sheet, f"--{kind}", picture)
    assert status == 2
    assert "could be the name of a page" in said
    assert said.count("\n") == 1
    assert not files


# --- help -------------------------------------------------------------------------------------------------------------

def test_help_opens_with_examples_that_run(run, song, capsys):
    with pytest.raises(SystemExit):
        cli.main(["compose", "--help"])
    said = capsys.readouterr().out
    examples = re.findall(r"^  octavoice (compose .*)$", said, re.M)
    assert len(examples) == 3
    assert said.index(examples[-1]) < said.index("--help ")
    assert re.findall(r"^(\w.*):$", said, re.M)[1:] == ["what to continue", "how much", "how", "what to write"]
    assert f"({', '.join(openings.NAMES)})" in " ".join(said.split())
    Path("song.mid").write_bytes(song.read_bytes())
    Path("song.musicxml").write_text(SCORE)
    for words in examples:
        assert run(*shlex.split(words), "--bars", 1)[0] == 0


def test_sound_begins_where_the_midi_does(run, song, monkeypatch):
    """Of 8 onsets a second, energy rises at all those of the prime, and the file is as long as the music."""
    monkeypatch.setenv("OCTAVOICE_SOUNDFONT", "")
    assert run("compose", song, "-o", "o.mid", "--steps", 4, "--audio", "o.wav")[0] == 0
    samples, rate = soundfile.read("o.wav")
    assert len(samples) == 68 * rate // 8
    energy = np.array([(part**2).mean() for part in np.array_split(samples[:64 * rate // 8], 64)])
    assert energy.min() > 1e-6
    assert (np.flatnonzero(np.diff(energy) > 0) + 1).tolist() == list(range(4, 64, 4))


def test_pages_after_the_first_are_numbered(tmp_path):
    prime, new = composing.named("C"), np.zeros((50 * 16, KEYS), np.uint8)
    new[::4, 40] = new[2::8, 45] = 1
    piece = composing.Continuation(prime, np.concatenate([prime.roll, new]), new, len(prime.roll), None)
    ((first, *others),) = composing.write([piece], {"svg": tmp_path / "o.svg"})
    assert first.name == "o.svg"
    assert [path.name for path in others] == [f"o-page-{n}.svg" for n in range(2, 2 + len(others))]
    assert others
    assert ["continuation" in path.read_text() for path in (first, *others)] == [True, *[False] * len(others)]


def test_silence_is_a_prime_and_is_never_written(run):
    status, said, _ = run("compose", "-o", "s.mid", "--steps", 64)
    assert status == 0
    assert said.startswith("silence: 16 steps in 4/4 at 120 quarters a minute, silent\n")
    assert len(read_midi("s.mid").roll) <= 64


def test_silent_music_can_be_written_too(tmp_path):
    silent = np.zeros((32, KEYS), np.uint8)
    piece = composing.Continuation(composing.named("C"), silent, silent, None, None)
    composing.write([piece], {"midi": tmp_path / "s.mid", "svg": tmp_path / "s.svg", "audio": tmp_path / "s.wav"})
    assert not mido.MidiFile(tmp_path / "s.mid").tracks[-1][0].type.startswith("note")
    assert soundfile.info(tmp_path / "s.wav").duration == 4
    assert composing.describe(piece) == "32 new steps, 0 of them struck, silent"


def test_two_hours_and_two_notes(run, tmp_path, write_song):
    long = write_song(tmp_path / "long.mid", [(70, 60 + i % 12, 8 * i, 8 * i + 8) for i in range(7200)])
    status, said, _ = run("compose", long, "-o", "long.mid", "--steps", 16)
    assert status == 0
    assert "57600 steps" in said
    assert "the last 256 steps are read, with the 128 before them as history" in said
    assert len(read_midi("long.mid").roll) == 57_616
    two = write_song(tmp_path / "two.mid", [(33, 60, 0, 1), (35, 64, 1, 2)])
    assert run("compose", two, "-o", "two.mid", "--steps", 16)[0] == 0
    assert {velocity for *_, velocity in notes_of_mido("two.mid")} == {34}


def test_temperature_and_gibbs_steps_reach_the_networks(run, song):
    files = {}
    for name, words in {"plain": (), "hot": ("--temperature", 5), "wide": ("--decoder-temperature", 5),
                        "one": ("--gibbs-steps", 1), "long": ("--gibbs-steps", 8)}.items():
        assert run("compose", song, "-o", f"{name}.mid", "--drop-prime", "--steps", 64, *words)[0] == 0
        files[name] = notes_of_mido(f"{name}.mid")
    assert files["hot"] != files["plain"]
    assert files["wide"] != files["plain"]
    assert files["one"] == files["plain"] != files["long"]


def test_seeds_repeat(run):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        words = "--prime", "A minor", "-o", f"{name}.mid", "--seed", seed, "--bars", 3, "--search-transpositions"
        assert run("compose", *words)[0] == 0
    first, second, other = (Path(f"{name}.mid").read_bytes() for name in "abc")
    assert first == second != other


@pytest.mark.parametrize(("words", "tried"), [((), "123"), (("--search-transpositions", "--temperature", 1.5), "2")])
def test_a_liked_variation_is_had_alone_by_what_its_line_says(run, song, words, tried):
    status, said, _ = run("compose", song, "-o", "all.mid", "--steps", 48, "--variations", 3, "--seed", 5, *words)
    assert status == 0
    told = re.findall(r"^all-(\d)\.mid: .*; alone again with (--seed 5 --only \d)$", said, re.M)
    assert [number for number, _ in told] == ["1", "2", "3"]
    for number, again in (each for each in told if each[0] in tried):
        status, said, _ = run("compose", song, "-o", f"one{number}.mid", "--steps", 48, *again.split(), *words)
        assert status == 0
        assert "alone again" not in said
        assert Path(f"one{number}.mid").read_bytes() == Path(f"all-{number}.mid").read_bytes()
    assert len({Path(f"all-{number}.mid").read_bytes() for number in "123"}) == 3


def test_the_first_variation_is_what_a_seed_gives_by_itself(run, song):
    for name, words in (("plain", ()), ("first", ("--only", 1))):
        assert run("compose", song, "-o", f"{name}.mid", "--steps", 16, "--seed", 5, *words)[0] == 0
    assert Path("plain.mid").read_bytes() == Path("first.mid").read_bytes()


def test_a_third_reader_agrees_on_tempo_and_metre(composer):
    prime = composing.Prime("p", composing.named("C").roll, metre=(6, 8), tempo=93.0)
    (piece,) = composing.continuations(composer, prime, 8, 1, 1)
    song = pretty_midi.PrettyMIDI(io.BytesIO(output.midi(piece)))
    assert song.get_tempo_changes()[1] == pytest.approx([93], abs=0.01)
    assert [(s.numerator, s.denominator) for s in song.time_signature_changes] == [(6, 8)]


# --- what cannot be done ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("words", "sentence"), [
    (("none.mid",), r"none\.mid: cannot be read"), (("--prime", "H"), "neither a music file nor"),
    (("broken.mid",), r"broken\.mid: is not a MIDI file"), (("song.txt",), r"song\.txt: is no music file"),
    (("song.mid", "--prime", "C"), "two primes are given"), (("song.mid", "--steps", "0"), "steps '0' is not a whole"),
    (("song.mid", "--bars", "x"), "bars 'x' is not"), (("song.mid", "--bars", "9999"), "steps 159984 is not"),
    (("song.mid", "--variations", "-1"), "variations '-1'"), (("song.mid", "--only", "0"), "only '0' is not"),
    (("song.mid", "--seed", "1.5"), "seed '1.5'"),
    (("song.mid", "--temperature", "nan"), "temperature 'nan'"), (("song.mid", "--temperature", "0"), "ure '0' is not"),
    (("song.mid", "--decoder-temperature", "hot"), "decoder-temperature 'hot'"),
    (("song.mid", "--gibbs-steps", "0"), "gibbs-steps '0' is not a whole"),
    (("song.mid", "--durations", "nonsense"), "durations 'nonsense' are neither held nor thesis; give one"),
    (("song.mid", "--audio", "o.flac"), r"o\.flac: is no name for audio; end it in \.wav or \.mp3"),
    (("song.mid", "--png", "o.svg"), r"o\.svg: is no name for png"), (("deep.mid",), "holds no note on the 88 keys"),
    (("song.mid", "--sheet", "o.jpg"), r"o\.jpg: is no name for sheet; end it in \.png or \.svg"),
    (("song.mid", "--svg", "song.mid/o.svg"), "is no folder that can be written to")])
def test_bad_input_is_one_sentence_and_nothing_is_written(run, tmp_path, words, sentence, write_song):
    write_song(tmp_path / "song.mid", scale())
    write_song(tmp_path / "deep.mid", [(60, 3, 0, 4)])
    (tmp_path / "broken.mid").write_text("no music")
    (tmp_path / "song.txt").write_text("no music")
    words = [str(tmp_path / word) if re.match(r"\w+\.(mid|txt)", word) else word for word in words]
    status, said, files = run("compose", *words, "-o", "out.mid")
    assert status == 2
    assert re.search(sentence, said)
    assert said.startswith("octavoice: ")
    assert said.count("\n") == 1
    assert not files


@pytest.mark.parametrize("place", ["out.txt", "", "song.mid"])
def test_places_that_are_none(run, song, place, tmp_path):
    status, said, files = run("compose", song, "-o", song.parent / place)
    assert status == 2
    assert said.count("\n") == 1
    assert not files
    assert read_midi(song).roll.any()


def test_bad_weights_are_refused_before_anything_is_written(run, song, folder, tmp_path):
    def refused(place, sentence):
        status, said, files = run("compose", song, "-o", "out.mid", weights=str(place))
        assert status == 2
        assert re.search(sentence, said)
        assert said.count("\n") == 1
        assert not files

    for name in ("main", "decoder"):
        broken = tmp_path / f"broken-{name}"
        broken.mkdir()
        for file in folder.iterdir():
            (broken / file.name).write_bytes(file.read_bytes())
        (broken / f"{name}.safetensors").write_bytes((folder / f"{name}.safetensors").read_bytes()[:-1000])
        refused(broken, rf"{name}\.safetensors: is damaged")
        other = {"main": "decoder", "decoder": "main"}[name]
        (broken / f"{name}.safetensors").write_bytes((folder / f"{other}.safetensors").read_bytes())
        refused(broken, rf"{name}\.safetensors: does not fit the network")
    refused(tmp_path / "nowhere", "there is no such file")


def test_a_copy_without_weights_says_so(run, song, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "none")
    status, said, files = run("compose", song, "-o", "out.mid", weights="")
    assert status == 2
    assert "comes without weights" in said
    assert not files


def test_an_interrupted_rendering_leaves_no_file(run, song, monkeypatch):
    monkeypatch.setattr(output.score, "engrave", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    status, _, files = run("compose", song, "-o", "out.mid", "--svg", "out.svg", "--steps", 4)
    assert status == 130
    assert not files
