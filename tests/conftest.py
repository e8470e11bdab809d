"""Every test works in a temporary folder: none writes into the checkout's figures/, results/ or runs/."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def octavoice_home(tmp_path_factory):
    """OCTAVOICE_HOME for the whole session; parallel workers share it, so that a corpus is packed once."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "octavoice"
    home.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCTAVOICE_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of the checkout these tests belong to."""
    return CHECKOUT
