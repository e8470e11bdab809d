"""The command line: a thin face over the rooms.

A :class:`~octavoice.errors.UserError` ends it with one sentence and exit status 2.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from octavoice import __version__, paths
from octavoice.errors import UserError
from octavoice.laboratory import commands
from octavoice.training.presets import seed_number

ABOUT = """Composes piano music with small neural networks, and trains and judges these as a thesis of 2018 did.

  octavoice compose --prime "A minor" -o first.mid --audio first.mp3
  octavoice COMMAND --help
"""
"""What ``octavoice --help`` opens with."""
BACH = "Bach's chorales that come with music21"
EXAMPLES = """{}

  octavoice compose --prime "A minor" -o first.mid --bars 8 --seed 2
  octavoice compose first.mid -o longer.mid --audio longer.mp3 --png longer.png
  octavoice compose first.mid -o more.mid --variations 8 --sheet more.png
"""
"""What ``octavoice compose --help`` opens with."""


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return the exit status: 0, 2 for a user's mistake, 130 for Ctrl-C, 141 if nobody reads on."""
    for stream in (sys.stdout, sys.stderr):  # a name that cannot be written there is shown as far as it can
        if getattr(stream, "errors", "") in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # as in `octavoice runs | head`; what is still held back goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(argv: list[str] | None) -> int:
    """The same while somebody reads what is said."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.command(arguments) or 0
    except UserError as error:
        print(f"octavoice: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def check(arguments: argparse.Namespace) -> None:
    """Say whether preset, corpus and seed are ones that can be run, by the exit status."""
    commands.checked(arguments)


def build_corpus(arguments: argparse.Namespace) -> None:
    """Read a corpus, say what was kept of it and what not, and keep it packed for the commands that train."""
    from octavoice import corpus
    from octavoice.corpus import report
    from octavoice.training import presets

    limit = presets.resolve(arguments.preset, **({} if arguments.files is None else {"files": arguments.files})).files
    built = corpus.load(arguments.name, limit=limit or None)
    whole = report.write(built.report, paths.corpus_report(arguments.name, limit))
    print(*report.told(arguments.name, built.report, whole), sep="\n", file=sys.stderr)
    if arguments.manifest and not built.splits()["test"]:
        print("octavoice: two pieces train and validate, and none is left to test, so where pieces are tested the "
              "validation piece is; add files for a test.", file=sys.stderr)
    if arguments.manifest:
        facts = {"corpus": arguments.name, "pieces": len(built.pieces), "corpus_sha256": built.sha256,
                 "durations_sha256": built.durations_sha256}
        with paths.atomic(Path(arguments.manifest)) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def list_corpora(arguments: argparse.Namespace) -> None:
    """Name the corpora there are, with their size and licence."""
    from octavoice.corpus import catalogue

    print(f"{'bach':24}{'–':>6}{'–':>8} MB  as music21  {BACH}")
    for row in catalogue.table():
        print(f"{row['corpus']:24}{row['files']:6}{row['MB']:8} MB  {row['licence']}  {row['title']}")


def fetch_corpus(arguments: argparse.Namespace) -> None:
    """Download a corpus, or what is missing of it, and verify every file."""
    from octavoice.corpus import fetch

    if arguments.name == "bach":
        raise UserError("bach comes with music21; there is nothing to fetch.")
    print(f"{arguments.name}: {len(fetch.fetch(arguments.name))} files, all verified, in {fetch.data_dir()}")


def show_corpus(arguments: argparse.Namespace) -> None:
    """Say where a corpus comes from and under which licence, and of a folder what is kept; or list its pieces."""
    from octavoice import corpus
    from octavoice.corpus import catalogue, report
    from octavoice.corpus.sources import STRICT
    from octavoice.corpus.splits import SHARES

    name = arguments.name
    corpus.check(name)
    if arguments.pieces:
        print(corpus.load(name).pieces.listed())
    elif name.startswith("folder:"):
        loaded = corpus.load(name)
        whole = report.write(loaded.report, paths.corpus_report(name, 0))
        print(*report.told(name, loaded.report, whole), f"steps kept: {loaded.pieces.lengths.sum()}",
              "pieces by side: " + ", ".join(f"{side} {loaded.sides.count(side)}" for side in SHARES), sep="\n")
    else:
        plain = name.removesuffix(STRICT)
        print(f"bach: {BACH}" if plain == "bach" else catalogue.describe(plain))


def hand_over(arguments: argparse.Namespace) -> None:
    """Copy a finished run's figures and results to where a reader looks for them; `reproduce` ends so."""
    from octavoice.laboratory import handover

    print(handover.hand_over(arguments.preset, arguments.corpus, seed_number(arguments.seed)))


def publish(arguments: argparse.Namespace) -> None:
    """Copy a finished run to where it can be committed, take it into the tables of README and book, and say how."""
    from octavoice.laboratory import handover

    notebooks = tuple(arguments.only) or handover.NOTEBOOKS
    print(handover.publish(arguments.preset, arguments.corpus, seed_number(arguments.seed), notebooks,
                           not arguments.no_weights))
    if arguments.ship:
        print(handover.ship(arguments.preset, arguments.corpus, seed_number(arguments.seed)))


def import_author(arguments: argparse.Namespace) -> None:
    """Make a folder for `compose --weights` of the thesis's author's own networks. No code in his files is run."""
    from octavoice.training import author

    print(author.import_author(arguments.model, arguments.decoder, arguments.output))


def compose(arguments: argparse.Namespace) -> None:
    """Continue a music file of your own, an opening in a key that you name, or silence."""
    from octavoice import composing
    from octavoice.formats import sound

    source = arguments.file or arguments.prime or ""
    if arguments.file and arguments.prime:
        raise UserError(f"two primes are given, {arguments.file!r} and {arguments.prime!r}; give one.")
    given = {kind: vars(arguments)[kind] for kind in composing.SUFFIXES}
    kinds = {kind: Path(path) for kind, path in given.items() if path}
    composing.check_places(kinds, source)
    seed, prime = _number(arguments, "seed"), composing.resolve(source)
    first = 1 if arguments.only is None else _number(arguments, "only")
    variations = _number(arguments, "variations") if arguments.only is None else 1
    steps = _number(arguments, "bars") * prime.bar if arguments.steps is None else _number(arguments, "steps")
    held = composing.check_durations(arguments.durations)
    networks, composer = _composer(arguments)
    shift = composing.best_shift(networks.stages[0], prime.roll, seed) if arguments.search_transpositions else 0
    pieces = composing.continuations(composer, prime, composing.check_number("steps", steps), variations, seed,
                                     first=first, keep=not arguments.drop_prime, held=held, shift=shift,
                                     progress=_bar)
    written = composing.write(pieces, kinds, sound.find_soundfont() if "audio" in kinds else None,
                              whole=arguments.whole)
    cut = composing.tell_cut(pieces[0], kinds, arguments.whole)
    print(composing.introduce(prime, shift), *filter(None, [cut]), sep="\n")
    _tell_licence(networks)
    described = [composing.describe(piece) + f"; alone again with --seed {seed} --only {number}" * (variations > 1)
                 for number, piece in enumerate(pieces, 1)] + ["all at a glance"] * ("sheet" in kinds)
    for paths_written, said in zip(written, described, strict=True):
        print(f"{', '.join(map(str, paths_written))}: {said}")


def hour(arguments: argparse.Namespace) -> None:
    """Compose an hour of music in the form in which the thesis's author submitted his: 120 fragments."""
    from octavoice import composing, corpus
    from octavoice.formats.midi import write_midi

    composing.check_places({"midi": Path(arguments.midi)})
    corpus.check(arguments.corpus)
    seed, held = _number(arguments, "seed"), composing.check_durations(arguments.durations)
    networks, composer = _composer(arguments)
    splits = corpus.load(arguments.corpus).splits()
    roll, durations = composing.hour(composer, splits["test"] or splits["valid"], seed, held, _bar)
    _tell_licence(networks)
    print(f"{write_midi(roll, arguments.midi, durations=durations)}: {len(roll)} steps")


def _number(arguments: argparse.Namespace, name: str) -> int | float:
    """The number given as option ``--name``; raises :class:`UserError` for one that makes no sense."""
    from octavoice import composing

    return composing.check_number(name, vars(arguments)[name.replace("-", "_")])


def _composer(arguments: argparse.Namespace):
    """The networks of ``--weights`` and ``--model``, and a composer of the temperatures and Gibbs steps asked for.

    It composes on one thread: its products are small, and threads that wait for each other on a busy machine take
    many times as long.
    """
    import torch

    from octavoice import composing
    from octavoice.composer import Composer

    torch.set_num_threads(1)
    given = [name for name in ("temperature", "decoder-temperature", "gibbs-steps")
             if vars(arguments)[name.replace("-", "_")] is not None]
    options = {name.replace("-", "_"): _number(arguments, name) for name in given}
    networks = composing.load_weights(arguments.weights, arguments.model)
    try:
        return networks, Composer(*networks.stages, **options)
    except ValueError as error:
        raise UserError(f"model {networks.model.name} has no Gibbs steps; leave --gibbs-steps out, or add "
                        "--model thesis.") from error


def _tell_licence(networks) -> None:
    """What the weights' own description says of their licence."""
    if "licence" in networks.about:
        print(f"weights: {networks.about['licence']}")


def _bar(steps):
    """A progress bar over steps, on a terminal only."""
    from tqdm import tqdm

    return tqdm(steps, desc="composing", unit="step", disable=None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="octavoice", description=ABOUT,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"octavoice {__version__}")
    parsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    _add_compose(parsers)
    _add_corpus(parsers)
    commands.add(parsers)
    run = commands.told(parsers, "publish", publish)
    commands.add_run(run)
    run.add_argument("--only", nargs="+", default=[], metavar="NOTEBOOK", help="what these notebooks wrote [all]")
    run.add_argument("--ship", action="store_true", help="its networks become those that come with the package")
    run.add_argument("--no-weights", action="store_true", help="leave the networks out")
    author = commands.told(parsers, "import-author", import_author)
    author.add_argument("model", metavar="MODEL.pt", help="his file with the main module and the sampler")
    author.add_argument("decoder", metavar="DECODER.pt", help="his file with the decoder")
    author.add_argument("-o", "--output", metavar="DIR", required=True, help="a new folder for the networks")
    for name, command in (("check", check), ("handover", hand_over)):
        commands.add_run(commands.told(parsers, name, command, hidden=True))
    return parser


def _add_corpus(parsers) -> None:
    """The commands ``corpus list``, ``fetch``, ``show`` and ``build``."""
    words = "List the collections of music that there are; download, show or read one."
    corpora = parsers.add_parser("corpus", help=words, description=words)
    corpora = corpora.add_subparsers(metavar="COMMAND", required=True, title="commands")
    commands.told(corpora, "list", list_corpora)
    for name, command in (("fetch", fetch_corpus), ("show", show_corpus)):
        named = commands.told(corpora, name, command)
        named.add_argument("name", help="a name from `octavoice corpus list`" + ", or folder:PATH" * (name == "show"))
    named.add_argument("--pieces", action="store_true", help="list its pieces: path, licence, time, key, title")
    build = commands.told(corpora, "build", build_corpus)
    build.add_argument("name", help="bach, folder:PATH, or a name from `octavoice corpus list`")
    build.add_argument("--preset", default="quick", help="which decides how many files are read [%(default)s]")
    build.add_argument("--files", type=int, metavar="N", help="or so many, 0 for all")
    build.add_argument("--manifest", metavar="PATH", help="write down which music it came to: its name, size and hash")


def _add_compose(parsers) -> None:
    """The commands ``compose`` and ``hour``."""
    piece = parsers.add_parser("compose", help=compose.__doc__, description=EXAMPLES.format(compose.__doc__),
                               usage="octavoice compose [PRIME] -o OUT.mid [OPTION ...]",
                               formatter_class=argparse.RawDescriptionHelpFormatter)
    _add_what_and_how_much(piece)
    _add_how(piece).add_argument(
        "--search-transpositions", action="store_true",
        help="compose in the transposition of the prime that the networks know best, and move it back")
    _add_files(piece)
    piece.set_defaults(command=compose)
    long = commands.told(parsers, "hour", hour)
    long.add_argument("--corpus", default="bach", help="whose held-out pieces the fragments begin with [%(default)s]")
    _add_midi(long, "MIDI file to write")
    _add_how(long)


def _add_what_and_how_much(parser: argparse.ArgumentParser) -> None:
    """The options of ``compose`` that name the prime and the length."""
    what, much = parser.add_argument_group("what to continue"), parser.add_argument_group("how much")
    what.add_argument("file", metavar="PRIME", nargs="?", help="MIDI, MusicXML, Humdrum kern or ABC file to continue")
    what.add_argument("--prime", metavar="NAME",
                      help="or an opening in a key or on a chord: F#, \"A minor\", G7; of a key too \"A minor, march\" "
                           "(aria, nocturne, chorale, march); else silence")
    length = much.add_mutually_exclusive_group()
    length.add_argument("--bars", metavar="N", default="16", help="new bars, of the prime's metre [%(default)s]")
    length.add_argument("--steps", metavar="N", help="or new steps, sixteenths each")
    much.add_argument("--variations", metavar="N", default="1", help="OUT-1.mid, OUT-2.mid, … [%(default)s]")
    much.add_argument("--only", metavar="K", help="number K of a seed's variations alone, as OUT.mid")


def _add_how(parser: argparse.ArgumentParser):
    """The options of ``compose`` and ``hour`` for the networks and their draws; returns their group."""
    how = parser.add_argument_group("how")
    how.add_argument("--seed", metavar="N", default="1", help="other seeds, other music [%(default)s]")
    how.add_argument("--temperature", metavar="T", default="1",
                     help="how adventurous the choice of notes is: below 1 tamer, above 1 wilder [%(default)s]")
    how.add_argument("--decoder-temperature", metavar="T", default="1", help="the same of their octaves [%(default)s]")
    how.add_argument("--model", metavar="NAME", default="",
                     help="beyond, this project's own, or thesis, the replicated one [beyond if it is there]")
    how.add_argument("--gibbs-steps", metavar="K",
                     help="with --model thesis, how often the octaves are drawn anew: once in the thesis; 8 times "
                          "lose fewer notes [1]")
    how.add_argument("--durations", metavar="WORD", default="held",
                     help="held: notes last as in the prime's file and as the model says; thesis: each until the next "
                          "onset [%(default)s]")
    how.add_argument("--weights", metavar="DIR", default="",
                     help="a folder with other networks than those that come along")
    return how


def _add_files(parser: argparse.ArgumentParser) -> None:
    """The options of ``compose`` that name files, and say what of the prime is in them."""
    files = parser.add_argument_group("what to write")
    _add_midi(files, "MIDI file to write: all of the prime and the new bars")
    files.add_argument("--audio", metavar="PATH", help="write sound too: .mp3, .wav or .ogg")
    files.add_argument("--png", metavar="PATH", help="write engraved pages too, as pictures")
    files.add_argument("--svg", metavar="PATH", help="the same as drawings that can be scaled")
    files.add_argument("--musicxml", metavar="PATH", help="write a score too, for a notation program")
    files.add_argument("--sheet", metavar="PATH", help="write all variations as small piano rolls under each other: "
                                                       ".png or .svg")
    files.add_argument("--whole", action="store_true", help="all of a long prime in sound, pages and score too, "
                                                            "which otherwise begin with its last 4 bars")
    files.add_argument("--drop-prime", action="store_true", help="write the new bars only")


def _add_midi(parser, told: str) -> None:
    """The option ``-o`` of ``compose`` and ``hour``."""
    parser.add_argument("-o", "--output", dest="midi", metavar="OUT.mid", required=True, help=told)


if __name__ == "__main__":
    sys.exit(main())
