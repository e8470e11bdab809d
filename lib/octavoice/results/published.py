"""Thesis-scale runs that are committed under ``results/thesis``: their curves, their tables and where these stand, and
the sound beside the README's picture."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
from matplotlib.figure import Figure

from octavoice import paths, provenance
from octavoice.figures import style, training
from octavoice.formats import sound
from octavoice.formats.midi import read_midi
from octavoice.results import compared, costs
from octavoice.thesis import model as thesis
from octavoice.thesis import values


def marks(name: str, command: str = "publish") -> tuple[str, str]:
    """Between what a command writes on a page."""
    return f"<!-- {name}: written by `octavoice {command}`, do not edit -->", f"<!-- end of {name} -->"


PAGES = "README.md", "book/results.md"
"""Where what commands write stands between marks, seen from the checkout."""
LINES = {"main module": "main module and sampler", "marginal": "marginal frequency", "first order": "first-order table",
         "one bar before": "table of one bar before"}
SOUNDS = {"front_page_thesis.mp3": "sample_1.mid", "front_page_beyond.mp3": "sample_beyond_1.mid"}
"""What is heard beside the README's picture: of both models the first sample of the run that the picture shows."""


@dataclass(frozen=True)
class Published:
    """One committed run: its corpus, seed, metrics of the main module, held-out levels and provenance.

    ``random_batch`` is the level on one random batch of transposed test fragments, as the thesis tested.
    """

    corpus: str
    seed: int
    metrics: pd.DataFrame
    levels: pd.DataFrame
    random_batch: float
    facts: dict
    folder: Path

    @property
    def minutes(self) -> float:
        """What training both networks takes, each at the pace that was measured for its own iterations, minutes."""
        preset = SimpleNamespace(**self.facts["preset"])
        parts = ((self.facts["cost"][f"training, {stage.called}"], stage.recipe(preset).iterations)
                 for stage in thesis.MODEL.stages)
        return sum(part["seconds"] / part["iterations"] * iterations for part, iterations in parts) / 60

    @property
    def memory(self) -> float:
        """The training process's largest memory, GiB; NaN where it was not noted."""
        return max(part.get("peak_memory_mb", math.nan) for part in self._training()) / 1024

    @property
    def processor(self) -> str:
        """Where it was trained."""
        return costs.trained_on(self.facts["cost"], [stage.called for stage in thesis.MODEL.stages])

    def figure(self, name: str) -> bytes:
        """One of its committed figures, as PNG."""
        figures = paths.checkout() / "figures" / Path(*self.folder.parts[-3:])
        return (figures / f"{name}.png").read_bytes()

    def _training(self) -> list[dict]:
        return [part for name, part in self.facts["cost"].items() if name.startswith("training, ")]


def runs(preset: str = "thesis") -> list[Published]:
    """The runs of a preset that this checkout holds, by corpus and seed."""
    found = []
    for index in sorted((paths.checkout() / "results" / preset).glob("*/seed-*/index.json")):
        facts = json.loads(index.read_text(encoding="utf-8"))
        if facts.get("published") and "06_experiments" in facts["provenance"]:
            found.append(_read(index.parent, facts))
    return sorted(found, key=lambda run: (run.corpus, run.seed))


def _read(folder: Path, facts: dict) -> Published:
    return Published(facts["corpus"], facts["seed"], pd.read_csv(folder / "main_metrics.csv", index_col="iteration"),
                     pd.read_csv(folder / "test_levels.csv", index_col=0),
                     json.loads((folder / "test_random_batch.json").read_text(encoding="utf-8"))["nats per step"],
                     facts["provenance"]["06_experiments"], folder)


def by_corpus(found: list[Published]) -> dict[str, list[Published]]:
    """Runs grouped by their corpus, in order."""
    return {corpus: [run for run in found if run.corpus == corpus] for corpus in dict.fromkeys(r.corpus for r in found)}


def table(found: list[Published]) -> pd.DataFrame:
    """Held-out nats per step on each corpus's whole test set by the thesis's own objective: a row per run.

    All numbers of a row are that run's; tables of frequencies are the same whatever the seed.
    """
    rows = {}
    for run in found:
        ours = run.levels.loc["main module"]
        rows[run.corpus, run.seed] = {
            LINES["main module"]: f"{ours['level']:.3f}",
            "95 % over pieces": f"{ours['low']:.3f} to {ours['high']:.3f}",
            "one random batch, as in the thesis": f"{run.random_batch:.3f}",
            **{LINES[name]: f"{run.levels.loc[name, 'level']:.3f}" for name in LINES if name != "main module"}}
    return compared.indexed(rows, ["corpus", "seed"])


def trained(found: list[Published]) -> pd.DataFrame:
    """What training cost, a row per run: minutes and memory of the thesis's two networks, minutes of the model beyond,
    and the machines."""
    rows = {}
    for run in found:
        minutes, machine = compared.minutes(run.folder)
        rows[run.corpus, run.seed] = {
            "thesis's networks, minutes": f"{run.minutes:.0f}", "on": run.processor,
            "largest memory, GiB": "not noted" if math.isnan(run.memory) else f"{run.memory:.1f}",
            "beyond, minutes": minutes, "beyond on": machine}
    return compared.indexed(rows, ["corpus", "seed"])


def course(found: list[Published], thesis_curve: list[tuple[int, float]]) -> pd.DataFrame:
    """How training went, a row per run below the thesis's: nats per step at its points, and at the end (claim C9).

    Training levels are means of the 25 batches up to the iteration, held-out ones of the fixed panel.
    """
    rows = {("thesis", "–"): {f"training at {i}": level for i, level in thesis_curve}}
    for run in found:
        train, held_out = -run.metrics["train"], -run.metrics["held_out"].dropna()
        rows[run.corpus, run.seed] = {
            **{f"training at {i}": train.loc[i - 24:i].mean() for i, _ in thesis_curve},
            **{f"held-out at {i}": held_out.get(i, math.nan) for i, _ in thesis_curve},
            "gap at the end": train.tail(len(train) // 10).mean() - held_out.iloc[-1],
            "best held-out": held_out.max(), "best at": held_out.idxmax()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["corpus", "seed"])
    return table.astype({"best at": "Int64"} if found else {})


def evidence(found: list[Published]) -> pd.DataFrame:
    """What every run found for claims C11–C16, and how its decoder predicts (nats per step): a column per run."""
    columns = {}
    for run in found:
        if (run.folder / "c11_c13_keys.csv").exists():
            keys = pd.read_csv(run.folder / "c11_c13_keys.csv", index_col="set")
            rhythm = pd.read_csv(run.folder / "c16_rhythm.csv", index_col=0)
            pairs = pd.read_csv(run.folder / "c12_given_declined.csv", index_col=["declined", "later"])
            levels = pd.read_csv(run.folder / "decoder_levels.csv", index_col=0)
            decoded = json.loads((run.folder / "decoded.json").read_text(encoding="utf-8"))
            ours, real, other = (keys.loc[name] for name in ("samples", "held-out pieces", "samples, another's prime"))
            columns[run.corpus, run.seed] = {
                ("C11", "triads among steps of three or more classes"): ours["triads"],
                ("C11", "the same in held-out pieces"): real["triads"],
                ("C12", "voice 2 sounds where voice 1 sounded"): pairs.loc[(1, 2), "sounds if sounded"],
                ("C12", "voice 2 sounds where voice 1 declined"): pairs.loc[(1, 2), "sounds if declined"],
                ("C12", "voice 5 sounds where voice 4 sounded"): pairs.loc[(4, 5), "sounds if sounded"],
                ("C12", "voice 5 sounds where voice 4 declined"): pairs.loc[(4, 5), "sounds if declined"],
                ("C13", "onsets in the key of their window"): ours["in key by window"],
                ("C13", "the same in held-out pieces"): real["in key by window"],
                ("C15", "onsets in the prime's key"): ours["in prime's key"],
                ("C15", "onsets in another prime's key"): other["in prime's key"],
                ("C15", "the same in held-out pieces, their own bar"): real["in prime's key"],
                ("C16", "steps that strike"): rhythm.loc["samples", "struck"],
                ("C16", "the same in held-out pieces"): rhythm.loc["held-out pieces", "struck"],
                ("C16", "classes struck at once"): rhythm.loc["samples", "classes"],
                ("C16", "as many in held-out pieces"): rhythm.loc["held-out pieces", "classes"],
                ("§6.2", "decided classes that the decoder left without a key"): decoded["share"],
                ("§6.2", "decoder, log pseudo-likelihood of held-out keys"): levels.loc["decoder", "pseudo-likelihood"],
                **{("§6.2", f"{who}, log-likelihood of held-out keys as generated"): levels.loc[who, "as generated"]
                   for who in ("decoder", "frequency", "keep the octave")}}
    table = pd.DataFrame(columns)
    return table.rename_axis(["claim", "quantity"]).rename_axis(["corpus", "seed"], axis=1) if columns else table


def decoders(found: list[Published]) -> pd.DataFrame:
    """How notebook 05's decoders and tables predict held-out keys, nats per step: a column per run that has them."""
    judges = ["pseudo-likelihood", "as generated"]
    columns = {(run.corpus, run.seed): pd.read_csv(path, index_col="decoder")[judges].T.stack()
               for run in found if (path := run.folder / "decoder_scores.csv").exists()}
    table = pd.DataFrame(columns)
    return table.rename_axis(["judged by", "decoder"]).rename_axis(["corpus", "seed"], axis=1) if columns else table


def curves(found: list[Published]) -> Figure:
    """Fig. 14 of all runs, beside the thesis's: a panel per corpus, its seeds in it."""
    best = {run.corpus: run.levels["level"].drop("main module").max() for run in found}
    metrics = {corpus: {run.seed: run.metrics for run in group} for corpus, group in by_corpus(found).items()}
    return training.seeds_and_corpora(metrics, best, [tuple(point) for point in values.value("train_curve")])


def metrics_read(found: list[Published]) -> dict[str, str]:
    """The metrics that :func:`curves` draws: SHA-256 of each run's file."""
    return {f"{run.corpus}, seed {run.seed}": provenance.sha256(run.folder / "main_metrics.csv") for run in found}


def write_figure(folder: Path) -> list[Path]:
    """Draw :func:`curves` of all committed runs into ``folder``, and beside it what it shows; return both files."""
    if not (found := runs()):
        return []
    style.use()
    picture, facts = folder / "fig14_thesis_scale.png", folder / "fig14_thesis_scale.json"
    with paths.atomic(picture) as temporary:
        temporary.write_bytes(style.render(curves(found))["png"])
    with paths.atomic(facts) as temporary:
        temporary.write_text(json.dumps(metrics_read(found), indent=1) + "\n", encoding="utf-8")
    return [picture, facts]


def samples_read() -> dict[str, tuple[Path, str]]:
    """The MIDI file that each of :data:`SOUNDS` plays, and its SHA-256; nothing where the front page has no picture."""
    if not (page := paths.checkout() / "figures" / "front_page.json").exists():
        return {}
    run = json.loads(page.read_text(encoding="utf-8"))
    folder = paths.checkout() / "results" / run["preset"] / paths.slug(run["corpus"]) / f"seed-{run['seed']}"
    return {name: (folder / file, provenance.sha256(folder / file)) for name, file in SOUNDS.items()
            if (folder / file).exists()}


def write_sounds(folder: Path) -> list[Path]:
    """Play :func:`samples_read` into ``folder``, and write beside them what they play; return all files."""
    if not (found := samples_read()):
        return []
    facts = folder / "front_page_sounds.json"
    played = {name: {"plays": path.relative_to(paths.checkout()).as_posix(), "sha256": digest}
              for name, (path, digest) in found.items()}
    for name, (path, _) in found.items():
        piece = read_midi(path)
        sound.write_audio(piece.roll, folder / name, durations=piece.held)
    with paths.atomic(facts) as temporary:
        temporary.write_text(json.dumps(played, indent=1) + "\n", encoding="utf-8")
    return [*(folder / name for name in found), facts]


def markdown(cells: pd.DataFrame) -> str:
    """A table as Markdown, its index first."""
    if not len(cells):
        return "None is committed yet."
    cells = cells.reset_index()
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(cells.columns), ["---"] * len(cells.columns),
                                                                *cells.astype(str).to_numpy().tolist()])


def sections() -> dict[tuple[str, str], str]:
    """What a page shows between each pair of marks."""
    found = runs()
    tables = {"levels": compared.headline(), "results": table(found), "one axis": compared.table(),
              "durations": compared.held(), "training": trained(found)}
    return {marks(name): markdown(cells) for name, cells in tables.items()}


def between(pair: tuple[str, str], section: str) -> str:
    """A section with its marks, as it stands on a page."""
    return f"{pair[0]}\n\n{section}\n\n{pair[1]}"


def write_pages(home: Path, found: dict[tuple[str, str], str]) -> list[Path]:
    """Put sections between their marks, on those of :data:`PAGES` that have them; return these pages."""
    written = []
    for page in (home / name for name in PAGES):
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        if not (here := {pair: section for pair, section in found.items() if all(mark in text for mark in pair)}):
            continue
        for pair, section in here.items():
            before, rest = text.split(pair[0], 1)
            text = before + between(pair, section) + rest.split(pair[1], 1)[1]
        with paths.atomic(page) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(page)
    return written
