"""What is committed under figures/ and results/ is what its run wrote; running times are for real notebooks."""

import json
import re

import pytest

from octavoice.experiment import handover, provenance, published


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
