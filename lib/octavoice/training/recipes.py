"""What each network's weights depend on: code, settings, music, seed, machine. Its hash decides whether stored ones
are still those that training would give."""

from dataclasses import dataclass

from octavoice import provenance
from octavoice.training.run import Run

SHARED_CODE = ("music/roll.py", "corpus/pieces.py", "corpus/splits.py", "corpus/fragments.py", "thesis/lstm.py",
               "training/fit.py", "training/networks.py")
SHARED_SETTINGS = ("fragment", "stride", "batch", "precision", "threads", "evaluate_every", "panel")
"""The last two change no weight, but the table of metrics that is stored and loaded with the weights."""
LIBRARIES = ("torch", "numpy")
"""Both networks' numbers and random streams are theirs alone, whatever the version of Python."""


@dataclass(frozen=True)
class Recipe:
    """What one network's training reads: ``code``, files of the package, and ``settings``, fields of the preset.

    ``task`` is what the training is called; ``iterations`` the field that says how long it is. What all networks
    share stands in :data:`SHARED_CODE` and :data:`SHARED_SETTINGS`.
    """

    task: str
    iterations: str
    settings: tuple[str, ...]
    code: tuple[str, ...]


RECIPES = {
    "main": Recipe("main module", "iterations", ("learning_rate", "epsilon"),
                   ("thesis/attention.py", "thesis/generator.py", "thesis/voices.py")),
    "decoder": Recipe("decoder", "decoder_iterations", ("decoder_learning_rate", "decoder_epsilon"),
                      ("thesis/decoder.py",)),
}
"""By the name of the network's files."""


def key(run: Run, name: str) -> str:
    """A hash of everything that the stored weights and metrics of network ``name`` depend on, the code included."""
    recipe, versions = RECIPES[name], provenance.versions()
    settings = (*SHARED_SETTINGS, recipe.iterations, *recipe.settings)
    return provenance.digest({
        "settings": {field: getattr(run.preset, field) for field in settings},
        "code": provenance.code_fingerprint(SHARED_CODE + recipe.code),
        "corpus_sha256": run.corpus.sha256, "seed": run.seed, "device": run.device.type,
        "versions": {library: versions[library] for library in LIBRARIES}, "processor": provenance.processor()})
