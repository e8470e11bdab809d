"""What a notebook or a training says while it runs, made readable beside another one's."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from octavoice.laboratory import lock

QUIET = 10.0
"""Seconds between two passed-on states of one progress bar."""
CHATTER = ("[IPKernelApp] WARNING | Kernel is running over TCP", "[IPKernelApp] ERROR | KeyboardInterrupt caught")
"""Openings of lines not passed on: the kernel is reached on this machine only, and is interrupted to end it."""


def run(name: str, command: list[str], log: Path | None = None, copy: bool = False) -> int:
    """Run a command, pass on what it says with ``name`` before each line, and say how it ended; its exit status.

    If it fails, ``log`` is where to look; with ``copy`` the lines are written there too.
    """
    began, sinks = time.monotonic(), [sys.stdout]
    if log and copy:
        log.parent.mkdir(parents=True, exist_ok=True)
        sinks.append(open(log, "w", encoding="utf-8"))  # noqa: SIM115 (closed with the process, which it serves)
    print(f"{name} | started", flush=True)
    with lock.step():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False)
        with answering(process):
            relay(name, process.stdout.fileno(), *sinks)
    status, taken = process.wait(), time.monotonic() - began
    print(f"{name} | done in {taken:.0f} s" if not status else
          f"{name} | failed" + (f"; what there is of it: {log}" if log else ""), flush=True)
    return status


def wait(process: subprocess.Popen) -> int:
    """The exit status of a process; Ctrl-C is its to answer."""
    with answering(process):
        return process.wait()


@contextmanager
def answering(process: subprocess.Popen):
    """While a process runs, Ctrl-C, which it hears too, is its to answer; what it says then is still passed on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield process
    finally:
        signal.signal(signal.SIGINT, before)


def relay(name: str, source: int, *sinks: TextIO) -> None:
    """Copy lines from a file descriptor to every sink, each with ``name`` before it.

    A progress bar redraws its line with carriage returns; one such state is passed on at most every
    ten seconds. Of a failed notebook the cell's own error is passed on, without papermill's traceback
    around it. Ends when the source does.
    """
    held, last = [], 0.0
    for line, redrawn in _lines(source):
        now = time.monotonic()
        if redrawn and now - last < QUIET:
            continue
        last = now if redrawn and line else last
        if held or line == "Traceback (most recent call last):":
            held.append(line)
            if line.startswith("papermill.exceptions.PapermillExecutionError"):
                held = []
        else:
            _pass_on(name, line, sinks)
    for line in held:
        _pass_on(name, line, sinks)


def _pass_on(name: str, line: str, sinks: tuple[TextIO, ...]) -> None:
    for sink in sinks if line.strip() and not line.startswith(CHATTER) else ():
        print(f"{name} | {line}", file=sink, flush=True)


def _lines(source: int):
    """Lines of a file descriptor as they come, each with whether a carriage return follows it."""
    rest = b""
    while chunk := os.read(source, 65536):
        rest += chunk.replace(b"\r\n", b"\n")
        while (ends := [at for at in (rest.find(b"\n"), rest.find(b"\r")) if at >= 0]):
            at = min(ends)
            yield rest[:at].decode(errors="replace"), rest[at : at + 1] == b"\r"
            rest = rest[at + 1 :]
    if rest:
        yield rest.decode(errors="replace"), False
