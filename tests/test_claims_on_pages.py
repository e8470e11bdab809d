"""Claims on pages: anchors, sentences and verdicts, and where texts send their reader."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from octavoice.laboratory import notebook, pages
from octavoice.results import verdicts
from octavoice.results.claims import of_run, table
from octavoice.results.claims.record import NOT, PARTLY, REPRODUCED, UNTESTABLE, told
from octavoice.results.claims.stored import Stored, Value
from octavoice.statistics import texture

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PAGES = sorted(FOLDER.glob("*.ipynb"))
STARTING = [page for page in PAGES if pages.shows(page)]
"""The notebooks of a run."""
GOOD = {"preset": "smoke", "corpus": "bach", "seed": 1, "device": "cpu", "overrides": {}}
CLAIMS = re.compile(r"\bC(\d{1,2})(?:[–-]C?(\d{1,2}))?\b")


def claims_in(text):
    return {f"C{number}" for first, last in CLAIMS.findall(re.sub(r"MIDI \d+ \(C\d\)", "", text))
            for number in range(int(first), int(last or first) + 1)}


def html_of(page):
    """All that a page puts out as HTML."""
    outputs = (output for cell in pages.read(page)["cells"] for output in cell.get("outputs", []))
    return "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)


def anchors_of(page):
    """The claims that a page has an anchor for."""
    html = html_of(page)
    return re.findall(r'id="claim-c(\d+)"', html)


def stored_claims(checkout):
    return json.loads((checkout / "results/thesis/claims.json").read_text(encoding="utf-8"))["claims"]


def test_the_verdicts_page_has_every_claim_once(checkout):
    assert anchors_of(FOLDER / "10_verdicts.ipynb") == [each["id"][1:] for each in stored_claims(checkout)]


@pytest.mark.parametrize("page", STARTING[:-1], ids=lambda page: page.stem)
def test_claims_that_a_page_opens_with_have_a_sentence_on_it(page):
    opening = "".join(pages.read(page)["cells"][0]["source"])
    assert claims_in(opening) <= {f"C{number}" for number in anchors_of(page)}


def test_pages_that_deal_with_claims_are_most_of_the_thesis():
    assert {page.stem[:2] for page in STARTING if anchors_of(page)} == {"02", "03", "04", "06", "07", "10"}


def test_where_a_text_sends_the_reader_of_a_claim_the_claim_is():
    """A sentence that names claims and another notebook leads to a page that has anchors for them."""
    sent = 0
    for page in PAGES:
        for cell in (cell for cell in pages.read(page)["cells"] if cell["cell_type"] == "markdown"):
            for sentence in re.split(r"(?<=[.:;|])\s", "".join(cell["source"])):
                for name in re.findall(r"`(\d\d)(?:_\w+)?`", sentence) if claims_in(sentence) else ():
                    (there,) = FOLDER.glob(f"{name}_*.ipynb")
                    assert claims_in(sentence) <= {f"C{number}" for number in anchors_of(there)}, sentence
                    sent += 1
    assert sent > 2


def test_sentences_tell_the_committed_verdicts(checkout):
    committed = {each["id"]: each["verdict"] for each in stored_claims(checkout)}
    for page in STARTING:
        said = re.findall(r"<b>(C\d+)</b> “.*?All committed runs: <b>([\w ]+)</b>", html_of(page))
        assert all(committed[claim] == verdict for claim, verdict in said), page.stem
        assert len(said) == len(set(anchors_of(page))) or page.stem == "10_verdicts"


STORED = [{"id": "C8", "claim": "The truth <trains> best.", "verdict": PARTLY, "section": "§6.4", "test": "a test",
           "rule": "a rule", "runs": [], "change": "more",
           "limits": {"gap": {"value": 0.1, "why": "a tenth & no more"}}, "parts": [
               {"what": "a & b", "found": "1", "holds": True}, {"what": "b", "found": "2", "holds": False},
               {"what": "c", "found": "–", "holds": None}, {"what": "d", "found": "3", "holds": None}]}]


@pytest.mark.parametrize(("parts", "said"), [
    ({"a": True}, "holds"), ({"a": True, "b": False}, "holds in part"), ({"a": False}, "does not hold"),
    ({"a": None}, "cannot be judged"), ({"a": True, "b": None}, "holds in part")])
def test_a_sentence_says_what_follows_from_its_parts(parts, said):
    html = verdicts.sentence("C8", parts, "smoke on bach, seed 1", STORED)
    assert f"so C8 <b>{said}</b>" in html
    assert html.startswith('<p id="claim-c8">')
    assert 'href="10_verdicts.ipynb#claim-c8"' in html
    assert "The truth &lt;trains&gt; best." in html
    assert f"<b>{PARTLY}</b>, 1 of 2 hold; 1 without a run; 1 told" in html


def test_a_sentence_needs_no_committed_verdict():
    html = verdicts.sentence("C8", {"a": True}, "smoke on bach, seed 1", [])
    assert html == '<p id="claim-c8"><b>C8</b> This run (smoke on bach, seed 1): a ✓; so C8 <b>holds</b>.</p>'


def test_a_card_has_every_part_and_how_it_was_tested():
    html = verdicts.cards(STORED)
    assert '<section id="claim-c8"><h3>C8 · partly reproduced</h3>' in html
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", html)
    assert rows == [("a &amp; b", "1", "✓"), ("b", "2", "✗"), ("c", "–", "no run"), ("d", "3", "told")]
    assert all(text in html for text in ("a test", "a rule", "none needed", "more", "gap 0.1 (a tenth &amp; no more)"))


def test_a_run_displays_its_sentences(monkeypatch):
    said = []
    monkeypatch.setattr("octavoice.laboratory.notebook_run.display", said.append)
    notebook.start("99_judged", GOOD).judge({"C8": {"a": True}, "C9": {"b": False}})
    assert [re.search(r"so (C\d) <b>(.*?)</b>", html.data).groups() for html in said[-2:]] == [
        ("C8", "holds"), ("C9", "does not hold")]
    assert "smoke on bach, seed 1" in said[-1].data


def test_what_is_told_judges_nothing():
    number = Value(1.0, 0.5, 1.5, "seeds")
    assert (told("a", number).found, told("a", number).holds) == ("1 (0.5 to 1.5, seeds)", None)
    assert told("a", None).found == "–"


def test_c10_is_told_for_every_corpus_and_not_judged():
    """Its level belongs to the thesis's collection; notebook 06 says the same."""
    (c10,) = (each for each in table.records() if each["id"] == "C10")
    assert c10["verdict"] == UNTESTABLE
    assert all(any(corpus in part["what"] for part in c10["parts"]) for corpus in Stored().corpora())
    text = "".join("".join(cell["source"]) for cell in pages.read(FOLDER / "06_experiments.ipynb")["cells"])
    assert "C10 is not judged" in text


def test_texture_of_one_roll_by_hand():
    """Two bars: four notes on the first place, and none but one on the second place of the second bar."""
    x = np.zeros((32, 12), np.uint8)
    x[0, :4], x[17, 0] = 1, 1
    found = texture.of_roll(x)
    assert found["notes a bar"] == 2.5
    assert found["contrast of bars"] == pytest.approx(1.5 / 2.5)
    assert found["bits of places"] == pytest.approx(-(0.8 * np.log2(0.8) + 0.2 * np.log2(0.2)))
    assert np.isnan(texture.of_roll(x[:0])["notes a bar"])


def test_a_harmony_is_remembered_if_the_notes_heard_come_again():
    scale = np.zeros((96, 12), np.uint8)
    scale[::2, :7] = 1
    other = np.roll(scale, 7, axis=1)
    assert texture.remembered(scale) == 1
    assert texture.remembered(np.concatenate([scale[:64], other[64:]])) == pytest.approx(2 / 7)
    assert texture.remembered(scale, other) == pytest.approx(2 / 7)
    assert np.isnan(texture.remembered(scale[:64]))
    assert texture.memory([scale, other])["difference"]["value"] == pytest.approx(5 / 7)
    assert texture.keys_of_a_harmony() == pytest.approx(51.333, abs=1e-3)


def test_where_the_first_voice_declines_steps_stay_silent_or_not():
    choices = np.array([[[12, 13]], [[12, 1]], [[0, 13]], [[14, 15]]])
    assert texture.first_voice(choices)["silent where it declined"]["value"] == pytest.approx(2 / 3)


def test_claims_of_one_run_follow_its_numbers():
    held, same = {"triads": 0.6, "in key by window": 0.9, "in prime's key": 0.9}, "samples, another's prime"
    good = pd.DataFrame({"samples": held, "held-out pieces": held, same: {**held, "in prime's key": 0.6}}).T
    bad = good.copy()
    bad.loc["samples"] = [0.1, 0.5, 0.6]
    assert all(holds for parts in of_run.keys(good).values() for holds in parts.values())
    assert not any(holds for parts in of_run.keys(bad).values() for holds in parts.values())
    assert of_run.below(float("nan"), 1) is None


def test_a_run_without_held_out_music_judges_nothing_by_it():
    """A corpus of a few bars: what is held out is no longer than a prime."""
    rng = np.random.default_rng(1)
    decided = list((rng.random((2, 96, 12)) < 0.2).astype(np.uint8))
    choices = rng.integers(0, 24, (96, 2, 5))
    found = {**of_run.rhythms(decided, [], choices), **of_run.textures(decided, []),
             **of_run.registers([np.repeat(roll, 8, axis=1)[:, :88] for roll in decided], [])}
    assert found.keys() == {"C16", "C17", "C26", "C27", "C28"}
    told = {what: holds for parts in found.values() for what, holds in parts.items() if "nan" in what}
    assert told
    assert set(told.values()) == {None}


def test_verdicts_of_the_new_claims_are_computed():
    found = {each["id"]: each for each in table.records()}
    assert {found[name]["verdict"] for name in ("C26", "C27", "C28")} <= {REPRODUCED, PARTLY, NOT}
    assert all(len(found[name]["parts"]) >= 3 for name in ("C26", "C27", "C28"))
