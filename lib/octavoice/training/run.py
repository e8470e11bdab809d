"""A run: its parameters checked, its device, its corpus, the place where it works."""

import json
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from octavoice import corpus as corpora
from octavoice import paths, provenance
from octavoice.errors import UserError
from octavoice.model import Stage
from octavoice.training import precision, presets

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
    """``auto`` is a GPU if torch sees one; there float32 is not shortened to TF32, as cuDNN does of itself.

    Raises :class:`UserError` for another word, and for ``cuda`` where there is none.
    """
    if device not in DEVICES:
        raise UserError(f"device {device!r} is none; choose one of {', '.join(DEVICES)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for but torch sees no GPU; use device 'cpu' or 'auto'.")
    picked = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if picked.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return picked


def machine(device: torch.device) -> dict[str, str]:
    """What computes, for provenance and for keys: the ``processor``, and of a run on a GPU the ``gpu`` by its name."""
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {"processor": provenance.processor(), **gpu}


class Published(NamedTuple):
    """A trained network as it is committed: its ``weights``, the table of its ``metrics``, what it ``cost``."""

    weights: Path
    metrics: Path
    cost: dict


class Run:
    """One run at a preset, corpus and seed: what training and judging need to know of it, and what came of them.

    What sets it ``apart`` from the preset of that name (changed fields, other weights) gives it a folder of its own,
    in which ``settings.json`` spells them out. The preset's precision is what it came to on this machine;
    ``left_to_machine`` tells that none was asked for by name. ``files`` are those that it made, with
    their hashes; ``costs`` what it took to make them, as plain facts; ``found`` names those of the costs that were not
    paid now, since their networks were found trained.
    """

    def __init__(self, preset: presets.Preset, corpus: str, seed: int, device: torch.device,
                 apart: dict | None = None):
        torch.set_num_threads(preset.threads)
        self.preset = replace(preset, precision=precision.decided(preset.precision, device))
        self.left_to_machine = preset.precision == presets.AUTO
        self.corpus_name, self.seed, self.device = corpus, seed, device
        self.apart = presets.changed(preset) | (apart or {})
        self.dir = paths.run_dir(preset.name, corpus, seed, self.apart)
        self.files: dict[str, str] = {}
        self.costs: dict[str, dict] = {}
        self.found: list[str] = []
        if self.apart:
            self._spell_out()

    @cached_property
    def corpus(self) -> corpora.Corpus:
        """The corpus after the filters, read when first asked for."""
        return corpora.load(self.corpus_name, self.preset.files or None)

    @cached_property
    def splits(self) -> dict:
        """Pieces by side: train, valid, test."""
        return self.corpus.splits()

    @property
    def precisions(self) -> tuple[str, ...]:
        """Its precision, then any other at which another machine may have trained the very run that was asked for."""
        own = self.preset.precision
        others = (presets.FULL, presets.LOWERED) if self.left_to_machine else ()
        return own, *(other for other in others if other != own)

    def published(self, stage: Stage) -> Published | None:
        """A network of this run that is read where it is committed, in place of a training; here there is none."""
        return None

    def _spell_out(self) -> None:
        settings = {"preset": self.preset.name, "corpus": self._music(), "seed": self.seed, "apart": self.apart}
        with paths.atomic(self.dir / "settings.json") as temporary:
            temporary.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")

    def _music(self) -> str:
        return self.corpus_name if ":" not in self.corpus_name else paths.slug(self.corpus_name)

    def facts(self) -> dict:
        """Everything that decides this run's numbers, for provenance and for keys."""
        return {"preset": asdict(self.preset), "corpus": self._music(), "corpus_sha256": self.corpus.sha256,
                "durations_sha256": self.corpus.durations_sha256, "seed": self.seed,
                "device": self.device.type, "versions": provenance.versions()}

    def write_manifest(self, name: str, **own) -> None:
        """Write ``manifests/<name>.json``: the files with their hashes, what decides the numbers, and ``own`` facts."""
        with paths.atomic(self.dir / "manifests" / f"{name}.json") as temporary:
            manifest = {"files": self.files, **self.facts(), **own}
            temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    def record(self, name: str, data: bytes) -> Path:
        """Write a file below the run's folder and count it."""
        with paths.atomic(self.dir / name) as temporary:
            temporary.write_bytes(data)
        self.adopt(self.dir / name)
        return self.dir / name

    def adopt(self, path: Path) -> None:
        """Count a file that was written below the run's folder by other means (weights)."""
        self.files[path.relative_to(self.dir).as_posix()] = provenance.sha256(path)
