"""What a network's weights depend on: code, settings, music, seed. Its hash decides whether stored ones are still
those that training would give. The machine, which only rounds them, is noted beside them instead
(:func:`octavoice.training.run.machine`): a run trained on one, a GPU perhaps, can be carried to another. So can one
whose precision was left to the machine, whatever that came to there (:func:`keys`)."""

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


def key(run: Run, stage: Stage, precision: str = "") -> str:
    """A hash of everything that the stored weights and metrics of a network depend on, the code included; at the run's
    precision, unless another of its :attr:`~octavoice.training.run.Run.precisions` is named."""
    settings = {field: getattr(run.preset, field) for field in SHARED_SETTINGS}
    return provenance.digest({
        "settings": settings | {"precision": precision or run.preset.precision},
        "recipe": asdict(stage.recipe(run.preset)), "code": provenance.code_fingerprint(code_of(stage)),
        "corpus_sha256": run.corpus.sha256, "seed": run.seed})


def keys(run: Run, stage: Stage) -> list[str]:
    """The key under which this machine would store a network, then those of other machines' that are as good."""
    return [key(run, stage, precision) for precision in run.precisions]
