"""The named corpora: what the catalogue says is complete, consistent and readable."""

import csv
import os
import re
from pathlib import Path

import pytest

from octavoice.corpus import catalogue
from octavoice.errors import UserError

NAMES = ["openscore-lieder", "nifc-polish", "nifc-chopin", "piano-midi", "nottingham", "pop909", "open-keyboard",
         "benchmarks/jsb", "benchmarks/nottingham", "benchmarks/musedata", "benchmarks/piano-midi"]


def test_the_names():
    assert catalogue.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_says_where_it_is_from_and_whose_it_is(name):
    found = catalogue.entry(name)
    assert found.title
    assert found.take
    for part in catalogue.parts(name):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", part.repository)
        assert re.fullmatch(r"[0-9a-f]{40}", part.commit)
        assert part.attribution.endswith(".")
        assert part.licence in found.licence


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_a_safe_path_with_a_hash(name):
    files = catalogue.files(name)
    assert files
    assert len({(file.corpus, file.path) for file in files}) == len(files)
    for file in files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.bytes > 0
        assert file.licence
        assert not set(Path(file.path).parts) & {"..", "/"}


def test_counts():
    counts = [len(catalogue.files(name)) for name in NAMES]
    assert counts == [1460, 1515, 512, 337, 1034, 1, 3824, 1, 1, 1, 1]


def test_open_keyboard_is_its_four_parts():
    parts = catalogue.entry("open-keyboard").parts
    assert parts == ("openscore-lieder", "nifc-polish", "nifc-chopin", "piano-midi")
    assert catalogue.files("open-keyboard") == [file for part in parts for file in catalogue.files(part)]


def test_an_unknown_name_gets_the_known_ones():
    for ask in (catalogue.entry, catalogue.files, catalogue.parts, catalogue.describe):
        with pytest.raises(UserError, match=r"unknown corpus 'piano'; known are openscore-lieder, .*piano-midi"):
            ask("piano")


def test_urls_are_pinned_and_quoted():
    file = next(file for file in catalogue.files("openscore-lieder") if "Orphan’s" in file.path)
    commit = catalogue.entry("openscore-lieder").commit
    assert catalogue.url(file) == (f"https://raw.githubusercontent.com/OpenScore/Lieder/{commit}/"
                                   "scores/Abrams%2C_Harriett/_/The_Orphan%E2%80%99s_Prayer/lc6583966.mxl")
    assert catalogue.url(file, "http://127.0.0.1:1").startswith("http://127.0.0.1:1/OpenScore/Lieder/")
    assert all(catalogue.url(file).isascii() and " " not in catalogue.url(file)
               for name in NAMES for file in catalogue.files(name))


def test_table_and_description_name_the_licence():
    rows = catalogue.table()
    assert [row["corpus"] for row in rows] == NAMES
    assert all(row["licence"] and row["MB"] > 0 for row in rows)
    text = catalogue.describe("open-keyboard")
    assert text.startswith("open-keyboard: ")
    for part in catalogue.parts("open-keyboard"):
        assert part.attribution in text
        assert part.commit in text


def test_the_notice_credits_every_source(checkout):
    text = catalogue.notice()
    for name in NAMES:
        for part in catalogue.parts(name):
            assert f"| {part.name} | {len(catalogue.files(part.name))} | {part.licence} |" in text
            assert part.attribution in text
    assert text in (checkout / "NOTICE.md").read_text(encoding="utf-8")


def test_the_manifest_is_the_development_data_s():
    """Every file of the development data's own manifest is in the catalogue, with the same facts."""
    folder = os.environ.get("OCTAVOICE_DATA")
    if not folder or not (Path(folder) / "manifest.csv").exists():
        pytest.skip("OCTAVOICE_DATA names no folder with a manifest.csv")
    with open(Path(folder) / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = {tuple(row.values()) for row in csv.DictReader(file)}
    ours = {(part.folder, file.path, part.repository, part.commit, file.licence, str(file.bytes), file.sha256)
            for name in NAMES for part in catalogue.parts(name) for file in catalogue.files(part.name)}
    assert ours == rows


def test_independent_counts_come_with_the_reason_why_ours_differ():
    for name in catalogue.names():
        found = catalogue.entry(name)
        assert bool(found.counted) == bool(found.differs) == (not name.startswith("benchmarks/"))
        assert set(found.counted) <= {"pieces", "steps"}
    assert f"{catalogue.entry('nottingham').counted['steps']:,} steps" in catalogue.describe("nottingham")


def test_ties_are_joined_as_marked_where_committed_runs_were_made_so_and_nowhere_else(monkeypatch, tmp_path):
    """A second ending into which a tie leads, cut out of the Chopin scores: its note is lost in one corpus alone."""
    from octavoice.corpus import fetch, sources

    score = "**kern\t**kern\n*Ipiano\t*Ipiano\n*M4/4\t*M4/4\n=1\t=1\n1C\t2c\n.\t2e]\n=2\t=2\n1C\t1g\n*-\t*-\n"
    (tmp_path / "a.krn").write_text(score)

    def found(name):
        file = catalogue.File("nifc-chopin", "kern/a.krn", "", 0, "CC-BY-4.0")
        monkeypatch.setattr(fetch, "fetch", lambda name: [fetch.Located(tmp_path / "a.krn", "kern/a.krn", "", file)])
        (source,) = sources.sources(name)
        return int(source.read(source.file).roll.sum())
    assert {name: found(name) for name in ("nifc-chopin", "open-keyboard")} == {"nifc-chopin": 5, "open-keyboard": 4}
