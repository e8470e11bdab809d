"""The command line: a thin face over the rooms.

A :class:`~octavoice.errors.UserError` ends it with one sentence and exit status 2.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from octavoice import __version__, paths
from octavoice.errors import UserError

MAX_SEED = 2**31 - 1


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return the exit status (0, 2 for a user's mistake, 130 for Ctrl-C)."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except UserError as error:
        print(f"octavoice: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def seed_number(text: str) -> int:
    """A seed from its text; raises :class:`UserError` unless it is a whole number from 0 to 2³¹ − 1."""
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_SEED):
        raise UserError(f"seed {text!r} is not a whole number from 0 to {MAX_SEED}; give one, for instance 1.")
    return int(text)


def check(arguments: argparse.Namespace) -> None:
    """Raise :class:`UserError` unless preset, corpus and seed are ones that can be run."""
    from octavoice import corpus
    from octavoice.experiment import presets

    presets.resolve(arguments.preset)
    corpus.check(arguments.corpus)
    seed_number(arguments.seed)


def build_corpus(arguments: argparse.Namespace) -> None:
    """Read and pack a corpus, say what was kept, and write a marker with its hash if asked to."""
    from octavoice import corpus
    from octavoice.experiment import presets

    built = corpus.load(arguments.name, limit=presets.resolve(arguments.preset).files or None)
    print(f"{arguments.name}: {len(built.pieces)} of {len(built.report)} files kept", file=sys.stderr)
    if arguments.manifest:
        facts = {"corpus": arguments.name, "pieces": len(built.pieces), "sha256": built.sha256}
        with paths.atomic(Path(arguments.manifest)) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def list_corpora(arguments: argparse.Namespace) -> None:
    """Name the corpora there are, with their size and licence."""
    from octavoice.corpus import catalogue

    print(f"{'bach':24}{'–':>6}{'–':>8} MB  as music21  Bach's chorales that come with music21")
    for row in catalogue.table():
        print(f"{row['corpus']:24}{row['files']:6}{row['MB']:8} MB  {row['licence']}  {row['title']}")


def fetch_corpus(arguments: argparse.Namespace) -> None:
    """Download a corpus, or what is missing of it, and verify every file."""
    from octavoice.corpus import fetch

    print(f"{arguments.name}: {len(fetch.fetch(arguments.name))} files, all verified, in {fetch.data_dir()}")


def show_corpus(arguments: argparse.Namespace) -> None:
    """Say where a corpus comes from and under which licence."""
    from octavoice.corpus import catalogue

    print(catalogue.describe(arguments.name))


def hand_over(arguments: argparse.Namespace) -> None:
    """Copy a finished run's figures and results to where a reader looks for them."""
    from octavoice.experiment import handover

    print(handover.hand_over(arguments.preset, arguments.corpus, seed_number(arguments.seed)))


def publish(arguments: argparse.Namespace) -> None:
    """Copy a finished run to where it is committed, and say how."""
    from octavoice.experiment import handover

    print(handover.publish(arguments.preset, arguments.corpus, seed_number(arguments.seed)))


def relay(arguments: argparse.Namespace) -> None:
    """Pass on a notebook's progress, each line with the notebook's name before it."""
    from octavoice.experiment import relay

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the notebook's to answer; what it says then is passed on
    relay.relay(arguments.name, sys.stdin.fileno(), sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="octavoice", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"octavoice {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in (("check", check), ("handover", hand_over), ("publish", publish)):
        run = commands.add_parser(name, help=command.__doc__.splitlines()[0])
        run.add_argument("--preset", default="quick")
        run.add_argument("--corpus", default="bach")
        run.add_argument("--seed", default="1")
        run.set_defaults(command=command)
    build = commands.add_parser("corpus", help="work on a corpus").add_subparsers(metavar="COMMAND", required=True)
    build.add_parser("list", help=list_corpora.__doc__).set_defaults(command=list_corpora)
    for name, command in (("fetch", fetch_corpus), ("show", show_corpus)):
        named = build.add_parser(name, help=command.__doc__)
        named.add_argument("name", help="a name from `octavoice corpus list`")
        named.set_defaults(command=command)
    build = build.add_parser("build", help=build_corpus.__doc__.splitlines()[0])
    build.add_argument("name", help="bach, folder:PATH, or a name from `octavoice corpus list`")
    build.add_argument("--preset", default="quick", help="which decides how many files are read")
    build.add_argument("--manifest", metavar="PATH", help="where to write the corpus's hash")
    build.set_defaults(command=build_corpus)
    passer = commands.add_parser("relay", help=relay.__doc__.splitlines()[0])
    passer.add_argument("name")
    passer.set_defaults(command=relay)
    return parser


if __name__ == "__main__":
    sys.exit(main())
