"""Compose: continue a piece of one's own with trained networks (thesis §7.3).

``octavoice compose`` and the notebook ``compose.ipynb`` are thin faces over this package. Underneath
lies the composer's step, whose state is explicit, so that it can also be played live:

    state = composer.start(keys)                    # before anything was heard but one step, (1, key)
    for draw in composer.draws(seed, 0, 1, steps):  # one row of random numbers for each step
        state, trace = composer.step(state, draw)   # once per sixteenth: 125 ms at 120 quarters a minute
        sound(state.keys)                           # (1, key): what is struck now

While somebody else plays, ``composer.step(state, draw, truth=(x12, keys))`` listens: the networks hear
what was played and go on from there. A state is never changed: keep one, and come back to it.
"""

from octavoice.composing.continuation import (
    Continuation,
    best_shift,
    check_durations,
    check_number,
    continuations,
    excerpt,
    hour,
    load_weights,
)
from octavoice.composing.output import (
    SUFFIXES,
    check_places,
    describe,
    engraving,
    introduce,
    sheet,
    tell_cut,
    write,
)
from octavoice.composing.prime import Prime, built_in, named, read, resolve, silence

__all__ = ["SUFFIXES", "Continuation", "Prime", "best_shift", "built_in", "check_durations", "check_number",
           "check_places", "continuations", "describe", "engraving", "excerpt", "hour", "introduce",
           "load_weights", "named", "read", "resolve", "sheet", "silence", "tell_cut", "write"]
