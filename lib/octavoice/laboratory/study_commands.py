"""The command line's ``survey`` and ``claims``: trainings and measurements outside a notebook, and what they
add up to.
"""

import argparse

from octavoice.errors import UserError
from octavoice.laboratory.commands import told


def add(commands) -> None:
    """Add them to the parsers of ``octavoice``."""
    _add_survey(commands)
    _add_claims(commands)


def _add_survey(commands) -> None:
    words = "Train and judge the models that the thesis surveys, and say what is there and what is missing."
    survey = commands.add_parser("survey", help=words, description=words)
    survey = survey.add_subparsers(metavar="COMMAND", required=True, title="commands")
    run = told(survey, "run", run_survey)
    run.add_argument("model", metavar="MODEL", help="for instance lstm or rnn-nade; an unknown one prints them all")
    run.add_argument("corpus", metavar="CORPUS",
                     help="a benchmark set (benchmarks/jsb, benchmarks/nottingham, benchmarks/musedata, "
                          "benchmarks/piano-midi), or music as `octavoice corpus list` names it")
    run.add_argument("--seed", default="1", help="another number gives other draws throughout [%(default)s]")
    run.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="settings",
                     help="settings of a benchmark set to change, for instance dropout=0.3; an unknown one "
                          "prints them all")
    run.add_argument("--device", default="cpu", help="auto, cpu or cuda [%(default)s]")
    told(survey, "all", survey_all)
    told(survey, "controls", survey_controls)
    told(survey, "references", survey_references)
    told(survey, "summary", survey_summary)


def _add_claims(commands) -> None:
    verdicts = told(commands, "claims", claims)
    measured = told(verdicts.add_subparsers(metavar="[measure]", title="commands"), "measure", measure_claims)
    measured.add_argument("--corpus", default="open-keyboard", help="of a published run [%(default)s]")
    measured.add_argument("--seed", default="1", help="of that run [%(default)s]")
    measured.add_argument("--only", nargs="+", default=[], metavar="SUBJECT",
                          help="what to measure; an unknown one prints them all [everything]")


def run_survey(arguments: argparse.Namespace) -> None:
    """Train one model on one benchmark set or corpus and judge it; an interrupted training goes on where it
    was."""
    from octavoice.studies import other_kinds, survey_runs
    from octavoice.training import presets

    seed = presets.seed_number(arguments.seed)
    if arguments.model in other_kinds.BY_MODEL:
        if arguments.settings:
            raise UserError("settings are for models of chords on benchmark sets; leave --set out.")
        print(other_kinds.run_one(arguments.model, arguments.corpus, seed, arguments.device))
        return
    print(survey_runs.run_one(arguments.model, arguments.corpus, seed, arguments.settings, arguments.device))


def survey_all(arguments: argparse.Namespace) -> None:
    """Train and judge every model of melodies, voices, notes and performances that has no result yet, one
    after another."""
    import torch

    from octavoice.studies import other_kinds

    torch.set_num_threads(1)
    for study, corpus, seed in other_kinds.missing():
        print(other_kinds.run_one(study.model, corpus, seed))


def survey_controls(arguments: argparse.Namespace) -> None:
    """Write what the benchmark sets give without any network, to results/survey/controls.json."""
    from octavoice.studies import survey_runs

    print(survey_runs.write_controls())


def survey_references(arguments: argparse.Namespace) -> None:
    """Judge tables of frequencies and the committed networks on the survey's pieces, to
    results/survey/references.json.
    """
    from octavoice.studies import survey_runs

    print(survey_runs.write_references())


def survey_summary(arguments: argparse.Namespace) -> None:
    """Print three tables: benchmark sets beside published figures, open music, and by how much the best is
    better."""
    from octavoice.results import survey_tables

    print(survey_tables.summary())


def claims(arguments: argparse.Namespace) -> None:
    """Give every claim of the thesis its verdict, from what was measured of the committed runs."""
    from octavoice.results import claims_command

    print(claims_command.write_table())


def measure_claims(arguments: argparse.Namespace) -> None:
    """Measure of a published run what the verdicts rest on; it becomes part of that run's results."""
    from octavoice.results import claims_command
    from octavoice.training import presets

    print(claims_command.measure(arguments.corpus, presets.seed_number(arguments.seed), arguments.only))
