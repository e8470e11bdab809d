"""What is committed under figures/ and results/ is what its run wrote; running times are for real notebooks."""

import json
import math
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import soundfile

from octavoice import provenance
from octavoice.laboratory import handover
from octavoice.results import compared, costs, published
from octavoice.training import presets, weights


def committed(checkout, pattern):
    """Index files under git's control: those of published runs and of the front page."""
    found = [path for path in checkout.glob(pattern) if json.loads(path.read_text()).get("published")]
    return [*found, checkout / "figures" / "front_page.json"]


@pytest.mark.parametrize("folder", ["figures", "results"])
def test_committed_files_are_the_ones_their_run_wrote(checkout, folder):
    for index in committed(checkout, f"{folder}/*/*/seed-*/index.json"):
        for name, digest in json.loads(index.read_text())["files"].items():
            if name.startswith(folder + "/"):
                assert provenance.sha256(index.parent / name.removeprefix(folder + "/")) == digest


def test_committed_music_was_composed_by_networks(checkout):
    assert {path.stem[:7] for path in checkout.glob("results/thesis/**/*.mid")} == {"sample_"}


def test_committed_facts_name_versions_commit_and_no_path(checkout):
    for index in {path for folder in ("figures", "results") for path in committed(checkout, f"{folder}/**/index.json")}:
        text = index.read_text()
        assert not re.search(r'"/\w+|[A-Z]:\\', text)
        facts = json.loads(text)["provenance"]["06_experiments"]
        assert facts["commit"].removesuffix("+").isalnum()
        assert {"versions", "commit", "corpus_sha256", "seed", "device", "cost"} <= set(facts)


def test_running_times_were_measured_for_every_notebook():
    measured = costs.measured()
    assert set(measured) == set(handover.NOTEBOOKS)
    assert all(cost["seconds"] > 0 and cost["processor"] for scales in measured.values() for cost in scales.values())


def test_tables_of_readme_and_book_are_the_committed_runs(checkout):
    """Each stands on one page, as it would be written now."""
    pages = [(checkout / page).read_text(encoding="utf-8") for page in published.PAGES]
    for marks, section in published.sections().items():
        assert sum(page.count(published.between(marks, section)) for page in pages) == 1, marks
        assert sum(page.count(mark) for page in pages for mark in marks) == 2


def test_a_table_is_written_between_its_marks_and_nothing_else_is_touched(tmp_path):
    one, two = published.marks("one"), published.marks("two", "claims")
    page = tmp_path / published.PAGES[0]
    page.write_text(f"a\n{one[0]}\nold\n{one[1]}\nb\n", encoding="utf-8")
    assert published.write_pages(tmp_path, {one: "new", two: "not here"}) == [page]
    assert page.read_text(encoding="utf-8") == f"a\n{one[0]}\n\nnew\n\n{one[1]}\nb\n"
    assert two[0] == "<!-- two: written by `octavoice claims`, do not edit -->"


def test_numbers_of_one_row_are_of_the_same_seeds(checkout):
    """The small table's rows are means over all seeds that they name; rows of the others are of one run."""
    small, each = compared.headline(), compared.table()
    assert (len(small), len(small.columns)) == (3, 3)
    for name, row in small.iterrows():
        corpus, seeds = re.fullmatch(r"([\w-]+), seeds? ([\d, ]+)", name).groups()
        keys = each.loc[[(corpus, seed, "keys") for seed in seeds.split(", ")]]
        assert set(each.loc[corpus].index.get_level_values("seed")) == set(seeds.split(", "))
        for column, there in (("our model", "beyond, exact"), ("thesis, at least", "thesis, at least"),
                              ("table of frequencies", "best table")):
            assert float(row[column]) == pytest.approx(keys[there].astype(float).mean(), abs=0.001)
    for row in each.itertuples():
        assert float(row[4].split()[0]) == pytest.approx(float(row[1]) - float(row[2]), abs=0.0011), row


def test_the_readmes_figure_draws_the_committed_runs(checkout):
    facts = json.loads((checkout / "figures" / "fig14_thesis_scale.json").read_text())
    assert facts == published.metrics_read(published.runs())
    assert (checkout / "figures" / "fig14_thesis_scale.png").exists()


def test_the_readmes_sounds_play_the_committed_samples(checkout, tmp_path):
    """They are what publishing writes, from the samples that are there now; small, and not silent."""
    figures = checkout / "figures"
    *sounds, facts = published.write_sounds(tmp_path)
    assert {path.name for path in sounds} == set(published.SOUNDS)
    assert (figures / facts.name).read_bytes() == facts.read_bytes()
    for path in sounds:
        fresh, kept = (soundfile.read(folder / path.name)[0] for folder in (tmp_path, figures))
        assert np.corrcoef(fresh, kept)[0, 1] > 0.99, path.name
        assert (figures / path.name).stat().st_size < 500_000
        assert f"](figures/{path.name})" in (checkout / "README.md").read_text(encoding="utf-8")


def test_the_networks_that_ship_are_those_of_a_committed_run_and_tell_their_licence(checkout):
    about = weights.load().about
    assert about["licence"].startswith("CC BY-SA 4.0; trained on ")
    assert {"corpus", "licence", "attribution"} == set.intersection(*map(set, about["trained_on"]))
    shipped = provenance.sha256(weights.SHIPPED / "main.safetensors")
    assert shipped in {provenance.sha256(path) for path in checkout.glob("results/thesis/*/seed-*/main.safetensors")}


@pytest.fixture
def at_scale(tmp_path):
    preset = presets.resolve("thesis", iterations=200, decoder_iterations=1000)

    def run(seed, level):
        levels = pd.DataFrame({"level": [level, -3.5, -3.4, -3.0], "low": level - 0.1, "high": level + 0.1},
                              index=list(published.LINES))
        noted = {"peak_memory_mb": 1024.0 * seed} if seed > 1 else {}
        cost = {"processor": "any", "threads": 1, "training, decoder": {"iterations": 50, "seconds": 15.0, **noted},
                "training, main module": {"iterations": 100, "seconds": 60.0 * seed, **noted}}
        metrics = pd.DataFrame({"train": [3.0] * 25 + [2.0] * 75, "held_out": math.nan}, index=range(1, 101))
        metrics.loc[[50, 75, 100], "held_out"] = [2.5, 2.25, 2.375]
        return published.Published("music", seed, metrics, levels, level - 0.5,
                                   {"cost": cost, "preset": asdict(preset)}, tmp_path)
    return [run(1, -2.0), run(2, -2.2), run(3, -1.5)]


def test_a_row_of_a_table_is_one_run(at_scale):
    row = published.table(at_scale).loc[("music", 2)]
    assert row["main module and sampler"] == "-2.200"
    assert row["95 % over pieces"] == "-2.300 to -2.100"
    assert row["one random batch, as in the thesis"] == "-2.700"
    assert row["table of one bar before"] == "-3.000"
    trained = published.trained(at_scale)
    assert trained["thesis's networks, minutes"].tolist() == ["7", "9", "11"]
    assert trained["largest memory, GiB"].tolist() == ["not noted", "2.0", "3.0"]
    assert trained["beyond, minutes"].tolist() == ["–"] * 3
    assert published.markdown(published.table([])) == "None is committed yet."


def test_evidence_is_what_the_run_wrote(checkout, at_scale):
    found = published.runs()
    table = published.evidence(found)
    assert list(table.columns) == [(run.corpus, run.seed) for run in found]
    own, other = (table.loc["C15", f"onsets in {whose} key"] for whose in ("the prime's", "another prime's"))
    written = [json.loads((run.folder / "c15_key.json").read_text())["own minus another's prime"] for run in found]
    assert (own - other).tolist() == pytest.approx(written)
    assert table.loc["C11":"C15"].stack([0, 1]).between(0, 1).all()
    assert found[0].figure("fig15_voices").startswith(b"\x89PNG")
    assert published.evidence(at_scale).empty


def test_decoders_are_read_where_notebook_05_was_published(at_scale):
    assert published.decoders(at_scale).empty
    scores = pd.DataFrame({"pseudo-likelihood": [-2.0], "as generated": [-2.5], "one class: likelihood": [-1.0]},
                          index=["rate 0.01"])
    scores.to_csv(at_scale[0].folder / "decoder_scores.csv", index_label="decoder")
    table = published.decoders(at_scale[:1])
    assert table["music", 1].to_dict() == {("pseudo-likelihood", "rate 0.01"): -2.0,
                                           ("as generated", "rate 0.01"): -2.5}


def test_the_course_reads_levels_where_they_were_measured(at_scale):
    course = published.course(at_scale, [(25, -2.6), (50, -2.3)])
    row = course.loc["music", 2]
    assert course.loc[("thesis", "–"), "training at 25"] == -2.6
    assert (row["training at 25"], row["training at 50"], row["held-out at 50"]) == (-3.0, -2.0, -2.5)
    assert math.isnan(course.loc[("music", 2), "held-out at 25"])
    assert (row["gap at the end"], row["best held-out"], row["best at"]) == (0.375, -2.25, 75)
    assert course["best at"].dtype == "Int64"
    assert published.course([], [(25, -2.6)]).loc[("thesis", "–"), "training at 25"] == -2.6
