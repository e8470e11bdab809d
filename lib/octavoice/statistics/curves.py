"""Where training curves end, whatever the network (thesis §7.3, claim C9)."""

import math

import pandas as pd

from octavoice.model import EXACT
from octavoice.training.networks import Networks


def by_stage(networks: Networks) -> dict[str, pd.DataFrame]:
    """The metrics of a model's networks by what its stages are called."""
    return {stage.called: table for stage, table in zip(networks.model.stages, networks.metrics, strict=True)}


def objectives(networks: Networks) -> set[str]:
    """The stages whose curves show an objective that is no exact likelihood."""
    return {stage.called for stage, network in zip(networks.model.stages, networks.stages, strict=True)
            if network.kind != EXACT}


def ends(metrics: pd.DataFrame) -> dict[str, float]:
    """Levels at the end, higher is better; NaN for the panel if training was too short to be judged."""
    held_out = held_out_of(metrics)
    return {"training, mean of the last tenth": -metrics["train"].tail(max(1, len(metrics) // 10)).mean(),
            "held-out panel, last point": held_out.iloc[-1] if len(held_out) else math.nan}


def gap(metrics: pd.DataFrame) -> dict[str, float]:
    """How far held-out lies below training at the end, and its best point beside its last, nats per step."""
    training, last = ends(metrics).values()
    held_out = held_out_of(metrics)
    return {"gap, training minus held-out": training - last, "best held-out": held_out.max(),
            "at iteration": held_out.idxmax() if len(held_out) else math.nan, "last held-out": last}


def rise(metrics: pd.DataFrame) -> float:
    """How much the held-out level still rises from the ninth tenth of the iterations to the last, nats per step; NaN
    where one of them has no point."""
    levels, tenth = held_out_of(metrics), metrics.index[-1] // 10
    last, before = (levels.loc[metrics.index[-1] - (i + 1) * tenth + 1:metrics.index[-1] - i * tenth] for i in (0, 1))
    return last.mean() - before.mean()


def held_out_of(metrics: pd.DataFrame) -> pd.Series:
    """The held-out curve, higher is better, by iteration."""
    return -metrics.get("held_out", pd.Series(dtype=float)).dropna()
