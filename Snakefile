"""The graph of notebook runs: corpus → notebooks 01 to 06 → 07 → hand-over.

A notebook's one declared output is the manifest it writes at its end (the names and hashes of its
figures and results). Its executed copy is the log, so that it survives a failure and shows it;
checkpoints are undeclared, so that training resumes from them.
"""

import hashlib
from pathlib import Path

from octavoice import cli, paths
from octavoice.errors import UserError
from octavoice.laboratory import handover
from octavoice.training import presets

# Snakemake's remarks on its own scheduling; errors and what the notebooks say remain.
CHATTER = ("Building DAG", "Using shell", "Select jobs", "Execute ", "Job rate limit", "Complete log", "Elapsed time")
logger.addFilter(lambda record: not record.getMessage().startswith(CHATTER))

try:
    if unknown := set(config) - {"preset", "corpus", "seed"}:
        raise UserError(f"unknown setting {', '.join(sorted(unknown))}; known are preset, corpus and seed.")
    preset = str(config.get("preset", "quick"))
    corpus = "".join(config.get("corpus", "bach"))  # a string, or one in a list: see the Makefile
    seed, threads = cli.seed_number(str(config.get("seed", 1))), presets.resolve(preset).threads
except UserError as error:
    sys.exit(f"octavoice: {error}")

# Relative where possible: shorter messages, and a checkout that is moved stays up to date.
run = paths.run_dir(preset, corpus, seed)
run = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run

# What the notebooks import. The tools around them are left out: changing those reruns no training.
TOOLS = {"cli.py", "handover.py", "relay.py", "author.py", "composing", "piano_roll.py"}
LIBRARY = sorted(
    str(file)
    for file in Path("lib/octavoice").rglob("*")
    if file.suffix in {".py", ".toml"} and not TOOLS.intersection(file.parts)
)
MANIFESTS = [run / "manifests" / f"{name}.json" for name in handover.NOTEBOOKS]
NEEDS = {"07_discussion": ["06_experiments"]}


def folder_state(corpus):
    """A hash of the names, sizes and times of a folder corpus's files: a changed folder is read again."""
    folder = Path(corpus.removeprefix("folder:")).expanduser()
    files = sorted(folder.rglob("*")) if corpus.startswith("folder:") else []
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


rule all:
    input:
        handover.indexes(preset, corpus, seed),
        MANIFESTS,


rule train:
    input:
        [run / "manifests" / f"{name}.json" for name in ("06_experiments", "07_discussion")],


# `corpus` is given by a function in each rule, because its path may hold braces, which else are wildcards.
rule corpus:
    input:
        [file for file in LIBRARY if Path(file).parts[2] in {"corpus", "music"}],
    output:
        run / "manifests" / "corpus.json",
    params:
        preset=preset,
        corpus=lambda wildcards: corpus,
        state=folder_state(corpus),
    shell:
        "octavoice corpus build {params.corpus:q} --preset {params.preset:q} --manifest {output:q}"


# A preset fixes its threads, so that the same run gives the same bits whatever the number of cores.
rule notebook:
    input:
        LIBRARY,
        run / "manifests" / "corpus.json",
        lambda wildcards: [run / "manifests" / f"{name}.json" for name in NEEDS.get(wildcards.notebook, [])],
        notebook="notebooks/{notebook}.ipynb",
    output:
        run / "manifests" / "{notebook}.json",
    log:
        run / "notebooks" / "{notebook}.ipynb",
    params:
        preset=preset,
        corpus=lambda wildcards: corpus,
        seed=seed,
    wildcard_constraints:
        notebook="(?!06)[0-9]{2}_[a-z_]+",
    threads: threads
    shell:
        "echo '{wildcards.notebook} | started';"
        " papermill {input.notebook:q} {log:q} --kernel python3 --no-progress-bar --log-level WARNING"
        " --stderr-file /dev/stderr"
        " -r preset {params.preset:q} -r corpus {params.corpus:q} -p seed {params.seed}"
        " 2>&1 | octavoice relay {wildcards.notebook}"
        " && echo \"{wildcards.notebook} | done in $SECONDS s\""
        " || {{ echo '{wildcards.notebook} | failed; its cells up to the error:' {log:q}; exit 1; }}"


# The longest one starts first.
use rule notebook as training with:
    wildcard_constraints:
        notebook="06_[a-z_]+",
    priority: 1


rule hand_over:
    input:
        MANIFESTS,
    output:
        handover.indexes(preset, corpus, seed),
    params:
        preset=preset,
        corpus=lambda wildcards: corpus,
        seed=seed,
    shell:
        "octavoice handover --preset {params.preset:q} --corpus {params.corpus:q} --seed {params.seed}"
