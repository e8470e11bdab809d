"""The graph of runs: each run's settings and wanted steps, and what the steps depend on.

Code by its imports, a folder's music, what is committed.
"""

import ast
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from octavoice import paths, provenance
from octavoice.provenance import imports, modules, reached
from octavoice.studies.variants import VARIANTS
from octavoice.training import models, presets
from octavoice.training.presets import Preset

TRAINING = ("octavoice.training.networks", "octavoice.training.run")
"""What training imports when no notebook is around it."""
JUDGING = ("octavoice.likelihood.judging", *TRAINING)
"""What judging a trained model without a notebook imports."""
ABLATION = ("octavoice.studies.ablations",)
"""What training and judging a variant of the thesis's choices imports."""
TAUGHT = {"06_experiments": ("thesis",), "07_discussion": ("thesis",), "08_beyond": ("thesis", "beyond")}
"""The notebooks that need trained networks, and of which models; the last is its own, in place of which it may be run
on another."""
RUNS = "thesis/*/seed-*/index.json"
COMMITTED = {"octavoice.results.published": RUNS, "octavoice.results.compared": RUNS,
             "octavoice.results.claims_command": RUNS, "octavoice.results.short_trainings": RUNS,
             "octavoice.studies.survey_runs": "survey/**/*.*"}
"""The modules through which a notebook reads what is committed under ``results``, and what that is. Every run's index
holds the hashes of all its figures and results."""


@dataclass(frozen=True)
class Work:
    """One run: its resolved preset, corpus, seed and device, and its ``steps`` by the names of their manifests.

    ``06_experiments`` is a notebook, ``06_experiments-NAME`` the same on another model; ``training_NAME`` and
    ``levels_NAME`` are the training and the judging of a model, or of one network of it (``MODEL-STAGE``);
    ``ablation_NAME`` is both of a variant of the thesis's choices.
    """

    preset: Preset
    corpus: str
    seed: int
    device: str = "auto"
    steps: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it works."""
        return paths.run_dir(self.preset.name, self.corpus, self.seed, presets.changed(self.preset))

    @property
    def music(self) -> Path:
        """The marker of the music that it reads."""
        return paths.music_marker(self.corpus, self.preset.files)

    @property
    def minutes(self) -> int:
        """A generous time for any one step: at preset thesis about five times what training took."""
        return 30 + self.preset.iterations * self.preset.batch * self.preset.fragment // 250_000

    def minutes_of(self, variant: str) -> int:
        """The same for an ablation, which may train longer than the preset."""
        return round(max(1, VARIANTS[variant].share) * self.minutes)

    @property
    def memory_mb(self) -> int:
        """A generous memory for any one step, MiB: 2 GiB, and a quarter of a MiB for every step of a batch."""
        return 2048 + self.preset.batch * self.preset.fragment // 4

    def manifest(self, step: str) -> Path:
        """What a step writes when it has finished."""
        return self.folder / "manifests" / f"{step}.json"

    def log(self, step: str) -> Path:
        """What a step leaves behind even if it fails: the notebook up to its error, or what was said."""
        return self.folder / (f"notebooks/{step}.ipynb" if step[0].isdigit() else f"logs/{step}.log")

    def models(self, step: str) -> list[str]:
        """The models, or single networks of one, that a step needs trained."""
        kind, _, name = step.partition("_")
        if kind == "ablation":
            return []  # it trains its own
        notebook, _, model = step.partition("-")
        taught = TAUGHT.get(notebook, ())
        return [name] if kind in ("levels", "training") else [*taught[:-1], model] if model else [*taught]

    def trainings(self, step: str) -> list[str]:
        """The manifests of those trainings: of the whole model where any step needs it, so that none trains twice."""
        whole = {name for each in self.steps for name in self.models(each) if name in models.MODELS}
        asked = [model if name not in whole and (model := name.rpartition("-")[0]) in whole else name
                 for name in self.models(step)]
        return [f"training_{name}" for name in dict.fromkeys(asked)]

    def options(self) -> list[str]:
        """How ``octavoice train``, ``levels`` and ``ablate`` are told which run is meant."""
        return ["--preset", self.preset.name, "--corpus", self.corpus, "--seed", str(self.seed),
                "--device", self.device, "--overrides", json.dumps(presets.changed(self.preset))]

    def parameters(self, step: str) -> list[str]:
        """How papermill is told a notebook's parameters; YAML of its own kind, which knows 1e-8 only as 1.0e-08."""
        overrides = yaml.safe_dump({"overrides": presets.changed(self.preset)}, default_flow_style=True, width=10**6)
        model = step.partition("-")[2]
        return ["-r", "preset", self.preset.name, "-r", "corpus", self.corpus, "-p", "seed", str(self.seed),
                "-r", "device", self.device, "-y", overrides.strip(), *(["-r", "model", model] if model else [])]


def parameters(notebook: str) -> dict:
    """The parameters of a notebook of the checkout by name, with the values they have there."""
    cells = json.loads((paths.checkout() / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    (cell,) = (cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    return {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse("".join(cell["source"])).body}


def notebook_imports(notebook: Path) -> set[str]:
    """What the cells of a notebook import of the package."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return set().union(*(imports("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"))


def code(names: Iterable[str]) -> list[Path]:
    """The files that importing modules ``names`` reads, packages around them and ``.toml`` beside them included."""
    found = reached(names, packages=True)
    files = [modules()[name] for name in sorted(found)]
    return files + [table for file in files if (table := file.with_suffix(".toml")).exists()]


def folder_state(corpus: str) -> str:
    """A hash of the names, sizes and times of a folder corpus's files: a changed folder is read again."""
    folder = Path(corpus.removeprefix("folder:")).expanduser()
    files = sorted(folder.rglob("*")) if corpus.startswith("folder:") else []
    return provenance.digest({str(file): [file.stat().st_size, file.stat().st_mtime_ns]
                              for file in files if file.is_file()})


def committed_state(names: Iterable[str]) -> str:
    """A hash of what modules ``names`` read of what is committed under ``results``; nothing if they read none of it."""
    folder, read = paths.checkout() / "results", sorted({COMMITTED[name] for name in names if name in COMMITTED})
    found = {path.relative_to(folder).as_posix(): provenance.sha256(path)
             for pattern in read for path in folder.glob(pattern) if path.is_file()}
    return provenance.digest(found) if read else ""
