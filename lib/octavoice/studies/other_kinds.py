"""All studies of models whose music is not steps of 88 keys, and so the plan of ``octavoice survey all``.

    octavoice survey run melody-lstm ryans-mammoth --seed 1

A kind of music has a file of its own with its ``STUDIES``.
"""

from octavoice.errors import UserError
from octavoice.studies import benchmark_runs
from octavoice.studies.study import Study, carry_out, event_levels, event_sample

STUDIES = (
    Study("melody-lstm", ("ryans-mammoth",), event_levels, event_sample),
    Study("performance-lstm", ("piano-midi",), event_levels, event_sample),
)
BY_MODEL = {study.model: study for study in STUDIES}


def run_one(model: str, corpus: str, seed: int, device: str = "cpu") -> str:
    """Carry out one study; where its result lies, and what it came to. Raises :class:`UserError` for none."""
    if model not in BY_MODEL:
        raise UserError(f"model {model!r} has no study; choose one of {', '.join(BY_MODEL)}.")
    found = carry_out(BY_MODEL[model], corpus, seed, device)
    level = f"{found['level']:.3f} nats per {found['unit']}" if "level" in found else "no likelihood"
    return f"{benchmark_runs.result_path(corpus, model, seed)}: {level}, {found['cost']['seconds']:.0f} s"


def missing() -> list[tuple[Study, str, int]]:
    """What of the plan has no result yet, in its order: study, corpus, seed."""
    planned = [(study, corpus, seed) for study in STUDIES for corpus in study.corpora for seed in study.seeds]
    return [(study, corpus, seed) for study, corpus, seed in planned
            if not benchmark_runs.result_path(corpus, study.model, seed).exists()]
