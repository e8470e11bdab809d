"""A run that is killed again and again ends with the files of one that nobody disturbed.

    python tests/killed/run.py                   # twenty kills; half an hour on two idle cores; not part of `make test`
    python tests/killed/run.py --kills 5 --seed 2 --corpus folder:/my/music

It lets `octavoice reproduce` at preset smoke finish in one home, and in another kills it (SIGKILL) at random moments
and starts it again, with no other word: by turns everything at once, as a power cut does, the scheduler with what began
it, while its steps live on, and one process alone. Each time the run is through, all files of figures and results are
compared with the undisturbed ones, and the next home is begun, until all kills are spent. The last line says whether
all of it held; the exit status too.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

WAYS = ("everything", "the scheduler", "one process")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the ways")
    parser.add_argument("--corpus", default="bach")
    given, began = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        undisturbed = Path(place) / "undisturbed"
        if start(undisturbed, given.corpus).wait():
            print((undisturbed / "said.log").read_text()[-3000:])
            return 1
        span, left, draws, same = time.monotonic() - began, given.kills, random.Random(given.seed), True
        print(f"undisturbed: {len(files(undisturbed))} files in {span:.0f} s", flush=True)
        for number in range(1, given.kills + 1):
            home, before = Path(place) / f"home {number}", left
            left -= disturbed(home, given.corpus, left, span, draws)
            same &= compared(home, undisturbed, before - left)
            if not left:
                break
    print(f"{given.kills} kills: " + ("all of it held" if same else "NOT the same"))
    return 0 if same else 1


def start(home: Path, corpus: str) -> subprocess.Popen:
    """A run in its own session; what it says is added to ``said.log``."""
    home.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "octavoice", "reproduce", "--preset", "smoke", "--corpus", corpus, "--cores", "2"]
    with open(home / "said.log", "ab") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True,
                                env=os.environ | {"OCTAVOICE_HOME": str(home)})


def disturbed(home: Path, corpus: str, most: int, span: float, draws: random.Random) -> int:
    """Start a run, kill it, and again, until it is through or ``most`` kills are spent; how many there were.

    A run that fails because a process of it was killed is started again like the others.
    """
    kills = 0
    while True:
        process = start(home, corpus)
        if kills == most:
            while process.wait():
                process = start(home, corpus)
            return kills
        try:
            if process.wait(draws.uniform(1, max(8.0, span / 5))) == 0:
                return kills
        except subprocess.TimeoutExpired:
            kills += 1
            way = WAYS[kills % len(WAYS)]
            done = len(list((home / "runs").glob("smoke/*/seed-1/manifests/*.json")))
            print(f"  kill {kills} of {way}, with {done} steps done", flush=True)
            kill(process, way, draws)
            process.wait()


def kill(process: subprocess.Popen, way: str, draws: random.Random) -> None:
    """Kill a run in one of ``WAYS``."""
    session = members(process.pid)
    scheduler = [pid for pid, words in session.items() if "snakemake" in words and "relay" not in words]
    chosen = {"everything": list(session), "the scheduler": [process.pid, *scheduler],
              "one process": [draws.choice(sorted(session))]}[way]
    for pid in chosen:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def members(session: int) -> dict[int, str]:
    """The processes of a session and of those that their members started as sessions of their own: their words."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,sid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()]
    found: dict[int, str] = {}
    while True:
        more = {int(pid): words for pid, parent, of, words in rows
                if int(pid) not in found and (int(of) == session or int(parent) in found)}
        if not more:
            return found
        found |= more


def files(home: Path) -> dict[str, str]:
    """Hashes of every file of figures and results that a run handed over, by its indexes, checked against the files."""
    found = {}
    for index in sorted(home.glob("figures/*/*/*/index.json")) + sorted(home.glob("results/*/*/*/index.json")):
        kind = index.relative_to(home).parts[0]
        for name in json.loads(index.read_text())["files"]:
            if name.startswith(f"{kind}/"):
                found[name] = hashlib.sha256((index.parent / name.removeprefix(f"{kind}/")).read_bytes()).hexdigest()
    return found


def compared(home: Path, undisturbed: Path, kills: int) -> bool:
    """Whether a home holds the files that the undisturbed one holds; says which differ."""
    ours, theirs = files(home), files(undisturbed)
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    print(f"{home.name}, {kills} kills: " + (f"DIFFERENT: {', '.join(different)}" if different or not theirs else
                                            f"all {len(theirs)} files the same"), flush=True)
    return bool(theirs) and not different


if __name__ == "__main__":
    sys.exit(main())
