"""Rules of the claims that the music and the architecture answer: C1 to C4, C21, C23, C24 (§3.2, §6.2, §6.3)."""

import json

from octavoice.results.claims.record import Part, part
from octavoice.results.claims.stored import Stored, Value
from octavoice.statistics.copies import CERTAINTY, LENGTH
from octavoice.studies.attending import LOCKED
from octavoice.thesis import values
from octavoice.thesis.limits import limit

SMALL = "piano-midi"
"""The collection on which §6.3 saw attention lock."""


def c1(stored: Stored) -> list[Part]:
    """88/12 is above 7. Harmony is kept if the classes, which are kept exactly, carry at least as many bits as the
    octaves that are lost. Melody is lost if its class cannot be told from the set of classes in a tenth of the steps
    or more where two or more sound, on pieces that the guess was not fitted on."""
    return [part("ratio of dimensions", lambda v: v.value > values.value("compression"),
                 stored.measured("music", "compression", "ratio")),
            part("bits of classes against bits of octaves", lambda kept, lost: kept.value >= lost.value,
                 stored.measured("music", "compression", "bits of classes"),
                 stored.measured("music", "compression", "bits of octaves")),
            part("melody's class guessed right", lambda v: v.value < limit("C1", "melody guessed"),
                 stored.measured("music", "compression", "melody", "guessed"))]


def c2(stored: Stored) -> list[Part]:
    """Cheaper: an iteration on 88 keys costs more than one in 12 classes with the decoder's. What makes it affordable:
    by these ratios training in 12 classes stays within the thesis's own 12 hours here and on 88 keys does not."""
    ratio = stored.measured("cost", "88 keys over 12 classes and decoder")
    hours = stored.over_seeds(lambda seed: _hours(stored, seed))
    on_keys = None if ratio is None or hours is None else Value(
        hours.value * ratio.value, hours.low * ratio.low, hours.high * ratio.high, "seeds and repeats")
    allowed = values.value("hours")
    return [part("cost of an iteration, 88 keys over 12 classes and decoder",
                 lambda v: v.low > limit("C2", "cost"), ratio),
            part(f"hours of training in 12 classes against on 88 keys, limit {allowed}",
                 lambda twelve, keys: twelve.high < allowed < keys.low, hours, on_keys)]


def _hours(stored: Stored, seed: int) -> float | None:
    """Hours that training both networks took, at the pace measured for its own iterations."""
    path = stored.path("index.json", "open-keyboard", seed)
    facts = path and json.loads(path.read_text(encoding="utf-8"))["provenance"]["06_experiments"]
    if not facts:
        return None
    counts = {"main module": facts["preset"]["iterations"], "decoder": facts["preset"]["decoder_iterations"]}
    parts = {name: facts["cost"][f"training, {name}"] for name in counts}
    return sum(part["seconds"] / part["iterations"] * counts[name] for name, part in parts.items()) / 3600


def c3(stored: Stored) -> list[Part]:
    """On training pieces, amid exact repeats of 32 steps or more: attention turns to the repeat if the weight there is
    above what even weights would give; it locks if one period of the repeat takes more than 90 % of the weight on
    most of these steps."""
    def found(name: str) -> Value | None:
        return stored.measured("locks", "train", name, corpus=SMALL)
    return [part("weight on the repeat against even weights", lambda w, even: w.low > even.high,
                 found("weight of the repeat"), found("even weight")),
            part(f"steps with one period above {LOCKED:.0%}", lambda v: v.low > limit("C3", "steps locked"),
                 found("locked amid repeats"))]


def c4(stored: Stored) -> list[Part]:
    """Read as at most 8 steps: the middle sample's longest copy of itself at a period is no longer, and fewer than half
    of the samples have a longer one. A copy must strike on a quarter of its steps and hold three chords, so
    that neither rests nor a repeated chord count."""
    return [part("median of the longest copies, steps", lambda v: v.value <= limit("C4", "steps"),
                 stored.measured("samples", "copies", "samples", "within", "median")),
            part("samples with a copy of more than 8 steps",
                 lambda v: v.high < limit("C4", "samples with a longer one"),
                 stored.measured("samples", "copies", "samples", "within", "longer than 8 steps"))]


def c21(stored: Stored) -> list[Part]:
    """0.99 to the power of 32 is at most 0.73, by arithmetic. Measured: of copies that have begun, fewer than that
    share reach 32 steps, in samples and in real music alike."""
    survived = CERTAINTY**LENGTH
    return [Part(f"{CERTAINTY} to the power of {LENGTH}", f"{survived:.3f}", survived <= limit("C21", "share")),
            *[part(f"copies that reach {LENGTH} steps, {name}", lambda v: v.high < limit("C21", "share"),
                   stored.measured("samples", "copies", name, "survival", "reach 32")) for name in ("samples", "real")]]


def c23(stored: Stored) -> list[Part]:
    """The thesis's periods are useful if the music repeats itself at them more often than at the lags beside them, and
    more so than the other lags that are no powers of two nor sums of two. Attention must lie above the eight reads
    concatenated, and reads into layer 2 above reads into layer 1, in every seed of the ablations."""
    return [part("agreement at the periods above their neighbours", lambda v: v.low > 0,
                 stored.measured("music", "lags", "periods above neighbours")),
            part("the same against all other lags", lambda a, b: a.low > b.high,
                 stored.measured("music", "lags", "periods above neighbours"),
                 stored.measured("music", "lags", "other lags")),
            part("nats gained by attention over the eight reads concatenated", lambda v: v.low > 0,
                 stored.ablated("reads-concatenated")),
            part("nats gained by reading into layer 2, not 1", lambda v: v.low > 0, stored.ablated("reads-first"))]


def c24(stored: Stored) -> list[Part]:
    """More than seven classes on less than 0.1 % of struck steps, and more than five, which five voices cannot
    play, on less than 1 %: then V = 5 leaves out next to nothing. Onsets only; held notes are not in a roll."""
    return [part("struck steps of more than 7 classes", lambda v: v.high < limit("C24", "more than 7 classes"),
                 stored.measured("music", "classes at once", "more than 7")),
            part("struck steps of more than 5 classes", lambda v: v.high < limit("C24", "more than 5 classes"),
                 stored.measured("music", "classes at once", "more than 5"))]
