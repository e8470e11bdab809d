"""`make test` runs two notebooks at once, each worker in a home of its own: two that train or read the same thing at
the same time would write the same files."""

import os
from pathlib import Path


def pytest_configure():
    """Set it before the first kernel starts."""
    home, worker = os.environ.get("OCTAVOICE_HOME"), os.environ.get("PYTEST_XDIST_WORKER")
    if home and worker:
        os.environ["OCTAVOICE_HOME"] = str(Path(home) / worker)
