"""Weights of a model as a folder: a safetensors file for each network, and where they come from.

The files are called as a run calls them under ``results/`` (the thesis's ``main.safetensors`` and
``decoder.safetensors``), so that the results of any run, the weights that ship with the package and imported ones
load alike. ``about.json`` beside them is free text and facts for people: training, music, licence.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from octavoice import paths
from octavoice.errors import UserError
from octavoice.model import Model, Network
from octavoice.training import models

SHIPPED = paths.PACKAGE / "weights"
"""The weights that come with the package."""


@dataclass(frozen=True)
class Weights:
    """A model's networks, ready to use, and what is known about them."""

    model: Model
    stages: tuple[Network, ...]
    about: dict[str, Any]

    @property
    def generator(self) -> Any:
        """The first network; the thesis's main module and sampler."""
        return self.stages[0]

    @property
    def decoder(self) -> Any:
        """The second network."""
        return self.stages[1]


def load(folder: Path = SHIPPED, model: str = "thesis") -> Weights:
    """A model's networks from a folder. Raises :class:`UserError` for a missing, damaged or mismatched file."""
    folder, named = Path(folder), models.named(model)
    files = [folder / f"{stage.name}.safetensors" for stage in named.stages]
    if missing := [file for file in files if not file.is_file()]:
        raise UserError(f"{missing[0]}: there is no such file; give a folder with "
                        f"{' and '.join(file.name for file in files)}.")
    networks = named.build()
    for network, file in zip(networks, files, strict=True):
        load_module(network, file)
    return Weights(named, tuple(network.eval() for network in networks), _about(folder / "about.json"))


def held(folder: Path) -> list[str]:
    """Names of the models whose networks lie in a folder."""
    return [name for name, model in models.MODELS.items()
            if all((Path(folder) / f"{stage.name}.safetensors").is_file() for stage in model.stages)]


def _about(path: Path) -> dict[str, Any]:
    """What a folder says of its weights; nothing is an answer. Raises :class:`UserError` for a damaged file."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: is damaged; fetch the weights again or remove this file.") from error


def load_module(module: nn.Module, path: Path) -> None:
    """Fill a module from a safetensors file. Raises :class:`UserError` unless every name and shape fits."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: is damaged or not a safetensors file; fetch or train it again.") from error
    if wrong := mismatch(module, tensors):
        raise UserError(f"{path}: does not fit the network: {wrong}.")
    module.load_state_dict(tensors)


def mismatch(module: nn.Module, tensors: dict[str, Tensor]) -> str:
    """The first name or shape in which ``tensors`` differ from a module's parameters, in words; else empty."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | given.keys()):
        if name not in given:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is unknown"
        if given[name] != expected[name]:
            return f"{name} is {given[name]} where {expected[name]} is needed"
    return ""


def save_module(module: nn.Module, path: Path) -> None:
    """Write a module's parameters as safetensors, atomically."""
    with paths.atomic(path) as temporary:
        save_file({name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}, temporary)


def save(weights: Weights, folder: Path) -> None:
    """Write a model's networks and what is known about them into ``folder``."""
    for network, stage in zip(weights.stages, weights.model.stages, strict=True):
        save_module(network, Path(folder) / f"{stage.name}.safetensors")
    with paths.atomic(Path(folder) / "about.json") as temporary:
        temporary.write_text(json.dumps(weights.about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
