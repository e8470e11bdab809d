"""Rules of the claims on training and on the sampler's rivals: C5 to C10, C19, C20, C25 (§4.1, §6.2, §6.4, §7.3)."""

from functools import partial

import torch

from octavoice.results.claims.choices import smaller
from octavoice.results.claims.record import Part, missing, part, told
from octavoice.results.claims.stored import MAIN, Stored, Value
from octavoice.statistics import curves
from octavoice.thesis import enumeration, rivals, values
from octavoice.thesis.limits import limit

GAVE_UP = limit("C6", "pauses of one that gave up")
"""A voice that pauses more often than this has given up."""
ROUNDING = limit("C5", "rounding")
NETS = 40
"""Small random networks on which C5 is enumerated."""


def c5(stored: Stored) -> list[Part]:
    """Two voices and three classes, enumerated on 40 random networks, needing no stored run. Being unbiased is an
    equality: the mean of the one-sample estimate and the written expression, and this and P(m sounds), may differ by
    no more than rounding, 1e-9."""
    found = [enumerated(seed) for seed in range(NETS)]
    bias, gap = (Value(sum(row[i] for row in found) / NETS, min(row[i] for row in found), max(row[i] for row in found),
                       f"{NETS} random networks") for i in (0, 1))
    return [Part("mean of the estimate is the written expression", f"largest difference below {ROUNDING:.0e}"
                 if bias.high < ROUNDING else str(bias), bias.high < ROUNDING),
            part("the written expression is P(m sounds), largest difference", lambda g: g.high < ROUNDING, gap)]


def enumerated(seed: int) -> tuple[float, float]:
    """Of one random network: estimate less written expression, and written expression less P(m sounds); the largest."""
    torch.manual_seed(seed)
    scheme = rivals.FirstScheme(features=4, classes=3, hidden=8, voices=2).double().requires_grad_(False)
    for weight in scheme.parameters():
        weight.mul_(3)
    features = torch.randn(4, dtype=torch.float64)
    paths = enumeration.first_scheme_paths(scheme, features)
    estimate = paths.probability @ rivals.first_scheme_estimate(paths.log_q.exp())[:, :3]
    first = scheme.voice(0, features.expand(1, 1, -1), torch.zeros(1, 1, 3, dtype=torch.float64))[0, 0].exp()
    heard = torch.cat([torch.eye(3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)])
    second = scheme.voice(1, features.expand(1, 4, -1), heard[None])[0].exp()
    written = first[:3] + (1 - first[:3]) * (first @ second)[:3]
    return (estimate - written).abs().max().item(), (written - paths.marginal()).abs().max().item()


def _scheme(stored: Stored, name: str, number) -> Value | None:
    """A number of one variant of scheme one, over the seeds that trained it."""
    def of(seed: int) -> float | None:
        found = stored.json("claims_rivals", seed=seed)
        return found and number(found["scheme one"][name], found)
    return stored.over_seeds(of)


def _voices_left(row: dict, _: dict) -> int:
    return sum(pause <= GAVE_UP for pause in row["pause"])


def c6(stored: Stored) -> list[Part]:
    """A voice has given up if it pauses on more than 90 % of steps that strike. The claim asks for one voice left of
    five, in every seed; voices that share a net must answer alike, so there it counts whether fewer classes are found
    than half of those struck."""
    def found(row: dict, whole: dict) -> float:
        return row["classes found"] / whole["classes on struck steps"]
    return [part("voices still in use, each with a net of its own", lambda v: v.high <= limit("C6", "voices left"),
                 _scheme(stored, "own nets", _voices_left)),
            part("classes found of those struck, one shared net", lambda v: v.high < limit("C6", "classes found"),
                 _scheme(stored, "one shared net", found)),
            part("classes found of those struck, nets of their own", lambda v: v.high < limit("C6", "classes found"),
                 _scheme(stored, "own nets", found))]


def c7(stored: Stored) -> list[Part]:
    """A penalty repairs the scheme if its objective, without the penalty, is at least as good as without, and the
    voices find within a quarter of the classes that are struck. The claim holds where either fails in every seed."""
    def off(row: dict, whole: dict) -> float:
        return abs(row["classes found"] / whole["classes on struck steps"] - 1)

    def worse(row: dict, whole: dict) -> float:
        return whole["scheme one"]["own nets"]["objective"] - row["objective"]
    values = [_scheme(stored, "own nets, penalty 1", number) for number in (off, worse)]
    return [part("with a penalty: classes off the music's, and nats lost", lambda off, worse:
                 off.low > limit("C7", "classes off") or worse.low > 0, *values)]


def _gain(stored: Stored, over: str) -> Value | None:
    """Nats per step by which teacher forcing lies above another model, over seeds."""
    def of(seed: int) -> float | None:
        found = stored.json("claims_rivals", seed=seed)
        return found and found["levels"]["truth"] - found["levels"][over]
    return stored.over_seeds(of)


def c8(stored: Stored) -> list[Part]:
    """By the shared likelihood after short trainings, and by the ablations' on all steps: the truth fed to later
    voices must lie above each alternative in every seed."""
    rivals = (("own", "own decisions as sampled"), ("ordered", "the first v − 1 in order"))
    return [*(part(f"nats gained over {words}", lambda v: v.low > 0, _gain(stored, name)) for name, words in rivals),
            *(part(f"the same in the ablations, over {words}", lambda v: v.low > 0, stored.ablated(f"forcing-{name}"))
              for name, words in rivals)]


def c19(stored: Stored) -> list[Part]:
    """Clearly is a tenth of a nat per step, in every seed; the voices' level is a bound, which favours the rival. After
    the short trainings, and after the ablations' larger ones."""
    return [part("nats gained over independent classes", lambda v: v.low > limit("C19", "nats"),
                 _gain(stored, "independent classes")),
            part("the same in the ablations", lambda v: v.low > limit("C19", "nats"), stored.ablated("independent"))]


def c25(stored: Stored) -> list[Part]:
    """The softmax is no better if the voices' bound lies above its exact likelihood in every seed, after the short
    trainings and after the ablations' larger ones."""
    return [part("nats gained over the softmax", lambda v: v.low > 0, _gain(stored, "softmax over 4096")),
            part("the same in the ablations", lambda v: v.low > 0, stored.ablated("softmax"))]


def _c9(stored: Stored, row: str, corpus: str) -> Value | None:
    def of(seed: int) -> float | None:
        table = stored.table("c9_gap", corpus, seed)
        if table is None:
            return None
        return table.loc["best held-out", "value"] - table.loc["last held-out", "value"] if row == "fall" \
            else table.loc[row, "value"]
    return stored.over_seeds(of, corpus)


def _still_rising(stored: Stored) -> Value | None:
    def of(seed: int) -> float | None:
        table = stored.table("main_metrics", seed=seed)
        return None if table is None else curves.rise(table)
    return stored.over_seeds(of)


def c9(stored: Stored) -> list[Part]:
    """Converged: the held-out level rises by less than 0.05 nats over the last tenth. Follows: the end of training
    lies within 0.1 of held-out. No overfitting: the last held-out level lies at most 0.05 below the best; asked
    of the small collection too, since the claim makes no exception. A twentieth of a nat is about the seeds' spread."""
    gap = "gap, training minus held-out"
    return [part("held-out rises over the last tenth", lambda v: v.high < limit("C9", "rise"), _still_rising(stored)),
            part("training minus held-out", lambda v: max(abs(v.low), abs(v.high)) < limit("C9", "gap"),
                 _c9(stored, gap, MAIN)),
            part("best held-out less the last", lambda v: v.high < limit("C9", "fall"), _c9(stored, "fall", MAIN)),
            part("best held-out less the last, small collection", lambda v: v.high < limit("C9", "fall"),
                 _c9(stored, "fall", "piano-midi"))]


def c10(stored: Stored) -> list[Part]:
    """The level is one of the thesis's collection, which is not free. Each collection has a level of its own, so what
    training reaches on another neither confirms nor refutes it: the levels here are told, beside the margin over the
    best table of frequencies on the same test steps, and nothing is judged."""
    def trained(seed: int, corpus: str) -> float | None:
        table = stored.table("fig14_levels", corpus, seed)
        return None if table is None else table.loc["training, mean of the last tenth"].iloc[0]

    def above(seed: int, corpus: str) -> float | None:
        table = stored.table("test_levels", corpus, seed)
        return None if table is None else table.loc["main module", "level"] - table["level"].drop("main module").max()
    printed = values.value("train_curve")[-1][1]
    return [missing(f"training reaches {printed} on the thesis's collection"),
            *(told(f"on {corpus}, {what}", stored.over_seeds(partial(of, corpus=corpus), corpus))
              for what, of in (("training ends at", trained), ("test level above the best table by", above))
              for corpus in stored.corpora())]


def c20(stored: Stored) -> list[Part]:
    """Decoders of none, 36 and 150 hidden units, trained alike and judged as generated. Suffices: 36 lies within 0.05
    nats of 150 in every seed, about the spread of a level over seeds. Is of use: 36 lies above none in every seed."""
    over = [stored.over_seeds(partial(smaller, stored, other)) for other in (150, 0)]
    larger = [stored.ablated(f"decoder-{other}-slow") for other in (150, 0)]
    return [part("nats gained over 150 hidden units", lambda v: v.low > -limit("C20", "nats"), over[0]),
            part("nats gained over none", lambda v: v.low > 0, over[1]),
            part("over 150 in the ablations", lambda v: v.low > -limit("C20", "nats"), larger[0]),
            part("over none in the ablations", lambda v: v.low > 0, larger[1])]
