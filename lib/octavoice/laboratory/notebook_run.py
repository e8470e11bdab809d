"""A run as one notebook does it: what it makes is shown, recorded, and noted in a manifest."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure

from octavoice import provenance
from octavoice.figures import style
from octavoice.formats.midi import write_midi
from octavoice.laboratory import validity
from octavoice.thesis import values
from octavoice.training import presets
from octavoice.training.run import Run
from octavoice.training.weights import Weights


def display_png(png: bytes, caption: str) -> None:
    """Display a picture at a legible size, its caption below."""
    display(Image(data=png, width=style.display_width(png)))
    display(Markdown(f"*{caption}*"))


class NotebookRun(Run):
    """A run as one notebook does it: shows and records what it makes.

    Made by :func:`~octavoice.laboratory.notebook.start`.

    On a ``model`` other than its own, a notebook's manifest is called after both and its files lie in folders of
    the model's name, so that one run can hold what it says of several models; ``by`` names it in titles.

    What is written with ``corpus_music=True`` holds more of a corpus's piece than a sample's bar of prime: the
    manifest names it as ``private``, and it is not published.

    ``shown`` tells that the pages as stored are being made, which show a committed run and train nothing
    (:mod:`octavoice.laboratory.shown`); ``stored`` are then that run's networks of the thesis's model, and ``read``
    the committed files that were read, with their hashes.
    """

    shown = False
    stored: Weights | None = None

    def __init__(self, notebook: str, preset: presets.Preset, corpus: str, seed: int, device: torch.device,
                 apart: dict | None = None, model: str = ""):
        super().__init__(preset, corpus, seed, device, apart)
        self.notebook = f"{notebook}-{model}" if model else notebook
        self.within, self.by = (f"{model}/", f" by {model}") if model else ("", "")
        self.private: list[str] = []
        self.read: dict[str, str] = {}
        self._began = time.perf_counter()

    @property
    def showable(self) -> dict:
        """Pieces by side whose music may stand on a stored page; here those of the run."""
        return self.splits

    def compare(self, *names: str, **ours) -> pd.DataFrame:
        """A table of the thesis's values (by their names in ``values.toml``) beside ours of the same name."""
        rows = [{**row, "here": _readable(ours.get(name, "–")), "thesis": _readable(row["thesis"])}
                for name, row in zip(names, values.rows(*names), strict=True)]
        return pd.DataFrame(rows).set_index("quantity")[["thesis", "here", "where"]]

    def judge(self, found: dict[str, dict[str, bool | None]]) -> None:
        """Say in one sentence for each claim what this run gives, and what all committed runs gave.

        ``found`` tells by claim for each thing that was found whether it speaks for the claim; None where it cannot.
        """
        # What judges claims is read by the notebooks that do, so that it is code of no other step.
        from octavoice.results import claims_command, verdicts

        scale = f"{self.preset.name} on {self._music()}, seed {self.seed}"
        for claim, parts in found.items():
            display(HTML(verdicts.sentence(claim, parts, scale, claims_command.stored_table())))

    def show(self, figure: Figure | bytes | Callable, name: str, caption: str, corpus_music: bool = False) -> None:
        """Save a figure (PNG, and SVG beside it) or ready PNG bytes, or what makes one, and display it."""
        figure = _made(figure)
        files = {"png": figure} if isinstance(figure, bytes) else style.render(figure)
        for suffix, data in files.items():
            self._record(f"figures/{self.within}{name}.{suffix}", data, corpus_music)
        display_png(files["png"], caption)

    def write_svg(self, name: str, svg: str, corpus_music: bool = False) -> None:
        """Save an SVG drawn elsewhere (an engraved page) beside the figures."""
        self._record(f"figures/{self.within}{name}.svg", svg.encode(), corpus_music)

    def write_json(self, name: str, data):
        """Save plain data, or what makes it, as ``results/<name>.json``, keys sorted, floats as they are; return it."""
        data = _made(data)
        text = json.dumps(data, indent=1, sort_keys=True, default=lambda number: number.item())
        self._record(f"results/{self.within}{name}.json", (text + "\n").encode())
        return json.loads(text)

    def write_table(self, name: str, table: pd.DataFrame | Callable, levels: int = 1) -> pd.DataFrame:
        """Save a table, or what makes one with an index of so many ``levels``, as ``results/<name>.csv``; return it."""
        table = _made(table)
        self._record(f"results/{self.within}{name}.csv", table.to_csv(lineterminator="\n").encode())
        return table

    def write_midi(self, name: str, roll: np.ndarray, corpus_music: bool = False,
                   durations: np.ndarray | None = None) -> Path:
        """Save a roll ``(time, key)`` as ``results/<name>.mid``, its notes as long as ``durations`` ``(time, key)``."""
        path = write_midi(roll, self.dir / "results" / f"{self.within}{name}.mid", durations=durations)
        self._note(path, corpus_music)
        return path

    def finish(self) -> None:
        """Write the manifest: files with their hashes, provenance, cost. Says how long it took."""
        seconds = time.perf_counter() - self._began
        cost = {"seconds": round(seconds, 1), "peak_memory_mb": round(provenance.peak_memory_mb()),
                "processor": provenance.processor(), "threads": torch.get_num_threads(), "found": self.found}
        self.write_manifest(self.notebook, notebook=self.notebook, private=self.private, cost={**cost, **self.costs},
                            commit=provenance.commit(), code=validity.versions_of(self.notebook))
        display(Markdown(f"*Ran in {seconds:.0f} s at preset `{self.preset.name}` on {self.device.type}, "
                         f"{torch.get_num_threads()} thread(s); wrote {len(self.files)} files.*"))

    def _record(self, name: str, data: bytes, corpus_music: bool = False) -> None:
        self._note(self.record(name, data), corpus_music)

    def _note(self, path: Path, corpus_music: bool) -> None:
        self.adopt(path)
        if corpus_music:
            self.private.append(path.relative_to(self.dir).as_posix())


def _made(thing):
    """A thing, or what a function without arguments makes when it is called."""
    return thing() if callable(thing) else thing


def _readable(value) -> str:
    if isinstance(value, list):
        return ", ".join(" at ".join(map(str, v[::-1])) if isinstance(v, list) else str(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
