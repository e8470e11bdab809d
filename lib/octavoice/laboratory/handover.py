"""From a finished run to the folders a reader looks into: checked, then copied whole.

Each notebook ends by writing ``runs/…/manifests/<notebook>.json``: the SHA-256 of every figure and
result it made, and where they come from. Nothing is copied that no manifest names or whose bytes
are not the ones its notebook wrote.
"""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath

from octavoice import paths, provenance
from octavoice.corpus import catalogue
from octavoice.errors import UserError
from octavoice.results import costs

NOTEBOOKS = (
    "01_data",
    "02_octave_compression",
    "03_main_module",
    "04_polyphonic_sampler",
    "05_decoder",
    "06_experiments",
    "07_discussion",
    "08_beyond",
    "09_survey",
    "10_verdicts",
)
TRAINING = "06_experiments"
"""The notebook among whose costs the training counts, whether it trained the networks or found them."""
FOLDERS = {"figures": paths.figures_dir, "results": paths.results_dir}
FRONT_PAGE = "figures/front_page.png"
UNMARKED = ("results/decoder_fragment_true.mid", "results/decoder_fragment_decoded.mid",
            "figures/decoded_fragment.png", "figures/decoded_fragment.svg")
"""A corpus's music in manifests from before they named it as ``private``."""
PUBLISHED_ONLY = ("thesis",)
"""Presets whose figures and results are committed, so that only :func:`publish` writes them."""


def indexes(preset: str, corpus: str, seed: int) -> list[Path]:
    """The index files that tell that a run has been handed on.

    They lie beside the figures and the results, or in the run's own folder where these are
    committed and a rerun leaves them alone.
    """
    run = preset, corpus, seed
    if is_published(*run):
        return [paths.run_dir(*run) / "index.json"]
    return [place(*run) / "index.json" for place in FOLDERS.values()]


def is_published(preset: str, corpus: str, seed: int) -> bool:
    """Whether this run's figures and results are committed ones."""
    places = [place(preset, corpus, seed) / "index.json" for place in FOLDERS.values()]
    return preset in PUBLISHED_ONLY or any(path.exists() and _read(path).get("published") for path in places)


def hand_over(preset: str, corpus: str, seed: int) -> str:
    """Copy a finished run to ``figures/<preset>/…`` and ``results/<preset>/…``; return what to tell the user.

    A published run's folders are left as they are, and the index stays in the run's folder.
    Raises :class:`UserError` as :func:`index_of` does.
    """
    run = preset, corpus, seed
    index = index_of(*run)
    _write(paths.run_dir(*run) / "index.json", index)
    if is_published(*run):
        return (
            f"figures and results: {_short(paths.run_dir(*run))}\n"
            f"The committed ones were left alone; `make publish {_settings(*run)}` replaces them."
        )
    _copy(index, run)
    return "\n".join(f"{name}: {_short(place(*run))}" for name, place in FOLDERS.items())


def publish(preset: str, corpus: str, seed: int, notebooks: tuple[str, ...] = NOTEBOOKS, weights: bool = True) -> str:
    """Copy a finished run to where it is committed; the tables of README and book, Fig. 14 and sounds take it in.

    Only what ``notebooks`` wrote is published, and nothing that they marked as a corpus's music; ``weights=False``
    leaves the networks out, where one seed's are enough. Returns the command that stages it. Raises
    :class:`UserError` as :func:`index_of` does.
    """
    run = preset, corpus, seed
    index = index_of(*run, notebooks)
    private = {name for manifest in index["provenance"].values() for name in manifest.pop("private", UNMARKED)}
    index["files"] = {name: sha for name, sha in index["files"].items()
                      if name not in private and (weights or not name.endswith(".safetensors"))}
    _copy({**_joined(index, run), "published": True}, run)
    _write(paths.run_dir(*run) / "index.json", index)
    staged = [place(*run) for place in FOLDERS.values()] + [_note_costs(index)]
    if (readme := paths.home() / "README.md").exists():
        from octavoice.results import published

        figures = readme.parent / "figures"
        staged += [*published.write_pages(readme.parent, published.sections()), *published.write_figure(figures),
                   *published.write_sounds(figures)]
    return f"published; {_staging(staged)}"


def _joined(index: dict, run: tuple[str, str, int]) -> dict:
    """An index with what is published already of notebooks that it does not speak of."""
    path = paths.results_dir(*run) / "index.json"
    earlier = _read(path) if path.exists() else {"provenance": {}}
    if earlier["provenance"].keys() <= index["provenance"].keys():
        return index
    sources = {**earlier["provenance"], **index["provenance"]}
    if len({facts["corpus_sha256"] for facts in sources.values()}) > 1:
        raise UserError(f"{_short(path.parent)} was published from other music; publish all notebooks of this run.")
    return {**index, "files": {**earlier["files"], **index["files"]}, "provenance": sources}


def ship(preset: str, corpus: str, seed: int) -> str:
    """Make a published run's networks the ones that come with the package, and its picture and sound the front page's.

    ``about.json`` beside the networks says what they were trained on, by which run, and their licence. Returns the
    command that stages it. Raises :class:`UserError` if the run was not published with its weights.
    """
    results, figures = (place(preset, corpus, seed) for place in (paths.results_dir, paths.figures_dir))
    if not (results / "index.json").exists():
        raise UserError(f"{_short(results)} holds no published run; "
                        f"`make publish {_settings(preset, corpus, seed)}` first.")
    from octavoice.results import published
    from octavoice.training import weights

    index = _read(results / "index.json")
    made = {name: index["provenance"][TRAINING if name == "thesis" else f"08_{name}"] for name in weights.held(results)}
    music = [{"corpus": part.name, "licence": part.licence, "attribution": part.attribution}
             for part in catalogue.parts(corpus)]
    about = {"licence": f"{_licence(music)}; trained on {', '.join(part['corpus'] for part in music)}",
             "trained_on": music, "runs": {model: {name: facts[name] for name in ("preset", "seed", "corpus_sha256",
                                                                                  "commit")}
                                           for model, facts in made.items()}}
    for model in made:
        weights.save(replace(weights.load(results, model), about=about), weights.SHIPPED)
    staged = [weights.SHIPPED]
    if (picture := figures / "front_page.png").exists():
        front = paths.home() / FRONT_PAGE
        with paths.atomic(front) as temporary:
            shutil.copyfile(picture, temporary)
        _write(front.with_suffix(".json"), {**index, "files": {FRONT_PAGE: index["files"][FRONT_PAGE]}})
        staged += [front, front.with_suffix(".json"), *published.write_sounds(front.parent)]
    return f"shipped; {_staging(staged)}"


def _licence(music: list[dict]) -> str:
    """Of networks that ship: as free as the strictest licence among the music they learnt from allows.

    Two of the catalogue's licences bind what is made from the music, CC BY-SA and the GPL; the GPL takes in both.
    """
    return "GPL-3.0" if any(part["licence"] == "GPL-3.0" for part in music) else "CC BY-SA 4.0"


def _staging(staged: list[Path]) -> str:
    return "commit it with\ngit add -f " + " ".join(shlex.quote(_short(path)) for path in staged)


def _note_costs(index: dict) -> Path:
    """Write what each notebook cost at this preset into the table that notebooks open with."""
    table = costs.measured()
    for name, manifest in index["provenance"].items():
        cost = dict(manifest.get("cost", {}))
        parts = {part: facts["seconds"] for part, facts in cost.items() if isinstance(facts, dict)}
        # An older manifest does not tell what was found: a training longer than its notebook was.
        found = cost.pop("found", parts if sum(parts.values()) > cost.get("seconds", 0) else [])
        if name == TRAINING and found:
            cost = {**cost, "seconds": round(cost["seconds"] + sum(parts[part] for part in found), 1)}
        table.setdefault(name, {})[index["preset"]] = cost
    _write(costs.COSTS, table)
    return costs.COSTS


def index_of(preset: str, corpus: str, seed: int, notebooks: tuple[str, ...] = NOTEBOOKS) -> dict:
    """Everything a run made: the hash of each file, and each notebook's provenance.

    Raises :class:`UserError` if a notebook has not finished, or if a file is missing or is not
    the one its notebook wrote. A folder corpus goes by the short name of
    :func:`octavoice.paths.slug`, so that no path of this machine is committed.
    """
    folder = paths.run_dir(preset, corpus, seed)
    remedy = f"run `make reproduce {_settings(preset, corpus, seed)}`"
    files, sources = {}, {}
    for name in notebooks:
        path = folder / "manifests" / f"{name}.json"
        if not path.exists():
            raise UserError(f"the run {_short(folder)} is incomplete: {name} has not finished; {remedy} first.")
        manifest = _read(path)
        for file, sha256 in manifest.pop("files", {}).items():
            if not (_is_inside(file) and (folder / file).is_file() and provenance.sha256(folder / file) == sha256):
                culprit = f"{_short(folder / file)} is not what {name} wrote"
                raise UserError(f"{culprit}; remove {_short(path)} and {remedy}.")
            files[file] = sha256
        sources[name] = manifest
    if len({manifest.get("corpus_sha256") for manifest in sources.values()}) > 1:
        raise UserError(f"the notebooks of {_short(folder)} read different corpora; remove that folder and {remedy}.")
    index = {"preset": preset, "corpus": corpus, "seed": seed, "files": files, "provenance": sources}
    return _without_paths(index, corpus)


def _is_inside(file: str) -> bool:
    parts = PurePosixPath(file).parts
    return len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts


def _without_paths(value, corpus: str):
    """``value`` with every mention of a folder corpus by its path turned into its short name."""
    if isinstance(value, dict):
        return {key: _without_paths(item, corpus) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item, corpus) for item in value]
    return paths.slug(corpus) if value == corpus else value


def _copy(index: dict, run: tuple[str, str, int]) -> None:
    """Copy the files an index names, each folder whole, with the index inside it."""
    for name, place in FOLDERS.items():
        with paths.replaced(place(*run)) as fresh:
            for file in (PurePosixPath(file) for file in index["files"]):
                if file.parts[0] == name:
                    target = fresh.joinpath(*file.parts[1:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made, kept = paths.run_dir(*run) / file, place(*run).joinpath(*file.parts[1:])
                    new = made.is_file() and provenance.sha256(made) == index["files"][str(file)]
                    shutil.copyfile(made if new else kept, target)
            _write(fresh / "index.json", index)


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{_short(path)} is damaged; remove it and run `make reproduce` again.") from error


def _write(path: Path, facts: dict) -> None:
    with paths.atomic(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _short(path: Path) -> str:
    """``path`` as seen from the checkout, for messages."""
    return str(path.relative_to(paths.home())) if path.is_relative_to(paths.home()) else str(path)


def _settings(preset: str, corpus: str, seed: int) -> str:
    """How ``make`` is told which run is meant."""
    return f"PRESET={preset} CORPUS={shlex.quote(corpus)} SEED={seed}"
