"""What one run's samples say of claims on its own, as notebook 07 shows it: C4, C11 to C13, C15 to C18, C26 to C28.

Every function gives, by claim, what was found in words and whether it speaks for the claim by the thresholds of the
rules (:mod:`octavoice.results.claims.music`), here without intervals; None where it was not found. ``decided`` and
``music`` are compressed rolls ``(time, pitch_class)`` of samples and of held-out pieces, ``choices``
``(time, sample, voice)``. The verdicts take all stored runs, and more parts.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from octavoice.music.roll import KEYS, STEPS_PER_BAR
from octavoice.statistics import copies, register, rhythm, texture
from octavoice.statistics import rolls as statistics
from octavoice.studies import attending
from octavoice.thesis.limits import limit

Found = dict[str, dict[str, bool | None]]


def below(found: float, limit: float) -> bool | None:
    """Whether a number lies below a limit; None if either is not there (NaN)."""
    return None if np.isnan(found) or np.isnan(limit) else bool(found < limit)


def keys(table: pd.DataFrame) -> Found:
    """C11, C13 and C15 of 07's table of keys."""
    ours, real = table.loc["samples"], table.loc["held-out pieces"]
    passed_on = ours["in prime's key"] - table.loc["samples, another's prime", "in prime's key"]
    return {"C11": {f"{ours['triads']:.2f} of the steps of three classes or more are triads, {real['triads']:.2f} in "
                    "held-out pieces": below(limit("C11", "share of music's triads") * real["triads"], ours["triads"])},
            "C13": {f"{ours['in key by window']:.2f} of the onsets lie in the key of their window, "
                    f"{real['in key by window']:.2f} in held-out pieces":
                    below(real["in key by window"] - limit("C13", "short of held-out"), ours["in key by window"])},
            "C15": {f"{passed_on:+.2f} of the onsets more lie in the own prime's key than in another's":
                    below(limit("C15", "onsets more in the own key"), passed_on)}}


def voices(choices: np.ndarray) -> Found:
    """C12, on all steps."""
    silent, pairs = statistics.notes_per_voice(choices)["silent"], statistics.given_declined(choices)
    lead, follows = silent.iloc[1:].min() - silent.iloc[0], pairs.loc[(1, 2), "sounds if declined"]
    effect = (pairs["sounds if sounded"] - pairs["sounds if declined"]).abs().drop(1, level="declined").max()
    return {"C12": {f"voice 1 sounds on {lead:.2f} of the steps more than the next most active": below(0, lead),
                    f"voice 2 sounds on {follows:.2f} of the steps on which voice 1 declined": 
                    below(follows, limit("C12", "sounds after it declined")),
                    f"declining moves what comes after voices 2 to 4 by {effect:.2f} at most": 
                    below(effect, limit("C12", "effect of a later voice"))}}


def rhythms(decided: list[np.ndarray], music: list[np.ndarray], choices: np.ndarray) -> Found:
    """C16 and C27."""
    ours, real = _means(rhythm.of_roll, decided), _means(rhythm.of_roll, music)
    declines = statistics.notes_per_voice(choices)["silent"].iloc[0]
    silent = 1 - _means(statistics.roll_summary, music)["struck"]
    stays = texture.first_voice(choices)["silent where it declined"]["value"]
    simple, changes, fewer = "simple figures", "changes of bar figure", "changes to fewer onsets"
    return {"C16": {f"{ours[simple]:.2f} of the quarters have a simple figure, {real[simple]:.2f} in held-out pieces":
                    below(real[simple], ours[simple]),
                    f"the bar's figure changes at {ours[changes]:.2f} of the bar lines, at {real[changes]:.2f} there":
                    below(ours[changes], limit("C16", "changes") * real[changes]),
                    f"{ours[fewer]:.2f} of the changes are to fewer onsets": 
                    below(limit("C16", "changes to fewer onsets"), ours[fewer])},
            "C27": {f"voice 1 declines on {declines:.2f} of the steps, {silent:.2f} are silent in held-out pieces":
                    below(declines, silent),
                    f"of these steps {stays:.2f} stay silent": below(limit("C27", "stay silent"), stays),
                    f"a quarter's figure has {ours['bits a quarter']:.2f} bits, {real['bits a quarter']:.2f} there":
                    below(ours["bits a quarter"], real["bits a quarter"])}}


def copied(decided: list[np.ndarray]) -> Found:
    """C4."""
    longest, most = np.array([copies.longest(roll) for roll in decided]), limit("C4", "steps")
    middle, share = float(np.median(longest)), float((longest > most).mean())
    return {"C4": {f"the middle sample's longest copy has {middle:.0f} steps": below(middle, most + 1),
                   f"{share:.2f} of the samples have one of more than {most}":
                   below(share, limit("C4", "samples with a longer one"))}}


def registers(samples: list[np.ndarray], pieces: list[np.ndarray]) -> Found:
    """C17, of rolls ``(time, key)``."""
    ours, real = _means(register.of_roll, samples), _means(register.of_roll, pieces)
    leaps, bits, low, high = ("leaps of the highest key", "bits of low classes", "low onsets out of key",
                              "high onsets out of key")
    return {"C17": {f"the highest key leaps at {ours[leaps]:.2f} of the steps, at {real[leaps]:.2f} in held-out pieces":
                    below(real[leaps], ours[leaps]),
                    f"classes below C3 have {ours[bits]:.2f} bits, {real[bits]:.2f} there":
                    below(real[bits], ours[bits]),
                    f"{ours[low]:.2f} of the onsets there are out of key, {ours[high]:.2f} above":
                    below(ours[high], ours[low])}}


def attention(weights: np.ndarray, x12: np.ndarray) -> Found:
    """C18: ``weights`` ``(new, sample, period)``, ``x12`` ``(time, sample, pitch_class)``."""
    found = attending.statistic(weights, x12)
    recent, periods = found["counts of 16 steps"]["value"], found["periods in use"]["value"]
    return {"C18": {f"what is read correlates at {recent:.2f} with the counts of the last 16 steps":
                    below(limit("C18", "correlation"), recent),
                    f"{periods:.1f} of the eight periods are in use": below(limit("C18", "periods in use"), periods)}}


def textures(decided: list[np.ndarray], music: list[np.ndarray]) -> Found:
    """C26 and C28."""
    ours, real = ({name: number["value"] for name, number in texture.measure(rolls).items()}
                  for rolls in (decided, music))
    own, other, there = (*(texture.memory(decided)[name]["value"] for name in ("own", "another's")),
                         texture.memory(music)["own"]["value"])
    contrast, apart, places = "contrast of bars", "difference of fragments", "bits of places"
    return {"C26": {f"bars differ by {ours[contrast]:.2f} of their notes, by {real[contrast]:.2f} in held-out pieces":
                    below(ours[contrast], real[contrast]),
                    f"samples differ by {ours[apart]:.2f}, pieces by {real[apart]:.2f}":
                    below(ours[apart], real[apart]),
                    f"the bar's places have {ours[places]:.2f} bits, {real[places]:.2f} there":
                    below(real[places], ours[places])},
            "C28": {f"{own:.2f} of a bar's onsets are among the seven notes heard most, {there:.2f} in held-out pieces":
                    below(there - limit("C28", "short of real"), own),
                    f"{other:.2f} are among those of another sample": below(other, own)}}


def _means(measured: Callable[[np.ndarray], dict[str, float]], rolls: list[np.ndarray]) -> pd.Series:
    """Mean over rolls of every number that is measured of one; rolls of silence are left out, NaN without any other."""
    rows = [measured(roll) for roll in rolls if roll.any()]
    return pd.DataFrame(rows or [dict.fromkeys(measured(np.zeros((STEPS_PER_BAR, KEYS), np.uint8)), np.nan)]).mean()
