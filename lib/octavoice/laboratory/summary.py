"""What a sweep has come to so far: which of its steps are there, which are missing or stale, and numbers over seeds."""

import json

import pandas as pd

from octavoice import paths
from octavoice.laboratory import runs
from octavoice.laboratory.graph import Work
from octavoice.training import presets


def steps(works: list[Work]) -> pd.DataFrame:
    """Every step that a sweep asks for: a row with the run's settings, its ``state``, and ``where`` to look.

    ``there``, ``stale`` (what it depends on has changed), ``missing``, or ``failed``: of the step, or of a training
    that it needs, there is a log and no end; one that is at work right now looks the same.
    """
    found = {work: runs.at_work(work.folder) for work in works}
    music = runs.music_now([run for run in found.values() if run])
    rows = [{**settings(work), "step": step, **_state(work, step, found[work], music)}
            for work in works for step in work.steps]
    return pd.DataFrame(rows)


def settings(work: Work) -> dict:
    """What tells one run of a sweep from another."""
    changed = presets.changed(work.preset)
    return {"preset": work.preset.name, "corpus": paths.slug(work.corpus), "seed": work.seed,
            "changed": json.dumps(changed, sort_keys=True) if changed else ""}


def _state(work: Work, step: str, run: runs.Found | None, music: dict) -> dict:
    if run is None or step not in run.manifests:
        logs = [work.log(each) for each in (*work.trainings(step), step)
                if work.log(each).exists() and not (run and each in run.manifests)]
        return {"state": "failed", "where": runs.near(logs[0])} if logs else {"state": "missing", "where": ""}
    only = runs.Found(run.name, run.folder, {step: run.manifests[step]}, run.files)
    state, why = runs.state_of(only, music)
    return {"state": "there" if state == "current" else state, "where": why}


def told(table: pd.DataFrame) -> str:
    """The states of :func:`steps`, counted, in a line: ``4 of 6 there; 1 failed, 1 missing``."""
    counts = table["state"].value_counts()
    rest = ", ".join(f"{count} {state}" for state, count in counts.items() if state != "there")
    return f"{counts.get('there', 0)} of {len(table)} there" + (f"; {rest}" if rest else "")


def levels(works: list[Work]) -> pd.DataFrame:
    """The headline numbers over seeds: a row for each setting and number, with its mean, range and ``seeds``.

    Only runs whose every step is as this code would make it count; :func:`steps` shows the others.
    """
    found = [(work, run) for work in works if (run := runs.at_work(work.folder))]
    music = runs.music_now([run for _, run in found])
    rows = [{**settings(work), "number": name, "value": value} for work, run in found
            if runs.state_of(run, music)[0] == "current" for name, value in runs.metrics(run).items()]
    table = pd.DataFrame(rows, columns=["preset", "corpus", "seed", "changed", "number", "value"])
    groups = table.groupby(["preset", "corpus", "changed", "number"], sort=False)["value"]
    return groups.agg(mean="mean", lowest="min", highest="max", seeds="count")
