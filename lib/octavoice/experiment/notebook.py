"""What a notebook needs from its surroundings: checked parameters, a place to write, a manifest."""

import json
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure

from octavoice import corpus as corpora
from octavoice import paths
from octavoice.errors import UserError
from octavoice.experiment import presets, provenance
from octavoice.figures import style
from octavoice.music.midi import write_midi
from octavoice.thesis import values

PARAMETERS = {"preset": str, "corpus": str, "seed": int, "device": str, "overrides": dict}
DEVICES = ("auto", "cpu", "cuda")


def check_types(namespace: dict, parameters: dict[str, type]) -> dict:
    """The parameters of a notebook by name, checked against the types they must have.

    ``namespace`` is the notebook's ``globals()`` right after its parameters cell. papermill only
    warns of a misspelt parameter and passes ``false`` as a string; here both are errors.
    Raises :class:`UserError`.
    """
    plain = (str, int, float, bool, list, dict, tuple, type(None))
    given = {name: value for name, value in namespace.items()
             if isinstance(value, plain) and not name.startswith("_") and name not in ("In", "Out")}
    for name, value in given.items():
        if name not in parameters:
            raise UserError(f"unknown parameter {name!r}; this notebook takes {', '.join(parameters)}.")
        if type(value) is not parameters[name] and (parameters[name], type(value)) != (float, int):
            raise UserError(f"parameter {name}={value!r} must be a {parameters[name].__name__}, "
                            f"not a {type(value).__name__}.")
    if missing := [name for name in parameters if name not in given]:
        raise UserError(f"parameter {missing[0]!r} is not set; restore it in the parameters cell.")
    return given


def check_parameters(namespace: dict) -> dict:
    """As :func:`check_types`, for the notebooks of a run: sensible values too. Raises :class:`UserError`."""
    given = check_types(namespace, PARAMETERS)
    if not 0 <= given["seed"] <= presets.MAX_SEED:
        raise UserError(f"parameter seed={given['seed']} must lie between 0 and {presets.MAX_SEED}.")
    if given["device"] not in DEVICES:
        raise UserError(f"parameter device={given['device']!r} must be one of {', '.join(DEVICES)}.")
    corpora.check(given["corpus"])
    return given


def pick_device(device: str) -> torch.device:
    """``auto`` is a GPU if torch sees one. Raises :class:`UserError` for ``cuda`` where there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for but torch sees no GPU; use device 'cpu' or 'auto'.")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def display_png(png: bytes, caption: str) -> None:
    """Display a picture at a legible size, its caption below."""
    display(Image(data=png, width=style.display_width(png)))
    display(Markdown(f"*{caption}*"))


class Run:
    """One notebook's run at one preset, corpus and seed. Made by :func:`start`."""

    def __init__(self, notebook: str, preset: presets.Preset, corpus: str, seed: int, device: torch.device,
                 variant: str = ""):
        self.notebook, self.preset, self.corpus_name = notebook, preset, corpus
        self.seed, self.device, self.variant = seed, device, variant
        self.dir = paths.run_dir(preset.name, corpus, seed) / variant
        self.files: dict[str, str] = {}
        self.costs: dict[str, dict] = {}
        self._began = time.perf_counter()
        torch.set_num_threads(preset.threads)

    @cached_property
    def corpus(self) -> corpora.Corpus:
        """The corpus after the filters, read when first asked for."""
        return corpora.load(self.corpus_name, self.preset.files or None)

    @cached_property
    def splits(self) -> dict:
        """Pieces by side: train, valid, test."""
        return self.corpus.splits()

    def facts(self) -> dict:
        """Everything that decides this run's numbers, for provenance and for keys."""
        return {"preset": asdict(self.preset), "corpus": self.corpus_name if ":" not in self.corpus_name
                else paths.slug(self.corpus_name), "corpus_sha256": self.corpus.sha256, "seed": self.seed,
                "device": self.device.type, "versions": provenance.versions()}

    def compare(self, *names: str, **ours) -> pd.DataFrame:
        """A table of the thesis's values (by their names in ``values.toml``) beside ours of the same name."""
        rows = [{**row, "here": _readable(ours.get(name, "–")), "thesis": _readable(row["thesis"])}
                for name, row in zip(names, values.rows(*names), strict=True)]
        return pd.DataFrame(rows).set_index("quantity")[["thesis", "here", "where"]]

    def show(self, figure: Figure | bytes, name: str, caption: str) -> None:
        """Save a figure (PNG, and SVG beside it) or ready PNG bytes, and display it with its caption."""
        files = {"png": figure} if isinstance(figure, bytes) else style.render(figure)
        for suffix, data in files.items():
            self._record(f"figures/{name}.{suffix}", data)
        display_png(files["png"], caption)

    def write_svg(self, name: str, svg: str) -> None:
        """Save an SVG drawn elsewhere (an engraved page) beside the figures."""
        self._record(f"figures/{name}.svg", svg.encode())

    def write_json(self, name: str, data) -> None:
        """Save plain data as ``results/<name>.json``, keys sorted, floats as they are."""
        text = json.dumps(data, indent=1, sort_keys=True, default=lambda number: number.item())
        self._record(f"results/{name}.json", (text + "\n").encode())

    def write_table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Save a table as ``results/<name>.csv`` and return it for display."""
        self._record(f"results/{name}.csv", table.to_csv(lineterminator="\n").encode())
        return table

    def write_midi(self, name: str, roll: np.ndarray) -> Path:
        """Save a roll ``(time, key)`` as ``results/<name>.mid``."""
        path = write_midi(roll, self.dir / "results" / f"{name}.mid")
        self.files[f"results/{name}.mid"] = provenance.sha256(path)
        return path

    def adopt(self, path: Path) -> None:
        """Count a file that was written below the run's folder by other means (weights)."""
        self.files[path.relative_to(self.dir).as_posix()] = provenance.sha256(path)

    def finish(self) -> None:
        """Write the manifest: files with their hashes, provenance, cost. Says how long it took."""
        seconds = time.perf_counter() - self._began
        manifest = {"notebook": self.notebook, "files": self.files, **self.facts(),
                    "cost": {"seconds": round(seconds, 1), "peak_memory_mb": round(provenance.peak_memory_mb()),
                             "processor": provenance.processor(), "threads": torch.get_num_threads(), **self.costs},
                    "commit": provenance.commit()}
        with paths.atomic(self.dir / "manifests" / f"{self.notebook}.json") as temporary:
            temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        display(Markdown(f"*Ran in {seconds:.0f} s at preset `{self.preset.name}` on {self.device.type}, "
                         f"{torch.get_num_threads()} thread(s); wrote {len(self.files)} files.*"))

    def _record(self, name: str, data: bytes) -> None:
        with paths.atomic(self.dir / name) as temporary:
            temporary.write_bytes(data)
        self.files[name] = provenance.sha256(self.dir / name)


def start(notebook: str, namespace: dict, **own: type) -> Run:
    """Begin a notebook: check its parameters, pick the device, show the preset. Returns the :class:`Run`.

    ``namespace`` is ``globals()`` right after the parameters cell; ``own`` are parameters that this notebook has
    besides the common ones, with their types. Networks from a folder, ``weights``, are not the run's, so what is
    made with them goes into a folder of its own. Raises :class:`UserError`.
    """
    given = check_types(namespace, PARAMETERS | own)
    check_parameters({name: value for name, value in namespace.items() if name not in own})
    preset = presets.resolve(given["preset"], **given["overrides"])
    folder = {"weights": paths.slug(f"folder:{given['weights']}")} if given.get("weights") else {}
    variant = "_".join(f"{name}-{value}" for name, value in sorted((given["overrides"] | folder).items()))
    run = Run(notebook, preset, given["corpus"], given["seed"], pick_device(given["device"]), variant)
    style.use()
    pd.options.display.max_colwidth = None
    settings = {"preset": preset.name, "corpus": paths.slug(run.corpus_name), "seed": run.seed,
                "device": run.device.type, **given["overrides"]}
    measured = [f"{scale} {_duration(cost['seconds'])}" for scale, cost in provenance.costs().get(notebook, {}).items()]
    display(HTML("<b>" + " · ".join(f"{name} {value}" for name, value in settings.items()) + "</b><br>"
                 "Running time as last measured: " + (", ".join(measured) or "not yet") + "."))
    return run


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _readable(value) -> str:
    if isinstance(value, list):
        return ", ".join(" at ".join(map(str, v[::-1])) if isinstance(v, list) else str(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
