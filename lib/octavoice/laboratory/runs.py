"""All runs in one table: those that work under ``runs/`` and those committed under ``results/``.

Everything is read from what runs leave anyway: manifests, indices, and the files these name, as long as a file's
bytes are the ones that were written. A run is

    current   if its music and the versions of all that computed it are what they were
    stale     if not, and ``why`` says what changed. Its numbers are shown, and marked; nobody averages over them
"""

import hashlib
import io
import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pandas as pd

from octavoice import paths
from octavoice.errors import UserError
from octavoice.laboratory import validity
from octavoice.training import models, presets
from octavoice.training.presets import AUTO

Reader = Callable[[bytes], dict[str, float]]
MUSIC = {"corpus_sha256": "music", "durations_sha256": "durations of its notes"}
"""What a manifest tells of the music that was read, and how it is called."""


@dataclass(frozen=True)
class Found:
    """One run as it was found: its name, its folder of results, manifests by step, and the hashes of its files."""

    name: str
    folder: Path
    manifests: dict[str, dict]
    files: dict[str, str]

    @property
    def music(self) -> tuple[str, int]:
        """Which music it reads: the corpus, and how many of its files."""
        facts = next(iter(self.manifests.values()))
        return facts["corpus"], facts["preset"]["files"]

    def bytes_of(self, name: str) -> bytes | None:
        """A file below ``results/``, if it is the one that was written."""
        path = self.folder / name
        data = path.read_bytes() if path.is_file() else b""
        return data if hashlib.sha256(data).hexdigest() == self.files[f"results/{name}"] else None


def table() -> pd.DataFrame:
    """A row for each run, called by its folder: state, settings, provenance, cost and headline numbers.

    Levels in nats per step, higher is better; times in minutes, memory in MiB.
    """
    found = [*working(), *committed()]
    music = music_now(found)
    rows = {run.name: row(run, music) for run in found}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def working() -> list[Found]:
    """The runs under ``runs/``, in order of their names."""
    folders = sorted({path.parent.parent for path in (paths.home() / "runs").glob("**/seed-*/**/manifests/*.json")})
    return [found for folder in folders if (found := at_work(folder))]


def at_work(folder: Path) -> Found | None:
    """What lies in the folder of one run, if any of its steps has finished."""
    manifests = {path.stem: read(path) for path in sorted((folder / "manifests").glob("*.json"))}
    manifests = {step: facts for step, facts in manifests.items() if "preset" in facts}
    files = {name: sha for facts in manifests.values() for name, sha in facts.get("files", {}).items()}
    return Found(near(folder), folder / "results", manifests, files) if manifests else None


def committed() -> list[Found]:
    """The runs that this checkout holds under ``results/``."""
    found = []
    for path in sorted((paths.checkout() / "results").glob("*/*/seed-*/index.json")):
        index = read(path)
        if index.get("published"):
            name = path.parent.relative_to(paths.checkout()).as_posix()
            found.append(Found(name, path.parent, index["provenance"], index["files"]))
    return found


def read(path: Path) -> dict:
    """A manifest or index. Raises :class:`UserError` if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{near(path)} is damaged; remove it and run that step again.") from error


def near(path: Path) -> str:
    """A path as seen from where runs are kept."""
    return path.relative_to(paths.home()).as_posix() if path.is_relative_to(paths.home()) else str(path)


def music_now(found: list[Found]) -> dict[tuple[str, int], dict]:
    """The hashes of each corpus as it was last read here, by corpus and number of files; of others nothing is known."""
    asked = {run.music: paths.music_marker(*run.music) for run in found}
    return {music: read(marker) for music, marker in asked.items() if marker.exists()}


def row(run: Found, music: dict[tuple[str, int], dict]) -> dict:
    """One run's row."""
    state, why = state_of(run, music)
    facts = [each for each in run.manifests.values() if "preset" in each]  # what claims measured has none of its own
    preset = facts[-1]["preset"]
    plain = presets.PRESETS.get(preset["name"])  # what a machine came to by itself is no change
    changed = {name: value for name, value in preset.items() if name != "name"
               and getattr(plain, name, value) not in (value, AUTO)}
    return {"state": state, "why": why, "preset": preset["name"],
            "corpus": facts[-1]["corpus"], "seed": facts[-1]["seed"],
            "changed": json.dumps(changed, sort_keys=True) if changed else "", "steps": " ".join(run.manifests),
            "corpus_sha256": _all(each["corpus_sha256"] for each in facts), "commit": _all(
                each.get("commit") for each in facts), "device": _all(each.get("device") for each in facts),
            **cost(facts), **{f"setting {name}": value for name, value in preset.items() if name != "name"},
            **{f"version {name}": _all(each.get("versions", {}).get(name) for each in facts)
               for name in facts[-1].get("versions", {})}, **metrics(run)}


def _all(values: Iterable) -> str:
    """What several steps say, each answer once."""
    return " ".join(dict.fromkeys(str(value) for value in values if value is not None))


def cost(facts: list[dict]) -> dict:
    """Minutes of training of each network, and of the notebooks without it; the largest memory; the machine.

    A training that was resumed has noted its last part only: minutes are those of all iterations at that pace.
    """
    costs = [each["cost"] for each in facts if "cost" in each]
    preset = SimpleNamespace(**facts[-1]["preset"])
    iterations = {f"training, {stage.called}": stage.recipe(preset).iterations
                  for model in models.MODELS.values() for stage in model.stages}
    parts = {name: part for each in costs for name, part in each.items() if isinstance(part, dict)}
    minutes = sum(each.get("seconds", 0) - sum(part["seconds"] for name, part in each.items() if isinstance(part, dict)
                  and name not in each.get("found", parts)) for each in costs) / 60
    memory = [part["peak_memory_mb"] for part in [*costs, *parts.values()] if "peak_memory_mb" in part]
    return {"processor": _all(each.get("processor") for each in costs), "threads": _all(
        each.get("threads") for each in costs), "notebooks, minutes": round(minutes, 2),
        **{f"{name}, minutes": round(part["seconds"] / 60 * iterations.get(name, part["iterations"])
                                     / part["iterations"], 2) for name, part in parts.items()},
        "memory, MiB": max(memory, default=None)}


# --- what is read of the results ------------------------------------------------------------------------------------


def metrics(run: Found) -> dict[str, float]:
    """The headline numbers of a run; none of a file that is not the one its step wrote."""
    numbers: dict[str, float] = {}
    for name in sorted(file.removeprefix("results/") for file in run.files if file.startswith("results/")):
        reader = _reader(PurePosixPath(name))
        data = run.bytes_of(name) if reader else None
        numbers |= reader(data) if data else {}
    return numbers


def _reader(file: PurePosixPath) -> Reader | None:
    """How the headline numbers of a file are read, if it has any."""
    if file.name in SINGLE:
        prefix = "" if file.parent == PurePosixPath(".") else f"{file.parent}: "
        return lambda data: {f"{prefix}{name}": value for name, value in SINGLE[file.name](data).items()}
    if file.stem.startswith("levels_"):
        return lambda data: _axis(data, "")
    if file.name == "beyond_levels.csv":
        return lambda data: _axis(data, ", in 08", file.parent.name)
    if file.stem.endswith("_metrics"):
        return lambda data: _last_held_out(data, file.stem.removesuffix("_metrics"))
    return None


def _axis(data: bytes, where: str, only: str = "") -> dict[str, float]:
    """The levels of models on the one axis, by space; what 08 judges it judges on steps that all models can make.

    In the folder of another model that one's ``only``.
    """
    levels = pd.read_csv(io.BytesIO(data), index_col=[0, 1])["level"]
    return {f"{who}: {space}{where}": level for (space, who), level in levels.items()
            if who in ([only] if only else models.MODELS)}


def _last_held_out(data: bytes, network: str) -> dict[str, float]:
    """Where the held-out curve of a network ends; a loss there is turned round, so that higher is better. Nothing of a
    training too short to be judged."""
    curve = pd.read_csv(io.BytesIO(data), index_col=0).get("held_out", pd.Series(dtype=float)).dropna()
    return {f"{network}: end of the held-out curve": -curve.iloc[-1]} if len(curve) else {}


def _cell(label: str, line: str, column: str) -> Reader:
    """One number of a table."""
    return lambda data: {label: pd.read_csv(io.BytesIO(data), index_col=0).loc[line, column]}


def _value(label: str, key: str) -> Reader:
    """One number of plain data."""
    return lambda data: {label: json.loads(data)[key]}


def _within(data: bytes) -> dict[str, float]:
    """How many statistics of a model's samples cannot be told from music; the thesis's are in every such file."""
    return {f"statistics {name.replace('noise', 'noise of music')}": value for name, value in json.loads(data).items()
            if name.startswith("within the noise, ") and not name.endswith(", thesis")}


SINGLE: dict[str, Reader] = {
    "test_levels.csv": _cell("objective on test pieces", "main module", "level"),
    "test_random_batch.json": _value("objective on one random batch", "nats per step"),
    "likelihood.json": _value("sampler's likelihood on the panel, bound", "log_likelihood"),
    "c9_gap.csv": _cell("gap of training and held-out", "gap, training minus held-out", "value"),
    "decoder_levels.csv": _cell("decoder as generated", "decoder", "as generated"),
    "decoded.json": _value("classes left without a key", "share"),
    "c11_c13_keys.csv": _cell("samples in key by window", "samples", "in key by window"),
    "c15_key.json": _value("samples in the prime's key, minus another's", "own minus another's prime"),
    "c16_rhythm.csv": _cell("steps of samples that strike", "samples", "struck"),
    "beyond_counted.json": _within,
}
"""Headline numbers that stand alone in a file."""


# --- stale or not ---------------------------------------------------------------------------------------------------


def state_of(run: Found, music: dict[tuple[str, int], dict]) -> tuple[str, str]:
    """``current`` or ``stale``, and what changed, in words."""
    why = []
    for step, facts in run.manifests.items():
        why += validity.changes(step, facts)
    now = music.get(run.music, {})
    for facts in run.manifests.values():
        why += [f"other {called}" for name, called in MUSIC.items()
                if name in facts and name in now and facts[name] != now[name]]
    return ("stale", "; ".join(dict.fromkeys(why))) if why else ("current", "")


# --- two runs side by side --------------------------------------------------------------------------------------------


def find(name: str, names: Iterable[str]) -> str:
    """The run called ``name``, or whose name ends so. Raises :class:`UserError` unless there is exactly one."""
    names, asked = list(names), name.strip("/")
    ends = [asked] if asked in names else [each for each in names if f"/{each}".endswith(f"/{asked}")]
    if len(ends) != 1:
        raise UserError(f"{'several runs are' if ends else 'no run is'} called {name!r}" + (
            f": {', '.join(ends)}; give more of its name." if ends else "; `octavoice runs` lists them."))
    return ends[0]


def diff(first: str, second: str) -> pd.DataFrame:
    """What differs between two runs: a row for each setting, version, module of code and number that does.

    Columns are the runs, and for numbers how much the second is above the first. Raises :class:`UserError`.
    """
    found = {run.name: run for run in [*working(), *committed()]}
    pair = [found[find(name, found)] for name in (first, second)]
    sides = [row(run, music_now(pair)) | {f"code {name}": sha for name, sha in code(run).items()} for run in pair]
    rows = {key: {"A": sides[0].get(key), "B": sides[1].get(key)} for key in dict.fromkeys([*sides[0], *sides[1]])
            if sides[0].get(key) != sides[1].get(key)}
    for cells in rows.values():
        numbers = all(isinstance(cell, (int, float)) for cell in cells.values())
        cells["B - A"] = round(cells["B"] - cells["A"], 6) if numbers else ""
    names = dict(zip("AB", (run.name for run in pair), strict=True))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["A", "B", "B - A"]).rename(columns=names)


def code(run: Found) -> dict[str, str]:
    """The code of a run as its manifests record it."""
    return {name.removeprefix("octavoice."): sha for facts in run.manifests.values()
            for name, sha in facts.get("code", {}).items()}


# --- what is printed --------------------------------------------------------------------------------------------------


def brief(runs: pd.DataFrame) -> pd.DataFrame:
    """The columns of :func:`table` that are printed: what state a run is in, how long it took, what it reached."""
    plain = "state", "memory, MiB", "objective on test pieces"
    shown = [name for name in runs.columns if name in plain
             or name.endswith((": classes", ": keys given classes", ": keys", ": keys, in 08"))]
    minutes = runs[[name for name in runs.columns if name.endswith(", minutes")]].sum(axis=1).round(1)
    return runs[shown].assign(minutes=minutes).round(3).astype(object).fillna("")


WIDTH = 100
"""Columns of a terminal that :func:`told` keeps to."""
STALE = ("stale: what the run depends on has changed since it was made. Its numbers are what it found; what it would "
         "find now is not known until it is made again. What has changed:")


def told(runs: pd.DataFrame) -> str:
    """What :func:`brief` shows within :data:`WIDTH` columns, and in words what changed since stale ones were made."""
    kinds = dict.fromkeys(filter(None, runs["why"]))
    reasons = {why: str(number) for number, why in enumerate(kinds, start=1)}
    shown = brief(runs).drop(columns=["memory, MiB"], errors="ignore")
    minutes = shown.pop("minutes")
    shown["state"] = [" ".join(filter(None, [state, reasons.get(why)]))
                      for state, why in zip(runs["state"], runs["why"], strict=True)]
    short = {name: name.removesuffix(", in 08").removesuffix(" on test pieces") for name in shown.columns}
    shown = shown.rename(columns={name: new for name, new in short.items() if list(short.values()).count(new) == 1})
    shown.insert(1, "minutes", minutes)
    shown.index = [_shortened(name) for name in shown.index]
    order = list(shown.columns)
    while len(order) > 2 and _width(shown[order]) > WIDTH:
        order.pop()
    left = len(shown.columns) - len(order)
    more = f" and {left} more columns" if left else ""
    said = [_text(shown[order]), "", textwrap.fill(
        f"Levels in nats per step, higher is better. `--wide` shows memory{more} too, `--csv FILE` writes all.", WIDTH)]
    if reasons:
        said += ["", textwrap.fill(STALE, WIDTH)]
        said += [textwrap.fill(f"{number}  {why}", WIDTH, initial_indent="  ", subsequent_indent="     ")
                 for why, number in reasons.items()]
    return "\n".join(said)


def _text(shown: pd.DataFrame) -> str:
    return shown.to_string(float_format="{:.3f}".format, formatters={"minutes": "{:.1f}".format})


def _width(shown: pd.DataFrame) -> int:
    return max(map(len, _text(shown).splitlines()))


def _shortened(name: str, limit: int = 48) -> str:
    """A run's name, or so much of its end as can be given to `octavoice runs diff`."""
    while len(name) > limit and "/" in name.removeprefix("…/"):
        name = "…/" + name.removeprefix("…/").partition("/")[2]
    return name
