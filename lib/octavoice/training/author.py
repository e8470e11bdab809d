"""The author's published weights (thesis, footnote 15): two pickled state dicts become a folder of safetensors.

The parameter names of our modules are those of the published ones, so importing is reading, checking and
writing. A pickle's code is never executed: anything but plain tensors is refused. The decoder's file also
holds a network for loudness, which the thesis leaves out and so do we.
"""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from octavoice import paths, provenance
from octavoice.errors import UserError
from octavoice.thesis import model as thesis
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training import weights

LOUDNESS = ("velocity_lstm.", "velocity_linear.")
"""How the names of the parameters begin that only the published decoder has."""
ABOUT = "Published by the author of the thesis (footnote 15)."


def import_author(model: Path, decoder: Path, folder: Path) -> str:
    """Convert both state dicts into ``folder``, which must be new or empty; return what was done, in words.

    Raises :class:`UserError`, before anything is written, for a file that is missing, damaged or no state
    dict, for a name or shape that does not fit, and for a folder in use.
    """
    model, decoder, folder = Path(model), Path(decoder), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is in use; name a new folder for the imported weights.")
    generator, rbm = OctaveGenerator().eval(), Decoder().eval()
    _fill(generator, read(model), model, rbm)
    tensors = read(decoder)
    left_out = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name.startswith(LOUDNESS)}
    _fill(rbm, {name: tensor for name, tensor in tensors.items() if name not in left_out}, decoder, generator)
    about = {"about": ABOUT, "licence": "not stated in the files; ask the author before passing them on",
             "left out": left_out, "sha256": {"main": provenance.sha256(model), "decoder": provenance.sha256(decoder)}}
    try:
        with paths.replaced(folder) as fresh:
            weights.save(weights.Weights(thesis.MODEL, (generator, rbm), about), fresh)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); name another folder.") from error
    return _report(generator, rbm, about, folder)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a pickled state dict, old format or new, on the CPU. Raises :class:`UserError`."""
    tensors: dict[str, Tensor]
    try:
        with warnings.catch_warnings(action="ignore"):
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        named = isinstance(tensors, dict) and all(isinstance(name, str) for name in tensors)
        numbers = named and all(tensor.is_floating_point() and tensor.isfinite().all() for tensor in tensors.values())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: is no pickle, or holds more than tensors, which is never executed; "
                        "give a state dict as torch.save writes it.") from error
    except Exception as error:  # a damaged file fails in any way it likes
        raise UserError(f"{path}: is damaged or no state dict; download it again.") from error
    if not numbers:
        raise UserError(f"{path}: is no state dict, which is names with finite numbers for each; "
                        "save the module's state_dict() alone.")
    return tensors


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path, other: nn.Module) -> None:
    """Load ``tensors`` of the file ``path`` into ``module``; ``other`` is what a swapped file would fit."""
    if wrong := weights.mismatch(module, tensors):
        if _published_fits(other, tensors):
            raise UserError(f"{path}: is the other network's; name the main module's file first, the decoder's second.")
        raise UserError(f"{path}: does not fit the network: {wrong}; give the two files of the published program.")
    module.load_state_dict(tensors)


def _published_fits(module: nn.Module, tensors: dict[str, Tensor]) -> bool:
    return not weights.mismatch(module, {n: t for n, t in tensors.items() if not n.startswith(LOUDNESS)})


def _report(generator: nn.Module, rbm: nn.Module, about: dict[str, Any], folder: Path) -> str:
    sizes = [sum(p.numel() for p in module.parameters()) for module in (generator, rbm)]
    loudness = ", ".join(f"{name} {shape}" for name, shape in about["left out"].items()) or "nothing"
    return (f"main module and sampler: {sizes[0]} parameters; decoder: {sizes[1]}; every name and shape fits.\n"
            f"Left out (loudness, not part of the thesis): {loudness}.\nWritten to {folder}.")

