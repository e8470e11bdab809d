"""MusicXML: note for note as music21 reads it, the declared rules, and files that mean harm."""

import io
import os
import struct
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from octavoice.composing import prime
from octavoice.errors import UserError
from octavoice.formats import musicxml
from octavoice.formats.musicxml import read_musicxml
from octavoice.music.durations import tied

CONTAINER = '<container><rootfiles><rootfile full-path="{}"/></rootfiles></container>'


def note(pitch="C4", duration=4, *more, chord=False):
    where = f"<pitch><step>{pitch[0]}</step><octave>{pitch[1:]}</octave></pitch>" if pitch else "<rest/>"
    return f"<note>{'<chord/>' * chord}{where}<duration>{duration}</duration>{''.join(more)}</note>"


def grace(pitch, *more):
    return note(pitch, 0, *more).replace("<note>", "<note><grace/>").replace("<duration>0</duration>", "")


def tie(kind):
    return f'<tie type="{kind}"/>'


def attributes(divisions=4, beats="4", unit=4, more=""):
    return (f"<attributes><divisions>{divisions}</divisions>"
            f"<time><beats>{beats}</beats><beat-type>{unit}</beat-type></time>{more}</attributes>")


def score(*parts, about="<instrument-sound>keyboard.piano</instrument-sound>"):
    """A score of parts, each a list of bars; ``about`` describes all parts, or is one text for each."""
    abouts = [about] * len(parts) if isinstance(about, str) else about
    listed = "".join(f'<score-part id="P{i}">{text}</score-part>' for i, text in enumerate(abouts))
    music = "".join(f'<part id="P{i}">' + "".join(f"<measure>{bar}</measure>" for bar in bars) + "</part>"
                    for i, bars in enumerate(parts))
    return f"<score-partwise><part-list>{listed}</part-list>{music}</score-partwise>"


def packed(text, name="score.xml", container=CONTAINER, **how):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how.get("compression", zipfile.ZIP_DEFLATED)) as archive:
        archive.writestr("META-INF/container.xml", container.format(name))
        archive.writestr(name, text)
    return out.getvalue()


@pytest.fixture
def read(tmp_path):
    """Reads a text or bytes as a file of the given name."""
    def reading(content, name="a.musicxml"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_musicxml(path)
    return reading


def refused(read, content, words, name="a.musicxml"):
    with pytest.raises(UserError, match=words) as caught:
        read(content, name)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def onsets(piece):
    return [(int(t), int(k) + 21) for t, k in np.argwhere(piece.roll)]


def test_chords_voices_and_tied_notes(read):
    piece = read(score([attributes() + note("C4", 8) + note("E4", 8, chord=True) + note("", 4) + note("G4", 4,
                        tie("start")) + "<backup><duration>16</duration></backup><forward><duration>2</duration>"
                        "</forward>" + note("C3", 14, "<staff>2</staff>"), note("G4", 16, tie("stop"))]))
    assert onsets(piece) == [(0, 60), (0, 64), (2, 48), (12, 67)]
    assert (piece.steps, piece.tracks, piece.time_signatures, piece.pickup) == (32, 2, ((4, 4),), 0)
    assert not piece.reduction


def test_grace_and_cue_notes_are_left_out_but_not_what_a_grace_note_is_tied_to(read):
    piece = read(score([attributes() + grace("D4") + note("C4", 4) + grace("E4", tie("start")) +
                        note("E4", 4, tie("stop")) + note("E4", 4, tie("stop")) + note("G4", 4, "<cue/>")]))
    assert onsets(piece) == [(0, 60), (4, 64)]


def test_a_tie_into_a_second_ending_is_struck(read):
    """The first ending ends on the same note; the tie comes from before it."""
    again = '<barline><repeat direction="backward"/></barline>'
    bars = [attributes() + note("C4", 16, tie("start")), note("C4", 12, tie("stop")) + note("C4", 4),
            note("C4", 16, tie("stop"))]
    assert onsets(read(score(bars))) == [(0, 60), (28, 60)]
    assert onsets(read(score([bars[0], bars[1] + again, bars[2]]))) == [(0, 60), (28, 60), (32, 60)]
    bars[1] = note("C4", 12, tie("stop")) + note("E4", 4)
    assert onsets(read(score(bars))) == [(0, 60), (28, 64), (32, 60)]
    bars[1] = note("C4", 16, tie("stop"), tie("start")) + again
    assert onsets(read(score(bars))) == [(0, 60)]


BACK = "<backup><duration>16</duration></backup>"


@pytest.mark.parametrize(("bars", "expected"), [
    ([note("C4", 16, tie("stop"))], {(0, 60): 16}),  # never begun
    ([note("", 8) + note("C4", 8, tie("stop"), tie("start")), note("C4", 16, tie("stop"))], {(8, 60): 24}),
    ([note("C4", 8, tie("start")) + note("E4", 8)], {(0, 60): 8, (8, 64): 8}),  # never ended
    ([note("C4", 8, tie("start")) + note("C4", 8)], {(0, 60): 8, (8, 60): 8}),
    ([note("C4", 8) + note("C4", 8, tie("stop"))], {(0, 60): 16}),  # only its end is written
    ([note("C4", 2, tie("start")) + note("E4", 2, tie("start")) + note("C4", 12, tie("stop")) +
      note("E4", 12, tie("stop"), chord=True)], {(0, 60): 16, (2, 64): 14}),  # late: a chord note by note
    ([note("C4", 2, tie("start")) + note("E4", 14), note("", 4) + note("C4", 12, tie("stop"))],
     {(0, 60): 2, (2, 64): 14, (20, 60): 12}),  # too late
    ([note("C4", 2, tie("start")) + note("C4", 2) + note("", 2) + note("C4", 10, tie("stop"))],
     {(0, 60): 2, (2, 60): 2, (6, 60): 10}),  # struck since
    ([note("", 8) + note("C4", 8, tie("stop")) + BACK + note("C4", 8, tie("start"), "<voice>2</voice>")],
     {(0, 60): 16}),  # from another voice
    ([note("C4", 16) + BACK + note("", 8) + note("C4", 8, tie("stop"))], {(0, 60): 16}),  # its key is held
    ([note("C4", 8, '<notations><tied type="start"/></notations>') +
      note("C4", 8, '<notations><tied type="stop"/></notations>')], {(0, 60): 16})])  # only drawn
def test_ties_that_lack_an_end(read, bars, expected):
    piece = read(score([attributes() + bars[0], *bars[1:]]))
    assert {(int(t), int(k) + 21): int(piece.held[t, k]) for t, k in np.argwhere(piece.roll)} == expected


def test_a_first_bar_that_is_too_short_is_a_pickup(read):
    bars = [attributes() + note("C4", 4), note("C4", 16)]
    assert read(score(bars)).pickup == 4
    assert onsets(read(score(bars))) == [(0, 60), (4, 60)]
    assert read(score([attributes(beats="1") + note("C4", 4), note("C4", 4)])).pickup == 0


def test_divisions_change_and_triplets_stay_exact(read):
    piece = read(score([attributes(3, "2") + note("C4", 1) + note("D4", 1) + note("E4", 1) + "<attributes><divisions>5"
                        "</divisions></attributes>" + note("F4", 5), note("G4", 10)]))
    assert onsets(piece) == [(0, 60), (1, 62), (3, 64), (4, 65), (8, 67)]
    assert piece.off_grid == pytest.approx(2 / 5)


def test_sounding_pitch_range_and_signatures(read):
    down = "<transpose><chromatic>-2</chromatic><octave-change>-1</octave-change></transpose>"
    piece = read(score([attributes(4, "3+2", 8, down) + note("C5") + note("C1"), attributes(4, "2", 4) + note("C5")]))
    assert onsets(piece) == [(0, 58), (8, 58)]
    assert (piece.outside, piece.time_signatures) == (1, ((5, 8), (2, 4)))


def test_title_and_key(read):
    keys = "<key><fifths>{}</fifths>{}</key>"
    about = "<work><work-title> Six  songs </work-title></work><movement-title>Evening.</movement-title>"
    bar = attributes(more=keys.format(-3, "<mode>minor</mode>")) + note("C4", 16)
    text = score([bar, attributes(more=keys.format(2, "")) + note("C4", 16)])
    piece = read(text.replace("<part-list>", about + "<part-list>"))
    assert (piece.title, piece.key) == ("Six songs: Evening", "C minor")
    assert read(score([attributes(more=keys.format(2, "<mode>none</mode>")) + note()])).key == "2 sharps"
    for bad in (keys.format(9, ""), keys.format("x", ""), "<key><key-step>C</key-step></key>"):
        piece = read(score([attributes(more=bad) + note()]))
        assert piece.title is piece.key is None


def test_a_tremolo_sign_adds_no_strikes(read):
    shaken = "<notations><ornaments><tremolo>3</tremolo></ornaments></notations>"
    assert onsets(read(score([attributes() + note("C4", 16, shaken)]))) == [(0, 60)]


def test_a_backup_past_the_bar_stops_at_its_start(read):
    piece = read(score([attributes() + note("C4", 16), note("C4", 4) + "<backup><duration>9</duration></backup>" +
                        note("E4", 4)]))
    assert onsets(piece) == [(0, 60), (16, 60), (16, 64)]


PROGRAM = "<midi-program>{}</midi-program>"
SOUND = "<instrument-sound>{}</instrument-sound>"


def named(name):
    return f"<part-name>{name}</part-name>"


@pytest.mark.parametrize(("about", "parts"), [
    ((SOUND.format("voice.vocals"), SOUND.format("keyboard.piano")), [1]),
    ((SOUND.format("keyboard.harpsichord"), SOUND.format("keyboard.piano")), [0, 1]),
    (("<part-name>Singstimme</part-name>", "<part-name>Klavier</part-name>"), [1]),
    (("<part-name>Voice</part-name><midi-program>1</midi-program>", "<part-name>Pianoforte</part-name>"), [1]),
    (("<midi-program>69</midi-program>", "<midi-program>1</midi-program>"), [1]),
    (("<part-name>Ossia</part-name>" + SOUND.format("keyboard.piano"), SOUND.format("keyboard.piano")), [1]),
    (("", ""), [0, 1]), ((named("Upper"), named("Lower")), [0, 1]),
    ((named("Piano"), ""), [0, 1]), (("", named("Piano")), [0, 1]), ((named("Piano RH"), named("LH")), [0, 1]),
    ((named("Piano") + SOUND.format("keyboard.piano"), named("Part 2")), [0, 1]),
    ((named("Organ"), named("Pedal")), [0, 1]), ((named("Organ"), named("Pedal"), named("Pedal 2")), [0, 1, 2]),
    ((named("Organ"), named("Pedal") + SOUND.format("keyboard.organ.pedal")), [0, 1]),
    (("", named("Piano"), ""), [1, 2]), ((named("Voice"), named("Piano"), named("l. h.")), [1, 2]),
    ((named("r.H."), named("Klavier l.H.")), [0, 1]),
    ((named("Right Hand") + PROGRAM.format(1), named("Left")), [0, 1]),
    ((named("Piano"), named("Cello")), [0]), ((named("Piano"), SOUND.format("strings.cello")), [0]),
    ((named("Piano"), PROGRAM.format(69)), [0]), (("", named("Piano"), named("Piano")), [1, 2])])
def test_which_part_is_the_keyboards(read, about, parts):
    piece = read(score(*([attributes() + note(pitch, 16)] for pitch in ("C4", "D4", "E4")[:len(about)]), about=about))
    assert onsets(piece) == [(0, 60 + 2 * part) for part in parts]
    assert (piece.tracks, piece.reduction) == (len(parts), False)


def test_a_piano_of_two_staves_has_no_third_hand(read):
    bar = attributes(more="<staves>2</staves>") + note("C4", 16)
    assert onsets(read(score([bar], [attributes() + note("D4", 16)], about=(named("Piano"), "")))) == [(0, 60)]


@pytest.mark.parametrize("about", [
    (SOUND.format("wind.flutes.flute"),), (SOUND.format("voice.vocals"), SOUND.format("strings.cello")),
    (PROGRAM.format(69), ""), (named("Soprano"), named("Alto"), named("Tenor")), (named("Ossia"), PROGRAM.format(74))])
def test_a_score_without_a_keyboard_is_read_whole_and_says_so(read, tmp_path, about):
    text = score(*([attributes() + note(pitch, 16)] for pitch in ("C4", "D4", "E4")[:len(about)]), about=about)
    piece = read(text)
    assert onsets(piece) == [(0, 60 + 2 * part) for part, said in enumerate(about) if "Ossia" not in said]
    assert piece.reduction
    assert "has no keyboard part, so all its parts" in prime.read(tmp_path / "a.musicxml").remark
    with pytest.raises(UserError, match="no keyboard part"):
        read_musicxml(tmp_path / "a.musicxml", reduce=False)


def test_packed_scores_and_other_encodings(read):
    text = score([attributes() + note("C4", 16)])
    wide = f'<?xml version="1.0" encoding="utf-16"?>{text}'.encode("utf-16")
    typed = f'<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD" "http://x.invalid/partwise.dtd">{text}'
    unescaped = packed(text, "Don't.xml", "<container><rootfiles><rootfile full-path='{}'/></rootfiles></container>")
    for content in (text, packed(text), packed(text, "deep/é.xml"), wide, typed, unescaped):
        assert onsets(read(content)) == [(0, 60)]


@pytest.mark.parametrize(("content", "words"), [
    (b"", "not whole XML"), (b"MThd\0\0\0\6", "not whole XML"), (score([attributes() + note()])[:-9], "not whole XML"),
    ("<score-timewise/>", "'score-timewise', not 'score-partwise'"), ("<html/>", "not 'score-partwise'"),
    ("<score-partwise/>", "no part"), (score([]), "no notes"), (score([attributes() + note("")]), "no notes"),
    (score([attributes(0) + note()]), "absurd"), (score([attributes("x") + note()]), "'x' stands where a whole"),
    (score([attributes(999999937) + note()]), "absurd"), (score([attributes() + note("C4", -4)]), "whole number"),
    (score([attributes() + note("C4", "1e99")]), "whole number"), (score([attributes() + note("H4")]), "letter"),
    (score([attributes() + note("C4", 999999999)]), "longer than 200000 steps"),
    (score([attributes(1) + note("C4", 40000)] * 6), "longer than 200000 steps"),
    (score([attributes() + note()]).replace("<octave>", "<alter>9999</alter><octave>"), "semitones"),
    (packed("<a/>").replace(b"META-INF/container", b"META-INF/contained"), "zip file"),
    (packed("<a/>", container=CONTAINER.replace("full-path", "path")), "zip file"),
    (packed("<a/>", container=CONTAINER.format("../../../../etc/passwd")), "zip file"),
    (packed("<a/>")[:-30], "zip file"), (packed(" " * 10**6), "far more than a score"),
    (packed("<a/>", compression=zipfile.ZIP_LZMA), "unusual way")])
def test_bad_files_get_one_sentence(read, content, words):
    refused(read, content, words)


@pytest.mark.parametrize("subset", [
    '[<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]', '[<!ENTITY x SYSTEM "file:///etc/hostname">]',
    '[<!ENTITY % p SYSTEM "http://x.invalid/p.dtd"> %p;]', 'SYSTEM "x.dtd" [<!ATTLIST note huge CDATA "aaaaaaaa">]'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_unexpanded(read, subset, encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE score-partwise {subset}>'
    text += score([attributes() + note()])
    for content in (text.encode(encoding), packed(text.encode(encoding))):
        refused(read, content, "entities of its own")


def test_a_zip_that_lies_about_its_size_is_refused(read):
    data = bytearray(packed(" " * 10**6))
    central = data.rindex(b"PK\1\2")
    for place in (central + 24, data.index(b"PK\3\4", 4) + 22):
        data[place:place + 4] = struct.pack("<I", 1000)
    refused(read, bytes(data), "zip file|far more|not whole XML")


def test_size_and_number_of_elements_are_bounded(read, monkeypatch, tmp_path):
    monkeypatch.setattr(musicxml, "MAX_ELEMENTS", 1000)
    refused(read, score([attributes() + note() * 1000]), "more than 1,000 elements")
    monkeypatch.setattr(musicxml, "MAX_BYTES", 1000)
    refused(read, score([attributes() + note() * 100]), "larger than 1,000 bytes")
    refused(read, packed(score([attributes() + note() * 100])), "far more than a score")
    with pytest.raises(UserError, match="check the path"):
        read_musicxml(tmp_path / "missing.xml")


def second_reader(path, parts=None):
    """``(onset, midi_pitch)`` of every struck note, with repetition, as music21 reads them, and the last end."""
    from music21 import converter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = converter.parse(path, forceSource=True, storePickle=False)
    found, end = [], Fraction(0)
    for part in stream.parts:
        if parts is not None and part.id not in parts and not any(part.id.startswith(f"{name}-") for name in parts):
            continue
        graces = set()
        for element in part.flatten().notes:
            onset = Fraction(element.offset)
            for single in getattr(element, "notes", [element]):
                tied, pitch = single.tie.type if single.tie else "", int(single.pitch.ps)
                if element.duration.isGrace:
                    graces |= {(onset, pitch)} if tied == "start" else set()
                elif tied in ("", "start") or (onset, pitch) in graces:
                    found.append((onset, pitch))
            end = max(end, onset + Fraction(element.quarterLength))
    return sorted(found), end


def exact(path):
    """The same of our reader, before the grid."""
    data = Path(path).read_bytes()
    root = musicxml._tree(musicxml.unpacked(data) if data[:2] == b"PK" else data)
    elements, _ = musicxml.keyboard_parts(root)
    parts, *_ = musicxml._walk(elements)
    ticks = parts[0].ticks
    rows = tied([row for part in parts for row in part.rows], ticks, parts[0].repeats)
    found = [(Fraction(onset, ticks), pitch) for onset, _, pitch, struck in rows if struck]
    return sorted(found), [element.get("id") for element in elements]


def on_the_grid(notes, steps):
    roll = np.zeros((steps, 88), np.uint8)
    for onset, pitch in notes:
        if 21 <= pitch <= 108:
            roll[int(4 * onset + Fraction(1, 2)), pitch - 21] = 1
    return roll


LENGTHS = [Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(3, 2), Fraction(3), Fraction(1, 3), Fraction(2, 5)]
VOICE = st.lists(st.tuples(st.sampled_from(LENGTHS), st.lists(st.integers(30, 100), max_size=3, unique=True),
                           st.booleans()), min_size=1, max_size=10)


def written(voices, beats, path):
    """Random voices, two of them on the first staff, written as MusicXML by music21 (which cannot write them all)."""
    from music21 import chord, meter, note, stream
    from music21.musicxml.xmlObjects import MusicXMLExportException

    music = stream.Score()
    for number in range(2):
        part = stream.Part()
        part.insert(0, meter.TimeSignature(f"{beats}/4"))
        for voice in voices[number::2]:
            line = stream.Voice()
            for length, pitches, graced in voice:
                if graced and pitches:
                    line.append(note.Note(pitches[0] + 1, quarterLength=0.5).getGrace())
                line.append(chord.Chord(pitches, quarterLength=length) if pitches else note.Rest(quarterLength=length))
            part.insert(0, line)
        music.insert(0, part.makeNotation())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Path(music.write("musicxml", path))
        except MusicXMLExportException:
            reject()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(voices=st.lists(VOICE, min_size=3, max_size=3), beats=st.integers(2, 5))
def test_random_scores_read_as_music21_reads_them(tmp_path, voices, beats):
    path = written(voices, beats, tmp_path / "random.musicxml")
    notes, end = second_reader(path)
    if not notes:
        return
    piece = read_musicxml(path)
    assert exact(path)[0] == notes
    assert np.array_equal(piece.roll, on_the_grid(notes, piece.steps))
    assert piece.steps == max(int(4 * notes[-1][0] + Fraction(1, 2)) + 1, int(4 * end + Fraction(1, 2)))
    assert piece.time_signatures == ((beats, 4),)


@pytest.mark.skipif(not os.environ.get("OCTAVOICE_DATA"), reason="OCTAVOICE_DATA names no folder of corpora")
def test_real_songs_agree_note_for_note_with_music21():
    files = sorted((Path(os.environ["OCTAVOICE_DATA"]) / "openscore-lieder").rglob("*.mxl"))
    if not files:
        pytest.skip("OCTAVOICE_DATA holds no openscore-lieder")
    for path in files[30::len(files) // 8]:
        ours, parts = exact(path)
        assert ours == second_reader(path, parts)[0], path
        assert np.array_equal(read_musicxml(path).roll, on_the_grid(ours, read_musicxml(path).steps))
