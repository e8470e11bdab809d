"""Notebooks 06 to 08 on other models than their own: every cell runs, and says where it does not apply."""

import json

import pytest

from octavoice.laboratory import applies, validity
from octavoice.training import models

SMALL = {"iterations": 2, "decoder_iterations": 2, "batch": 2, "fragment": 16, "panel": 2, "new_steps": 16,
         "study_iterations": 2, "particles": 2}
"""Changes to preset smoke with which training takes no time."""


def ran(checkout, name, **parameters):
    """The run of a notebook whose cells were executed in turn, with these parameters."""
    notebook, names = json.loads((checkout / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")), {}
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        exec(compile("".join(cell["source"]), name, "exec"), names)
        names |= parameters if "parameters" in cell["metadata"].get("tags", []) else {"display": print}
    return names["run"]


@pytest.mark.parametrize(("name", "model"), [
    *((name, model) for name in validity.TAUGHT for model in ("beyond", "lstm")), ("08_beyond", "thesis"),
    ("08_beyond", "rnn-nade-classes")])
def test_a_notebook_runs_on_a_model(checkout, monkeypatch, name, model):
    said = []
    monkeypatch.setattr(applies, "display", lambda text: said.append(text.data))
    run = ran(checkout, name, model=model, overrides=SMALL)
    own = name.endswith(model)
    assert any(f"Does not apply to {model}: " in text for text in said) is not own
    assert {f"results/{stage.name}.safetensors" for stage in models.named(model).stages} <= run.files.keys()
    made = [file for file in run.files if not file.endswith((".safetensors", "_metrics.csv"))]
    assert all((f"/{model}/" in file) is not own for file in made)
