"""The graph of runs: corpus → training of each model → notebooks 06 to 08 and levels, corpus → 01 to 05 and
ablations, what is committed → 09 and 10; → hand-over.

It is asked for one run (preset, corpus, seed) with all notebooks, or for the runs of a sweep. A step depends on its
settings, its music, the versions of what it computes, and the code of the files that it names. A step's one declared output is the manifest it writes at its end (the names
and hashes of its figures and results). Its executed notebook, or what it said, is the log, so that it survives a
failure and shows it; checkpoints are undeclared, so that training resumes from them.
"""

from pathlib import Path

from octavoice import paths
from octavoice.corpus import store
from octavoice.errors import UserError
from octavoice.laboratory import graph, handover, sweeps

# Snakemake's remarks on its own scheduling; errors and what the notebooks say remain.
CHATTER = ("Building DAG", "Using shell", "Select jobs", "Execute ", "Job rate limit", "Complete log", "Elapsed time")
logger.addFilter(lambda record: not record.getMessage().startswith(CHATTER))

# What Snakemake remembers of a home's steps lies there too.
workdir: str(paths.home())


try:
    ASKED = sweeps.asked(config)
except UserError as error:
    sys.exit(f"octavoice: {error}")


def near(path):
    """A path relative to the home where possible: shorter messages, and what is moved stays up to date."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def manifests(work, steps):
    return [near(work.manifest(step)) for step in steps]


def of(wildcards):
    """The run of a step."""
    return WORKS[wildcards.run]


def called(wildcards, step):
    """How a step's lines begin: by its own name, and where there are several runs by the run's too."""
    return step if len(ASKED) == 1 else f"{Path(wildcards.run).relative_to(near(paths.home() / 'runs'))} {step}"


WORKS = {str(near(work.folder)): work for work in ASKED}
MUSIC = {str(near(work.music)): work for work in ASKED}
NOTEBOOKS = near(paths.checkout() / "notebooks")
RUN = ASKED[0].preset.name, ASKED[0].corpus, ASKED[0].seed


# The checkout's own notebooks are no run's.
wildcard_constraints:
    run="runs/.+",


# On a cluster these stay where Snakemake runs, which often is the one place that reaches the net.
localrules:
    all,
    train,
    corpus,
    hand_over,


rule all:
    input:
        [manifest for work in ASKED for manifest in manifests(work, work.steps)],
        [] if "sweep" in config else [near(index) for index in handover.indexes(*RUN)],


rule train:
    input:
        manifests(ASKED[0], ("06_experiments", "07_discussion")),


# Settings are given by functions in each rule, because a path in them may hold braces, which else are wildcards.
rule corpus:
    output:
        near(paths.store_dir()) / "{music}.json",
    params:
        corpus=lambda wildcards, output: MUSIC[output[0]].corpus,
        files=lambda wildcards, output: MUSIC[output[0]].preset.files,
        state=lambda wildcards, output: graph.folder_state(MUSIC[output[0]].corpus),
        code=store.code_state(),
    shell:
        "python -m octavoice corpus build {params.corpus:q} --files {params.files} --manifest {output:q}"


# Goes on from its checkpoints. Where a changed file changes no weight, it finds the networks trained and writes the
# same manifest again, so that nothing after it reruns. It is the longest and starts first.
rule training:
    input:
        lambda wildcards: near(of(wildcards).music),
    output:
        "{run}/manifests/training_{model}.json",
    log:
        "{run}/logs/training_{model}.log",
    params:
        called=lambda wildcards: called(wildcards, f"training {wildcards.model}"),
        options=lambda wildcards: of(wildcards).options(),
        code=lambda wildcards: graph.code_state(f"training_{wildcards.model}"),
    wildcard_constraints:
        model="[a-z0-9_-]+",
    priority: 1
    threads: lambda wildcards: of(wildcards).preset.threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).memory_mb,
        runtime=lambda wildcards: of(wildcards).minutes,
        gpu=lambda wildcards: int(of(wildcards).device == "cuda"),
    shell:
        "python -m octavoice relay --log {log:q} --copy {params.called:q}"
        " python -m octavoice train {params.options:q} --model {wildcards.model}"


# The same for the levels of a trained model on the test pieces, where no notebook is asked for.
rule levels:
    input:
        lambda wildcards: near(of(wildcards).music),
        lambda wildcards: manifests(of(wildcards), of(wildcards).trainings(f"levels_{wildcards.model}")),
    output:
        "{run}/manifests/levels_{model}.json",
    log:
        "{run}/logs/levels_{model}.log",
    params:
        called=lambda wildcards: called(wildcards, f"levels {wildcards.model}"),
        options=lambda wildcards: of(wildcards).options(),
        code=lambda wildcards: graph.code_state(f"levels_{wildcards.model}"),
    wildcard_constraints:
        model="[a-z0-9_-]+",
    threads: lambda wildcards: of(wildcards).preset.threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).memory_mb,
        runtime=lambda wildcards: of(wildcards).minutes,
        gpu=lambda wildcards: int(of(wildcards).device == "cuda"),
    shell:
        "python -m octavoice relay --log {log:q} --copy {params.called:q}"
        " python -m octavoice levels {params.options:q} --model {wildcards.model}"


# A variant of the thesis's choices is trained and judged in one step.
rule ablation:
    input:
        lambda wildcards: near(of(wildcards).music),
    output:
        "{run}/manifests/ablation_{variant}.json",
    log:
        "{run}/logs/ablation_{variant}.log",
    params:
        called=lambda wildcards: called(wildcards, f"ablation {wildcards.variant}"),
        options=lambda wildcards: of(wildcards).options(),
        code=lambda wildcards: graph.code_state(f"ablation_{wildcards.variant}"),
    wildcard_constraints:
        variant="[a-z0-9-]+",
    threads: lambda wildcards: of(wildcards).preset.threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).memory_mb,
        runtime=lambda wildcards: of(wildcards).minutes_of(wildcards.variant),
        gpu=lambda wildcards: int(of(wildcards).device == "cuda"),
    shell:
        "python -m octavoice relay --log {log:q} --copy {params.called:q}"
        " python -m octavoice ablate {wildcards.variant} {params.options:q}"


# A preset fixes its threads, so that the same run gives the same bits whatever the number of cores.
rule notebook:
    input:
        lambda wildcards: near(of(wildcards).music),
        lambda wildcards: manifests(of(wildcards), of(wildcards).trainings(wildcards.notebook + wildcards.on)),
        notebook=lambda wildcards: NOTEBOOKS / f"{wildcards.notebook}.ipynb",
    output:
        "{run}/manifests/{notebook}{on}.json",
    log:
        "{run}/notebooks/{notebook}{on}.ipynb",
    params:
        called=lambda wildcards: called(wildcards, wildcards.notebook + wildcards.on),
        given=lambda wildcards: of(wildcards).parameters(wildcards.notebook + wildcards.on),
        code=lambda wildcards: graph.code_state(wildcards.notebook + wildcards.on),
        committed=lambda wildcards: graph.committed_state(wildcards.notebook),
    wildcard_constraints:
        notebook="[0-9]{2}_[a-z_]+",
        on="(-[a-z0-9_-]+)?",
    threads: lambda wildcards: of(wildcards).preset.threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).memory_mb,
        runtime=lambda wildcards: of(wildcards).minutes,
        gpu=lambda wildcards: int(of(wildcards).device == "cuda"),
    shell:
        "python -m octavoice relay --log {log:q} {params.called:q}"
        " python -m papermill {input.notebook:q} {log:q} --kernel python3 --no-progress-bar --log-level WARNING"
        " --stderr-file - {params.given:q}"


rule hand_over:
    input:
        manifests(ASKED[0], handover.NOTEBOOKS),
    output:
        [near(index) for index in handover.indexes(*RUN)],
    params:
        preset=RUN[0],
        corpus=lambda wildcards: RUN[1],
        seed=RUN[2],
    shell:
        "python -m octavoice handover --preset {params.preset:q} --corpus {params.corpus:q} --seed {params.seed}"
