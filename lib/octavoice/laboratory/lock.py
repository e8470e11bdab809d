"""One run at a time in a home, by locks that end with those who hold them.

The system lets go of a lock when the last process that holds it ends, however that came about: a kill or a power cut
leaves nothing to be lifted by hand. A graph of runs holds the first lock, and with it the scheduler that it starts;
every step holds a share of the second, since steps outlive a scheduler that is killed. Homes know nothing of each
other. Where a file system has no such locks, nothing is held.
"""

import json
import os
import socket
import sys
import time
from contextlib import contextmanager

from octavoice import paths
from octavoice.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

RUN, STEPS = ".run.lock", ".steps.lock"


@contextmanager
def run():
    """Hold the home for a graph of runs; what is started meanwhile without closing descriptors holds it too.

    Says in a sentence that a dead run's lock is lifted, and waits for what a dead run started. Raises
    :class:`UserError` while the process that began another run here is alive.
    """
    with _opened(RUN) as file:
        before = _told(file)
        if not _take(file, exclusive=True, wait=False):
            if _alive(before):
                raise UserError(f"{paths.home()}: another run is at work here{_begun(before)}; wait for it or end it, "
                                "or give this one a home of its own: OCTAVOICE_HOME=FOLDER.")
            _wait(file, before)
        elif before:
            _say(f"the run{_begun(before)} was killed; its lock is lifted, and its work goes on.")
        with _opened(STEPS) as steps:
            if not _take(steps, exclusive=True, wait=False):
                _wait(steps, before)
        _write(file, {"pid": os.getpid(), "host": socket.gethostname(), "began": time.strftime("%H:%M:%S")})
        try:
            yield
        finally:
            _write(file, {})


@contextmanager
def step():
    """Hold a share of the home for one step, and what is started meanwhile without closing descriptors too."""
    with _opened(STEPS) as file:
        _take(file, exclusive=False, wait=True)
        yield


@contextmanager
def _opened(name: str):
    """A lock's file, which is never removed: those who wait for a removed one would hold nothing."""
    path = paths.home() / "runs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        os.set_inheritable(file.fileno(), True)
        yield file


def _take(file, exclusive: bool, wait: bool) -> bool:
    """Whether a lock is had."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _wait(file, before: dict) -> None:
    _say(f"the run{_begun(before)} was killed, and what it started is still at work; waiting for that to end.")
    _take(file, exclusive=True, wait=True)


def _told(file) -> dict:
    """Who began the run that holds or held a lock; nothing after one that ended by itself."""
    file.seek(0)
    try:
        return dict(json.loads(file.read() or "{}"))
    except (ValueError, TypeError):
        return {}


def _write(file, facts: dict) -> None:
    file.truncate(0)
    file.write(json.dumps(facts) if facts else "")
    file.flush()


def _begun(facts: dict) -> str:
    """Who began a run, as part of a sentence."""
    return f" that process {facts['pid']} on {facts['host']} began at {facts['began']}" if facts else ""


def _alive(facts: dict) -> bool:
    """Whether the process that began a run still is; one that cannot be asked counts as alive."""
    if facts.get("host") == socket.gethostname():
        try:
            os.kill(facts["pid"], 0)
        except ProcessLookupError:
            return False
        except OSError:  # another user's
            pass
    return True


def _say(sentence: str) -> None:
    print(f"octavoice: {sentence}", file=sys.stderr, flush=True)
