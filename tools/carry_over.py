"""Carry stored results over to the rule of versions, once: what they depend on is written out, hashes of code go.

    python tools/carry_over.py

Every committed result is taken as version 1 of what made it. It reads the corpora for the hashes of durations, and
stops at a result whose music is not the corpus's as read now.
"""

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from octavoice import corpus as corpora
from octavoice import paths
from octavoice.studies import ablations, benchmark_runs, survey_runs
from octavoice.training import presets
from octavoice.training.run import Run, pick_device

RESULTS = paths.checkout() / "results"


@cache
def music(name: str):
    return corpora.load(name)


def run_of(found: dict) -> Run:
    facts = dict(found["preset"])
    preset = presets.Preset(**facts)
    run = Run(replace(preset, precision="fp32"), found["corpus"], found["seed"], pick_device("cpu"))
    run.preset = preset
    run.corpus = music(found["corpus"])
    if found["corpus_sha256"] != run.corpus.sha256:
        raise SystemExit(f"other music: {found['corpus']}")
    return run


def write(path: Path, found: dict, **how) -> None:
    path.write_text(json.dumps(found, **how) + "\n", encoding="utf-8")


def placed(found: dict, after: str, depends: dict) -> dict:
    new = {}
    for name, value in found.items():
        if name not in ("key", "code", "depends_on"):
            new[name] = value
        if name == after:
            new["depends_on"] = depends
    return new


for path in sorted(RESULTS.glob("ablation/*/*/seed-*.json")):
    found = json.loads(path.read_text(encoding="utf-8"))
    depends = ablations.depends_on(run_of(found), found["variant"])
    if found["cost"]["iterations"] != depends["recipe"]["iterations"]:
        print("other iterations", path)
    write(path, placed(found, "variant", depends), indent=1)
for path in sorted(RESULTS.glob("survey/*/*/seed-*.json")):
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["corpus"].startswith("benchmarks/"):
        setting = benchmark_runs.Setting(**found["settings"])
        depends = benchmark_runs.depends_on(found["model"], found["corpus"], found["seed"], setting)
        asked = benchmark_runs.changed(benchmark_runs.SETTINGS[found["corpus"]], path.stem.split(",")[1:])
        if asdict(asked) != depends["settings"]:
            print("other settings than its name says", path)
        write(path, placed(found, "seed", depends), indent=1)
    else:
        run = run_of(found)
        depends = survey_runs.depends_on(run, found["model"], run.preset.precision)
        if found["cost"]["iterations"] != sum(each["recipe"]["iterations"] for each in depends.values()
                                              if "recipe" in each):
            print("other iterations", path)
        write(path, placed(found, "seed", depends), indent=1)
for path in [*RESULTS.glob("thesis/*/seed-*/index.json"), *paths.checkout().glob("figures/thesis/*/seed-*/index.json")]:
    index = json.loads(path.read_text(encoding="utf-8"))
    for step, facts in index["provenance"].items():
        facts.pop("code", None)
        if step == "08_beyond":
            facts["durations_sha256"] = music(facts["corpus"]).durations_sha256
    path.write_text(json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
