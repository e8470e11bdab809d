"""Whether training lowers its matrix products to bfloat16 on this machine: what precision ``auto`` comes to.

Some processors have no LSTM in bfloat16 at all, others only a slow imitation. So a small one is tried forwards and
backwards, once for a machine, and what came of it is kept in ``runs/precision-<machine>.json``: all trainings of a
machine go by the same decision, also when a busy moment would have it otherwise. On a GPU ``auto`` is float32.
"""

import json
import os
import platform
import time
from functools import cache
from pathlib import Path

import torch
from torch import nn

from octavoice import paths, provenance
from octavoice.errors import UserError
from octavoice.training.presets import AUTO, FULL, LOWERED

WORTH = 0.9
"""Bfloat16 is taken where it needs less than this share of float32's time: a tie is no reason to round."""
TRIALS = 5
SHAPE = (32, 64, 112)
"""Steps, fragments and inputs of the LSTM that is tried, with 130 units: the thesis's largest (§6.3)."""
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Variables of the environment that hide a processor's instructions from oneDNN, so that it counts as another one."""


def decided(asked: str, device: torch.device) -> str:
    """The precision that ``asked`` comes to on a ``device``: ``fp32`` or ``bf16``.

    Raises :class:`UserError` for bfloat16 by name where it cannot be.
    """
    if asked == LOWERED and device.type != "cpu":
        raise UserError("precision bf16 is for training on a CPU; leave it out, or give precision fp32, on a GPU.")
    if asked == LOWERED and not possible():
        raise UserError("precision bf16 was asked for, but this processor has no LSTM in bfloat16; leave precision "
                        "out, or give fp32.")
    if asked == AUTO:
        return automatic() if device.type == "cpu" else FULL
    return asked


@cache
def possible() -> bool:
    """Whether this processor trains an LSTM in bfloat16 at all."""
    return seconds(LOWERED, trials=1) is not None


def automatic() -> str:
    """What ``auto`` comes to on this machine's CPU, as it was decided when it was first asked here."""
    file = decision_file()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["precision"]
    except (OSError, ValueError, LookupError, TypeError):
        found = None  # never decided here, or damaged: decide (again)
    return found if found in (FULL, LOWERED) else _decide(file)


def decision_file() -> Path:
    """Where the decision of this machine is kept: one for each processor, torch, and limit on its instructions."""
    return paths.home() / "runs" / f"precision-{provenance.digest(machine())[:8]}.json"


def machine() -> dict[str, str]:
    """What decides: processor, system, torch, and the limits set on its instructions."""
    limits = {name: os.environ[name] for name in LIMITS if os.environ.get(name)}
    return {"processor": provenance.processor(), "system": platform.machine(), "torch": torch.__version__, **limits}


def _decide(file: Path) -> str:
    """Try both, write down what came of it, and return it."""
    full, lowered = seconds(FULL), seconds(LOWERED)
    worth_it = full is not None and lowered is not None and lowered < WORTH * full
    came_to = LOWERED if worth_it else FULL
    with paths.atomic(file) as temporary:
        facts = {"precision": came_to, "seconds": {FULL: full, LOWERED: lowered}, **machine()}
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return came_to


def seconds(precision: str, trials: int = TRIALS) -> float | None:
    """Of an LSTM's pass forwards and backwards at a precision on one thread the shortest of some ``trials``; None where
    it cannot be."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return min(_trial(precision) for _ in range(trials + 1))  # the first one warms up
    except RuntimeError:  # "could not create a primitive": oneDNN has none for this processor
        if precision == FULL:
            raise
        return None
    finally:
        torch.set_num_threads(threads)


def _trial(precision: str) -> float:
    with torch.random.fork_rng(devices=[]):  # a run's own stream is not disturbed
        lstm = nn.LSTM(SHAPE[-1], 130)
    x = torch.ones(SHAPE, requires_grad=True)
    began = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == LOWERED):
        lstm(x)[0].float().sum().backward()
    return time.perf_counter() - began
