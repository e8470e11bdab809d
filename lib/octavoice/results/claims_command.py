"""``octavoice claims``: the table of verdicts from what is stored, and the measurements that it stores.

``octavoice claims`` writes ``results/thesis/claims.json`` and the figure of choices, and fills the pages that have the
marks for its count and its table. ``octavoice claims measure`` works on a published run at preset ``thesis`` whose
networks lie beside its results. What it finds becomes part of that run: a JSON beside the others, named in its index
with where it comes from.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

from octavoice import corpus, paths, provenance
from octavoice.errors import UserError
from octavoice.figures import claims as draw
from octavoice.figures import style
from octavoice.likelihood import checks as likelihoods
from octavoice.likelihood import equilibrium
from octavoice.results import published
from octavoice.results.claims import choices, deviations, table
from octavoice.results.claims.stored import Stored
from octavoice.statistics import corpora as music
from octavoice.statistics import decisions as voices
from octavoice.studies import attending, cost, rivals, sizes
from octavoice.studies import sampled as samples
from octavoice.training import presets, weights
from octavoice.training.run import Run

PRESET = "thesis"
COUNT, MARKS = published.marks("count", "claims"), published.marks("claims", "claims")
TABLE = Path("results") / PRESET / "claims.json"
FIGURE = Path("figures") / "claims_choices.png"
STUDY = {"study_iterations": 240, "study_batch": 16, "panel": 60}
"""What the small trainings of the rivals take of preset ``ablation``: minutes a seed."""
SUBJECTS: dict[str, Callable[[str, int, Path], dict]] = {}
"""Every subject of measurement by name: corpus, seed and the run's results to plain data."""
MEASURED_IN: dict[str, str] = {}
"""The module that measures a subject, whose version is the measurement's."""


def subject(module: ModuleType) -> Callable:
    """Enter a function that measures by a ``module`` into :data:`SUBJECTS`."""
    def entered(measured: Callable[[str, int, Path], dict]) -> Callable[[str, int, Path], dict]:
        name = measured.__name__.strip("_")
        SUBJECTS[name], MEASURED_IN[name] = measured, module.__name__
        return measured
    return entered


@subject(samples)
def _samples(name: str, seed: int, folder: Path) -> dict:
    return samples.measure(weights.load(folder), corpus.load(name).splits(), seed)


@subject(samples)
def _texture(name: str, seed: int, folder: Path) -> dict:
    return samples.textures(weights.load(folder), corpus.load(name).splits(), seed)


@subject(voices)
def _declined(name: str, seed: int, folder: Path) -> dict:
    panel = likelihoods.panel(corpus.load(name).splits()["test"])
    return voices.use_of_declined(weights.load(folder).generator, panel, seed)


@subject(attending)
def _locks(name: str, seed: int, folder: Path) -> dict:
    generator, splits = weights.load(folder).generator, corpus.load(name).splits()
    return {side: attending.locks(generator, splits[side]) for side in ("train", "test")}


@subject(likelihoods)
def _particles(name: str, seed: int, folder: Path) -> dict:
    return likelihoods.looseness(weights.load(folder).generator, corpus.load(name).splits()["valid"])


@subject(equilibrium)
def _decoder(name: str, seed: int, folder: Path) -> dict:
    return likelihoods.decoder_levels(weights.load(folder).decoder, corpus.load(name).splits()["test"], seed)


@subject(likelihoods)
def _mixture(name: str, seed: int, folder: Path) -> dict:
    return likelihoods.on_all_steps(weights.load(folder).generator, corpus.load(name).splits())


@subject(rivals)
def _rivals(name: str, seed: int, folder: Path) -> dict:
    preset = replace(presets.resolve("ablation"), **STUDY)
    return rivals.measure(Run(preset, name, seed, torch.device("cpu")))


@subject(sizes)
def _sizes(name: str, seed: int, folder: Path) -> dict:
    preset = replace(presets.resolve("ablation"), **STUDY)
    return sizes.measure(Run(preset, name, seed, torch.device("cpu")))


@subject(music)
def _music(name: str, seed: int, folder: Path) -> dict:
    return music.measure(corpus.load(name).splits())


@subject(cost)
def _cost(name: str, seed: int, folder: Path) -> dict:
    return cost.measure(corpus.load(name).splits()["train"])


def stored_table() -> list[dict]:
    """The committed table; empty before it was first written."""
    path = paths.checkout() / TABLE
    return json.loads(path.read_text(encoding="utf-8"))["claims"] if path.exists() else []


def computed() -> dict:
    """Every claim with its verdict, the gains of the thesis's choices and the log of deviations, as plain data."""
    gains = choices.gains(Stored())
    return _plain({"claims": table.records(), "choices": json.loads(gains.to_json(orient="index", double_precision=6)),
                   "no run for": choices.missing(gains),
                   "deviations": json.loads(deviations.table().to_json(orient="index", force_ascii=False))})


def sections() -> dict[tuple[str, str], str]:
    """What a page shows between each pair of marks: how many claims came to which verdict, and the short table."""
    records = table.records()
    counted = ", ".join(f"{count} {verdict}" for verdict, count in table.counted(records).items())
    return {COUNT: f"Of {len(records)} claims: {counted}.",
            MARKS: published.markdown(table.readme_table(records))}


def choices_figure():
    """Which choices help, drawn from what is stored."""
    gains = choices.gains(Stored())
    return draw.choices(gains, choices.missing(gains))


def write_table() -> str:
    """Write the table and the figure of choices, fill the pages between their marks; return what to tell the user."""
    home = paths.checkout()
    write_json(home / TABLE, computed())
    style.use()
    with paths.atomic(home / FIGURE) as temporary:
        temporary.write_bytes(style.render(choices_figure())["png"])
    pages = published.write_pages(home, sections())
    told = table.counted(table.records())
    return "; ".join(f"{count} {verdict}" for verdict, count in told.items()) + "\n".join(
        ["", str(TABLE), str(FIGURE), *(page.relative_to(home).as_posix() for page in pages)])


def measure(name: str, seed: int, subjects: list[str]) -> str:
    """Measure ``subjects``, or all, of a published run; each becomes ``claims_<subject>.json`` beside its results.

    Raises :class:`UserError` for a run that is not published, a subject that there is not, or one that needs
    networks where none lie.
    """
    folder = paths.checkout() / "results" / PRESET / paths.slug(name) / f"seed-{seed}"
    if not (folder / "index.json").exists():
        raise UserError(f"{name}, seed {seed}, is no published run; publish it first with "
                        f"`make publish PRESET={PRESET} CORPUS={name} SEED={seed}`.")
    if unknown := [subject for subject in subjects if subject not in SUBJECTS]:
        raise UserError(f"there is no subject {unknown[0]!r} to measure; choose among {', '.join(SUBJECTS)}.")
    torch.set_num_threads(1)
    written = []
    for subject in subjects or SUBJECTS:
        began = time.perf_counter()
        found = SUBJECTS[subject](name, seed, folder)
        facts = _facts(name, seed, folder, began) | {"code": version_of(subject)}
        written.append(_store(folder, f"claims_{subject}", found, facts))
    return "\n".join(str(path.relative_to(paths.checkout())) for path in written)


def version_of(subject: str) -> dict[str, int]:
    """The version of what measures a subject, by the name of its module."""
    module = MEASURED_IN[subject]
    return {module.rpartition(".")[2]: provenance.version_of(module)}


def _facts(name: str, seed: int, folder: Path, began: float) -> dict:
    """Where a measurement comes from; the networks that it read are named by their hashes."""
    networks = {path.name: provenance.sha256(path) for stage in ("main", "decoder")
                if (path := folder / f"{stage}.safetensors").exists()}
    return {"corpus_sha256": corpus.load(name).sha256, "seed": seed, "device": "cpu", "networks": networks,
            "versions": provenance.versions(), "commit": provenance.commit(),
            "cost": {"seconds": round(time.perf_counter() - began, 1), "processor": provenance.processor(),
                     "threads": torch.get_num_threads()}}


def _store(folder: Path, name: str, found: dict, facts: dict) -> Path:
    """Write a measurement and name it in the run's index, so that publishing the run again keeps it."""
    path, index = folder / f"{name}.json", folder / "index.json"
    write_json(path, found)
    told = json.loads(index.read_text(encoding="utf-8"))
    told["files"][f"results/{path.name}"] = provenance.sha256(path)
    told["provenance"][name] = facts
    write_json(index, told)
    return path


def write_json(path: Path, data) -> None:
    """Plain data as JSON, keys sorted; what is not a number becomes null."""
    text = json.dumps(_plain(data), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with paths.atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value):
    """Without NaN and infinities, which JSON lacks."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value

