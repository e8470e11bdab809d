"""The table of claims is what the stored runs give, and no claim goes without evidence."""

import json
import math
import re
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from octavoice import provenance
from octavoice.figures import claims as draw
from octavoice.results import claims_command, published
from octavoice.results.claims import choices, deviations, table
from octavoice.results.claims.record import NOT, PARTLY, REPRODUCED, UNTESTABLE, Part, missing, part, verdict
from octavoice.results.claims.stored import Stored, Value
from octavoice.thesis import limits


@pytest.fixture(scope="module")
def found():
    return {each["id"]: each for each in table.records()}


def test_the_committed_table_is_what_the_stored_runs_give(checkout):
    written = json.loads((checkout / claims_command.TABLE).read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(claims_command.computed()))
    assert claims_command.stored_table() == written["claims"]


def test_count_and_table_on_pages_are_the_committed_ones(checkout):
    pages = [(checkout / page).read_text(encoding="utf-8") for page in published.PAGES]
    for marks, section in claims_command.sections().items():
        assert sum(page.count(published.between(marks, section)) for page in pages) == 1, marks


def test_every_claim_is_there_with_words_test_and_rule(found):
    assert list(found) == [f"C{i}" for i in range(1, 29)]
    assert set(found) == set(table.RULES)
    for each in found.values():
        assert each["section"].startswith("§")
        assert all(len(each[field]) > 9 for field in ("claim", "test", "rule", "change"))


def test_no_claim_has_a_verdict_without_evidence(found, checkout):
    """Files that were read, or arithmetic; and where nothing could be tested, a part that says what is missing."""
    for each in found.values():
        tested = [part for part in each["parts"] if part["holds"] is not None]
        assert each["parts"], each["id"]
        assert bool(tested) == (each["verdict"] != UNTESTABLE), each["id"]
        assert each["files"] or each["id"] == "C5" or not tested, each["id"]
        assert all((checkout / "results" / "thesis" / file).is_file() for file in each["files"])
        assert not each["figure"] or (checkout / each["figure"]).is_file(), each["id"]


def test_measurements_are_of_the_committed_networks(checkout):
    for index in checkout.glob("results/thesis/*/seed-*/index.json"):
        for name, facts in json.loads(index.read_text())["provenance"].items():
            if name.startswith("claims_"):
                assert all(provenance.sha256(index.parent / file) == sha for file, sha in facts["networks"].items())


def test_without_results_only_arithmetic_is_left(tmp_path):
    verdicts = {each["id"]: each["verdict"] for each in table.records(tmp_path)}
    assert {name for name, told in verdicts.items() if told != UNTESTABLE} == {"C5", "C21", "C28"}


def test_a_verdict_follows_what_is_stored(checkout, tmp_path, found):
    """Held-out levels that fall at the end take C9's parts with them."""
    bulky = shutil.ignore_patterns("*.mid", "*.safetensors")
    shutil.copytree(checkout / "results" / "thesis", tmp_path / "thesis", ignore=bulky)
    for path in tmp_path.glob("thesis/open-keyboard/seed-*/c9_gap.csv"):
        gap = pd.read_csv(path, index_col=0)
        gap.loc["best held-out"] += 1
        gap.loc["gap, training minus held-out"] = 1
        gap.to_csv(path)
    shutil.copytree(checkout / "results" / "ablation", tmp_path / "ablation")
    changed = {each["id"]: each for each in table.records(tmp_path / "thesis")}
    assert found["C9"]["verdict"] == PARTLY
    assert [each["holds"] for each in changed["C9"]["parts"]] == [True, False, False, False]
    assert {name for name in found if changed[name] != found[name]} == {"C9"}


def test_a_verdict_is_computed_from_its_parts():
    yes, no, none = Part("a", "1", True), Part("b", "2", False), missing("c")
    assert verdict([yes, yes]) == REPRODUCED
    assert verdict([yes, no]) == verdict([yes, none]) == PARTLY
    assert verdict([no, none]) == NOT
    assert verdict([none]) == UNTESTABLE
    one, other = Value(1.0, 0.5, 1.5, "seeds"), Value(2.0, 1.6, 2.2, "seeds")
    told = part("less", lambda a, b: a.high < b.low, one, other)
    assert (told.found, told.holds) == ("1 (0.5 to 1.5) against 2 (1.6 to 2.2, seeds)", True)
    assert part("less", lambda a: True, None).holds is None


def test_a_part_has_to_hold_in_every_seed_that_its_numbers_share():
    """Each seed is below its own rival, though not below the other seed's."""
    def over(**each):
        values = {int(seed[1:]): Value(value, value, value, "seeds") for seed, value in each.items()}
        return Value(0.0, min(each.values()), max(each.values()), "seeds", values)
    less = lambda a, b: a.high < b.low  # noqa: E731
    assert not less(over(s1=1, s2=5), over(s1=2, s2=6))
    assert part("less", less, over(s1=1, s2=5), over(s1=2, s2=6)).holds
    assert not part("less", less, over(s1=1, s2=7), over(s1=2, s2=6)).holds
    assert part("less", less, over(s1=1, s2=7), over(s1=2, s3=6)).holds
    assert not part("less", less, over(s1=1, s2=7), Value(2.0, 2.0, 2.0, "all")).holds


def written(folder, seed, **numbers):
    """A run's folder with one measured subject."""
    (folder / f"bach/seed-{seed}").mkdir(parents=True)
    (folder / f"bach/seed-{seed}/index.json").write_text("{}")
    (folder / f"bach/seed-{seed}/claims_samples.json").write_text(json.dumps(numbers))


def test_what_is_measured_of_several_seeds_has_a_range_that_covers_them(tmp_path):
    written(tmp_path, 1, share={"value": 0.5, "low": 0.4, "high": 0.7, "units": 200}, p=0.04, rank=3)
    stored = Stored(tmp_path)
    assert str(stored.measured("samples", "share", corpus="bach")) == "0.5 (0.4 to 0.7, 95 %, n = 200, bach, seed 1)"
    assert stored.tested("samples", "p", corpus="bach") == Value(pytest.approx(0.04), 0.04, 0.04, "bach, seed 1")
    written(tmp_path, 2, share={"value": 0.7, "low": 0.6, "high": 0.8, "units": 200}, p=0.06, rank=5)
    (tmp_path / "bach/seed-3").mkdir()
    (tmp_path / "bach/seed-3/index.json").write_text("{}")
    found = stored.measured("samples", "share", corpus="bach")
    assert (found.value, found.low, found.high) == (pytest.approx(0.6), 0.4, 0.8)
    assert found.over == "95 %, n = 200, bach, each of 2 seeds"
    assert {seed: each.low for seed, each in found.each.items()} == {1: 0.4, 2: 0.6}
    assert stored.measured("samples", "rank", corpus="bach") == Value(4, 3, 5, "bach, each of 2 seeds")
    both = stored.tested("samples", "p", corpus="bach")
    assert both.value == pytest.approx(0.0024 * (1 - math.log(0.0024)))
    assert (both.low, both.high) == (0.04, 0.06)
    assert {path.split("/")[1] for path in stored.read} == {"seed-1", "seed-2"}
    (tmp_path / "bach/seed-1/claims_samples.json").unlink()
    assert stored.tested("samples", "p", corpus="bach").over == "bach, seed 2"
    assert stored.measured("nothing", "share", corpus="bach") is stored.tested("nothing", "p", corpus="bach") is None


def test_choices_without_a_run_are_named():
    gains = choices.gains(Stored())
    absent = choices.missing(gains)
    assert set(gains.index).isdisjoint(absent)
    assert {*gains.index, *absent} >= {*choices.ABLATED, *choices.DECODER}
    assert (gains["low"] <= gains["gain"]).all()
    assert len(draw.choices(gains, absent).axes[0].get_yticklabels()) == len(gains)


def test_the_log_reads_its_effects(checkout):
    log = deviations.table()
    assert log.index.is_unique
    levels = pd.read_csv(checkout / "results/thesis/open-keyboard/seed-1/c9_gap.csv", index_col=0)["value"]
    effect = log.loc["which weights are reported", "effect"]
    assert "3 seeds" in effect
    assert levels["best held-out"] >= levels["last held-out"]
    assert (deviations.table(Stored(checkout / "tests"))["effect"] == deviations.UNMEASURED).all()


def test_measuring_needs_a_published_run_and_a_known_subject(capsys):
    from octavoice import cli

    assert cli.main(["claims", "measure", "--corpus", "bach", "--seed", "7"]) == 2
    assert "is no published run" in capsys.readouterr().err
    assert cli.main(["claims", "measure", "--only", "everything"]) == 2
    assert "there is no subject 'everything'" in capsys.readouterr().err


def test_what_is_measured_becomes_part_of_the_run(tmp_path, monkeypatch):
    """A JSON beside the run's results and its hash in the index, so that publishing the run again keeps it."""
    folder = tmp_path / "results/thesis/bach/seed-1"
    folder.mkdir(parents=True)
    (folder / "index.json").write_text('{"files": {"results/a.csv": "1"}, "provenance": {"06_experiments": {}}}')
    (folder / "main.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(claims_command.paths, "checkout", lambda: tmp_path)
    monkeypatch.setattr(claims_command.corpus, "load", lambda name: SimpleNamespace(sha256="music"))
    monkeypatch.setitem(claims_command.MEASURED_IN, "nothing", "octavoice.studies.sampled")
    monkeypatch.setitem(claims_command.SUBJECTS, "nothing", lambda *run: {"gap": float("inf"), "runs": [run[1]]})
    assert claims_command.measure("bach", 1, ["nothing"]) == "results/thesis/bach/seed-1/claims_nothing.json"
    assert json.loads((folder / "claims_nothing.json").read_text()) == {"gap": None, "runs": [1]}
    index = json.loads((folder / "index.json").read_text())
    assert index["files"] == {"results/a.csv": "1",
                              "results/claims_nothing.json": provenance.sha256(folder / "claims_nothing.json")}
    facts = index["provenance"]["claims_nothing"]
    assert facts["corpus_sha256"] == "music"
    assert facts["networks"] == {"main.safetensors": provenance.sha256(folder / "main.safetensors")}


# --- limits -----------------------------------------------------------------------------------------------------------


def test_every_limit_has_a_reason_and_is_asked_for_by_its_rule(checkout):
    """A threshold stands in the table alone: rules, sentences of a run and notebooks ask for it by name."""
    rooms = checkout / "lib" / "octavoice" / "results" / "claims"
    rules = "".join((rooms / f"{name}.py").read_text(encoding="utf-8") for name in ("data", "training", "music"))
    for claim, told in limits.written().items():
        for name, each in told.get("limits", {}).items():
            assert set(each) == {"value", "why"}
            assert each["why"]
            assert limits.limit(claim, name) == each["value"]
            assert f'limit("{claim}", "{name}")' in rules


def test_no_threshold_is_typed_where_a_claim_is_judged(checkout):
    """A comparison with a number other than 0 in a rule or in a notebook's judging cell would be one."""
    rooms = checkout / "lib" / "octavoice" / "results" / "claims"
    typed = re.compile(r"[<>]=?\s*-?\d*\.?\d*[1-9]|below\(\d*\.?\d*[1-9]|, \d*\.\d+\)")
    found = [line for name in ("data", "training", "music", "of_run")
             for line in (rooms / f"{name}.py").read_text(encoding="utf-8").splitlines()
             if typed.search(line) and "len(" not in line]
    for page in (checkout / "notebooks").glob("*.ipynb"):
        cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
        found += [line for cell in cells if "run.judge(" in "".join(cell["source"]) for line in cell["source"]
                  if typed.search(line)]
    assert found == []
