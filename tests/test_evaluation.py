"""The held-out table: every step once, draws that belong to the piece, intervals over pieces (§7.3)."""

import numpy as np
import pandas as pd
import pytest
import torch

from octavoice.corpus import Fragments, Pieces
from octavoice.likelihood import baselines, evaluation
from octavoice.music.piece import Piece
from octavoice.music.roll import clock, compress
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training import fit


def piece(steps, seed):
    roll = (np.random.default_rng(seed).random((steps, 88)) < 0.03).astype(np.uint8)
    return Piece(f"piece {seed}", roll, 1, ((4, 4),))


@pytest.fixture(scope="module")
def pieces():
    return Pieces.of([piece(steps, i) for i, steps in enumerate((600, 257, 40, 256))])


@pytest.fixture(scope="module")
def generator():
    return fit.seeded(OctaveGenerator, 1)


def test_tiles_predict_every_step_but_the_first_once(pieces):
    tiles = Fragments.tiling(pieces, 257)
    batch = tiles.gather(np.arange(len(tiles)))
    assert batch.weight.sum() == (pieces.lengths - 1).sum()
    assert tiles.index.tolist() == [[0, 0], [0, 256], [0, 512], [1, 0], [2, 0], [3, 0]]
    line = np.concatenate([batch.x[1:, i] for i in range(3)])[:599]
    assert np.array_equal(line, pieces[0].roll[1:])
    assert np.array_equal(batch.history[:, 1], compress(pieces[0].roll)[128:256])


def test_a_piece_is_judged_alike_alone_and_in_company(pieces, generator):
    together = evaluation.piece_table(generator, pieces, pieces)
    for i in range(len(pieces)):
        alone = evaluation.piece_table(generator, pieces, pieces.subset(np.array([i])))
        assert together["steps"].iloc[i] == pieces.lengths[i] - 1
        np.testing.assert_allclose(alone.iloc[0], together.iloc[i], rtol=1e-5)


def test_a_short_piece_by_hand(pieces, generator):
    short = pieces[2]
    x12 = torch.from_numpy(compress(short.roll)).float()[:, None]
    ticks = torch.from_numpy(clock(np.arange(short.steps))).float()[:, None]
    draws = torch.from_numpy(evaluation.piece_draws(generator, short))
    with torch.no_grad():
        by_draw = [generator.objective(x12, ticks, torch.zeros(128, 1, 12), u[:, :short.steps - 1, None]).sum()
                   for u in draws]
    row = evaluation.piece_table(generator, pieces, pieces).loc[short.name]
    assert row["main module"] == pytest.approx(-np.mean(by_draw), rel=1e-5)
    assert len({float(x) for x in by_draw}) == evaluation.DRAWS
    table = baselines.fit_table(pieces, 1)
    now, before = compress(short.roll)[1:].astype(int), compress(short.roll)[:-1].astype(int)
    p = np.where(before, table[1], table[0])
    assert row["first order"] == pytest.approx(np.log(np.where(now, p, 1 - p)).sum(), rel=1e-9)


def test_levels_weigh_by_steps_and_bracket_the_mean():
    rng = np.random.default_rng(0)
    steps = rng.integers(100, 2000, size=60)
    nats = -steps * rng.normal(2.0, 0.3, size=60)
    table = evaluation.levels(pd.DataFrame({"steps": steps, "main module": nats}))
    row = table.loc["main module"]
    assert row["level"] == pytest.approx(nats.sum() / steps.sum())
    assert row["low"] < row["level"] < row["high"]
    assert 0.5 < (row["high"] - row["low"]) / (4 * 0.3 / 60**0.5) < 2
    one = evaluation.levels(pd.DataFrame({"steps": [10], "main module": [-20.0]})).loc["main module"]
    assert one["level"] == -2
    assert np.isnan(one["low"])
