"""Two voices on a staff: who sings which chord, and what stands in every bar (in §2.2 all notes end together).

Chords that overlap in time go to two voices, the upper with stems up, the lower with stems down. The cheapest way to
share them (a beam search over the onsets) keeps the voices from crossing and from leaping, and shortens no note
unless more than two things would go on at once: then an inner note, rather than an outer one, gives way.
"""

from heapq import nsmallest
from itertools import groupby, pairwise, product
from typing import NamedTuple

import numpy as np

from octavoice.music.hands import Chord
from octavoice.music.piece import bar_steps
from octavoice.music.rhythm import values
from octavoice.music.roll import STEPS_PER_QUARTER

WAYS = 12
"""Ways to share the chords so far that are kept at each onset."""
CUT, OUTER = 10.0, 2.0
"""Price of a note that is shortened, as much again for all of its length, times as much for an outer one."""
CROSSED, DEEPER = 3.0, 0.25
"""Price of voices that cross or meet, and of each semitone by which they do."""
LEAP, FAR, STRANGE = 0.1, 12, 1.5
"""Price of each semitone from a voice's last chord to its next, as far as an octave; of the staff's other voice alone,
which is more than any leap: what needs one voice has one."""


class Written(NamedTuple):
    """A note, chord or rest (no ``notes``) of one value from step ``at`` of its bar on, ``length`` steps.

    ``link`` ties it: start, continue, stop or None. A ``hidden`` rest only takes up time.
    """

    at: int
    length: int
    notes: tuple[int, ...] = ()
    link: str | None = None
    hidden: bool = False


class Way(NamedTuple):
    """Chords shared so far, at a price: ``voices`` are the lower's and the upper's, each (last chord, those before)."""

    price: float = 0.0
    voices: tuple = (None, None)


def shared(chords: list[Chord], upper_first: bool = True) -> tuple[list[Chord], list[Chord]]:
    """The upper and the lower voice of one staff's ``chords``, which are by start; neither overlaps itself.

    ``upper_first`` tells which voice has what stands alone. Where more than two chords go on at once, notes are
    shortened; none is left out. Chords that never overlap are all the upper voice's.
    """
    if all(before.end <= after.start for before, after in pairwise(chords)):
        return chords, []
    ways = [Way()]
    for start, group in groupby(chords, lambda chord: chord.start):
        found, shares = {}, list(_shares(list(group)))
        for way in ways:
            for share in shares:
                new = _taken(way, share, start, upper_first)
                last = tuple(voice and voice[0] for voice in new.voices)
                if last not in found or new.price < found[last].price:
                    found[last] = new
        ways = nsmallest(WAYS, found.values(), key=lambda way: way.price)
    lower, upper = map(_listed, ways[0].voices)
    return upper, lower


def _shares(group: list[Chord]):
    """Ways to give chords that begin together to the lower and the upper voice: all of them, of many the uncrossed."""
    if len(group) > 3:
        yield from ((group[:i], group[i:]) for i in range(len(group) + 1))
        return
    for places in product((0, 1), repeat=len(group)):
        yield tuple([chord for chord, place in zip(group, places, strict=True) if place == voice] for voice in (0, 1))


def _taken(way: Way, share: tuple[list[Chord], list[Chord]], start: int, upper_first: bool) -> Way:
    """A way with the chords that begin at ``start`` shared as said."""
    held = [note for voice in way.voices if voice and voice[0].end > start for note in voice[0].notes]
    every = held + [note for chords in share for chord in chords for note in chord.notes]
    outer, price, voices = {min(every), max(every)}, way.price, []
    for place, (voice, chords) in enumerate(zip(way.voices, share, strict=True)):
        if chords:
            end = min(chord.end for chord in chords)
            price += sum(_loss(chord, end, outer) for chord in chords)
            if voice and voice[0].end > start:
                price += _loss(voice[0], start, outer)
                voice = (voice[0]._replace(end=start), voice[1])
            new = Chord(start, end, tuple(sorted(note for chord in chords for note in chord.notes)))
            price += LEAP * min(FAR, abs(new.notes[-place] - voice[0].notes[-place])) if voice else 0
            voice = (new, voice)
        voices.append(voice)
    return Way(price + _together(voices, start, upper_first), tuple(voices))


def _loss(chord: Chord, end: int, outer: set[int]) -> float:
    """The price of ending a chord at ``end``, earlier than it should."""
    if end >= chord.end:
        return 0.0
    weight = sum(OUTER if note in outer else 1 for note in chord.notes)
    return weight * CUT * (1 + (chord.end - end) / (chord.end - chord.start))


def _together(voices: list, start: int, upper_first: bool) -> float:
    """What the two voices cost at a step: for crossing, or for being the wrong one where one is alone."""
    lower, upper = (voice[0].notes if voice and voice[0].end > start else () for voice in voices)
    if lower and upper:
        depth = lower[-1] - upper[0]
        return CROSSED + DEEPER * depth if depth >= 0 else 0.0
    return STRANGE if bool(upper) != upper_first else 0.0


def _listed(voice: tuple | None) -> list[Chord]:
    """A voice's chords, the first one first."""
    chords = []
    while voice:
        chord, voice = voice
        chords.append(chord)
    return chords[::-1]


def shortened(chords: list[Chord], *voices: list[Chord]) -> int:
    """How many notes of ``chords`` end earlier in the ``voices`` that share them."""
    ends = {(chord.start, note): chord.end for chord in chords for note in chord.notes}
    return sum(chord.end < ends[chord.start, note] for voice in voices for chord in voice for note in chord.notes)


def in_bars(upper: list[Chord], lower: list[Chord], steps: int, metre: tuple[int, int]) -> list[list[list[Written]]]:
    """What stands in each full bar of ``steps`` steps in all: ``[bar][voice]``, the second voice only where needed.

    A bar where the voices never sound together is one voice's, unless a note that is held into it or out of it is
    the lower voice's elsewhere.
    """
    size = bar_steps(metre)
    together = (_sounds(upper, steps) & _sounds(lower, steps)).reshape(-1, size).any(axis=-1)
    alone = [chord for chord in lower if not together[chord.start // size:(chord.end - 1) // size + 1].any()]
    voices = sorted([*upper, *alone]), [chord for chord in lower if chord not in set(alone)]
    busy = np.stack([_sounds(voice, steps) for voice in voices])
    moves = np.zeros_like(busy)
    for place, voice in enumerate(voices):
        moves[place, [chord.start for chord in voice]] = True
    bars = [([], []) for _ in range(steps // size)]
    for place, voice in enumerate(voices):
        for at, written in (one for chord in voice for one in _notes(chord, size, metre)):
            bars[at][place].append(written)
    return [[_filled(voice, place, *(each[:, n * size:(n + 1) * size] for each in (busy, moves)), bool(bar[1]), metre)
             for place, voice in enumerate(bar) if voice or place == 0] for n, bar in enumerate(bars)]


def _sounds(voice: list[Chord], steps: int) -> np.ndarray:
    """Where a voice sounds, ``(steps,)``."""
    sounds = np.zeros(steps, bool)
    for chord in voice:
        sounds[chord.start:chord.end] = True
    return sounds


def _notes(chord: Chord, size: int, metre: tuple[int, int]):
    """``(bar, written)`` of each value of a chord, tied."""
    parts = values(chord.start, chord.end, metre=metre)
    links = [None] if len(parts) == 1 else ["start", *["continue"] * (len(parts) - 2), "stop"]
    for (at, length), link in zip(parts, links, strict=True):
        yield at // size, Written(at % size, length, chord.notes, link)


def _filled(voice: list[Written], place: int, busy: np.ndarray, moves: np.ndarray, both: bool,
            metre: tuple[int, int]) -> list[Written]:
    """A voice's bar with rests in its gaps; ``busy`` and ``moves`` ``(voice, step)``: where voices sound, and begin.

    Of two voices, the upper shows the rests of the whole staff. Where the other sounds, a voice only shows rests
    shorter than a quarter between its own notes, and none where the other moves: that one shows the beat.
    """
    first, last = (voice[0].at, voice[-1].at) if voice else (busy.shape[1], 0)
    filled = list(voice)
    for start, end in _gaps(busy[place], busy[1 - place] & both):
        silent = not busy[:, start].any()
        inner = first < start < last and end - start < STEPS_PER_QUARTER and not moves[1 - place, start:end].any()
        hidden = both and (place == 1 if silent else not inner)
        filled += [Written(*part, hidden=hidden) for part in values(start, end, True, metre)]
    return sorted(filled)


def _gaps(own: np.ndarray, other: np.ndarray) -> list[tuple[int, int]]:
    """Stretches ``(start, end)`` of a bar in which a voice is silent, cut where the other falls silent or comes in."""
    state = np.where(own, 2, other)
    borders = [0, *(np.flatnonzero(np.diff(state)) + 1).tolist(), len(own)]
    return [(start, end) for start, end in pairwise(borders) if state[start] < 2]
