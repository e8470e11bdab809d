"""What a step may copy: any earlier step of the piece a whole number of quarters back, and how well what led to it
agrees with what has led to now.

A *source* of step t + 1 is the step t + 1 - l, for every lag l of 4, 8, 12 … steps that reaches back no further than
the piece's start. Of all of them the 64 are kept whose past agrees best with the present one, by counts that are the
same whether a whole fragment is looked at or one step is taken at a time:

    run       how many steps in a row, up to now, were equal to those a lag before, and the run before that one
    both, either    onsets of classes that the last 4, 16, 64 steps share with those a lag before, and all of either
    equal     how many of the last 16 and 64 steps strike something and are equal to those a lag before
    rhythm    how many of the last 16 and 64 steps strike something exactly where the steps a lag before do

Where steps are told by more than their classes, two are equal if their ``names`` are (:func:`names`), any numbers that
are the same for the same keys, say; and where the classes of the step to come are given, sources that have just these
are kept before all others.

What is counted lies within the last :data:`REACH` steps, so a lag costs a few bytes and every step the same time for
each. A step of classes is known here by its code, the number whose bits are its classes.
"""

from typing import NamedTuple

import numpy as np

from octavoice.music.roll import CLASSES, KEYS

QUARTER = 4
"""Lags are whole multiples of so many steps."""
KEPT = 64
"""Sources that are kept of all."""
LONGEST_RUN = 64
AGREEING, EQUAL = (4, 16, 64), [16, 64]
"""Newest steps over which agreement, and equal steps and rhythms, are counted."""
REACH = 2 * LONGEST_RUN + 2
MULTIPLES = np.array([8, 16, 32, 64, 128, 12, 24])
"""A lag is told as which of these it is a multiple of: half a bar, a bar, two, four, eight; a bar of three
quarters, and two of them."""
FACTS = 18 + len(MULTIPLES)
NOTHING = -1
"""The code of a step that is not there."""
NAMING = np.random.default_rng(0).integers(1, 2**63, KEYS, dtype=np.uint64) | np.uint64(1)
"""Odd numbers, one a key, of which steps are named."""


class Sources(NamedTuple):
    """The sources that are kept for some steps.

    ``facts`` ``(row, source, fact)`` tell of each how well it agrees; ``content`` ``(row, source)`` is what it would
    have the step be, as a code, :data:`NOTHING` where there is no source; ``lag`` ``(row, source)`` how far back it is.
    """

    facts: np.ndarray
    content: np.ndarray
    lag: np.ndarray


class Counts(NamedTuple):
    """What is counted of every lag at some steps: ``run`` and ``former`` ``(row, lag)``; ``both`` and ``either``
    ``(3, row, lag)``; ``equal`` and ``rhythm`` ``(2, row, lag)``."""

    run: np.ndarray
    former: np.ndarray
    both: np.ndarray
    either: np.ndarray
    equal: np.ndarray
    rhythm: np.ndarray


class Past(NamedTuple):
    """Everything that a piece may copy from, between steps.

    ``line`` ``(batch, time)``: the codes of all steps; ``run`` and ``former`` ``(batch, lag)`` as in :class:`Counts`;
    ``sums`` ``(4, 3, batch, lag)``: what the last 4, 16, 64 steps share with those a lag before, in the four ways of
    :func:`compared`; ``recent``: these ways of each of the last 64 steps, newest first, ``(4, batch, lag)`` with as
    many lags as there were then; ``named`` ``(batch, time)``: the steps' names, if they have any.
    """

    line: np.ndarray
    run: np.ndarray
    former: np.ndarray
    sums: np.ndarray
    recent: tuple[np.ndarray, ...] = ()
    named: np.ndarray | None = None


def codes(x12: np.ndarray) -> np.ndarray:
    """Steps of classes ``(…, pitch_class)`` as numbers ``(…,)``, bit p for class p."""
    return ((x12 > 0.5).astype(np.int16) << np.arange(CLASSES, dtype=np.int16)).sum(axis=-1, dtype=np.int16)


def names(steps: np.ndarray) -> np.ndarray:
    """Numbers ``(…,)`` that differ where steps ``(…, key)`` of whole numbers differ, but for one chance in 2^64; 0 for
    a step of nothing."""
    return (steps.astype(np.uint64) * NAMING).sum(axis=-1, dtype=np.uint64)


def lags(count: int) -> np.ndarray:
    """The first ``count`` lags, in steps."""
    return QUARTER * np.arange(1, count + 1)


def compared(now: np.ndarray, then: np.ndarray, same: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Steps ``now`` beside those a lag before, codes that broadcast: which are equal; onsets of classes of both and of
    either; which are equal and strike something; which strike something just where the other does.

    ``same`` says which have the same names, for steps that have any.
    """
    there, struck = then >= 0, now > 0
    known = np.where(there, then, 0)
    equal = now == then if same is None else same & there
    either = np.where(there, np.bitwise_count(now | known), 0)
    return equal, np.bitwise_count(now & known), either, equal & struck, there & (struck == (known > 0))


def sequence(line: np.ndarray, first: int, dtype: type = np.float32, named: np.ndarray | None = None) -> Sources:
    """Sources of the steps ``first + 1`` … of a piece ``line`` ``(time,)`` of codes, a row for each.

    The last step is only ever predicted: its code is not looked at. With names ``named`` ``(time,)`` the codes are
    given for the step that is predicted too, and names are what is predicted.
    """
    begin = max(0, first - REACH)
    count = max(1, len(line) // QUARTER)
    then = _lagged(line[:-1], begin, count)
    content, then, now = then[first + 1 - begin:], then[:-1], line[begin:-1, None]
    same = None if named is None else named[begin:-1, None] == _lagged(named[:-1], begin, count)[:-1]
    equal, *others = compared(now, then, same)
    given = None if named is None else line[first + 1:]
    time, rows = np.arange(len(now), dtype=np.int16)[:, None], np.arange(first - begin, len(now))
    missed = np.maximum.accumulate(np.where(equal, np.int16(-1), time), axis=0)
    run = np.minimum(time - missed, LONGEST_RUN)[rows]
    tails = _tails(line[begin:-1])[rows]
    sums = [np.concatenate([np.zeros((1, count), np.int16), part.cumsum(axis=0, dtype=np.int16)]) for part in others]

    def over(part: int, width: int, chosen=slice(None)) -> np.ndarray:
        since = np.maximum(rows + 1 - width, 0)
        if isinstance(chosen, slice):
            return sums[part][rows + 1] - sums[part][since]
        return sums[part][rows[:, None] + 1, chosen] - sums[part][since[:, None], chosen]

    agreeing = [np.stack([over(part, width) for width in AGREEING]) for part in (0, 1)]
    best = _best(run, *agreeing, tails, content, given)
    last = np.maximum(missed[rows[:, None], best] - 1, 0)
    former = np.minimum(last - missed[last, best], LONGEST_RUN) * (missed[rows[:, None], best] > 0)
    counts = Counts(_of(run, best), former, *(np.stack([_of(part, best) for part in parts]) for parts in agreeing),
                    *(np.stack([over(part, width, best) for width in EQUAL]) for part in (2, 3)))
    return _told(counts, lags(count)[best], _of(content, best), tails, line[first:-1], dtype)


def _lagged(line: np.ndarray, begin: int, count: int) -> np.ndarray:
    """The codes each lag before every step from ``begin`` to the one after the last of a ``line`` ``(time,)``:
    ``(time, lag)``, :data:`NOTHING` before the piece."""
    padded = np.pad(line, (QUARTER * count, 1))
    padded[:QUARTER * count] = NOTHING if line.dtype == np.int16 else 0
    width, start = padded.strides[0], QUARTER * (count - 1) + begin
    shape = (len(line) + 1 - begin, count)
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(padded[start:], shape, (width, -QUARTER * width)))


def _tails(line: np.ndarray) -> np.ndarray:
    """How many of the newest 0, 1, … 64 steps strike something, after every step of ``line`` ``(…, time)``:
    ``(…, time, 65)``."""
    struck = np.concatenate([np.zeros_like(line[..., :1]), (line > 0).cumsum(axis=-1, dtype=np.int16)], axis=-1)
    since = np.maximum(np.arange(1, line.shape[-1] + 1)[:, None] - np.arange(LONGEST_RUN + 1), 0)
    return struck[..., 1:, None] - struck[..., since]


def blank(batch: int) -> Past:
    """The past before a piece."""
    return Past(np.zeros((batch, 0), np.int16), *(np.zeros((batch, 0), np.int16) for _ in range(2)),
                np.zeros((4, len(AGREEING), batch, 0), np.int16))


def remembered(line: np.ndarray, named: np.ndarray | None = None) -> Past:
    """The past of pieces whose steps so far are ``line`` ``(batch, time)`` of codes, and have these names."""
    since = max(0, line.shape[1] - REACH)
    past = _widened(blank(len(line)), since)
    past = past._replace(line=line[:, :since], named=None if named is None else named[:, :since])
    for step in range(since, line.shape[1]):
        past = hear(past, line[:, step], None if named is None else named[:, step])
    return past


def hear(past: Past, code: np.ndarray, name: np.ndarray | None = None) -> Past:
    """The past after one more step, ``code`` and perhaps ``name`` ``(batch,)``."""
    time = past.line.shape[1]
    line = np.concatenate([past.line, code[:, None]], axis=1)
    past = _widened(past, time + 1)
    count, same, named = past.run.shape[-1], None, None
    if name is not None:
        before = past.line[:, :0] if past.named is None else past.named
        named = np.concatenate([before, name[:, None]], axis=1) if before.size else name[:, None]
        same = name[:, None] == _before(named, time, count)
    equal, *now = compared(code[:, None], _before(line, time, count), same)
    now = np.array(now, np.int8)
    sums = past.sums + now[:, None]
    for window, width in enumerate(AGREEING):
        if len(past.recent) >= width:
            gone = past.recent[width - 1]
            sums[:, window, :, :gone.shape[-1]] -= gone
    return Past(line, np.where(equal, np.minimum(past.run + 1, LONGEST_RUN), 0), np.where(equal, past.former, past.run),
                sums, (now, *past.recent[:AGREEING[-1] - 1]), named)


def _widened(past: Past, time: int) -> Past:
    """The past with as many lags as the step after ``time`` steps may copy from, new ones at zero."""
    more = time // QUARTER - past.run.shape[-1]
    if more <= 0:
        return past
    run, former, sums = (np.concatenate([part, np.zeros((*part.shape[:-1], more), part.dtype)], axis=-1)
                         for part in (past.run, past.former, past.sums))
    return past._replace(run=run, former=former, sums=sums)


def _before(line: np.ndarray, step: int, count: int) -> np.ndarray:
    """The codes each lag before one ``step`` of ``line`` ``(batch, time)``: ``(batch, lag)``."""
    found = line[:, step - QUARTER::-QUARTER] if step >= QUARTER else line[:, :0]
    lacking = count - found.shape[1]
    nothing = NOTHING if line.dtype == np.int16 else 0
    return np.pad(found, ((0, 0), (0, lacking)), constant_values=nothing) if lacking else found


def following(past: Past, dtype: type = np.float64, given: np.ndarray | None = None) -> Sources:
    """Sources of the step that follows, a row a piece; of a ``given`` code ``(batch,)``, if any have it."""
    past = past if past.run.shape[-1] else _widened(past, QUARTER)
    count, time = past.run.shape[-1], past.line.shape[1]
    content = _before(past.line, time, count)
    tails = _tails(past.line[:, -LONGEST_RUN:])[:, -1]
    best = _best(past.run, past.sums[0], past.sums[1], tails, content, given)
    sums = past.sums[:, :, np.arange(len(best))[:, None], best]
    counts = Counts(_of(past.run, best), _of(past.former, best), sums[0], sums[1], sums[2, 1:], sums[3, 1:])
    return _told(counts, lags(count)[best], _of(content, best), tails, past.line[:, -1], dtype)


def _of(part: np.ndarray, best: np.ndarray) -> np.ndarray:
    """What a count ``(row, lag)`` is for the lags that are kept ``(row, source)``."""
    return np.take_along_axis(part, best, axis=1)


def _agreement(both: np.ndarray, either: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Shares of onsets over the newest 4, 16, 64 steps that agree, drawn towards a fifth where there are few."""
    few = np.array([1.0, 0.5, 0.5], dtype)[:, None, None]
    return (both.astype(dtype) + dtype(0.1)) / (either.astype(dtype) + few)


def _worth(run: np.ndarray, both: np.ndarray, either: np.ndarray, tails: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """By what sources are kept: notes in the run, agreement lately, nearness; float32."""
    struck = np.take_along_axis(tails, run.astype(np.intp), axis=1)
    short, middle, long = _agreement(both, either)
    worth = np.float32(0.3) * np.minimum(struck, 16).astype(np.float32) + short + middle + long
    return worth - np.float32(0.0005) * lag.astype(np.float32)


def _best(run: np.ndarray, both: np.ndarray, either: np.ndarray, tails: np.ndarray, content: np.ndarray,
          given: np.ndarray | None = None) -> np.ndarray:
    """Which lags are kept ``(row, source)``, as places: at most :data:`KEPT`."""
    count = run.shape[-1]
    if count <= KEPT:
        return np.broadcast_to(np.arange(count), run.shape)
    worth = np.where(content >= 0, _worth(run, both, either, tails, lags(count)), np.float32(-1e6))
    if given is not None:
        worth = worth + np.float32(1e3) * (content == given[:, None])
    return np.argpartition(-worth, KEPT - 1, axis=1)[:, :KEPT]


def _told(counts: Counts, lag: np.ndarray, content: np.ndarray, tails: np.ndarray, newest: np.ndarray,
          dtype: type) -> Sources:
    """The sources that are kept as nets see them; ``newest`` ``(row,)`` is the code of the step just heard."""
    there = content >= 0
    known = np.where(there, content, 0)
    worth = np.where(there, _worth(counts.run, counts.both, counts.either, tails, lag), np.float32(-1e6)).astype(dtype)
    weight = np.exp(worth - worth.max(axis=1, keepdims=True)) * there
    weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    alike = (content[:, :, None] == content[:, None, :]).astype(dtype)
    shared = alike @ np.stack([weight, there.astype(dtype)], axis=-1)
    struck = np.take_along_axis(tails, counts.run.astype(np.intp), axis=1)
    facts = np.zeros((*lag.shape, FACTS), dtype)
    facts[..., 0], facts[..., 1] = np.log2(1.0 + counts.run) / 6, np.log2(1.0 + struck) / 5
    facts[..., 2:5] = np.moveaxis(_agreement(counts.both, counts.either, dtype), 0, -1)
    facts[..., 5:7] = np.moveaxis(counts.equal / (1.0 + tails.T[EQUAL, :, None]), 0, -1)
    facts[..., 7], facts[..., 8] = counts.rhythm[0] / 16, counts.rhythm[1] / 64
    facts[..., 9] = np.log2(1.0 + counts.former * (counts.run < LONGEST_RUN)) / 6
    facts[..., 10] = np.log2(lag) / 12
    facts[..., 11:18] = lag[..., None] % MULTIPLES == 0
    facts[..., 18], facts[..., 19] = np.bitwise_count(known) / 6, content == 0
    facts[..., 20], facts[..., 21] = content == newest[:, None], counts.run == 0
    facts[..., 22], facts[..., 23], facts[..., 24] = shared[..., 0], weight, shared[..., 1] / KEPT
    facts *= there[..., None]
    return _filled(facts, content, lag)


def _filled(facts: np.ndarray, content: np.ndarray, lag: np.ndarray) -> Sources:
    """As many sources as :data:`KEPT`, those that are lacking with no content."""
    if content.shape[1] == KEPT:
        return Sources(facts, content, lag)
    lacking = ((0, 0), (0, KEPT - content.shape[1]))
    return Sources(np.pad(facts, (*lacking, (0, 0))), np.pad(content, lacking, constant_values=NOTHING),
                   np.pad(lag, lacking))
