"""How a notebook begins: its parameters checked, and the run that shows and records what it makes."""

import os

import pandas as pd
from IPython.display import HTML, display

from octavoice import paths
from octavoice.errors import UserError
from octavoice.figures import style
from octavoice.laboratory import pages
from octavoice.laboratory.notebook_run import NotebookRun
from octavoice.laboratory.notebook_run import display_png as display_png
from octavoice.laboratory.shown import ShownRun
from octavoice.results import costs
from octavoice.training import models, presets
from octavoice.training.run import PARAMETERS, check_parameters, check_types, pick_device


def start(notebook: str, namespace: dict, **own: type) -> NotebookRun:
    """Begin a notebook: check its parameters, pick the device, show the preset. Returns the :class:`NotebookRun`.

    Tables are shown whole from here on. ``namespace`` is ``globals()`` right after the parameters cell; ``own`` are
    parameters that this notebook has besides the common ones, with their types; one called ``model`` names the model
    that the notebook is run on; its own is the one it is called after, else the thesis's. Networks from a folder,
    ``weights``, are not the run's, so what is made with them goes into a folder of its own. Where the environment asks
    for pages as stored, the declared run takes the place of the common parameters. Raises :class:`UserError`.
    """
    kind, declared = _asked()
    given = check_types(namespace, PARAMETERS | own) | declared
    check_parameters({name: given[name] for name in PARAMETERS})
    preset = presets.resolve(given["preset"], **given["overrides"])
    other = {"weights": paths.slug(f"folder:{given['weights']}")} if given.get("weights") else {}
    model = _other_model(notebook, given["model"]) if "model" in given else ""
    run = kind(notebook, preset, given["corpus"], given["seed"], pick_device(given["device"]), other, model)
    style.use()
    pd.options.display.max_colwidth = pd.options.display.max_rows = pd.options.display.max_columns = None
    settings = {"preset": preset.name, "corpus": paths.slug(run.corpus_name), "seed": run.seed,
                "device": run.device.type, **({"model": model} if model else {}), **given["overrides"]}
    known = costs.measured().get(run.notebook, {})
    measured = [f"{scale} {_duration(cost['seconds'])}" for scale, cost in known.items()]
    display(HTML("<b>" + " · ".join(f"{name} {value}" for name, value in settings.items()) + "</b><br>"
                 + (f"{run.told}<br>" if run.shown else "")
                 + "Running time as last measured: " + (", ".join(measured) or "not yet") + "."))
    return run


def _other_model(notebook: str, model: str) -> str:
    """A ``model`` if it is not a notebook's own. Raises :class:`UserError` for what is no whole model."""
    if model not in models.MODELS:
        raise UserError(f"unknown model {model!r}; this notebook takes a whole one of {', '.join(models.MODELS)}.")
    own = next((name for name in models.MODELS if notebook.endswith(f"_{name}")), "thesis")
    return "" if model == own else model


def _asked() -> tuple[type[NotebookRun], dict]:
    """The kind of run that the environment asks for, and the parameters that it fixes."""
    return (ShownRun, pages.RUN) if os.environ.get(pages.SWITCH) else (NotebookRun, {})


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
