"""What a notebook says while it runs, made readable beside another one's."""

import os
import time
from typing import TextIO

QUIET = 10.0
"""Seconds between two passed-on states of one progress bar."""
CHATTER = ("[IPKernelApp] WARNING | Kernel is running over TCP", "[IPKernelApp] ERROR | KeyboardInterrupt caught")
"""Openings of lines not passed on: the kernel is reached on this machine only, and is interrupted to end it."""


def relay(name: str, source: int, sink: TextIO) -> None:
    """Copy lines from a file descriptor to ``sink``, each with ``name`` before it.

    A progress bar redraws its line with carriage returns; one such state is passed on at most every
    ten seconds. Of a failed notebook the cell's own error is passed on, without papermill's traceback
    around it. Ends when the source does.
    """
    held, last = [], 0.0
    for line, redrawn in _lines(source):
        now = time.monotonic()
        if redrawn and now - last < QUIET:
            continue
        last = now if redrawn else last
        if held or line == "Traceback (most recent call last):":
            held.append(line)
            if line.startswith("papermill.exceptions.PapermillExecutionError"):
                held = []
        else:
            _pass_on(name, line, sink)
    for line in held:
        _pass_on(name, line, sink)


def _pass_on(name: str, line: str, sink: TextIO) -> None:
    if line.strip() and not line.startswith(CHATTER):
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
