"""The four benchmark sets of Boulanger-Lewandowski, Bengio and Vincent (ICML 2012).

Their rolls mark the notes that *sound* at each frame, not those struck, and every set has a grid of
its own. The periods H and the clock of the thesis count sixteenths of onset rolls, so they lose their
meaning here, and likelihoods are comparable only with those published for the same sets.
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from octavoice.corpus import fetch
from octavoice.errors import UserError
from octavoice.music.roll import KEYS

NAMES = ("benchmarks/jsb", "benchmarks/nottingham", "benchmarks/musedata", "benchmarks/piano-midi")
SPLITS = {"train": "traindata", "valid": "validdata", "test": "testdata"}
"""The sets' own splits, and what they are called in the files."""
SMOOTHING = 0.5
"""Added to the count of frames with a key, and to that of frames without it."""


def load_benchmark(name: str) -> dict[str, list[np.ndarray]]:
    """A benchmark set by its own splits: ``{"train": [roll, …], "valid": …, "test": …}``.

    Each roll is ``(time, key)``, uint8, 88 keys, 1 where a note *sounds*, on the set's own grid: H and
    the clock lose their meaning. Raises :class:`UserError` for another name or if the file is not there.
    """
    if name not in NAMES:
        raise UserError(f"unknown benchmark {name!r}; known are {', '.join(NAMES)}.")
    return read_mat(fetch.locate(name)[0].path)


def read_mat(path: Path) -> dict[str, list[np.ndarray]]:
    """Read a benchmark's .mat file (MATLAB 5, plain arrays only; nothing is unpickled).

    Returns as :func:`load_benchmark`. Raises :class:`UserError` for a file that is missing, damaged,
    or holds anything but three splits of rolls ``(time, 88)`` of zeros and ones.
    """
    try:
        with open(path, "rb") as file:
            found = loadmat(file, variable_names=list(SPLITS.values()))
        return {side: [_roll(array) for array in found[key].ravel()] for side, key in SPLITS.items()}
    except FileNotFoundError as error:
        raise UserError(f"{path}: is missing; check the path.") from error
    except Exception as error:
        raise UserError(f"{path}: is damaged or not a benchmark of 88-key rolls; fetch it again.") from error


def _roll(array: np.ndarray) -> np.ndarray:
    """A roll ``(time, key)`` as uint8; ValueError for anything else."""
    if array.ndim != 2 or array.shape[1] != KEYS or not len(array) or array.dtype.kind not in "biuf":
        raise ValueError(f"not a roll: {array.dtype} {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError("holds other values than 0 and 1")
    return np.ascontiguousarray(array, dtype=np.uint8)


def marginal_nll(splits: dict[str, list[np.ndarray]]) -> float:
    """Negative log-likelihood of the test rolls, in nats per step, with every key on its own.

    A key sounds with probability ``(frames with it + 1/2) / (frames + 1)``, counted over all training
    frames. The first frame of each roll is not scored, since sequence models are only given it; the
    mean is over all other frames together. Raises :class:`UserError` if there is no such frame.
    """
    train = np.concatenate(splits["train"])
    p = (train.sum(axis=0, dtype=np.int64) + SMOOTHING) / (len(train) + 2 * SMOOTHING)
    test = np.concatenate([roll[1:] for roll in splits["test"]])
    if not len(test):
        raise UserError("the test rolls have no second frame, so there is nothing to score; choose longer ones.")
    share = test.mean(axis=0)
    return float(-(share * np.log(p) + (1 - share) * np.log1p(-p)).sum())
