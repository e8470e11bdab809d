"""The graph of a run: corpus → training of each model → notebooks 06 to 08, corpus → 01 to 05; all → hand-over.

A step depends on the code that it imports, and on no other. A notebook's one declared output is the manifest it
writes at its end (the names and hashes of its figures and results). Its executed copy is the log, so that it survives
a failure and shows it; checkpoints are undeclared, so that training resumes from them.
"""

from pathlib import Path

from octavoice import cli, paths
from octavoice.errors import UserError
from octavoice.laboratory import graph, handover
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


def near(path):
    """A path relative where possible: shorter messages, and a checkout that is moved stays up to date."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def trained(notebook):
    """The manifests of the trainings that a notebook needs."""
    return [run / "manifests" / f"training_{model}.json" for model in graph.TAUGHT.get(notebook, ())]


run = near(paths.run_dir(preset, corpus, seed))
MANIFESTS = [run / "manifests" / f"{name}.json" for name in handover.NOTEBOOKS]
IMPORTS = {name: graph.notebook_imports(Path("notebooks") / f"{name}.ipynb") for name in handover.NOTEBOOKS}


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
        [near(file) for file in graph.code(["octavoice.corpus"])],
    output:
        run / "manifests" / "corpus.json",
    params:
        preset=preset,
        corpus=lambda wildcards: corpus,
        state=graph.folder_state(corpus),
    shell:
        "octavoice corpus build {params.corpus:q} --preset {params.preset:q} --manifest {output:q}"


# Goes on from its checkpoints. Where a changed file changes no weight, it finds the networks trained and writes the
# same manifest again, so that nothing after it reruns. It is the longest and starts first.
rule training:
    input:
        [near(file) for file in graph.code(graph.TRAINING)],
        run / "manifests" / "corpus.json",
    output:
        run / "manifests" / "training_{model}.json",
    params:
        preset=preset,
        corpus=lambda wildcards: corpus,
        seed=seed,
    wildcard_constraints:
        model="[a-z_]+",
    priority: 1
    threads: threads
    shell:
        "octavoice train --preset {params.preset:q} --corpus {params.corpus:q} --seed {params.seed}"
        " --model {wildcards.model} 2>&1 | octavoice relay training"


# A preset fixes its threads, so that the same run gives the same bits whatever the number of cores.
rule notebook:
    input:
        lambda wildcards: [near(file) for file in graph.code(IMPORTS[wildcards.notebook])],
        run / "manifests" / "corpus.json",
        lambda wildcards: trained(wildcards.notebook),
        notebook="notebooks/{notebook}.ipynb",
    output:
        run / "manifests" / "{notebook}.json",
    log:
        run / "notebooks" / "{notebook}.ipynb",
    params:
        preset=preset,
        corpus=lambda wildcards: corpus,
        seed=seed,
        committed=lambda wildcards: graph.committed_state(IMPORTS[wildcards.notebook]),
    wildcard_constraints:
        notebook="[0-9]{2}_[a-z_]+",
    threads: threads
    shell:
        "echo '{wildcards.notebook} | started';"
        " papermill {input.notebook:q} {log:q} --kernel python3 --no-progress-bar --log-level WARNING"
        " --stderr-file /dev/stderr"
        " -r preset {params.preset:q} -r corpus {params.corpus:q} -p seed {params.seed}"
        " 2>&1 | octavoice relay {wildcards.notebook}"
        " && echo \"{wildcards.notebook} | done in $SECONDS s\""
        " || {{ echo '{wildcards.notebook} | failed; its cells up to the error:' {log:q}; exit 1; }}"


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
