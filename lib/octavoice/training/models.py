"""The table of models by name. To add one: write it in a file of its own, and a line here."""

from dataclasses import replace
from functools import cache

from octavoice import beyond, survey
from octavoice.beyond import second
from octavoice.errors import UserError
from octavoice.model import Model, Stage
from octavoice.representation import Representation
from octavoice.representations import steps
from octavoice.thesis import model as thesis


def with_keys(model: Model) -> Model:
    """A model of pitch classes with the second stage of the model beyond, trained as its own."""
    keys = beyond.MODEL.stages[1]
    return replace(model, stages=(*model.stages, replace(keys, name=f"{model.stages[0].name}_keys")))


MODELS = {model.name: model for model in (thesis.MODEL, beyond.MODEL, second.MODEL, *survey.MODELS,
                                          *map(with_keys, survey.CLASSES_MODELS), *survey.EVENT_MODELS)}


@cache
def representation_of(stage: Stage) -> Representation:
    """How music is told to the network of a stage."""
    return stage.build().representation


def in_steps(model: Model) -> bool:
    """Whether all of a model speaks of steps of 88 keys, so that it has classes, keys and perhaps durations."""
    return all(isinstance(representation_of(stage), steps.Steps) for stage in model.stages)


def named(name: str) -> Model:
    """The model called ``name``, or with ``MODEL-STAGE`` one network of it alone (for ablations of that one).

    Raises :class:`UserError` if there is none.
    """
    if name in MODELS:
        return MODELS[name]
    whole = max((model for model in MODELS if name.startswith(f"{model}-")), key=len, default=None)
    if whole is None:
        raise UserError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}.")
    stages = {part.name: part for part in MODELS[whole].stages}
    stage = name.removeprefix(f"{whole}-")
    if stage not in stages:
        raise UserError(f"model {whole} has no network {stage!r}; choose one of {', '.join(stages)}.")
    return replace(MODELS[whole], stages=(stages[stage],))
