"""How well a model says how long notes are held: nats per note beside tables, and its samples beside music.

Tables are fitted on the training pieces. "Until the next onset" is the thesis's rule (§2.2) as a distribution: with
one probability the note ends where the next chord begins, else as the marginal table says. It is told when that is,
which a composer does not know yet; no model can be told more of what the rule uses.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from octavoice.beyond.durations import SINGLE
from octavoice.composer import Composition
from octavoice.corpus import Pieces
from octavoice.likelihood import axis
from octavoice.model import Network
from octavoice.music.durations import remaining, until_next
from octavoice.music.piece import UNTOLD, Piece
from octavoice.music.roll import STEPS_PER_BAR

Table = Callable[[Piece], np.ndarray]
"""Nats of each note of a piece ``(note,)``, notes by step and then by key."""


def note_tables(train: Pieces) -> dict[str, Table]:
    """The tables: marginal, by the position in the bar, until the next onset."""
    pieces = list(train.told())
    steps = np.concatenate([piece.durations for piece in pieces]).astype(int)
    place = np.concatenate([places(piece) for piece in pieces])
    gap = np.concatenate([gaps(piece) for piece in pieces])
    marginal = frequencies(steps, np.zeros_like(steps), 1)
    by_place = frequencies(steps, place, STEPS_PER_BAR)
    further = steps[steps > SINGLE] - SINGLE
    going = np.log1p(-1 / further.mean()) if len(further) else -np.log(2.0)

    def nats(table: np.ndarray, steps: np.ndarray, context: np.ndarray) -> np.ndarray:
        beyond = np.where(steps > SINGLE, (steps - SINGLE - 1) * going + np.log(-np.expm1(going)), 0.0)
        return table[context, np.minimum(steps, SINGLE + 1) - 1] + beyond

    def rule(share: float, steps: np.ndarray, gap: np.ndarray) -> np.ndarray:
        return np.logaddexp(np.where(steps == gap, np.log1p(-share), -np.inf),
                            np.log(share) + nats(marginal, steps, np.zeros_like(steps)))
    share = minimize_scalar(lambda share: -rule(share, steps, gap).mean(), bounds=(1e-4, 1 - 1e-4),
                            method="bounded").x
    return {"marginal": lambda piece: nats(marginal, piece.durations.astype(int), np.zeros(len(piece.durations), int)),
            "by position": lambda piece: nats(by_place, piece.durations.astype(int), places(piece)),
            "until the next onset": lambda piece: rule(share, piece.durations.astype(int), gaps(piece))}


def places(piece: Piece) -> np.ndarray:
    """Of each note ``(note,)`` the step of its bar, 0 to 15, counted from the piece's first onset as models do."""
    return np.nonzero(piece.roll)[0] % STEPS_PER_BAR


def gaps(piece: Piece) -> np.ndarray:
    """Of each note ``(note,)`` the steps to the next onset of any key: its duration by the thesis's rule."""
    return until_next(piece.roll)[piece.roll > 0].astype(int)


def frequencies(steps: np.ndarray, context: np.ndarray, contexts: int) -> np.ndarray:
    """log p of 1 … 32 steps and of longer ``(context, 33)``, one added to every count."""
    counts = np.ones((contexts, SINGLE + 1))
    np.add.at(counts, (context, np.minimum(steps, SINGLE + 1) - 1), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True))


def note_sums(network: Network, name: str, tables: dict[str, Table], test: Pieces, device="cpu",
              progress=iter) -> pd.DataFrame:
    """Nats of all notes but those of a piece's first step, a row a piece, as :func:`axis.gain` wants them.

    ``steps`` counts these notes. Whole durations are judged, those that outlast a window too.
    """
    test = test.told()
    judge = {name: axis.network_judge(network, whole=True)}
    sums = axis.step_table(judge, test, device, progress, durations=True).groupby("piece")[[name]].sum()
    rows = []
    for piece in (test[i] for i in sums.index):
        later = np.nonzero(piece.roll)[0] > 0
        rows.append({"steps": int(later.sum()), **{table: nats(piece)[later].sum() for table, nats in tables.items()}})
    return pd.DataFrame(rows, index=sums.index).join(sums).query("steps > 0")


def everything(keys: pd.DataFrame, notes: pd.DataFrame, name: str) -> dict[str, float]:
    """log p of all that is written, onsets and durations, of the pieces that tell both: per step and per note.

    ``keys`` are a model's sums over steps, ``notes`` those of :func:`note_sums`.
    """
    both = keys[["steps", name]].join(notes[["steps", name]], rsuffix=" of notes", how="inner")
    total = both[name].sum() + both[f"{name} of notes"].sum()
    return {"nats per step": total / both["steps"].sum(), "nats per note": total / both["steps of notes"].sum(),
            "of it durations, per step": both[f"{name} of notes"].sum() / both["steps"].sum(),
            "pieces": float(len(both))}


def portrait(roll: np.ndarray, durations: np.ndarray) -> dict[str, float]:
    """Statistics of how notes are held, of a grid of ``durations`` ``(time, key)`` beside its ``roll``."""
    if not roll.any():
        return {}
    steps, rule, sounding = durations[roll > 0], until_next(roll)[roll > 0], remaining(durations) > 0
    return {"duration, median steps": float(np.median(steps)),
            "notes of one step": float((steps == 1).mean()),
            "notes of more than eight steps": float((steps > 8).mean()),
            "notes ending at the next onset": float((steps == rule).mean()),
            "notes held past the next onset": float((steps > rule).mean()),
            "keys that sound at a step": float(sounding.sum(axis=1).mean()),
            "steps at which nothing sounds": float((~sounding.any(axis=1)).mean())}


def portraits(composition: Composition, rule: bool = False) -> pd.DataFrame:
    """A row for every sample of a composition, of its new steps; ``rule`` gives its notes the thesis's durations."""
    new = composition.roll[composition.start:]
    held = None if rule else composition.durations[composition.start:]
    return pd.DataFrame([portrait(new[:, i], until_next(new[:, i]) if rule else held[:, i])
                         for i in range(new.shape[1])])


def real_portraits(pieces: list[Piece], prime: int, steps: int) -> pd.DataFrame:
    """A row for every piece that is long enough and tells its durations: what follows its opening."""
    known = [piece for piece in pieces if piece.note_ends != UNTOLD]
    long = [piece for piece in known if piece.steps >= prime + steps] or [p for p in known if p.steps > prime]
    return pd.DataFrame([portrait(piece.roll[prime:prime + steps], piece.held[prime:prime + steps]) for piece in long])
