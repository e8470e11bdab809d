"""The locks of a home: they end with those who hold them, and what is alive is respected."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from octavoice.errors import UserError
from octavoice.laboratory import lock

fcntl = pytest.importorskip("fcntl")

HOLD = "from octavoice.laboratory import lock\nimport os, subprocess, sys, time\n"
RUN = HOLD + "with lock.run(): print('held', flush=True); time.sleep(60)"
PASSED_ON = (HOLD + "with lock.run():\n"
             " subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1.5)'], close_fds=False)\n"
             " print('held', flush=True); time.sleep(60)")
STEP = (HOLD + "from octavoice.laboratory import relay\n"
        "relay.run('a', [sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(1.5)'])")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, with a space in its name."""
    monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path / "a home"))
    return tmp_path / "a home"


def killed(code: str, says: str = "held") -> int:
    """Run code until it says a word, kill it, and return its process's number."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while says not in process.stdout.readline():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return process.pid


def test_a_living_run_is_respected_with_a_sentence(home):
    with lock.run(), pytest.raises(UserError, match=f"process {os.getpid()} on .* wait for it or end it") as raised, \
            lock.run():
        pass
    assert str(home) in str(raised.value)


def test_a_run_that_ended_by_itself_leaves_nothing_to_tell(capsys):
    for _ in range(2):
        with lock.run():
            pass
    with pytest.raises(ValueError, match="a mistake"), lock.run():
        raise ValueError("a mistake")
    with lock.run():
        pass
    assert capsys.readouterr().err == ""


def test_homes_do_not_exclude_each_other(tmp_path, monkeypatch):
    with lock.run():
        monkeypatch.setenv("OCTAVOICE_HOME", str(tmp_path / "another"))
        with lock.run():
            pass


def test_a_dead_runs_lock_is_lifted_and_told(capsys):
    dead = killed(RUN)
    with lock.run():
        said = capsys.readouterr().err
    assert said.startswith(f"octavoice: the run that process {dead} on ")
    assert "was killed; its lock is lifted" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("code", "says"), [(PASSED_ON, "held"), (STEP, "a | 1")])
def test_what_a_dead_run_started_is_waited_for(code, says, capsys):
    """Its scheduler and its steps go on: only once they have ended another run begins."""
    killed(code, says)
    began = time.monotonic()
    with lock.run():
        assert time.monotonic() - began > 0.5
    assert "still at work; waiting for that to end" in capsys.readouterr().err


def test_steps_share_the_home():
    with lock.run(), lock.step(), lock.step():
        pass


def test_without_locks_of_the_file_system_runs_go_on(monkeypatch):
    def none(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with lock.run(), lock.step():
        pass


def test_a_damaged_note_is_no_obstacle(home, capsys):
    (home / "runs").mkdir(parents=True)
    (home / "runs" / lock.RUN).write_text("{")
    with lock.run():
        pass
    assert capsys.readouterr().err == ""
