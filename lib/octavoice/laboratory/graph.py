"""The graph of runs: each run's settings and wanted steps, and what the steps depend on: versions and the code that
they name, a folder's music, what is committed."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from octavoice import paths, provenance
from octavoice.laboratory import validity
from octavoice.studies.variants import VARIANTS
from octavoice.training import models, presets
from octavoice.training.presets import Preset

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

    def trainings(self, step: str) -> list[str]:
        """The manifests of those trainings: of the whole model where any step needs it, so that none trains twice."""
        whole = {name for each in self.steps for name in validity.models_of(each) if name in models.MODELS}
        asked = [model if name not in whole and (model := name.rpartition("-")[0]) in whole else name
                 for name in validity.models_of(step)]
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


def code_state(step: str) -> str:
    """A hash of the versions that a step depends on and of the code that it names: another one makes it again."""
    return provenance.digest({"versions": validity.versions_of(step), "code": validity.code_of(step)})


def folder_state(corpus: str) -> str:
    """A hash of the names, sizes and times of a folder corpus's files: a changed folder is read again."""
    folder = Path(corpus.removeprefix("folder:")).expanduser()
    files = sorted(folder.rglob("*")) if corpus.startswith("folder:") else []
    return provenance.digest({str(file): [file.stat().st_size, file.stat().st_mtime_ns]
                              for file in files if file.is_file()})


def committed_state(notebook: str) -> str:
    """A hash of what the cells of a notebook read of what is committed under ``results``; nothing if that is none."""
    folder = paths.checkout() / "results"
    named = validity.named_by(paths.checkout() / "notebooks" / f"{notebook}.ipynb")
    read = sorted({COMMITTED[name] for name in named if name in COMMITTED})
    found = {path.relative_to(folder).as_posix(): provenance.sha256(path)
             for pattern in read for path in folder.glob(pattern) if path.is_file()}
    return provenance.digest(found) if read else ""
