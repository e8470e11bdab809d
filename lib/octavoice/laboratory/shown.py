"""The run that stored pages show: committed figures, tables and networks are read, nothing is trained."""

import json
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from octavoice import corpus as corpora
from octavoice import paths, provenance
from octavoice.errors import UserError
from octavoice.laboratory import pages
from octavoice.laboratory.notebook_run import NotebookRun, display_png
from octavoice.model import Stage
from octavoice.training import models, weights
from octavoice.training.run import Published

FREE = "bach"
"""The corpus whose music stands on stored pages."""


class ShownRun(NotebookRun):
    """A run that shows what is committed of it: figures, tables and networks are read wherever they are.

    ``read`` are the files that were read so, with their hashes; :meth:`finish` stores them with the page. It works in
    a folder of its own, so that no training of the same run is touched.
    """

    shown = True
    told = ("This page as stored shows that run as it is committed: networks and what is costly are read, nothing is "
            "trained. To make it again takes its corpus (<code>octavoice corpus fetch open-keyboard</code>) and "
            "<code>make notebooks</code>; run by you, the page follows the parameters above.")

    def __init__(self, notebook: str, preset, corpus: str, seed: int, device, apart: dict | None = None,
                 model: str = ""):
        super().__init__(notebook, preset, corpus, seed, device, {**(apart or {}), "shown": True}, model)
        self.run = paths.run_dir(preset.name, corpus, seed).relative_to(paths.home() / "runs")

    @property
    def results(self) -> Path:
        """The committed results."""
        return paths.checkout() / "results" / self.run

    @cached_property
    def stored(self) -> weights.Weights:
        """The committed networks of the thesis's model, on the run's device."""
        for stage in models.named("thesis").stages:
            self._find(f"results/{stage.name}.safetensors")
        found = weights.load(self.results)
        for network in found.stages:
            network.to(self.device)
        return found

    @cached_property
    def showable(self) -> dict:
        """The chorales, by side: no music of the run's corpus stands on a stored page but the bar of a prime."""
        return corpora.load(FREE).splits()

    def show(self, figure, name: str, caption: str, corpus_music: bool = False) -> None:
        """As a run's; what is committed is read, and a picture of a corpus's music is left out."""
        if corpus_music:
            display(Markdown(f"*Left out of the page as stored, since it shows music of {self.corpus_name}; run the "
                             f"notebook to see it. {caption}*"))
        elif path := self._find(f"figures/{self.within}{name}.png"):
            display_png(path.read_bytes(), caption)
        else:
            return super().show(figure, name, caption)
        if isinstance(figure, Figure):
            plt.close(figure)

    def write_table(self, name: str, table, levels: int = 1) -> pd.DataFrame:
        """As a run's, read if it is committed."""
        if not (path := self._find(f"results/{self.within}{name}.csv")):
            return super().write_table(name, table)
        return pd.read_csv(path, index_col=list(range(levels if callable(table) else table.index.nlevels)))

    def write_json(self, name: str, data):
        """As a run's, read if it is committed."""
        path = self._find(f"results/{self.within}{name}.json")
        return json.loads(path.read_text(encoding="utf-8")) if path else super().write_json(name, data)

    def note(self, *names: str) -> None:
        """Count committed results as read that were read by other means."""
        for name in names:
            self._find(f"results/{name}")

    def finish(self) -> None:
        """As a run's, and store with the page what it was read from. Raises :class:`UserError` if it trained."""
        if trained := sorted(set(self.costs) - set(self.found)):
            raise UserError(f"{self.notebook} trained ({', '.join(trained)}) where it was to read; publish the run "
                            "again with this code.")
        super().finish()
        names = ", ".join(Path(name).name for name in sorted(self.read))
        told = f"Read of the committed run: {names}." if names else "What is shown is computed, or read from all runs."
        display(Markdown(f"*{told}*"),
                metadata={"octavoice": {"run": pages.RUN, "read": dict(sorted(self.read.items()))}})

    def published(self, stage: Stage) -> Published | None:
        """A committed network of the run, counted as read."""
        network = self._find(f"results/{stage.name}.safetensors")
        metrics = self._find(f"results/{stage.name}_metrics.csv")
        return Published(network, metrics, self._cost_of(stage)) if network and metrics else None

    def _cost_of(self, stage: Stage) -> dict:
        """What the training of a network cost, as the run's index tells it."""
        index = json.loads((self.results / "index.json").read_text(encoding="utf-8"))
        costs = [facts.get("cost", {}) for facts in index["provenance"].values()]
        return next(cost[f"training, {stage.called}"] for cost in costs if f"training, {stage.called}" in cost)

    def _find(self, name: str) -> Path | None:
        """A committed file by its name in the index, counted as read; None if there is none."""
        folder, _, file = name.partition("/")
        path = paths.checkout() / folder / self.run / file
        if not path.is_file():
            return None
        self.read[name] = provenance.sha256(path)
        return path
