"""A trained model on the one axis, without a notebook: nats per step on the test pieces, beside tables of frequencies.

What an ablation of one network needs to be told from another, and no more; ``08_beyond`` shows the whole.
"""

import pandas as pd

from octavoice.corpus import Fragments
from octavoice.evidence import axis, samples
from octavoice.model import CLASSES, DURATIONS, GIVEN, Network
from octavoice.training.networks import Networks
from octavoice.training.run import Run


def levels(run: Run, networks: Networks, progress=iter) -> pd.DataFrame:
    """Nats per step of each network and of the tables of its space: a row for each ``(space, who)``.

    Columns ``kind``, ``level``, ``low``, ``high`` (95 % over pieces), ``steps`` that were judged and steps ``left
    out`` because one of the row's space cannot make them. Every network is judged on the same test pieces, all but
    the first step of each; one of durations on those that tell them. ``progress`` wraps the loop over windows.
    """
    tables = {network.space: _of_network(run, networks.model.name, network, progress) for network in networks.stages}
    return pd.concat(tables, names=["space"])


def _of_network(run: Run, name: str, network: Network, progress) -> pd.DataFrame:
    test, train = Fragments(samples.held_out_pieces(run), 2).pieces, run.splits["train"]
    held = network.space == DURATIONS
    tables = {CLASSES: axis.class_tables, GIVEN: axis.key_tables}.get(network.space, lambda _: {})(train)
    known = {"particles": run.preset.particles} if hasattr(network, "particles") else {}
    known |= {"whole": True} if held else {}
    judges = {name: axis.network_judge(network, **known)} | tables
    steps = axis.step_table(judges, test.told() if held else test, run.device, progress, held)
    sums, left_out = axis.by_piece(steps)
    return axis.levels(sums, {name: network.kind}).assign(steps=sums["steps"].sum(), **{"left out": left_out})
