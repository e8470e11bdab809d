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

BACH = "Bach's chorales that come with music21"
EXAMPLES = """{}

  octavoice compose song.mid -o out.mid --audio out.mp3 --png out.png
  octavoice compose --prime "A minor" -o out.mid --bars 8 --seed 2
  octavoice compose song.musicxml -o out.mid --variations 8 --sheet out.png
"""
"""What ``octavoice compose --help`` opens with."""


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return the exit status: 0, 2 for a user's mistake, 130 for Ctrl-C, 141 if nobody reads on."""
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
    """Raise :class:`UserError` unless preset, corpus and seed are ones that can be run."""
    commands.checked(arguments)


def build_corpus(arguments: argparse.Namespace) -> None:
    """Read and pack a corpus, say what was kept, and write a marker with its hash if asked to."""
    from octavoice import corpus
    from octavoice.training import presets

    limit = presets.resolve(arguments.preset, **({} if arguments.files is None else {"files": arguments.files})).files
    built = corpus.load(arguments.name, limit=limit or None)
    print(f"{arguments.name}: {len(built.pieces)} of {len(built.report)} files kept", file=sys.stderr)
    if arguments.manifest:
        facts = {"corpus": arguments.name, "pieces": len(built.pieces), "sha256": built.sha256}
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
    """Say where a corpus comes from and under which licence, or list the pieces that are kept of it."""
    from octavoice import corpus
    from octavoice.corpus import catalogue

    if arguments.pieces:
        print(corpus.load(arguments.name).pieces.listed())
    else:
        print(f"bach: {BACH}" if arguments.name == "bach" else catalogue.describe(arguments.name))


def hand_over(arguments: argparse.Namespace) -> None:
    """Copy a finished run's figures and results to where a reader looks for them."""
    from octavoice.laboratory import handover

    print(handover.hand_over(arguments.preset, arguments.corpus, seed_number(arguments.seed)))


def publish(arguments: argparse.Namespace) -> None:
    """Copy a finished run to where it is committed, and say how."""
    from octavoice.laboratory import handover

    notebooks = tuple(arguments.only) or handover.NOTEBOOKS
    print(handover.publish(arguments.preset, arguments.corpus, seed_number(arguments.seed), notebooks,
                           not arguments.no_weights))
    if arguments.ship:
        print(handover.ship(arguments.preset, arguments.corpus, seed_number(arguments.seed)))


def import_author(arguments: argparse.Namespace) -> None:
    """Convert the author's published weights, two pickled state dicts, without executing a pickle's code."""
    from octavoice.training import author

    print(author.import_author(arguments.model, arguments.decoder, arguments.output))


def compose(arguments: argparse.Namespace) -> None:
    """Continue a music file of your own, the opening of a named key, or silence, with trained networks."""
    from octavoice import composing
    from octavoice.music import sound

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
    """Compose an hour of music as the thesis's author submitted it: 120 fragments, primes dropped."""
    from octavoice import composing, corpus
    from octavoice.music.formats.midi import write_midi

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
    parser = argparse.ArgumentParser(prog="octavoice", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"octavoice {__version__}")
    parsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in (("check", check), ("handover", hand_over), ("publish", publish)):
        run = parsers.add_parser(name, help=command.__doc__.splitlines()[0])
        commands.add_run(run)
        run.set_defaults(command=command)
        if command is publish:
            run.add_argument("--only", nargs="+", default=[], metavar="NOTEBOOK", help="what these notebooks wrote")
            run.add_argument("--ship", action="store_true", help="its networks become those that come with the package")
            run.add_argument("--no-weights", action="store_true", help="leave the networks out")
    build = parsers.add_parser("corpus", help="work on a corpus").add_subparsers(metavar="COMMAND", required=True)
    build.add_parser("list", help=list_corpora.__doc__).set_defaults(command=list_corpora)
    for name, command in (("fetch", fetch_corpus), ("show", show_corpus)):
        named = build.add_parser(name, help=command.__doc__)
        named.add_argument("name", help="a name from `octavoice corpus list`")
        named.set_defaults(command=command)
    named.add_argument("--pieces", action="store_true", help="list its pieces: path, licence, time, key, title")
    build = build.add_parser("build", help=build_corpus.__doc__.splitlines()[0])
    build.add_argument("name", help="bach, folder:PATH, or a name from `octavoice corpus list`")
    build.add_argument("--preset", default="quick", help="which decides how many files are read")
    build.add_argument("--files", type=int, metavar="N", help="or so many, 0 for all")
    build.add_argument("--manifest", metavar="PATH", help="where to write the corpus's hash")
    build.set_defaults(command=build_corpus)
    author = parsers.add_parser("import-author", help=import_author.__doc__)
    author.add_argument("model", metavar="MODEL.pt", help="state dict of the main module and sampler")
    author.add_argument("decoder", metavar="DECODER.pt", help="state dict of the decoder")
    author.add_argument("-o", "--output", metavar="DIR", required=True, help="a new folder for the weights")
    author.set_defaults(command=import_author)
    _add_compose(parsers)
    commands.add(parsers)
    return parser


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
    long = parsers.add_parser("hour", help=hour.__doc__, description=hour.__doc__)
    long.add_argument("--corpus", default="bach", help="whose held-out pieces give the primes [%(default)s]")
    _add_midi(long, "MIDI file to write")
    _add_how(long)
    long.set_defaults(command=hour)


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
                     help="of the pitch classes; above 1 is more adventurous [%(default)s]")
    how.add_argument("--decoder-temperature", metavar="T", default="1", help="of the octaves [%(default)s]")
    how.add_argument("--model", metavar="NAME", default="",
                     help="beyond, this project's own, or thesis, the replicated one [beyond if it is there]")
    how.add_argument("--gibbs-steps", metavar="K",
                     help="with --model thesis, for each step's octaves: 1 as printed; 8 lose fewer notes [1]")
    how.add_argument("--durations", metavar="WORD", default="held",
                     help="held: notes last as in the prime's file and as the model says; thesis: each until the next "
                          "onset [%(default)s]")
    how.add_argument("--weights", metavar="DIR", default="", help="networks other than those that come along")
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
