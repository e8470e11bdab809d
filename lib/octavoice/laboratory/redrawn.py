"""Committed pictures drawn again from the numbers and the music that are committed beside them:

    python -m octavoice.laboratory.redrawn

For pictures whose words were wrong, not their numbers: Fig. 14 of every run, from its metrics and levels; and the front
page's, of its run, from the first sample of each model and the title of the piece that it continues, which takes the
run's corpus.
Nothing is trained or composed. The indexes beside the pictures take in their new hashes.
"""

import json
from pathlib import Path

import pandas as pd

from octavoice import paths, provenance
from octavoice.evidence import samples
from octavoice.figures import beyond, style, training
from octavoice.laboratory import published
from octavoice.laboratory.handover import FRONT_PAGE
from octavoice.music.formats.midi import read_midi
from octavoice.thesis import values
from octavoice.training import presets
from octavoice.training.run import Run, pick_device

WAYS = {"the thesis's model": "sample_1.mid", "the model beyond": "sample_beyond_1.mid"}
"""The samples on the front page's picture, by what it calls their models."""


def fig14(run: published.Published) -> dict[str, bytes]:
    """Fig. 14 of a committed run, from its curves and its tables' levels on the panel."""
    levels = pd.read_csv(run.folder / "fig14_levels.csv", index_col=0).iloc[:, 0]
    tables = {name.removeprefix("baseline: "): level for name, level in levels.items() if name.startswith("baseline: ")}
    curve = [tuple(point) for point in values.value("train_curve")]
    return style.render(training.main_curves(run.metrics, tables, curve))


def front_page(run: published.Published) -> dict[str, bytes]:
    """The front page's picture of a committed run."""
    preset = presets.resolve("thesis")
    opening = samples.primes(Run(preset, run.corpus, run.seed, pick_device("cpu")))[0][0]
    pieces = {name: read_midi(run.folder / file) for name, file in WAYS.items()}
    # The thesis's samples hold every chord until the next, whatever the file says of their last one.
    ways = {name: (piece.roll, piece.held if "beyond" in name else None) for name, piece in pieces.items()}
    return style.render(beyond.front_page(ways, preset.prime, f"{opening.label}, continued by"))


def write(run: published.Published, name: str, drawn: dict[str, bytes]) -> None:
    """Put a picture in the place of a run's committed one, and note its hashes in the run's indexes."""
    folder = paths.checkout() / "figures" / run.folder.relative_to(paths.checkout() / "results")
    made = {f"figures/{name}.{suffix}": folder / f"{name}.{suffix}" for suffix in drawn}
    for path, data in zip(made.values(), drawn.values(), strict=True):
        with paths.atomic(path) as temporary:
            temporary.write_bytes(data)
    for index in (folder / "index.json", run.folder / "index.json"):
        _note(index, made)


def _note(index: Path, files: dict[str, Path]) -> None:
    told = json.loads(index.read_text(encoding="utf-8"))
    told["files"] |= {name: provenance.sha256(path) for name, path in files.items() if name in told["files"]}
    with paths.atomic(index) as temporary:
        text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Draw Fig. 14 of all runs again, alone and together, and the front page's picture."""
    style.use()
    front = paths.checkout() / FRONT_PAGE
    told = json.loads(front.with_suffix(".json").read_text(encoding="utf-8"))
    for run in published.runs():
        write(run, "fig14_main_module", fig14(run))
        if (run.corpus, run.seed) == (told["corpus"], told["seed"]):
            drawn = front_page(run)
            write(run, "front_page", drawn)
            with paths.atomic(front) as temporary:
                temporary.write_bytes(drawn["png"])
    _note(front.with_suffix(".json"), {FRONT_PAGE: front})
    published.write_figure(front.parent)


if __name__ == "__main__":
    main()
