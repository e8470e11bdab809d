"""Levels of models of events: nats per event, and per second of music, beside tables of how often events come.

Each piece is cut into windows of 256 predictions, each with the 64 events before it; all but a piece's first event are
judged, by everybody.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from octavoice.likelihood import axis
from octavoice.likelihood.evaluation import WINDOW
from octavoice.representations.events import EventBatch, EventCut, Events
from octavoice.statistics import samples
from octavoice.training import models
from octavoice.training.networks import Networks
from octavoice.training.run import Run

Judge = Callable[[EventBatch], np.ndarray]
SEEN = 0.5
"""Added to every count of a table: no event is impossible."""


def levels(run: Run, networks: Networks, progress=iter) -> pd.DataFrame:
    """Nats per event of the one network of a model, and of tables: a row for each ``(space, who)``.

    Columns as :func:`octavoice.likelihood.judging.levels` gives them, ``events`` in place of steps, and
    ``per second``.
    """
    (stage,), (network,) = networks.model.stages, networks.stages
    told = models.representation_of(stage)
    judges = {networks.model.name: axis.network_judge(network), **tables(told, run.splits["train"])}
    cut = told.tiling(told.told(samples.held_out_pieces(run)), WINDOW + 1)
    nats = axis.tile_table(judges, cut, run.device, progress)
    seconds = seconds_of(cut)
    sums, left_out = axis.by_piece(nats)
    table = axis.levels(sums, {networks.model.name: network.kind})
    table = table.assign(events=sums["steps"].sum(), **{"left out": left_out}).rename_axis(f"nats per {told.unit}")
    table["per second"] = table["level"] * sums["steps"].sum() / seconds
    return pd.concat({network.space: table}, names=["space"])


def tables(told: Events, train) -> dict[str, Judge]:
    """How often events come, alike, each, and each after another, counted on ``train`` as they are there."""
    pairs = np.zeros((told.size + 1, told.size))
    for piece in train:
        line = np.append(told.size, told.encode(piece))
        np.add.at(pairs, (line[:-1], line[1:]), 1)
    single = pairs.sum(axis=0) + SEEN
    single /= single.sum()
    # as much of the single table as one event more: what never came after another is as likely as it is anywhere
    double = (pairs + single) / (pairs.sum(axis=1, keepdims=True) + 1)

    def uniform(t: EventBatch) -> np.ndarray:
        return np.full(t.weight.shape, -np.log(told.size))

    def unigram(t: EventBatch) -> np.ndarray:
        return np.log(single[t.x[1:].cpu().numpy()])

    def bigram(t: EventBatch) -> np.ndarray:
        line = t.x.cpu().numpy()
        return np.log(double[line[:-1], line[1:]])
    return {"uniform": uniform, "unigram": unigram, "bigram": bigram}


def seconds_of(cut: EventCut) -> float:
    """Seconds that all events take but each piece's first."""
    return sum(float(cut.told.seconds(line[1:]).sum()) for line in cut.lines)
