"""The short trainings of notebooks 03 and 04 where they are stored: measured for the verdicts on committed runs.

``octavoice claims measure`` trains the samplers of §6.4 and their rivals once for each seed
(:mod:`octavoice.studies.rivals`), at a scale of its own. A stored page shows these, and says so.
"""

import numpy as np
import pandas as pd

from octavoice.results.claims.stored import MAIN, Stored
from octavoice.studies.rivals import SCHEMES
from octavoice.thesis.voices import FORCING
from octavoice.training.presets import Preset

NAME = "claims_rivals"


def scheme_one(seed: int = 1) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """C6, C7: for each variant a table as :func:`~octavoice.studies.trainings.pauses` makes it, and its objective.

    Stored are the pauses on steps with an onset and the classes found by all voices; what is not is NaN.
    """
    tables, objectives = {}, {}
    stored = Stored().json(NAME, seed=seed)["scheme one"]
    for name, row in ((name, stored[name]) for name in SCHEMES):
        voices = len(row["pause"])
        index = pd.Index([f"voice {v + 1}" for v in range(voices)], name="voice")
        found = [np.nan] * (voices - 1) + [row["classes found"]]
        tables[name] = pd.DataFrame({"pause, all steps": np.nan, "pause, steps with an onset": row["pause"],
                                     "notes so far, steps with an onset": found}, index=index)
        objectives[name] = round(row["objective"], 3)
    return tables, objectives


def forcing() -> pd.DataFrame:
    """C8: the likelihoods of the variants and of their rivals: a row per variant and seed, ``log_likelihood``."""
    stored = Stored()
    levels = {seed: found["levels"] for seed in stored.seeds() if (found := stored.json(NAME, seed=seed))}
    names = [*FORCING, *(name for name in levels[min(levels)] if name not in FORCING)]
    rows = [{"variant": name, "seed": seed, "log_likelihood": level[name]}
            for name in names for seed, level in levels.items()]
    return pd.DataFrame(rows).set_index(["variant", "seed"])


def locks() -> pd.DataFrame:
    """C3: what the committed network's attention does amid exact repeats, a column for each side; empty if unknown."""
    found = Stored().json("claims_locks") or {}
    return pd.DataFrame({side: {name: number["value"] if isinstance(number, dict) else number
                                for name, number in row.items()} for side, row in found.items()})


def told(preset: Preset, trainings: int, seed: int = 1) -> str:
    """A sentence: at what scale the short trainings are stored, and what those at a preset would take."""
    stored = Stored()
    found = stored.json(NAME, seed=seed)
    cost = stored.json("index", seed=seed)["provenance"][NAME]["cost"]
    scale, asked = (a * b * c for a, b, c in (
        (found["iterations"], found["batch"], found["fragment"]),
        (preset.study_iterations, preset.study_batch, preset.study_fragment)))
    done = len(found["levels"]) + len(SCHEMES)
    minutes = cost["seconds"] / done * trainings * asked / scale / 60
    return (f"Stored of {MAIN} are trainings of {found['iterations']} iterations on batches of {found['batch']} "
            f"fragments of {found['fragment']} steps. Those of this cell at preset {preset.name} were not run; by the "
            f"cost of these they would take about {minutes:.0f} core-minutes.")
