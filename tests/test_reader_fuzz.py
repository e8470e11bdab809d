"""Damaged and hostile files: every reader gives a piece or one sentence, in bounded time and memory.

``OCTAVOICE_FUZZ=100000`` tries that many inputs instead of 1200; with ``OCTAVOICE_DATA`` they
are then made from real files too. An input is decided by its format and number; the one that fails
stays in pytest's temporary folder.
"""

import io
import mmap
import os
import random
import re
import resource
import signal
import struct
import traceback
import zipfile
import zlib
from pathlib import Path

import mido
import numpy as np
import pytest

from octavoice.errors import UserError
from octavoice.formats.abc import read_abc
from octavoice.formats.midi import read_midi
from octavoice.formats.musicxml import read_musicxml
from octavoice.music.durations import clipped
from octavoice.music.notes import MAX_STEPS

READERS = {"midi": read_midi, "musicxml": read_musicxml, "mxl": read_musicxml, "abc": read_abc}
SUFFIXES = {"midi": ".mid", "musicxml": ".musicxml", "mxl": ".mxl", "abc": ".abc"}
SECONDS, WAIT, MEGABYTES = 5, 60, 1200
INPUTS = int(os.environ.get("OCTAVOICE_FUZZ", "1200"))
NUMBERS = ("0", "-1", "1", "3", "7", "65535", "32768", "99999", "999999999", "4294967296", "1" * 400, "1e99", "NaN",
           "0.5", "1/0", "\u0664", "")
FILLS = (b"\xff", b"\0", b"\x7f", b"<", b"(", b"[", b"V:", b"\n")
PITCH = "<pitch><step>D</step><alter>-1</alter><octave>4</octave></pitch>"
MUSIC = f"""<score-partwise><part-list><score-part id="P1"><part-name>Piano</part-name><score-instrument id="I">
<instrument-sound>keyboard.piano</instrument-sound></score-instrument><midi-instrument id="I">
<midi-program>1</midi-program></midi-instrument></score-part></part-list><part id="P1"><measure implicit="yes">
<attributes><divisions>12</divisions><time><beats>3</beats><beat-type>4</beat-type></time><staves>2</staves>
<transpose><chromatic>0</chromatic><octave-change>1</octave-change></transpose></attributes>
<note><grace/>{PITCH}<tie type="start"/></note>
<note>{PITCH}<duration>12</duration><tie type="start"/><staff>1</staff></note></measure><measure>
<note>{PITCH}<duration>24</duration><tie type="stop"/></note><note><chord/>{PITCH}<duration>24</duration></note>
<backup><duration>20</duration></backup><forward><duration>8</duration></forward>
<note><cue/>{PITCH}<duration>4</duration><staff>2</staff></note><note><rest/><duration>4</duration></note>
</measure></part></score-partwise>"""
TUNE = """X:1
T:Fuzz
M:6/8
L:1/8
K:Ador clef=treble
V:1
E|"Am"A>B-B (3cde {fg}a|[V:2] [C-E]2[CE]- [CE]3 !trill!z2 x|
V:1
|: ^g2-g/2a/ =g<-g [M:3/4][L:1/4] (5ABcde|1 _e4:|2 (3:2:2e2f [K:Eb] B,,''//] % comment
w: la la
"""
CONTAINER = '<container><rootfiles><rootfile full-path="s.xml" media-type="a/b"/></rootfiles></container>'


def midi_bytes(notes=40, ticks=480):
    file = mido.MidiFile(ticks_per_beat=ticks)
    for channel in (0, 9):
        track = mido.MidiTrack([mido.MetaMessage("time_signature", numerator=3, denominator=4),
                                mido.MetaMessage("set_tempo", tempo=500000), mido.MetaMessage("track_name", name="x")])
        for pitch in range(40, 40 + notes):
            track += [mido.Message("note_on", note=pitch, channel=channel, time=130),
                      mido.Message("note_off", note=pitch, channel=channel, time=350)]
        file.tracks.append(track)
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def pack(text, compression=zipfile.ZIP_DEFLATED, container=CONTAINER):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("s.xml", text)
    return out.getvalue()


def unpack(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return max((archive.read(name) for name in archive.namelist()), key=len)


def seeds():
    """Valid files by format: small ones, and some real ones in a long run where there are any."""
    found = {"midi": [midi_bytes(), midi_bytes(3, 96)], "musicxml": [MUSIC.encode()], "mxl": [pack(MUSIC)],
             "abc": [TUNE.encode(), TUNE.split("V:2")[0].encode()]}
    if "OCTAVOICE_FUZZ" in os.environ and os.environ.get("OCTAVOICE_DATA"):
        data = Path(os.environ["OCTAVOICE_DATA"])
        for kind, pattern in (("midi", "*/**/*.mid"), ("mxl", "*/**/*.mxl")):
            files = sorted(data.glob(pattern))
            found[kind] += [path.read_bytes() for path in files[::max(1, len(files) // 40)]]
        found["musicxml"] += [unpack(packed) for packed in found["mxl"][1::4]]
    return found


def mutate(data, draw):
    """One to four random changes of a file's bytes."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        at, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        end = min(end, at + draw.choice((1, 4, 40, 4000)))
        numbers = list(re.finditer(rb"\d+", data))
        kind = draw.randrange(8)
        if kind == 0:
            data = data[:at]
        elif kind == 1 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1:]
        elif kind == 2:
            data = data[:at] + data[end:]
        elif kind == 3:
            data = data[:end] + data[at:end] * draw.choice((1, 2, 50)) + data[end:]
        elif kind == 4:
            data = data[:at] + draw.randbytes(draw.choice((1, 2, 8))) + data[at:]
        elif kind == 5:
            data = data[:at] + draw.choice(FILLS) * (end - at) + data[end:]
        elif numbers:
            number = draw.choice(numbers)
            data = data[:number.start()] + draw.choice(NUMBERS).encode() + data[number.end():]
    return data


LENGTHS = {"musicxml": rb"<duration>\d*</duration>", "abc": rb"(?<=[A-Ga-gz])[\d/]+"}
ODD = ("0", "-4", "1", "7", "65535", "65536", "99999999", "999999999999", "/0", "0.5", "")


def mutate_lengths(kind, data, draw):
    """How long some notes last made nothing, less, very much or unsaid; and who ties whom."""
    if kind == "midi":
        return mutate_releases(data, draw)
    for _ in range(draw.choice((1, 1, 3))):
        found = draw.choice(list(re.finditer(LENGTHS[kind], data)) or [None])
        if found is None:
            return data
        odd = draw.choice(ODD).encode()
        kept = found[0].startswith(b"<") and draw.random() < 0.9
        data = data[:found.start()] + (b"<duration>%s</duration>" % odd if kept else odd) + data[found.end():]
    if kind == "musicxml" and draw.random() < 0.5:
        ties = [b'<tie type="start"/>', b'<tie type="stop"/>', b'<tie type="let-ring"/>', b"<tie/>", b""]
        data = re.sub(rb"<tie [^>]*>", lambda _: draw.choice(ties), data)
    return data


def mutate_releases(data, draw):
    """A MIDI file some of whose releases are missing, at once, much later, or of another key."""
    try:
        file = mido.MidiFile(file=io.BytesIO(data))
    except (OSError, EOFError, ValueError):
        return data
    for track in file.tracks:
        for at in [i for i, message in enumerate(track) if message.type == "note_off" and draw.random() < 0.2]:
            track[at] = draw.choice((track[at].copy(time=0), track[at].copy(time=draw.choice((1, 10**5, 2**27))),
                                     mido.Message("note_off", note=draw.randrange(128), time=track[at].time),
                                     mido.MetaMessage("marker", text="gone", time=track[at].time)))
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def make(kind, number, valid):
    """Input ``number`` of a format: its bytes and the reader's name, sometimes the wrong one."""
    draw = random.Random(f"{kind} {number}")
    data = draw.choice(valid[kind])
    if number % 4 == 0:
        inside = unpack(data) if kind == "mxl" else data
        data = mutate_lengths("musicxml" if kind == "mxl" else kind, inside, draw)
        return (pack(data) if kind == "mxl" else data), kind
    if kind == "mxl" and draw.random() < 0.6:
        data = pack(mutate(unpack(data), draw), draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    elif kind == "midi" and draw.random() < 0.2:
        data = data[:12] + struct.pack(">H", draw.choice((0, 1, 2, 7, 32767, 32768, 65535))) + data[14:]
    else:
        data = mutate(data, draw)
    return data, kind if draw.random() < 0.95 else draw.choice(list(READERS))


def attempt(read, path):
    """Read a file; True for a piece, False for a sentence. Anything else is an error."""
    try:
        piece = read(path)
    except UserError as error:
        sentence = str(error)
        assert sentence.endswith("."), sentence
        assert "\n" not in sentence, sentence
        assert path.name in sentence, sentence
        assert len(sentence) < 1000, sentence
        return False
    assert piece.roll.dtype == np.uint8
    assert piece.roll.shape[1] == 88
    assert 0 < piece.steps <= MAX_STEPS
    assert piece.roll.max() <= 1
    held = piece.held
    assert ((held > 0) == (piece.roll > 0)).all()
    assert np.array_equal(clipped(held), held), "a note outlasts the next of its key, or the piece"
    assert piece.note_ends in ("written", "played", "untold")
    assert (piece.durations is None) == (piece.note_ends == "untold")
    assert piece.mended >= 0
    assert piece.pickup >= 0
    assert piece.tracks > 0
    assert 0 <= piece.off_grid <= 1
    assert all(isinstance(n, int) and n >= 0 for pair in piece.time_signatures for n in pair)
    return True


def in_a_child(inputs, folder):
    """Read ``(name, bytes, reader)`` inputs one by one in a process of its own; returns how many were pieces.

    The process is killed by an input that takes too long, however deep in a library, and may not grow
    beyond its memory; the input it stopped at is left in ``folder``.
    """
    done = mmap.mmap(-1, 16)
    child = os.fork()
    if not child:
        status = 1
        try:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEGABYTES * 2**20,) * 2)
            for end in (signal.SIGALRM, signal.SIGPROF):
                signal.signal(end, signal.SIG_DFL)
            pieces = 0
            for number, (name, data, read) in enumerate(inputs):
                (folder / "now").write_text(name)
                (folder / name).write_bytes(data)
                signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of work, so that a busy machine changes nothing
                signal.alarm(WAIT)
                pieces += attempt(read, folder / name)
                signal.alarm(0)
                signal.setitimer(signal.ITIMER_PROF, 0)
                (folder / name).unlink()
                done[:] = struct.pack("qq", number + 1, pieces)
            status = 0
        except BaseException:
            (folder / "traceback").write_text(traceback.format_exc())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    tried, pieces = struct.unpack("qq", done[:])
    if status:
        why = (folder / "traceback").read_text() if (folder / "traceback").exists() else f"killed by a signal: {status}"
        pytest.fail(f"input {tried}, {folder / (folder / 'now').read_text()}: {why}", pytrace=False)
    return pieces


@pytest.fixture(scope="module", autouse=True)
def readers_are_loaded(tmp_path_factory):
    """Import what the readers import on their first call, before any child is forked."""
    path = tmp_path_factory.mktemp("first") / "a.abc"
    path.write_text(TUNE)
    read_abc(path)


needs_fork = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="bounds memory the Linux way")


@needs_fork
@pytest.mark.parametrize("kind", list(READERS))
def test_damaged_files(kind, tmp_path):
    valid = seeds()

    def inputs():
        for number in range(INPUTS // len(READERS)):
            data, reader = make(kind, number, valid)
            yield f"{kind}-{number}{SUFFIXES[kind]}", data, READERS[reader]
    pieces = in_a_child(inputs(), tmp_path)
    print(f"{kind}: {INPUTS // len(READERS)} inputs from {len(valid[kind])} files, {pieces} read, the rest refused")
    assert 0 < pieces < INPUTS // len(READERS)


def deltas(count, delta, *, ticks=480, header=b"\0\0\0\1", note=b"\x90\x3c\x40"):
    """A MIDI file of ``count`` note events, each after ``delta`` (bytes of a variable-length number)."""
    track = (delta + note) * count + b"\0\xff\x2f\0"
    return b"MThd\0\0\0\6" + header + struct.pack(">H", ticks) + b"MTrk" + struct.pack(">I", len(track)) + track


def xml(inside, doctype=""):
    return f"{doctype}<score-partwise><part id='P'><measure>{inside}</measure></part></score-partwise>".encode()


NOTE = "<note><pitch><step>C</step><octave>4</octave></pitch><duration>1</duration></note>"
MANY = '<!DOCTYPE a [<!ENTITY a0 "aaaaaaaaaa">' + "".join(
    f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9)) + "]>"


def lying_zip():
    """A deflated quarter of a gigabyte whose header admits to a hundred bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    data = bytearray(pack("x" * 100, zipfile.ZIP_STORED))
    local, central = data.index(b"PK\3\4", 4), data.rindex(b"PK\1\2")
    struct.pack_into("<H", data, local + 8, 8)
    struct.pack_into("<I", data, local + 18, len(body))
    struct.pack_into("<H", data, central + 10, 8)
    struct.pack_into("<I", data, central + 20, len(body))
    head = local + 30 + len("s.xml")
    out = data[:head] + body + data[head + 100:]
    struct.pack_into("<I", out, len(out) - 6, struct.unpack_from("<I", out, len(out) - 6)[0] + len(body) - 100)
    return bytes(out)


BOMBS = {
    "midi: a million notes at once": (read_midi, lambda: deltas(10**6, b"\0")),
    "midi: a million notes": (read_midi, lambda: deltas(10**6, b"\1")),
    "midi: the longest pauses": (read_midi, lambda: deltas(10**4, b"\xff\xff\xff\x7f", ticks=1)),
    "midi: a pause of five bytes": (read_midi, lambda: deltas(100, b"\xff\xff\xff\xff\x7f")),
    "midi: pauses without end": (read_midi, lambda: deltas(10, b"\xff" * 1000)),
    "midi: a track of four gigabytes": (read_midi, lambda: deltas(9, b"\1")[:18] + b"\xff\xff\xff\xff" + bytes(99)),
    "midi: 65535 tracks": (read_midi, lambda: deltas(9, b"\1", header=b"\0\1\xff\xff")),
    "midi: 65535 empty tracks": (read_midi, lambda: b"MThd\0\0\0\6\0\1\xff\xff\1\xe0" + b"MTrk\0\0\0\0" * 65535),
    "midi: an endless text": (read_midi, lambda: deltas(9, b"\0", note=b"\xff\x01\xff\xff\xff\x7f")),
    "midi: a metre of 2 to the power 255": (read_midi, lambda: deltas(9, b"\0", note=b"\xff\x58\4\4\xff\x18\x08")),
    "midi: no time in the header": (read_midi, lambda: deltas(9, b"\1", ticks=0)),
    "midi: notes that never end": (read_midi, lambda: deltas(9, b"\1", note=b"\x90\x3c\x40")[:-4]),
    "midi: notes held for ever": (read_midi, lambda: deltas(1, b"\0", note=b"\x90\x3c\x40\xff\xff\xff\x7f\x80\x3c\0")),
    "xml: entities": (read_musicxml, lambda: xml("&a9;", MANY)),
    "xml: entities in UTF-16": (read_musicxml, lambda: (
        '<?xml version="1.0" encoding="utf-16"?>' + xml("&a9;", MANY).decode()).encode("utf-16")),
    "xml: a file from outside": (read_musicxml, lambda: xml("&x;", '<!DOCTYPE a [<!ENTITY x SYSTEM "/etc/hosts">]>')),
    "xml: deep": (read_musicxml, lambda: xml("<a>" * 10**6)),
    "xml: wide": (read_musicxml, lambda: xml("<a/>" * 10**6)),
    "xml: attributes": (read_musicxml, lambda: xml("<a " + " ".join(f"a{i}=''" for i in range(10**6)) + "/>")),
    "xml: a million notes": (read_musicxml, lambda: xml(NOTE * 400_000)),
    "xml: as many notes as fit": (read_musicxml, lambda: xml(
        "<attributes><divisions>9</divisions></attributes>" + NOTE * 90_000)),
    "xml: as many tied notes as fit": (read_musicxml, lambda: xml(
        "<attributes><divisions>9</divisions></attributes>" + NOTE.replace("</note>", '<tie type="start"/></note>')
        + NOTE.replace("</note>", '<tie type="stop"/></note>') * 90_000)),
    "xml: very many measures": (read_musicxml, lambda: xml("</measure><measure>" * 300_000)),
    "xml: many divisions": (read_musicxml, lambda: xml("".join(
        f"<attributes><divisions>{i}</divisions></attributes>{NOTE}" for i in range(1, 40_000)))),
    "xml: text": (read_musicxml, lambda: xml("a" * 33 * 10**6)),
    "mxl: a zip bomb": (read_musicxml, lambda: pack(b"<a>" + bytes(10**8))),
    "mxl: a zip bomb that lies": (read_musicxml, lying_zip),
    "mxl: a bomb in the container": (read_musicxml, lambda: pack(MUSIC, container=" " * 10**8)),
    "mxl: entities in the container": (read_musicxml, lambda: pack(MUSIC, container=MANY + "<a>&a9;</a>")),
    "mxl: a path outside": (read_musicxml, lambda: pack(
        MUSIC, container=CONTAINER.replace("s.xml", "../../etc/hosts"))),
    "mxl: 150,000 files": (read_musicxml, lambda: (
        b"PK\1\2" + bytes(42)) * 150_000 + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 6_900_000, 0, 0)),
    "abc: as long as may be": (read_abc, lambda: b"X:1\nK:C\n" + b"[C-E]2[CE] | " * 6_000),
    "abc: accidentals": (read_abc, lambda: b"X:1\nK:C\n" + b"^" * 120_000),
    "abc: braces": (read_abc, lambda: b"X:1\nK:C\n" + b"{[K:" * 30_000),
    "abc: tuplets": (read_abc, lambda: b"X:1\nL:1/8\nK:C\n" + b"".join(b"(%dC" % i for i in range(2, 15_000))),
    "abc: slashes": (read_abc, lambda: b"X:1\nK:C\nC" + b"/" * 100_000 + b"D"),
    "abc: broken rhythm": (read_abc, lambda: b"X:1\nK:C\nC" + b">" * 100_000 + b"D"),
    "abc: digits": (read_abc, lambda: b"X:1\nK:C\nC" + b"9" * 100_000 + b"D"),
    "abc: octaves": (read_abc, lambda: b"X:1\nK:C\nc" + b"'" * 100_000 + b"D"),
    "abc: voices": (read_abc, lambda: b"X:1\nK:C\n" + b"".join(b"V:%d\nC\n" % i for i in range(13_000))),
    "abc: fields": (read_abc, lambda: b"X:1\nK:C\n" + b"M:4/4\nK:G\n" * 12_000 + b"C"),
    "abc: brackets": (read_abc, lambda: b"X:1\nK:C\n" + b"[" * 120_000),
    "abc: quotes": (read_abc, lambda: b'X:1\nK:C\n"' + b'!"' * 60_000),
    "abc: slurs": (read_abc, lambda: b"X:1\nK:C\n" + b"(" * 60_000 + b"C" + b")" * 60_000),
    "abc: a metre of 32768 beats": (read_abc, lambda: b"X:1\nM:32768/8\nK:C\nCDE|\n"),
    "abc: 900 metres of 99 beats": (read_abc, lambda: b"X:1\nK:C\n" + b"M:99/64\nC|\n" * 900),
    "abc: a metre by nothing": (read_abc, lambda: b"X:1\nM:4/0\nK:C\nCDE|\n"),
}


@needs_fork
@pytest.mark.parametrize("bomb", list(BOMBS))
def test_bombs(bomb, tmp_path):
    read, build = BOMBS[bomb]
    in_a_child([("bomb", build(), read)], tmp_path)
