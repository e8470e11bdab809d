"""What a network's weights depend on: code, settings, music, seed. Its hash decides whether stored ones are still
those that training would give. The machine, which only rounds them, is noted beside them instead
(:func:`octavoice.training.run.machine`): a run trained on one, a GPU perhaps, can be carried to another."""

from dataclasses import asdict

from octavoice import provenance
from octavoice.model import Stage
from octavoice.training.run import Run

SHARED_CODE = ("octavoice.model", "octavoice.music.roll", "octavoice.corpus.pieces", "octavoice.corpus.splits",
               "octavoice.corpus.fragments", "octavoice.training.fit", "octavoice.training.networks")
"""What every network's training runs through; a network's own code is found by its imports."""
SHARED_SETTINGS = ("fragment", "stride", "precision", "threads", "evaluate_every", "panel")
"""The last two change no weight, but the table of metrics that is stored and loaded with the weights."""


def code_of(stage: Stage) -> list[str]:
    """The modules that decide a network's weights, by name."""
    return sorted({*SHARED_CODE, *provenance.reached([stage.build.__module__])})


def key(run: Run, stage: Stage) -> str:
    """A hash of everything that the stored weights and metrics of a network depend on, the code included."""
    return provenance.digest({
        "settings": {field: getattr(run.preset, field) for field in SHARED_SETTINGS},
        "recipe": asdict(stage.recipe(run.preset)), "code": provenance.code_fingerprint(code_of(stage)),
        "corpus_sha256": run.corpus.sha256, "seed": run.seed})
