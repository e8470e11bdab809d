"""What is committed under figures/ and results/ is what its run wrote; running times are for real notebooks."""

import json
import re

import pandas as pd
import pytest

from octavoice.experiment import handover, provenance, published, weights


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


def test_committed_facts_name_versions_commit_and_no_path(checkout):
    for index in {path for folder in ("figures", "results") for path in committed(checkout, f"{folder}/**/index.json")}:
        text = index.read_text()
        assert not re.search(r'"/\w+|[A-Z]:\\', text)
        facts = json.loads(text)["provenance"]["06_experiments"]
        assert facts["commit"].removesuffix("+").isalnum()
        assert {"versions", "commit", "corpus_sha256", "seed", "device", "cost"} <= set(facts)


def test_running_times_were_measured_for_every_notebook():
    costs = provenance.costs()
    assert set(costs) == set(handover.NOTEBOOKS)
    assert all(cost["seconds"] > 0 and cost["processor"] for scales in costs.values() for cost in scales.values())


def test_the_readmes_table_is_the_committed_runs(checkout):
    assert published.markdown(published.runs()) in (checkout / "README.md").read_text()


def test_the_networks_that_ship_are_those_of_a_committed_run_and_tell_their_licence(checkout):
    about = weights.load().about
    assert about["licence"].startswith("CC BY-SA 4.0; trained on ")
    assert {"corpus", "licence", "attribution"} == set.intersection(*map(set, about["trained_on"]))
    shipped = provenance.sha256(weights.SHIPPED / "main.safetensors")
    assert shipped in {provenance.sha256(path) for path in checkout.glob("results/thesis/*/seed-*/main.safetensors")}


def test_the_table_takes_the_mean_over_seeds_and_their_range():
    def run(seed, level):
        levels = pd.DataFrame({"level": [level, -3.5, -3.4, -3.0], "low": level - 0.1, "high": level + 0.1},
                              index=list(published.LINES))
        cost = {"processor": "any", "threads": 1, "training, main module": {"iterations": 100, "seconds": 60.0},
                "training, decoder": {"iterations": 50, "seconds": 15.0}}
        return published.Published("music", seed, pd.DataFrame(), levels, {"cost": cost, "preset": {"iterations": 200}})
    row = published.table([run(1, -2.0), run(2, -2.2), run(3, -1.5)]).loc["music"]
    assert row["seeds"] == "1, 2, 3"
    assert row["main module and sampler"] == "-1.900"
    assert row["range over seeds"] == "-2.200 to -1.500"
    assert row["95 % over pieces (first seed)"] == "-2.100 to -1.900"
    assert row["training of both networks"] == "3 min, any, 1 thread(s)"
