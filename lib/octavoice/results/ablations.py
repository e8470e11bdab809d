"""What stored ablations say: which of the thesis's choices help, and where dense, repetitive samples come from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from octavoice import paths
from octavoice.likelihood import axis
from octavoice.model import CLASSES, KEYS
from octavoice.studies.variants import DECODER, THESIS, VARIANTS

SLOW = "decoder-slow"
SHOWN = ("steps struck", "classes per struck step", "struck steps that repeat the last", "longest rest, steps")


def committed() -> Path:
    """The folder of the results that are committed."""
    return paths.checkout() / "results" / "ablation"


def base_of(name: str) -> str:
    """The variant that a variant is set beside: the thesis's own, or of decoders the one of the same rate."""
    if name == "chain-full":
        return "full"
    if name.startswith(DECODER):
        return SLOW if name.endswith("-slow") and name != SLOW else DECODER
    return THESIS


def stored(folder: Path, corpus: str) -> dict[str, dict[int, dict]]:
    """The results of a corpus by variant and seed, the table's order."""
    found = {name: {int(path.stem.removeprefix("seed-")): json.loads(path.read_text(encoding="utf-8"))
                    for path in sorted((folder / corpus / name).glob("seed-*.json"))} for name in VARIANTS}
    return {name: seeds for name, seeds in found.items() if seeds}


def sums(result: dict) -> pd.DataFrame:
    """Nats and steps of each judged fragment: of all steps, with a back door, for classes; else of playable ones."""
    names = ("mixed nats", "all steps") if result["space"] == CLASSES else ("nats", "steps")
    return pd.DataFrame({"nats": result[names[0]], "steps": result[names[1]]})


def level(result: dict) -> float:
    """Nats per step of :func:`sums`."""
    return float(np.sum(sums(result)["nats"]) / np.sum(sums(result)["steps"]))


def gain(found: dict[str, dict[int, dict]], name: str, base: str | None = None) -> dict | None:
    """By how many nats per step the thesis's choice lies above a variant: mean and range over the seeds of both.

    Of a single seed the range is 95 % over fragments. None without a pair of runs. Keys at once are set beside the
    thesis's two networks together.
    """
    ours, theirs, decoders = found.get(base or base_of(name), {}), found.get(name, {}), found.get(SLOW, {})
    seeds = sorted(ours.keys() & theirs.keys())
    if seeds and theirs[seeds[0]]["space"] == KEYS:
        seeds = [seed for seed in seeds if seed in decoders]
    gains = [axis.gain(_pair(ours[seed], theirs[seed], decoders.get(seed)), "ours", "theirs") for seed in seeds]
    if not gains:
        return None
    if len(gains) == 1:
        return {**gains[0], "over": "95 % over fragments, one seed"}
    values = [each["gain"] for each in gains]
    return {"gain": float(np.mean(values)), "low": min(values), "high": max(values), "over": f"{len(gains)} seeds"}


def _pair(ours: dict, theirs: dict, decoder: dict | None) -> pd.DataFrame:
    """Nats of both and steps of every fragment; of keys, main module and decoder together."""
    ours = np.add(ours["nats"], decoder["nats"]) if theirs["space"] == KEYS else sums(ours)["nats"]
    other = sums(theirs)
    return pd.DataFrame({"steps": other["steps"], "ours": ours, "theirs": other["nats"]})


def levels(folder: Path, corpus: str) -> pd.DataFrame:
    """A row per variant: what it varies, nats per step over its seeds, gain of the thesis's choice, and its cost."""
    found, rows = stored(folder, corpus), {}
    for name, seeds in found.items():
        runs, variant = list(seeds.values()), VARIANTS[name]
        playable = [run["level"] for run in runs if run["level"] is not None]
        over = gain(found, name) if name != base_of(name) else None
        rows[name] = {"choice": variant.choice, "variant": variant.told, "kind": runs[0]["kind"],
                      "nats per step": _told([level(run) for run in runs]),
                      "of what five voices can play": _told(playable) if len(playable) == len(runs) else "–",
                      "gain of the thesis's choice": "–" if over is None else
                      f"{over['gain']:+.3f} ({over['low']:+.3f} to {over['high']:+.3f}, {over['over']})",
                      "parameters": runs[0]["cost"]["parameters"],
                      "seconds": _told([run["cost"]["seconds"] for run in runs], ".0f"),
                      "on": ", ".join(dict.fromkeys(run["cost"]["machine"].get("gpu", run["processor"])
                                                    for run in runs))}
    return pd.DataFrame.from_dict(rows, orient="index", dtype=object).rename_axis("name")


def _told(values: list[float], form: str = ".3f") -> str:
    """A mean, and its range where there are several."""
    mean = format(float(np.mean(values)), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def density(folder: Path) -> pd.DataFrame:
    """How dense and repetitive samples are, a row per corpus and variant of classes, mean over seeds; a corpus's last
    row is the music that its primes come from."""
    rows = {}
    for corpus in sorted(path.name for path in folder.glob("*")):
        found = [(name, run) for name, seeds in stored(folder, corpus).items() for run in seeds.values()
                 if run["space"] == CLASSES and "samples" in run]
        for name in dict.fromkeys(name for name, _ in found):
            runs = [run for other, run in found if other == name]
            rows[corpus, VARIANTS[name].told] = {key: np.mean([run["samples"][key] for run in runs]) for key in SHOWN
                                                 } | {"iterations": runs[0]["cost"]["iterations"], "seeds": len(runs)}
        if music := [run["music"] for _, run in found]:
            rows[corpus, "the music that the primes come from"] = {key: np.mean([each[key] for each in music])
                                                                 for key in SHOWN}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["corpus", "variant"]).round(3)
