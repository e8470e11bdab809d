"""What the steps of a run are called, in its manifests, its index and its graph.

A notebook is called by its name, ``06_experiments``; on a model other than its own by both,
``06_experiments-gru``. ``training_gru`` and ``levels_gru`` are the training and the judging of a model
without a notebook.
"""

from octavoice.errors import UserError
from octavoice.model import Stage
from octavoice.training import models

WITHOUT_NOTEBOOK = ("training", "levels")


def own_model(notebook: str) -> str:
    """The model that a notebook is about unless it is run on another: the one it is called after, else the
    thesis's."""
    return next((name for name in models.MODELS if notebook.endswith(f"_{name}")), "thesis")


def named(notebook: str, model: str = "") -> str:
    """What a notebook's step is called, on a ``model`` other than its own or on that."""
    return f"{notebook}-{model}" if model else notebook


def model_of(step: str) -> str:
    """The model that a step is about."""
    kind, _, name = step.partition("_")
    if kind in WITHOUT_NOTEBOOK:
        return name
    notebook, _, other = step.partition("-")
    return other or own_model(notebook)


def facts_of(provenance: dict[str, dict], model: str) -> dict:
    """What the first of a run's steps that are about a model tells: its preset, seed, music, cost.

    ``provenance`` are the steps of an index by name. Raises :class:`UserError` if none is about it.
    """
    found = [facts for step, facts in provenance.items() if model_of(step) == model]
    if not found:
        raise UserError(f"no step of this run is about the model {model}, whose networks lie there; publish one of "
                        f"it too, for instance {named('06_experiments', model)}.")
    return found[0]


def training_cost(provenance: dict[str, dict], stage: Stage) -> dict:
    """What the training of a network cost, as some of a run's steps about its model tells.

    Several models call a network alike, ``keys`` for instance, so a step about another one is not asked. Raises
    :class:`UserError` if none tells.
    """
    part = f"training, {stage.called}"
    owner = next(model.name for model in models.MODELS.values() if stage.name in {each.name for each in model.stages})
    for step, facts in provenance.items():
        if model_of(step) in (owner, f"{owner}-{stage.name}") and part in facts.get("cost", {}):
            return facts["cost"][part]
    raise UserError(f"no step of this run tells what the training of {stage.name} cost; publish one that does, "
                    f"for instance {named('06_experiments', owner)}.")
