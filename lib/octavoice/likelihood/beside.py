"""Any model beside the thesis's, whatever its stages: what notebook 08 judges (thesis §5.6, §6.2–6.4).

Spaces in which one of the two has no number are left out. Both are the same networks if the model is the
thesis's.
"""

import pandas as pd
import torch

from octavoice.beyond.classes import onsets_alone
from octavoice.corpus import Pieces
from octavoice.errors import UserError
from octavoice.likelihood import axis, judging
from octavoice.model import CLASSES, GIVEN, HISTORY, KEYS, Batch, Model, Network
from octavoice.statistics import samples
from octavoice.training import networks
from octavoice.training.networks import Networks
from octavoice.training.presets import Preset
from octavoice.training.run import Run


def pair(run: Run, model: str, rival: str = "") -> dict[str, Networks]:
    """The thesis's networks and a model's, by name: the run's own, or the thesis's from a folder, ``rival``.

    The model's come last. Raises :class:`UserError` for the thesis's model beside a rival.
    """
    if rival and model == "thesis":
        raise UserError("a rival is set beside another model; name that one, or leave rival empty.")
    ours = networks.obtain(run, model)
    return {"thesis": ours if model == "thesis" else samples.networks_of(run, rival), model: ours}


def sizes(preset: Preset, *each: Model) -> pd.DataFrame:
    """What models are made of and how they are trained at a preset: a row for every stage."""
    rows = [{"model": model.name, "stage": stage.called, "space": network.space, "likelihood": network.kind,
             "parameters": sum(parameter.numel() for parameter in network.parameters()),
             "iterations": stage.recipe(preset).iterations, "batch": stage.recipe(preset).batch}
            for model in each for stage, network in zip(model.stages, model.build(), strict=True)]
    return pd.DataFrame(rows).set_index(["model", "stage"])


def readings(both: dict[str, Networks], panel: Batch, particles: int = axis.PARTICLES) -> pd.DataFrame:
    """Readings of one panel, nats per step of classes: the thesis's objective, and the likelihood of each
    model.

    A network that hears durations has two, with and without them; a bound is of so many ``particles``.
    """
    generator = both["thesis"].generator
    objective = -networks.mean_loss(generator)(panel, torch.Generator().manual_seed(networks.PANEL_SEED)).item()
    rows = {"thesis: its objective, a surrogate": {"level": objective},
            "thesis: its sampler, bound": axis.panel_level(generator, panel, particles=particles)}
    for name, network in _in(both, CLASSES).items():
        if name != "thesis":
            rows[f"{name}: {network.kind}"] = axis.panel_level(network, onsets_alone(panel))
            if network.representation.durations:
                rows[f"{name}: {network.kind}, durations told"] = axis.panel_level(network, panel)
    return pd.DataFrame(rows).T.rename_axis("nats per step of classes")


def every_step(network: Network, panel: Batch) -> float:
    """What a network of classes gives all 4096 steps after the first one of a panel: their probabilities,
    added up."""
    every = ((torch.arange(4096)[:, None] >> torch.arange(12)) & 1).to(panel.x12)

    def alike(field: torch.Tensor, steps: int) -> torch.Tensor:
        return field[:steps, :1].expand(-1, len(every), *field.shape[2:])
    steps = Batch(alike(panel.x, 2), torch.stack([alike(panel.x12, 1)[0], every]), alike(panel.history, HISTORY),
                    alike(panel.clock, 2), alike(panel.weight, 1), alike(panel.past, HISTORY),
                    alike(panel.position, 1), panel.durations[:0],
                    panel.whole[:, :1].expand(-1, len(every), -1))
    with torch.no_grad():
        return network.log_likelihood(steps, torch.Generator().manual_seed(0)).double().exp().sum().item()


def judged(both: dict[str, Networks], train: Pieces, test: Pieces, device="cpu",
           particles: int = axis.PARTICLES) -> dict[str, tuple[pd.DataFrame, int]]:
    """By space nats of every piece of ``test`` under both models and the tables, as :func:`axis.by_piece`
    gives them.

    Tables are fitted on ``train``; a bound is of so many ``particles``. In the space of keys classes and keys
    given classes are added.
    """
    steps = {}
    for space, tables in ((CLASSES, axis.class_tables), (GIVEN, axis.key_tables), (KEYS, axis.added_tables)):
        judges = {name: _judge(network, particles) for name, network in _in(both, space).items()}
        steps[space] = axis.step_table(judges | tables(train), test, device)
    added = {name: steps[CLASSES][name] + steps[GIVEN][name] for name in both if name in steps[CLASSES]}
    steps[KEYS] = steps[KEYS].assign(**added)[["piece", "step", *both, "tables"]]
    return {space: axis.by_piece(table) for space, table in steps.items() if both.keys() <= set(table)}


def _judge(network: Network, particles: int) -> axis.Judge:
    """A network's log-likelihood, a bound of so many ``particles`` where it takes any."""
    return axis.network_judge(network, **({"particles": particles} if hasattr(network, "particles") else {}))


def levels(both: dict[str, Networks], sums: dict[str, tuple[pd.DataFrame, int]]) -> pd.DataFrame:
    """Nats per step of what :func:`judged` gives: a row for each ``(space, who)``, the highest last."""
    kinds = {name: judging.kinds(each.stages) for name, each in both.items()}
    return pd.concat({space: axis.levels(pieces, {name: kinds[name][space] for name in both})
                      for space, (pieces, _) in sums.items()}, names=["space"])


def counted(alike: pd.DataFrame, sets: dict[str, pd.DataFrame], real: pd.DataFrame) -> dict[str, float]:
    """How many statistics of each of the ``sets`` are within the noise of music, in how many the last one is
    nearer to music than the others, and the longest rests. ``alike`` is
    :func:`octavoice.statistics.likeness.compare` of them."""
    *others, ours = sets
    away = {name: (alike[name] - alike["music"]).abs() for name in sets}
    return {"statistics": len(alike), **{f"within the noise, {name}": int(alike[f"{name}: within"].sum())
                                         for name in sets},
            **{f"{ours} nearer than {name}": int((away[ours] < away[name]).sum()) for name in others},
            f"longest rest of any sample, {ours}": float(sets[ours]["longest rest, steps"].max()),
            "longest rest of any real piece": float(real["longest rest, steps"].max())}


def _in(both: dict[str, Networks], space: str) -> dict[str, Network]:
    """The networks of a space, by their models' names."""
    return {name: network for name, each in both.items() for network in each.stages if network.space == space}
