"""Fetching a corpus from a local server: whole, resumed, and every way it can fail."""

import errno
import hashlib
import io
import os
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from octavoice import provenance
from octavoice.corpus import catalogue, fetch
from octavoice.errors import UserError

FILES = {f"songs/Ünë, op. {i} ’a’.mid": bytes([i]) * (100 + i) for i in range(12)}
COMMIT = "0" * 40


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members:
            archive.writestr(member, data)
    return buffer.getvalue()


ARCHIVE = zipped([("tunes/", b""), ("tunes/1.mid", b"one" * 50), ("tunes/2.mid", b"two" * 50)])


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.content``; ``server.answers`` holds, by path, what to do instead of serving it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = unquote(self.path).split(COMMIT + "/")[-1]
        self.server.asked.append(path)
        queue = self.server.answers.get(path, [])
        answer = (queue.pop(0) if len(queue) > 1 else queue[0]) if queue else "serve"
        data = answer if isinstance(answer, bytes) else self.server.content.get(path)
        if answer == "sleep":
            time.sleep(1)
        if isinstance(answer, int) or data is None:
            return self.reply(404 if data is None else answer, b"no")
        self.reply(200, data, cut=answer == "cut")

    def reply(self, status, data, cut=False):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of two small corpora, ``songs`` and ``zip``, put in the catalogue's place."""
    content = {**FILES, "all.zip": ARCHIVE}
    source = {"repository": "some/where", "commit": COMMIT, "licence": "CC0-1.0", "attribution": "Nobody."}
    table = {"sources": {"songs": source, "zip-folder": source}, "corpora": {
        "songs": {"title": "songs", "source": "songs", "paths": ["songs/*"], "take": "all"},
        "zip": {"title": "zip", "source": "zip-folder", "paths": ["*.zip"], "take": "all"},
        "both": {"title": "both", "parts": ["songs", "zip"], "take": "all"}}}
    rows = [(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in content.items()]
    monkeypatch.setattr(catalogue, "_table", lambda: table)
    monkeypatch.setattr(catalogue, "_manifest", lambda: {"songs": rows[:-1], "zip-folder": rows[-1:]})
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.delenv("OCTAVOICE_DATA", raising=False)
    monkeypatch.setenv("OCTAVOICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    catalogue.entry.cache_clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.content, running.answers, running.asked = content, {}, []
        running.base = f"http://127.0.0.1:{running.server_port}"
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield running
        running.shutdown()
    catalogue.entry.cache_clear()


def get(server, name="songs"):
    return fetch.fetch(name, progress=False, base=server.base)


def on_disk(tmp_path, folder="songs"):
    """Names of the files that lie in the cache, with nothing left out: temporary files would show."""
    root = tmp_path / "cache" / folder
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def assert_only_whole_files(tmp_path):
    for path in on_disk(tmp_path):
        assert (tmp_path / "cache" / "songs" / path).read_bytes() == FILES[path]


def test_a_corpus_is_fetched_whole_and_only_by_name(server, tmp_path):
    found = get(server)
    assert [item.name for item in found] == list(FILES)
    assert all(item.path.read_bytes() == FILES[item.name] for item in found)
    assert all(item.sha256 == item.file.sha256 and item.file.licence == "CC0-1.0" for item in found)
    assert sorted(server.asked) == sorted(FILES)
    assert on_disk(tmp_path) == set(FILES)
    assert fetch.locate("songs") == found


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    names = list(FILES)
    get(server)
    server.asked.clear()
    get(server)
    assert server.asked == []
    (tmp_path / "cache" / "songs" / names[0]).unlink()
    (tmp_path / "cache" / "songs" / names[1]).write_bytes(b"half")
    (tmp_path / "cache" / "songs" / names[2]).write_bytes(b"x" * len(FILES[names[2]]))
    with pytest.raises(UserError, match=r"is missing \(3 of 12 files of corpus songs .* run 'octavoice corpus fetch"):
        fetch.locate("songs")
    get(server)
    assert sorted(server.asked) == sorted(names[:3])
    assert_only_whole_files(tmp_path)


def test_the_bar_counts_bytes(server, capsys):
    fetch.fetch("songs", base=server.base)
    assert "fetching songs: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "sentence"), [
    ([404], r"is not there \(HTTP 404\); update octavoice"), ([403], r"answered HTTP 403; fetch again later"),
    ([503], r"answered HTTP 503; fetch again later"), (["cut"], "failed or broke off; check the network"),
    ([b"other content"], "does not hold the pinned file"), ([b"x" * 10_000_000], "does not hold the pinned file"),
    ([b""], "does not hold the pinned file"), (["sleep"], "did not answer within 0.2 seconds; check the network")])
def test_a_failure_is_one_sentence_and_leaves_nothing_half_written(server, tmp_path, monkeypatch, answer, sentence):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    bad = list(FILES)[-1]
    server.answers[bad] = list(answer)
    with pytest.raises(UserError, match=sentence) as caught:
        get(server)
    assert bad in str(caught.value)
    assert str(caught.value).endswith(".")
    assert bad not in on_disk(tmp_path)
    assert_only_whole_files(tmp_path)
    kept = on_disk(tmp_path)
    server.answers.clear()
    server.asked.clear()
    get(server)
    assert sorted(server.asked) == sorted(set(FILES) - kept)


@pytest.mark.parametrize("broken", ["cut", 503, 429])
def test_a_broken_connection_is_tried_again(server, broken):
    bad = list(FILES)[3]
    server.answers[bad] = [broken, broken, "serve"]
    get(server)
    assert server.asked.count(bad) == 3


def test_a_missing_file_is_not_asked_for_again(server):
    bad = list(FILES)[3]
    server.answers[bad] = [404]
    with pytest.raises(UserError, match="HTTP 404"):
        get(server)
    assert server.asked.count(bad) == 1


def test_no_server_at_all(server):
    with pytest.raises(UserError, match=r"the connection to 127\.0\.0\.1:9 failed or broke off"):
        fetch.fetch("songs", progress=False, base="http://127.0.0.1:9")


def test_a_full_disk(server, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            if data[:1] == b"\x05":
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(fetch, "open", Full, raising=False)
    with pytest.raises(UserError, match=r"op\. 5 .*the disk is full; free some space and fetch again"):
        get(server)
    assert_only_whole_files(tmp_path)


def test_a_cache_that_cannot_be_made(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OCTAVOICE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\); make .* or set OCTAVOICE_CACHE"):
        get(server)
    assert server.asked == []


@pytest.mark.parametrize("locked", ["cache", "cache/songs/songs"])
def test_an_unwritable_cache(server, tmp_path, locked):
    (tmp_path / "cache" / "songs" / "songs").mkdir(parents=True)
    (tmp_path / locked).chmod(0o500)
    try:
        if os.access(tmp_path / locked, os.W_OK):
            pytest.skip("this user may write anywhere, so the folder cannot be locked")
        with pytest.raises(UserError, match=r"cannot be written .* set OCTAVOICE_CACHE"):
            get(server)
    finally:
        (tmp_path / locked).chmod(0o700)


def test_files_that_already_lie_somewhere(server, tmp_path, monkeypatch):
    for path, data in FILES.items():
        (tmp_path / "data" / "songs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "songs" / path).write_bytes(data)
    monkeypatch.setenv("OCTAVOICE_DATA", str(tmp_path / "data"))
    assert len(get(server)) == len(FILES)
    first = next(iter(FILES))
    (tmp_path / "data" / "songs" / first).write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"has 7 bytes instead of 100 .*the folder that OCTAVOICE_DATA names"):
        get(server)
    assert server.asked == []
    assert on_disk(tmp_path) == set()


def test_what_was_verified_is_not_read_again(server, monkeypatch):
    found = get(server)
    read = []
    monkeypatch.setattr(provenance, "sha256", lambda path: read.append(path) or "?")
    assert fetch.locate("songs") == found
    assert read == []
    os.utime(found[0].path, ns=(1, 1))
    with pytest.raises(UserError, match="has other content than the pinned file"):
        fetch.locate("songs")
    assert read == [found[0].path]


@pytest.mark.parametrize("text", ["", "[1]", "{not json"])
def test_a_damaged_memory_is_made_again(server, tmp_path, text):
    found = get(server)
    for note in (tmp_path / "cache" / "verified").iterdir():
        note.write_text(text)
    assert fetch.locate("songs") == found


def test_an_archive_is_unpacked_and_mended(server, tmp_path):
    found = get(server, "zip")
    assert [(item.name, item.path.read_bytes()) for item in found] == [
        ("all/tunes/1.mid", b"one" * 50), ("all/tunes/2.mid", b"two" * 50)]
    assert found[0].sha256 == hashlib.sha256(b"one" * 50).hexdigest()
    assert found[0].file.path == "all.zip"
    found[0].path.write_bytes(b"spoilt")
    found[1].path.unlink()
    assert fetch.locate("zip") == found
    assert found[0].path.read_bytes() == b"one" * 50
    assert [path.name for path in (tmp_path / "cache" / "unpacked").iterdir()] == [found[0].path.parents[2].name]
    assert server.asked == ["all.zip"]


def test_a_corpus_of_parts_is_all_its_parts(server):
    found = get(server, "both")
    assert {item.file.corpus for item in found} == {"songs", "zip"}
    assert len(found) == len(FILES) + 2
    with pytest.raises(UserError, match="unknown corpus 'neither'"):
        get(server, "neither")


def link():
    info = zipfile.ZipInfo("a.mid")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(("members", "why"), [
    ([("../out.mid", b"")], "would leave"), ([("a/../../out.mid", b"")], "would leave"),
    ([("/out.mid", b"")], "would leave"), ([("C:/out.mid", b"")], "would leave"),
    ([("..\\out.mid", b"")], "would leave"), ([("./", b""), (".", b"")], "would leave"),
    ([(link(), b"/etc")], "is a link"), ([("a.mid", b""), ("A.mid", b"")], "comes twice"),
    ([("a//b.mid", b""), ("a/b.mid", b"")], "comes twice")])
def test_no_member_leaves_the_folder(tmp_path, members, why):
    (tmp_path / "a.zip").write_bytes(zipped([("good.mid", b"good"), *members]))
    with pytest.raises(UserError, match=rf"a\.zip: its member .* {why}"):
        fetch.unpack(tmp_path / "a.zip", tmp_path / "deep" / "target")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_bombs_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped([(f"{i}.mid", bytes(1000)) for i in range(5)]))
    for members, size in ((4, 5000), (5, 4999)):
        monkeypatch.setattr(fetch, "MAX_MEMBERS", members)
        monkeypatch.setattr(fetch, "MAX_UNPACKED", size)
        with pytest.raises(UserError, match="unpacks to more than"):
            fetch.unpack(tmp_path / "a.zip", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_member_longer_than_announced_is_refused(tmp_path):
    data = zipped([("a.mid", bytes(10**6))])
    lie = data.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(lie)
    with pytest.raises(UserError, match="is a damaged archive"):
        fetch.unpack(tmp_path / "a.zip", tmp_path / "target")
    assert (tmp_path / "target" / "a.mid").stat().st_size <= 10


def test_damaged_archives_are_refused(tmp_path):
    for i in range(0, len(ARCHIVE), 7):
        (tmp_path / "a.zip").write_bytes(ARCHIVE[:i])
        with pytest.raises(UserError, match="is a damaged archive"):
            fetch.unpack(tmp_path / "a.zip", tmp_path / f"target{i}")
