"""The two ways in, `make` and conda, install the same locked packages, and those fit pyproject.toml."""

import re
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from octavoice import __version__


@pytest.fixture(scope="module")
def project(checkout):
    return tomllib.loads((checkout / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def lock_lines(checkout):
    lines = (checkout / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def locked(lock_lines):
    """Name → version of what the lock installs into this very Python."""
    requirements = [Requirement(line) for line in lock_lines]
    return {
        canonicalize_name(r.name): Version(str(r.specifier).removeprefix("=="))
        for r in requirements
        if r.marker is None or r.marker.evaluate()
    }


@pytest.fixture(scope="module")
def wanted(project):
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for line in [*project["dependencies"], *(line for extra in extras for line in extra)]]


def test_lock_holds_exact_versions_only(lock_lines):
    for line in lock_lines:
        assert re.fullmatch(r"[a-z0-9._-]+==[A-Za-z0-9.!+]+( ; .+)?", line), line


def test_lock_names_no_index_and_no_path(checkout):
    text = (checkout / "requirements.lock").read_text()
    for word in ("://", "--index", "--find-links", "--extra", " @ ", "/"):
        assert word not in text
    assert "make lock" in text


def test_lock_leaves_gpu_libraries_to_torch(lock_lines):
    assert [line for line in lock_lines if line.startswith(("nvidia", "cuda", "triton"))] == []
    assert [line.count("+") for line in lock_lines if line.startswith("torch==")] == [0]


def test_every_dependency_is_locked_at_a_version_that_fits(wanted, locked):
    for requirement in wanted:
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_this_environment_is_the_locked_one(project, wanted, locked):
    """If this fails, the environment is older than the lock: run `make test`, or update the conda environment.

    What only a cluster needs may be missing.
    """
    optional = {Requirement(line) for line in project["optional-dependencies"]["cluster"]}
    for name in (canonicalize_name(requirement.name) for requirement in wanted if requirement not in optional):
        assert Version(metadata.version(name)).public == locked[name].public, name


def test_conda_environment_is_python_pip_and_the_lock(checkout):
    assert yaml.safe_load((checkout / "environment.yml").read_text()) == {
        "name": "octavoice",
        "channels": ["conda-forge"],
        "dependencies": ["python=3.11", "pip", {"pip": ["-r requirements.lock", "-e ."]}],
    }


def test_binder_installs_what_conda_does_with_a_torch_for_the_cpu(checkout):
    """The pip lines are read from the folder of their file."""
    conda, binder = (yaml.safe_load((checkout / place / "environment.yml").read_text()) for place in (".", "binder"))
    index, *lines = binder["dependencies"][-1].pop("pip")
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert lines == ["-r ../requirements.lock", "-e .."]
    assert [line.replace("../", "").replace("..", ".") for line in lines] == conda["dependencies"][-1].pop("pip")
    assert conda == binder


def test_python_versions_agree(checkout, project):
    assert project["requires-python"] == ">=3.11"
    makefile = (checkout / "Makefile").read_text()
    assert "sys.version_info < (3, 11)" in makefile
    assert "--python-version 3.11" in makefile
    ruff = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["ruff"]
    assert ruff["target-version"] == "py311"


def test_version_is_the_same_everywhere(project):
    assert project["version"] == __version__ == metadata.version("octavoice")
