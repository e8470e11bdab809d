"""The table of models by name. To add one: write its networks and ``MODEL`` in a file of their own, and a line here."""

from dataclasses import replace

from octavoice import beyond
from octavoice.errors import UserError
from octavoice.model import Model
from octavoice.thesis import model as thesis

MODELS = {model.name: model for model in (thesis.MODEL, beyond.MODEL)}


def named(name: str) -> Model:
    """The model called ``name``, or with ``MODEL-STAGE`` one network of it alone (for ablations of that one).

    Raises :class:`UserError` if there is none.
    """
    model, _, stage = name.partition("-")
    if model not in MODELS:
        raise UserError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}.")
    if not stage:
        return MODELS[model]
    stages = {part.name: part for part in MODELS[model].stages}
    if stage not in stages:
        raise UserError(f"model {model} has no network {stage!r}; choose one of {', '.join(stages)}.")
    return replace(MODELS[model], stages=(stages[stage],))
