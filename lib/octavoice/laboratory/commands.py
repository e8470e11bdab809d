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
    runs = commands.add_parser("runs", help=list_runs.__doc__, description=list_runs.__doc__)
    runs.add_argument("--wide", action="store_true", help="all that is worth a look, however wide")
    runs.add_argument("--csv", metavar="FILE", help="write all columns as CSV")
    runs.set_defaults(command=list_runs)
    more = runs.add_subparsers(metavar="diff A B")
    pair = more.add_parser("diff", help=diff.__doc__, description=diff.__doc__)
    pair.add_argument("first", metavar="A", help="a run as `octavoice runs` names it, or an end of its name")
    pair.add_argument("second", metavar="B")
    pair.set_defaults(command=diff)
    verdicts = commands.add_parser("claims", help=claims.__doc__)
    verdicts.add_argument("action", nargs="?", choices=["table", "measure"], default="table")
    verdicts.add_argument("--corpus", default="open-keyboard", help="of a published run to measure [%(default)s]")
    verdicts.add_argument("--seed", default="1", help="of that run [%(default)s]")
    verdicts.add_argument("--only", nargs="+", default=[], metavar="SUBJECT", help="what to measure [everything]")
    verdicts.set_defaults(command=claims)


def _add_around_a_run(commands) -> None:
    """``reproduce`` and ``sweep``, which let Snakemake do what is out of date; ``test`` and ``notebooks``."""
    run, many = (commands.add_parser(name, help=command.__doc__.splitlines()[0])
                 for name, command in (("reproduce", reproduce), ("sweep", sweep)))
    run.set_defaults(command=reproduce)
    add_run(run)
    run.add_argument("--only-training", action="store_true", help="train and compose only, notebooks 06 and 07")
    many.set_defaults(command=sweep)
    many.add_argument("name", help="a name in sweeps/, or the path of a .yaml file")
    many.add_argument("--check", action="store_true", help="say what it asks for and what of it is there; run nothing")
    for parser in (run, many):
        parser.add_argument("--cores", default="2", help="of this machine; with a profile, jobs at once [%(default)s]")
        parser.add_argument("--profile", default="", help="a Snakemake profile, profiles/slurm for a cluster")
    commands.add_parser("test", help=test.__doc__.splitlines()[0]).set_defaults(command=test)
    pages = commands.add_parser("notebooks", help=notebooks.__doc__.splitlines()[0], description=notebooks.__doc__)
    pages.add_argument("names", nargs="*", metavar="NAME", help="only these, for instance 08_beyond")
    pages.set_defaults(command=notebooks)


def _add_steps(commands) -> None:
    """The steps that the graph is made of: ``train``, ``levels``, ``ablate``, ``relay``."""
    for name, command in (("train", train), ("levels", levels), ("ablate", ablate)):
        step = commands.add_parser(name, help=command.__doc__.splitlines()[0])
        add_run(step)
        step.add_argument("--device", default="auto", help="auto, cpu or cuda [%(default)s]")
        step.add_argument("--overrides", default="{}", metavar="JSON", help="fields of the preset to change")
        step.set_defaults(command=command)
        if command is ablate:
            step.add_argument("variants", nargs="*", metavar="VARIANT", help="without one: list them")
            step.set_defaults(preset="ablation", corpus="open-keyboard")
        else:
            step.add_argument("--model", default="thesis", help="or MODEL-STAGE: one of its networks [%(default)s]")
    passer = commands.add_parser("relay", help=relay.__doc__.splitlines()[0])
    passer.add_argument("--log", metavar="PATH", help="where to look if it fails")
    passer.add_argument("--copy", action="store_true", help="write what it says there too")
    passer.add_argument("name")
    passer.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER)
    passer.set_defaults(command=relay)


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options that name a run."""
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--corpus", default="bach")
    parser.add_argument("--seed", default="1")


def checked(arguments: argparse.Namespace) -> tuple[str, str, int]:
    """Preset, corpus and seed that can be run; raises :class:`UserError` for others."""
    from octavoice import corpus
    from octavoice.training import presets

    presets.resolve(arguments.preset)
    corpus.check(arguments.corpus)
    return arguments.preset, arguments.corpus, presets.seed_number(arguments.seed)


def reproduce(arguments: argparse.Namespace) -> int:
    """Run all notebooks of one run, as far as they are out of date, and hand on what they made."""
    from octavoice.laboratory import drive

    target = "train" if arguments.only_training else "all"
    return drive.reproduce(*checked(arguments), arguments.cores, arguments.profile, target)


def sweep(arguments: argparse.Namespace) -> int:
    """Run a sweep: all that it asks for and is not there yet, then a notebook that sums it up."""
    from octavoice.laboratory import drive, summary, sweeps

    if arguments.check:
        steps = summary.steps(sweeps.read(arguments.name))
        print(steps.to_string(index=False), summary.told(steps), sep="\n")
        return 0
    return drive.sweep(arguments.name, arguments.cores, arguments.profile)


def test(arguments: argparse.Namespace) -> int:
    """Everything CI runs: lint, tests, and the notebooks at preset smoke."""
    from octavoice.laboratory import drive

    return drive.test()


def notebooks(arguments: argparse.Namespace) -> int:
    """Make the notebooks' stored pages again from the committed run that they show, which is read and not trained."""
    from octavoice.laboratory import drive

    return drive.notebooks(tuple(arguments.names))


def train(arguments: argparse.Namespace) -> None:
    """Train the networks of a run without a notebook: go on where that was interrupted, or find them trained."""
    run = _run(arguments)
    from octavoice.laboratory import freshness
    from octavoice.training import networks

    networks.obtain(run, arguments.model)
    run.write_manifest(f"training_{arguments.model}", cost=run.costs, code=freshness.code_of_training(arguments.model))
    for part, cost in run.costs.items():
        done = "found done" if part in run.found else "done"
        print(f"{part}: {done}, {cost['iterations']} iterations in {cost['seconds']:.0f} s", file=sys.stderr)


def levels(arguments: argparse.Namespace) -> None:
    """Judge a trained model on the test pieces without a notebook: nats per step, beside tables of frequencies."""
    run = _run(arguments)
    import torch
    from tqdm import tqdm

    from octavoice.evidence import judging
    from octavoice.laboratory import freshness
    from octavoice.training import networks

    table = judging.levels(run, networks.obtain(run, arguments.model), tqdm)
    run.record(f"results/levels_{arguments.model}.csv", table.to_csv(lineterminator="\n").encode())
    run.write_manifest(f"levels_{arguments.model}", code=freshness.code_in_use(run), commit=provenance.commit(),
                       cost={**run.costs, "found": run.found, "processor": provenance.processor(),
                             "threads": torch.get_num_threads()})
    print(table.round(3).to_string(), file=sys.stderr)


def ablate(arguments: argparse.Namespace) -> None:
    """Train, judge and let sample the thesis's networks with one choice made otherwise; without a name list them."""
    from octavoice import paths
    from octavoice.evidence.ablation import runs, variants
    from octavoice.laboratory import freshness, graph

    for name in arguments.variants:
        runs.variant_of(name)
    if not arguments.variants:
        print("\n".join(f"{name:23}{each.choice}: {each.told}" for name, each in variants.VARIANTS.items()))
        return
    run = _run(arguments)
    code = freshness.state(provenance.reached(graph.ABLATION))
    for name in arguments.variants:
        found = runs.obtain(run, name)
        path = runs.result_path(run, name)
        run.files = {path.relative_to(paths.home()).as_posix(): provenance.sha256(path)}
        run.write_manifest(f"ablation_{name}", code=code, commit=found["commit"], cost={
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
    """Every run that is here, finished or committed, in one table; stale ones are marked."""
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
    """Give every claim of the thesis its verdict from stored runs; or measure of a run what is stored for that."""
    from octavoice.laboratory import claims_command
    from octavoice.training import presets

    if arguments.action == "table":
        print(claims_command.write_table())
    else:
        print(claims_command.measure(arguments.corpus, presets.seed_number(arguments.seed), arguments.only))


def diff(arguments: argparse.Namespace) -> None:
    """What differs between two runs: settings, versions and code, and results."""
    from octavoice.laboratory import runs

    table = runs.diff(arguments.first, arguments.second)
    print(table.to_string() if len(table) else "nothing differs.")
