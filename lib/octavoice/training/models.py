"""The table of models by name. To add one: write its networks and ``MODEL`` in a file of their own, and a line here."""

from octavoice import beyond, survey
from octavoice.errors import UserError
from octavoice.model import Model
from octavoice.thesis import model as thesis

MODELS = {model.name: model for model in (thesis.MODEL, beyond.MODEL, *survey.MODELS)}


def named(name: str) -> Model:
    """The model called ``name``. Raises :class:`UserError` if there is none."""
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name]
