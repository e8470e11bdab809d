"""The laboratory's commands of the command line: runs, one or many, and what came of them."""

import argparse
import json
import sys
from pathlib import Path

from octavoice import provenance
from octavoice.errors import UserError


def add(commands) -> None:
    """Add them to the parsers of ``octavoice``."""
    _add_around_a_run(commands)
    _add_steps(commands)
    runs = told(commands, "runs", list_runs)
    runs.add_argument("--wide", action="store_true", help="all that is worth a look, however wide")
    runs.add_argument("--csv", metavar="FILE", help="write all columns as CSV")
    pair = told(runs.add_subparsers(metavar="[diff A B]", title="commands"), "diff", diff)
    pair.add_argument("first", metavar="A", help="a run as `octavoice runs` names it, or an end of its name")
    pair.add_argument("second", metavar="B", help="another")
    verdicts = told(commands, "claims", claims)
    verdicts.add_argument("action", nargs="?", choices=["table", "measure"], default="table",
                          help="write the table of verdicts, or measure of one run what it rests on [%(default)s]")
    verdicts.add_argument("--corpus", default="open-keyboard", help="of a published run to measure [%(default)s]")
    verdicts.add_argument("--seed", default="1", help="of that run [%(default)s]")
    verdicts.add_argument("--only", nargs="+", default=[], metavar="SUBJECT", help="what to measure [everything]")


def _add_around_a_run(commands) -> None:
    """``reproduce`` and ``sweep``, which let Snakemake do what is out of date; ``test`` and ``notebooks``."""
    run, many = told(commands, "reproduce", reproduce), told(commands, "sweep", sweep)
    add_run(run)
    run.add_argument("--only-training", action="store_true", help="train and compose only, notebooks 06 and 07")
    many.add_argument("name", help="a name in sweeps/, or the path of a .yaml file")
    many.add_argument("--check", action="store_true", help="say what it asks for and what of it is there; run nothing")
    for parser in (run, many):
        parser.add_argument("--cores", default="2", help="of this machine; with a profile, jobs at once [%(default)s]")
        parser.add_argument("--profile", default="", help="a Snakemake profile, profiles/slurm for a cluster")
    told(commands, "test", test)
    pages = told(commands, "notebooks", notebooks)
    pages.add_argument("names", nargs="*", metavar="NAME", help="only these, for instance 08_beyond")


def _add_steps(commands) -> None:
    """The steps that the graph is made of: ``train``, ``levels``, ``ablate``, ``relay``."""
    for name, command in (("train", train), ("levels", levels), ("ablate", ablate)):
        step = told(commands, name, command)
        add_run(step)
        step.add_argument("--device", default="auto", help="auto, cpu or cuda [%(default)s]")
        step.add_argument("--overrides", default="{}", metavar="JSON", 
                          help="settings of the preset to change, for instance '{\"iterations\": 100}'")
        if command is ablate:
            step.add_argument("variants", nargs="*", metavar="VARIANT",
                              help="what to make otherwise; without one: list them")
            step.set_defaults(preset="ablation", corpus="open-keyboard")
        else:
            step.add_argument("--model", default="thesis", 
                              help="which model, or one of its networks: thesis, beyond, thesis-decoder [%(default)s]")
    passer = told(commands, "relay", relay, hidden=True)
    passer.add_argument("--log", metavar="PATH", help="where to look if it fails")
    passer.add_argument("--copy", action="store_true", help="write what it says there too")
    passer.add_argument("name")
    passer.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER)


def told(parsers, name: str, command, hidden: bool = False) -> argparse.ArgumentParser:
    """A parser for a command, whose docstring says what it does; a hidden one is called by others, not by people."""
    words = " ".join(command.__doc__.split()).replace("%", "%%")
    parser = parsers.add_parser(name, description=words, **({} if hidden else {"help": words}))
    parser.set_defaults(command=command)
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options that name a run."""
    parser.add_argument("--preset", default="quick", help="how much to do: smoke (seconds, learns nothing), quick, "
                                                          "ablation, survey or thesis [%(default)s]")
    parser.add_argument("--corpus", default="bach", help="the music: bach, folder:PATH, or a name from `octavoice "
                                                         "corpus list` [%(default)s]")
    parser.add_argument("--seed", default="1", help="another number gives other draws throughout [%(default)s]")


def checked(arguments: argparse.Namespace) -> tuple[str, str, int]:
    """Preset, corpus and seed that can be run; raises :class:`UserError` for others."""
    from octavoice import corpus
    from octavoice.training import presets

    presets.resolve(arguments.preset)
    corpus.check(arguments.corpus)
    return arguments.preset, arguments.corpus, presets.seed_number(arguments.seed)


def reproduce(arguments: argparse.Namespace) -> int:
    """Train the models, run all notebooks, and leave figures and results; what is up to date is not done again."""
    from octavoice.laboratory import drive

    target = "train" if arguments.only_training else "all"
    return drive.reproduce(*checked(arguments), arguments.cores, arguments.profile, target)


def sweep(arguments: argparse.Namespace) -> int:
    """Do many runs, as a file of a few lines asks: what is not there yet, then a notebook that sums it up."""
    from octavoice.laboratory import drive, summary, sweeps

    if arguments.check:
        steps = summary.steps(sweeps.read(arguments.name))
        print(steps.to_string(index=False), summary.told(steps), sep="\n")
        return 0
    return drive.sweep(arguments.name, arguments.cores, arguments.profile)


def test(arguments: argparse.Namespace) -> int:
    """Test everything, as CI does: lint, tests, and the notebooks at preset smoke."""
    from octavoice.laboratory import drive

    return drive.test()


def notebooks(arguments: argparse.Namespace) -> int:
    """Make the stored notebooks again from the committed run that they show; nothing is trained."""
    from octavoice.laboratory import drive

    return drive.notebooks(tuple(arguments.names))


def train(arguments: argparse.Namespace) -> None:
    """Train networks without a notebook; an interrupted training goes on where it was."""
    run = _run(arguments)
    from octavoice.laboratory import validity
    from octavoice.training import networks

    networks.obtain(run, arguments.model)
    step = f"training_{arguments.model}"
    run.write_manifest(step, cost=run.costs, code=validity.versions_of(step))
    for part, cost in run.costs.items():
        done = "found done" if part in run.found else "done"
        print(f"{part}: {done}, {cost['iterations']} iterations in {cost['seconds']:.0f} s", file=sys.stderr)


def levels(arguments: argparse.Namespace) -> None:
    """Say how probable a trained model finds the test pieces, in nats per step, beside tables of frequencies."""
    run = _run(arguments)
    import torch
    from tqdm import tqdm

    from octavoice.laboratory import validity
    from octavoice.likelihood import judging
    from octavoice.training import networks

    table = judging.levels(run, networks.obtain(run, arguments.model), tqdm)
    run.record(f"results/levels_{arguments.model}.csv", table.to_csv(lineterminator="\n").encode())
    step = f"levels_{arguments.model}"
    run.write_manifest(step, code=validity.versions_of(step), commit=provenance.commit(),
                       cost={**run.costs, "found": run.found, "processor": provenance.processor(),
                             "threads": torch.get_num_threads()})
    print(table.round(3).to_string(), file=sys.stderr)


def ablate(arguments: argparse.Namespace) -> None:
    """Train and judge the thesis's networks with one of their choices made otherwise; without a name list these."""
    from octavoice import paths
    from octavoice.laboratory import validity
    from octavoice.studies import ablations as runs
    from octavoice.studies import variants

    for name in arguments.variants:
        runs.variant_of(name)
    if not arguments.variants:
        print("\n".join(f"{name:23}{each.choice}: {each.told}" for name, each in variants.VARIANTS.items()))
        return
    run = _run(arguments)
    for name in arguments.variants:
        found = runs.obtain(run, name)
        path = runs.result_path(run, name)
        run.files = {path.relative_to(paths.home()).as_posix(): provenance.sha256(path)}
        step = f"ablation_{name}"
        run.write_manifest(step, code=validity.versions_of(step), commit=found["commit"], cost={
            f"ablation, {name}": found["cost"], "processor": found["processor"], "threads": run.preset.threads})
        print(f"{path}: {_told_level(found)}", file=sys.stderr)


def _told_level(found: dict) -> str:
    """The level of an ablation in words; there is none where a sampler cannot make every step."""
    if found["level"] is None:
        return f"{found['mixed']:.3f} nats per step mixed with a table, impossible alone in {found['impossible']:.1%}"
    return f"{found['level']:.3f} nats per step, {found['kind']}"


def _run(arguments: argparse.Namespace):
    """The run that ``train``, ``levels`` and ``ablate`` are told. Raises :class:`UserError`."""
    from octavoice.training import models, presets
    from octavoice.training.run import Run, check_parameters, pick_device

    try:
        overrides = json.loads(arguments.overrides)
    except ValueError as error:
        raise UserError(f"overrides {arguments.overrides!r} are not JSON; give for instance "
                        """'{"iterations": 100}'.""") from error
    given = {"preset": arguments.preset, "corpus": arguments.corpus, "seed": presets.seed_number(arguments.seed),
             "device": arguments.device, "overrides": overrides}
    check_parameters(given)
    if "model" in arguments:
        models.named(arguments.model)
    return Run(presets.resolve(given["preset"], **overrides), given["corpus"], given["seed"],
               pick_device(given["device"]))


def relay(arguments: argparse.Namespace) -> int:
    """Run a command and pass on what it says, each line with a name before it."""
    from octavoice.laboratory import relay

    return relay.run(arguments.name, arguments.words, Path(arguments.log) if arguments.log else None, arguments.copy)


def list_runs(arguments: argparse.Namespace) -> None:
    """List every run that is here in one table, and say which were made by other code than there is now."""
    from octavoice import paths
    from octavoice.laboratory import runs

    table = runs.table()
    if arguments.csv:
        with paths.atomic(Path(arguments.csv)) as temporary:
            table.to_csv(temporary, lineterminator="\n")
        print(f"{arguments.csv}: {len(table)} runs, {len(table.columns)} columns")
    else:
        shown = runs.brief(table).to_string if arguments.wide else lambda: runs.told(table)
        print(shown() if len(table) else "there is no run yet; `make reproduce` makes one.")


def claims(arguments: argparse.Namespace) -> None:
    """Give every claim of the thesis its verdict, from what was measured of the committed runs."""
    from octavoice.results import claims_command
    from octavoice.training import presets

    if arguments.action == "table":
        print(claims_command.write_table())
    else:
        print(claims_command.measure(arguments.corpus, presets.seed_number(arguments.seed), arguments.only))


def diff(arguments: argparse.Namespace) -> None:
    """Say in what two runs differ: settings, versions, code and results."""
    from octavoice.laboratory import runs

    table = runs.diff(arguments.first, arguments.second)
    print(table.to_string() if len(table) else "nothing differs.")
