"""A study of a model whose music is not steps of 88 keys: it is trained at preset ``survey``, judged and
sampled.

Its result lies in ``results/survey/<corpus>/<model>/seed-<n>.json`` beside those of the models of chords, with
the first continuation as MIDI. Which studies there are, :mod:`octavoice.studies.other_kinds` says.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from octavoice import paths, provenance
from octavoice.formats.midi_notes import midi_of
from octavoice.likelihood import events as likelihood
from octavoice.music.piece import Piece
from octavoice.statistics import event_samples, samples
from octavoice.studies import benchmark_runs, survey_runs
from octavoice.training import networks, presets, stored
from octavoice.training.networks import Networks
from octavoice.training.run import Run, machine, pick_device

Facts = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """What is asked of one model, on each of the ``corpora`` with each of the ``seeds``.

    ``measure`` tells facts as JSON has them: ``unit`` ("event", "note", …) and ``kind``; unless the kind is
    "none" the ``level`` with ``low`` and ``high``, its 95 % over pieces, in nats per unit, and under
    ``tables`` the levels of what it is held against, by name; and whatever the claims about it are judged by.
    ``sample`` is its first continuation, of the first held-out opening. ``version`` is raised by hand when
    what is measured changes.
    """

    model: str
    corpora: tuple[str, ...]
    measure: Callable[[Run, Networks], Facts]
    sample: Callable[[Run, Networks], Piece]
    seeds: tuple[int, ...] = (1,)
    version: int = 1
    overrides: dict[str, Any] = field(default_factory=dict)


def event_levels(run: Run, trained: Networks) -> Facts:
    """Nats per event of a model of events, and of tables of how often events come."""
    table = likelihood.levels(run, trained).droplevel("space")
    own, (network,) = table.loc[trained.model.name], trained.stages
    return {
        "unit": network.representation.unit,
        "kind": network.kind,
        **{name: float(own[name]) for name in ("level", "low", "high", "per second")},
        "events": int(own["events"]),
        "tables": table["level"].drop(trained.model.name).to_dict(),
    }


def event_sample(run: Run, trained: Networks) -> Piece:
    """The first held-out opening, continued by a model of events for as long as the preset says."""
    (network,) = trained.stages
    told = network.representation
    (piece,), _ = samples.openings(samples.held_out_pieces(run), 1, run.preset.prime, run.seed)
    events = told.encode(piece)
    shown = int((told.seconds(events).cumsum() < run.preset.prime * event_samples.STEP_SECONDS).sum())
    return event_samples.continued(told, network, events[:shown], run.preset.new_steps, run.seed).piece


def carry_out(study: Study, corpus: str, seed: int, device: str = "cpu") -> Facts:
    """A model trained, judged and sampled; or found done with the same settings, music and versions.

    Raises :class:`UserError` for a corpus that its representation cannot tell.
    """
    began = time.process_time()
    preset = presets.resolve(survey_runs.PRESET, **study.overrides)
    run = Run(preset, corpus, seed, pick_device(device))
    path = benchmark_runs.result_path(corpus, study.model, seed)
    asked = [depends_on(study, run, precision) for precision in run.precisions]
    modules = survey_runs.modules_of(study.model)
    if found := stored.find(path, asked, modules):
        return found
    trained = networks.obtain(run, study.model)
    cost = survey_runs.cost_of(run, trained)
    measured = study.measure(run, trained)
    with paths.atomic(path.with_suffix(".mid")) as temporary:
        piece = study.sample(run, trained)
        temporary.write_bytes(midi_of(event_samples.notes_of(piece), piece.time_signatures[0]))
    cost |= benchmark_runs.core_seconds(began, run.device)
    result = {"model": study.model, "seed": seed, "depends_on": asked[0],
              "files": stored.files_of(modules), **run.facts(), "commit": provenance.commit(),
              **machine(run.device), "cost": cost, **measured}
    return stored.write(path, result)


def depends_on(study: Study, run: Run, precision: str) -> Facts:
    """Everything that a study's result depends on, as plain facts: its version is that of what it measures."""
    facts = survey_runs.depends_on(run, study.model, precision)
    return facts | {"code": {"study": study.version}}
