"""Presets: how much of the thesis's experiment one run does. The networks have their true sizes in all."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from octavoice.errors import UserError

AUTO, FULL, LOWERED = PRECISIONS = "auto", "fp32", "bf16"
"""Of training; what the first comes to is said in :mod:`octavoice.training.precision`."""
MAX_SEED = 2**31 - 1
LEAST = {"files": 0, "fragment": 2, "study_fragment": 2, "samples": 3}
"""Least values of whole settings other than 1: a fragment holds a step and its next one, 07 shows three samples."""


@dataclass(frozen=True)
class Preset:
    """One scale of the experiment. Lengths in steps; unknown names and wrong types are errors."""

    name: str
    files: int              # files of the corpus that are read at most, 0 for all
    fragment: int           # steps per fragment
    batch: int              # fragments per batch
    iterations: int         # of the main module and sampler
    decoder_iterations: int
    evaluate_every: int     # iterations between points of the held-out curve
    panel: int              # validation fragments of the held-out curve
    study_iterations: int   # of each small training inside notebooks 03-05
    study_batch: int
    study_fragment: int
    study_seeds: int        # of the comparisons in notebook 04
    samples: int            # continuations composed for §7.4
    new_steps: int          # new steps of each
    particles: int          # of the shared likelihood
    threads: int            # torch threads; part of what makes a run repeatable to the bit
    stride: int = 32
    prime: int = 16         # §7.4
    learning_rate: float = 0.01
    epsilon: float = 1e-8
    decoder_learning_rate: float = 0.1
    decoder_epsilon: float = 1e-4
    precision: str = AUTO   # of training: "bf16" where this machine has it and is faster by it, else "fp32"


PRESETS = {preset.name: preset for preset in (
    # a minute or two for all eight notebooks: shows that everything runs, teaches the networks nothing
    Preset("smoke", files=24, fragment=64, batch=8, iterations=12, decoder_iterations=12, evaluate_every=4, panel=8,
           study_iterations=6, study_batch=4, study_fragment=32, study_seeds=1, samples=3, new_steps=64,
           particles=4, threads=1),
    # minutes on two cores: real music, true sizes; half of the thesis's fragment, a ninth of its batch, a quarter of
    # its iterations (batches of 32 take half as long again and end 0.02 nats higher)
    Preset("quick", files=0, fragment=128, batch=16, iterations=600, decoder_iterations=300, evaluate_every=25,
           panel=48, study_iterations=60, study_batch=16, study_fragment=64, study_seeds=2,
           samples=24, new_steps=240, particles=8, threads=1),
    # for comparing variants: the thesis's batches and held-out panel, an eighth of its iterations
    Preset("ablation", files=0, fragment=256, batch=140, iterations=300, decoder_iterations=300, evaluate_every=25,
           panel=140, study_iterations=300, study_batch=32, study_fragment=128, study_seeds=3,
           samples=48, new_steps=240, particles=16, threads=1),
    # §7.2 as printed; one thread, so that runs of two seeds go side by side on two cores
    Preset("thesis", files=0, fragment=256, batch=140, iterations=2400, decoder_iterations=2400, evaluate_every=25,
           panel=140, study_iterations=600, study_batch=32, study_fragment=128, study_seeds=3,
           samples=120, new_steps=240, particles=32, threads=1),
    # for setting many models side by side: most networks of the survey train within ten minutes of one core
    Preset("survey", files=0, fragment=128, batch=16, iterations=1500, decoder_iterations=1500, evaluate_every=100,
           panel=48, study_iterations=120, study_batch=16, study_fragment=64, study_seeds=2,
           samples=24, new_steps=240, particles=16, threads=1),
)}


def seed_number(text: str) -> int:
    """A seed from its text; raises :class:`UserError` unless it is a whole number from 0 to 2³¹ − 1."""
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_SEED):
        raise UserError(f"seed {text!r} is not a whole number from 0 to {MAX_SEED}; give one, for instance 1.")
    return int(text)


def changed(preset: Preset) -> dict[str, int | float | str]:
    """The fields of a preset that differ from the one of its name: the overrides that count."""
    plain = PRESETS.get(preset.name, preset)
    return {field.name: value for field in fields(Preset)
            if (value := getattr(preset, field.name)) != getattr(plain, field.name)}


def resolve(name: str, **overrides: object) -> Preset:
    """The preset called ``name`` with some fields changed.

    Raises :class:`UserError` for an unknown preset or field, a value of the wrong type or below its least.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}.")
    kinds = {field: kind for field, kind in get_type_hints(Preset).items() if field != "name"}
    for field in overrides:
        if field not in kinds:
            raise UserError(f"unknown setting {field!r} for a preset; choose among {', '.join(kinds)}.")
    checked = {field: _checked(field, kinds[field], value) for field, value in overrides.items()}
    return replace(PRESETS[name], **checked)


def _checked(field: str, kind: type, value: Any) -> Any:
    """The value of a setting as its kind; a whole number is a number too. Raises :class:`UserError`."""
    if field == "precision":
        if value not in PRECISIONS:
            raise UserError(f"setting precision={value!r} must be one of {', '.join(PRECISIONS)}.")
        return value
    least = LEAST.get(field, 1) if kind is int else 0
    if type(value) not in (int, kind) or not least <= value < math.inf:
        raise UserError(f"setting {field}={value!r} must be a {kind.__name__} of at least {least}.")
    return kind(value)
