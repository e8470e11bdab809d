"""What a network's weights depend on: settings, music, seed, and the versions of the network and of the training loop.

A version is raised by hand when the numbers change. Where runs work, the code of the network's own file counts too, so
that whoever edits it gets a training and not the old weights. The machine, which only rounds weights, is noted beside
them instead (:func:`octavoice.training.run.machine`): a run trained on one, a GPU perhaps, can be carried to another.
So can one whose precision was left to the machine, whatever that came to there (:func:`keys`).
"""

from dataclasses import asdict

from octavoice import provenance
from octavoice.model import DURATIONS, Stage
from octavoice.training.run import Run

SETTINGS = ("fragment", "stride", "precision", "threads", "evaluate_every", "panel")
"""The last two change no weight, but the table of metrics that is stored and loaded with the weights."""
LOOP = "octavoice.training.fit"
"""The module whose version is that of the training loop, its batches and panel included."""


def versions_of(stage: Stage) -> dict[str, int]:
    """The versions that a network's weights depend on, by name."""
    return {"training": provenance.version_of(LOOP), stage.name: stage.version}


def music_of(run: Run, hears_durations: bool) -> dict[str, str]:
    """The hashes of the music as it is told to a network."""
    durations = {"durations_sha256": run.corpus.durations_sha256} if hears_durations else {}
    return {"corpus_sha256": run.corpus.sha256, **durations}


def depends_on(run: Run, stage: Stage, precision: str = "") -> dict:
    """Everything that a network's weights and metrics depend on, as plain facts; at the run's precision, unless
    another of its :attr:`~octavoice.training.run.Run.precisions` is named."""
    settings = {field: getattr(run.preset, field) for field in SETTINGS}
    network = stage.build()
    return {"settings": settings | {"precision": precision or run.preset.precision},
            "recipe": asdict(stage.recipe(run.preset)), "seed": run.seed, "code": versions_of(stage),
            **music_of(run, network.hears_durations or network.space == DURATIONS)}


def keys(run: Run, stage: Stage) -> list[str]:
    """The key under which a run at work stores a network here, then those of other machines' that are as good."""
    file = provenance.code_of(stage.build.__module__)
    return [provenance.digest(depends_on(run, stage, precision) | {"file": file}) for precision in run.precisions]
