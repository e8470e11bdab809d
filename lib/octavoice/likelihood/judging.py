"""A trained model on the one axis, without a notebook: nats per step on the test pieces, beside tables of frequencies.

What an ablation of one network needs to be told from another, and no more; ``08_beyond`` shows the whole.
"""

import numpy as np
import pandas as pd

from octavoice.corpus import Fragments
from octavoice.likelihood import axis
from octavoice.model import BOUND, CLASSES, DURATIONS, ESTIMATE, EXACT, GIVEN, KEYS, Network
from octavoice.statistics import samples
from octavoice.training.networks import Networks
from octavoice.training.run import Run


def levels(run: Run, networks: Networks, progress=iter) -> pd.DataFrame:
    """Nats per step of each network and of the tables of its space: a row for each ``(space, who)``.

    Columns ``kind``, ``level``, ``low``, ``high`` (95 % over pieces), ``steps`` that were judged and steps ``left
    out`` because one of the row's space cannot make them. Every network is judged on the same test pieces, all but
    the first step of each; one of durations on those that tell them. A model of classes and of keys given them has a
    row in the space of keys too, their sum. ``progress`` wraps the loop over windows.
    """
    name = networks.model.name
    steps = {network.space: _steps(run, name, network, progress) for network in networks.stages}
    if {CLASSES, GIVEN} <= steps.keys():
        steps[KEYS] = _both(name, steps[CLASSES], steps[GIVEN])
    spaces, known = sorted(steps, key=(CLASSES, GIVEN, KEYS, DURATIONS).index), kinds(networks.stages)
    return pd.concat({space: _table(steps[space], {name: known[space]}) for space in spaces}, names=["space"])


def kinds(stages: tuple[Network, ...]) -> dict[str, str]:
    """What the number of each space is; of classes and keys given them together the less certain kind."""
    found = {network.space: network.kind for network in stages}
    if {CLASSES, GIVEN} <= found.keys():
        found[KEYS] = max(found[CLASSES], found[GIVEN], key=(EXACT, BOUND, ESTIMATE).index)
    return found


def _steps(run: Run, name: str, network: Network, progress) -> pd.DataFrame:
    """Nats of every step as :func:`axis.step_table` gives them, of a network called ``name`` and its space's tables."""
    test, train = Fragments(samples.held_out_pieces(run), 2).pieces, run.splits["train"]
    held = network.space == DURATIONS
    tables = {CLASSES: axis.class_tables, GIVEN: axis.key_tables, KEYS: axis.added_tables}
    known = {"particles": run.preset.particles} if hasattr(network, "particles") else {}
    known |= {"whole": True} if held else {}
    judges = {name: axis.network_judge(network, **known)} | tables.get(network.space, lambda _: {})(train)
    return axis.step_table(judges, test.told() if held else test, run.device, progress, held)


def _both(name: str, classes: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Nats of every step of both stages, the chain rule; minus infinity for a step that either's space leaves out."""
    possible = np.isfinite(classes).all(axis=1) & np.isfinite(given).all(axis=1)
    return classes[["piece", "step"]].assign(**{name: (classes[name] + given[name]).where(possible, -np.inf)},
                                             tables=classes["one bar before"] + given["octave kept"])


def _table(steps: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    """The rows of one space."""
    sums, left_out = axis.by_piece(steps)
    return axis.levels(sums, kinds).assign(steps=sums["steps"].sum(), **{"left out": left_out})
