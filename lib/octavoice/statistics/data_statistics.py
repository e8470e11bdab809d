"""What a corpus is like, and what octave compression keeps of it and loses (thesis §2.2, §6.2, §7.1).

Rolls have axes ``(time, key)``, compressed rolls ``(time, pitch_class)``; entropies are in bits. A step
is *struck* if it has an onset. What is estimated is estimated on other pieces than it is judged on.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import symusic
import torch

from octavoice.corpus.splits import content_hash
from octavoice.formats.midi import read_midi, write_midi
from octavoice.music.piece import Piece
from octavoice.music.roll import (
    CLASSES,
    KEYS,
    STEPS_PER_BAR,
    STEPS_PER_QUARTER,
    compress,
    mask,
    polyphony,
    transpose,
    transpose_classes,
)
from octavoice.thesis.decoder import Decoder

OCTAVES = 8
OCTAVES_OF = np.bincount(np.arange(KEYS) % CLASSES, minlength=CLASSES)
"""Keys of each pitch class on the keyboard: eight for A, B♭, B and C, seven for the others."""
TOP_KEYS = 4
"""Keys of the eighth octave, which the published program's compression leaves out."""


# ---- a corpus (§2.2, §7.1)

def piece_table(pieces: list[Piece]) -> pd.DataFrame:
    """One row per piece: length, density, polyphony, grid and bar (§7.1).

    ``steps``; ``struck``, the share of steps with an onset; ``keys`` and ``classes``, means over struck
    steps; ``off_grid``, the share of onsets more than 0.2 of a step off the grid; ``place``, the step of
    its bar on which the first onset falls (0 = downbeat); ``parts``; and where it comes from and what it is.
    """
    rows = []
    for piece in pieces:
        keys, classes = polyphony(piece.roll), polyphony(compress(piece.roll))
        struck = keys > 0
        rows.append({"piece": piece.name, "steps": piece.steps, "struck": struck.mean(), "keys": keys[struck].mean(),
                     "classes": classes[struck].mean(), "off_grid": piece.off_grid, "place": place_in_bar(piece),
                     "parts": piece.tracks, "time": "{}/{}".format(*piece.time_signatures[0]), "key": piece.key,
                     "title": piece.title, "corpus": piece.corpus, "path": piece.path, "licence": piece.licence})
    return pd.DataFrame(rows).set_index("piece")


def place_in_bar(piece: Piece) -> int:
    """The step of its bar on which a piece begins, 0 for a downbeat; a bar of two whole notes counts as two.

    A score tells it. A MIDI file does not mark a pickup: there tick 0 is taken for a bar line.
    """
    return -piece.pickup % piece.bar % STEPS_PER_BAR


def polyphony_shares(rolls: list[np.ndarray]) -> np.ndarray:
    """Share of the struck steps with 1, 2, 3, … onsets: ``(most,)``, entry 0 for one onset.

    ``rolls`` have axes ``(time, key)`` or ``(time, pitch_class)``.
    """
    counts = np.bincount(np.concatenate([polyphony(roll) for roll in rolls]))[1:]
    return counts / counts.sum()


def to_step_half_even(ticks: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    """The published program's grid: ``4 q`` rounded to the nearest step, a half to the even one."""
    whole, rest = np.divmod(STEPS_PER_QUARTER * np.asarray(ticks), ticks_per_quarter)
    up = (2 * rest > ticks_per_quarter) | ((2 * rest == ticks_per_quarter) & (whole % 2 == 1))
    return whole + up


def fragment_to_show(pieces: list[Piece], bars: int, least: float = 0.4) -> tuple[Piece, int, np.ndarray]:
    """A fragment for a figure, found by rule: its piece, its first step, its roll ``(time, key)``.

    The first stretch of ``bars`` bars of 16 steps, from a bar line on, with an onset on a share of at least ``least``
    of its steps, in the order of the pieces; if there is none, the one with the most struck steps, the first of equals.
    Silence fills up what a short piece lacks.
    """
    length = bars * STEPS_PER_BAR
    starts = ((piece, start) for piece in pieces
              for start in range(piece.pickup, max(piece.pickup, piece.steps - length) + 1, STEPS_PER_BAR))
    most, found = -1.0, None
    for piece, start in starts:
        share = piece.roll[start:start + length].any(axis=1).sum() / length
        if share > most:
            most, found = share, (piece, start)
        if share >= least:
            break
    piece, start = found
    window = piece.roll[start:start + length]
    return piece, start, np.pad(window, ((0, length - len(window)), (0, 0)))


def midi_commands(path: Path) -> pd.DataFrame:
    """The note commands of a MIDI file in order of time (§2.2).

    ``wait`` and ``tick`` in MIDI ticks, ``command`` ("note on" or "note off"), ``pitch`` and ``loudness`` 0..127.
    At equal times note-offs come first.
    """
    notes = [note for track in symusic.Score(str(path)).tracks for note in track.notes]
    on = [(note.start, 1, "note on", note.pitch, note.velocity) for note in notes]
    off = [(note.end, 0, "note off", note.pitch, 0) for note in notes]
    table = pd.DataFrame(sorted(on + off), columns=["tick", "_", "command", "pitch", "loudness"]).drop(columns="_")
    table.insert(0, "wait", table.tick.diff().fillna(table.tick).astype(int))
    return table


def exact_round_trips(rolls: list[np.ndarray]) -> int:
    """How many rolls ``(time, key)`` come back equal from MIDI, written and read again (§2.2)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "roll.mid"
        return sum(np.array_equal(read_midi(write_midi(roll, path)).roll, roll) for roll in rolls)


def losing_onsets(rolls: list[np.ndarray], shifts: range) -> pd.Series:
    """Share of the onsets that fall off the keyboard at each shift in semitones (§7.2)."""
    keys = sum(roll.sum(axis=0, dtype=np.int64) for roll in rolls)
    return pd.Series({shift: 1 - transpose(keys, shift).sum() / keys.sum() for shift in shifts}, name="lost onsets")


def split_table(splits: dict[str, list[Piece]]) -> pd.DataFrame:
    """Per side: pieces, different contents up to transposition, steps, and pieces whose content is elsewhere too."""
    hashes = {side: [content_hash(piece.roll) for piece in pieces] for side, pieces in splits.items()}
    rows = []
    for side, pieces in splits.items():
        elsewhere = {digest for other in hashes if other != side for digest in hashes[other]}
        rows.append({"side": side, "pieces": len(pieces), "different": len(set(hashes[side])),
                     "steps": sum(piece.steps for piece in pieces),
                     "also elsewhere": sum(digest in elsewhere for digest in hashes[side])})
    return pd.DataFrame(rows).set_index("side")


def windows(roll: np.ndarray, width: int = 32, least: int = 6) -> set[int]:
    """Fingerprints of all windows of ``width`` steps of a roll ``(time, key)``, the same in every key.

    Each is a 64-bit hash of the compressed window, the least over its twelve transpositions. Windows with
    fewer than ``least`` struck steps are left out: they agree by chance.
    """
    x12 = compress(roll).astype(np.uint64)
    if len(x12) < width:
        return set()
    weights = np.random.default_rng(0).integers(1, 2**63, size=(width, CLASSES), dtype=np.uint64)
    prints = [sum(turned[i:len(x12) - width + 1 + i] @ weights[i] for i in range(width))
              for turned in (transpose_classes(x12, shift) for shift in range(CLASSES))]
    dense = np.convolve(x12.any(axis=1), np.ones(width), "valid") >= least
    return set(np.minimum.reduce(prints)[dense].tolist())


def near_copies(splits: dict[str, list[Piece]], least_share: float = 0.05) -> pd.DataFrame:
    """Held-out pieces that share windows of two bars with a training piece, in any key.

    One row per held-out piece of which at least ``least_share`` of the windows occur in one training piece: that
    piece and the share. The split by content tells apart only whole pieces.
    """
    known = {piece.name: windows(piece.roll) for piece in splits["train"]}
    rows = []
    for side in ("valid", "test"):
        for piece in splits[side]:
            own = windows(piece.roll)
            name = max(known, key=lambda name: len(known[name] & own))
            rows.append((piece.name, side, name, len(known[name] & own) / max(1, len(own))))
    table = pd.DataFrame(rows, columns=["held-out piece", "side", "training piece", "shared"])
    return table[table.shared >= least_share].sort_values("shared", ascending=False).reset_index(drop=True)


# ---- octave compression (§6.2)

def commuting(rolls: list[np.ndarray], shifts: range) -> pd.DataFrame:
    """Whether compression and transposition commute, per shift in semitones (§6.2).

    ``kept`` counts rolls ``(time, key)`` that lose no key at this shift, ``equal`` how many of these have
    compress(T_s x) equal to compress(x) rolled by s; ``cut`` and ``cut, equal`` the same for rolls that lose keys.
    """
    rows = []
    for shift in shifts:
        whole, equal = np.zeros((2, len(rolls)), dtype=bool)
        for i, roll in enumerate(rolls):
            shifted = transpose(roll, shift)
            whole[i] = shifted.sum() == roll.sum()
            equal[i] = np.array_equal(compress(shifted), transpose_classes(compress(roll), shift))
        rows.append({"shift": shift, "kept": whole.sum(), "equal": (whole & equal).sum(),
                     "cut": (~whole).sum(), "cut, equal": (~whole & equal).sum()})
    return pd.DataFrame(rows).set_index("shift")


def octave_patterns(roll: np.ndarray) -> np.ndarray:
    """In which octaves each class is struck: ``(time, key)`` to ``(time, pitch_class)``, bit o for octave o."""
    octaves = np.zeros((len(roll), OCTAVES * CLASSES), dtype=np.int64)
    octaves[:, :KEYS] = roll
    return (octaves.reshape(-1, OCTAVES, CLASSES) << np.arange(OCTAVES)[:, None]).sum(axis=1)


def set_numbers(x12: np.ndarray) -> np.ndarray:
    """Each step's set of classes as one number below 4096: ``(time, pitch_class)`` to ``(time,)``."""
    return x12.astype(np.int64) @ (1 << np.arange(CLASSES))


def entropy(counts: np.ndarray) -> float:
    """Plug-in entropy of counts, in bits. Too small on average, the more the rarer the events."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def plug_in(rolls: list[np.ndarray]) -> dict[str, float]:
    """Plug-in H(x'_t) and H(x_t | x'_t) over all steps of rolls ``(time, key)``, bits per step.

    As x' is a function of x, H(x|x') = H(x) − H(x'). Entropies being concave, both are too small on average
    (Jensen). ``once`` is the share of struck steps whose x occurs on no other step: nothing is known of those.
    """
    x = np.concatenate(rolls)
    _, which, counts = np.unique(np.packbits(x, axis=1), axis=0, return_inverse=True, return_counts=True)
    classes = entropy(np.bincount(set_numbers(compress(x))))
    return {"classes": classes, "octaves": entropy(counts) - classes,
            "once": float((counts[which][x.any(axis=1)] == 1).mean())}


class OctaveCode:
    """A code for the octaves of each sounding class, fitted on some rolls: an upper bound on H(x_t | x'_t).

    ``plain`` ``(pitch_class, pattern)`` is P(pattern | this class sounds): counts, and one imaginary observation
    spread over all patterns that the class has keys for. ``given_last`` ``(pitch_class, last, pattern)`` knows
    besides in which octaves the class was last struck; there ``plain`` counts as ``TRUST`` observations. Classes
    are coded independently of each other.
    """

    TRUST = 4.0

    def __init__(self, rolls: list[np.ndarray]):
        pairs = np.zeros((CLASSES, 2**OCTAVES, 2**OCTAVES))
        for roll in rolls:
            patterns = octave_patterns(roll)
            sounding = patterns > 0
            np.add.at(pairs, (np.nonzero(sounding)[1], last_patterns(patterns)[sounding], patterns[sounding]), 1)
        counts, number = pairs.sum(axis=1), np.arange(2**OCTAVES)
        possible = (number > 0) & (number < 2.0 ** OCTAVES_OF[:, None])
        prior = possible / possible.sum(axis=1, keepdims=True)
        self.plain = (counts + prior) / (counts.sum(axis=1, keepdims=True) + 1)
        self.given_last = pairs + self.TRUST * self.plain[:, None]
        self.given_last /= self.given_last.sum(axis=-1, keepdims=True)

    def bits(self, roll: np.ndarray, memory: bool = False) -> np.ndarray:
        """Code length of the octaves of every class, ``(time, pitch_class)`` in bits, 0 where it is silent.

        With ``memory`` the class's last octaves are known: a bound on H(x_t | x'_t, the past).
        """
        patterns, p = octave_patterns(roll), np.arange(CLASSES)
        share = self.given_last[p, last_patterns(patterns), patterns] if memory else self.plain[p, patterns]
        return -np.log2(np.where(patterns > 0, share, 1.0))


    def key_probability(self, x12: np.ndarray) -> np.ndarray:
        """P(key struck | its class sounds), 0 for silent classes: ``(time, pitch_class)`` to ``(time, key)``."""
        octaves = self.plain @ (np.arange(2**OCTAVES)[:, None] >> np.arange(OCTAVES) & 1)
        return octaves.T.reshape(-1)[:KEYS] * mask(x12)


def last_patterns(patterns: np.ndarray) -> np.ndarray:
    """The octaves in which each class was struck the last time before: ``(time, pitch_class)``, 0 if never yet."""
    steps = np.arange(len(patterns))[:, None]
    last = np.maximum.accumulate(np.where(patterns > 0, steps, -1), axis=0)
    last = np.vstack([np.full((1, CLASSES), -1), last[:-1]])
    return np.where(last >= 0, np.take_along_axis(patterns, np.maximum(last, 0), axis=0), 0)


def class_set_bits(train: list[np.ndarray], rolls: list[np.ndarray]) -> float:
    """Bits per step of x'_t itself on ``rolls``, by the frequencies of the 4096 sets on ``train``, one count spread."""
    counts = np.bincount(set_numbers(compress(np.concatenate(train))), minlength=2**CLASSES)
    share = (counts + 1 / len(counts)) / (counts.sum() + 1)
    return float(-np.log2(share[set_numbers(compress(np.concatenate(rolls)))]).mean())


def entropy_table(train: list[np.ndarray], held_out: list[np.ndarray]) -> pd.DataFrame:
    """What octave placement costs, given the classes: bits per step, per struck step, per sounding class.

    Fitted on ``train``; the rows say on which rolls they are measured and in which direction they err.
    """
    code, plain = OctaveCode(train), plug_in(train)
    rows = [("no knowledge: any non-empty set of octaves", "held-out", sum(map(_free_bits, held_out)), held_out),
            ("classes apart", "held-out", sum(code.bits(roll).sum() for roll in held_out), held_out),
            ("classes apart, knowing their last octaves", "held-out",
             sum(code.bits(roll, memory=True).sum() for roll in held_out), held_out),
            ("classes apart (optimistic)", "train", sum(code.bits(roll).sum() for roll in train), train),
            ("plug-in H(x | x′) (too small)", "train", plain["octaves"] * sum(map(len, train)), train)]
    table = [{"octaves given classes": name, "measured on": where, "bits per step": total / sum(map(len, rolls)),
              "per struck step": total / sum((polyphony(roll) > 0).sum() for roll in rolls),
              "per sounding class": total / sum(compress(roll).sum(dtype=np.int64) for roll in rolls)}
             for name, where, total, rolls in rows]
    return pd.DataFrame(table).set_index("octaves given classes")


def _free_bits(roll: np.ndarray) -> float:
    """Bits of the octaves of a roll if every non-empty set of a class's keys were as likely as any other."""
    return float((compress(roll) * np.log2(2.0**OCTAVES_OF - 1)).sum())


def edge_classes(roll: np.ndarray, top: bool = True) -> np.ndarray:
    """The class of the highest (or lowest) key of each struck step of ``(time, key)``: ``(struck,)``."""
    struck = roll[roll.any(axis=1)]
    key = KEYS - 1 - struck[:, ::-1].argmax(axis=1) if top else struck.argmax(axis=1)
    return key % CLASSES


def guess_edges(train: list[np.ndarray], rolls: list[np.ndarray], top: bool = True) -> dict[str, float]:
    """How well x'_t alone tells which class is highest (or lowest), where two classes or more sound.

    The guess is the class most often found there on ``train`` for the same set of classes, in any
    transposition; for an unknown set, the first class. ``guessed`` is the share of right guesses on ``rolls``,
    ``chance`` that of blind ones, ``undetermined`` the share of struck steps with two classes or more.
    """
    table = np.zeros((2**CLASSES, CLASSES))
    x12, edge = _edges(train, top)
    for shift in range(CLASSES):
        np.add.at(table, (set_numbers(transpose_classes(x12, shift)), (edge + shift) % CLASSES), 1)
    x12, edge = _edges(rolls, top)
    guess = (table[set_numbers(x12)] + 0.5 * x12).argmax(axis=1)
    many = x12.sum(axis=1) > 1
    return {"undetermined": float(many.mean()), "guessed": _mean((guess == edge)[many]),
            "chance": _mean(1 / x12.sum(axis=1)[many])}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _edges(rolls: list[np.ndarray], top: bool) -> tuple[np.ndarray, np.ndarray]:
    """Compressed struck steps ``(struck, pitch_class)`` of all rolls and the class at their edge ``(struck,)``."""
    x12 = np.concatenate([compress(roll[roll.any(axis=1)]) for roll in rolls]).astype(np.int64)
    return x12, np.concatenate([edge_classes(roll, top) for roll in rolls])


def compression_summary(rolls: list[np.ndarray], voices: int) -> dict[str, float]:
    """What compression does to the steps of rolls ``(time, key)``, as shares (§6.2, C1, C24).

    ``doubled``: struck steps with a class in two octaves or more; ``merged``: onsets that another octave of
    their class hides; ``crowded``: struck steps with more classes than ``voices``; ``top``: onsets on the top four
    keys; ``most``: the largest number of classes on one step.
    """
    x = np.concatenate(rolls)
    keys, classes = polyphony(x), polyphony(compress(x))
    struck = keys > 0
    return {"doubled": float((keys > classes)[struck].mean()), "merged": float(1 - classes.sum() / keys.sum()),
            "crowded": float((classes > voices)[struck].mean()), "top": int(x[:, KEYS - TOP_KEYS:].sum()),
            "onsets": int(keys.sum()), "most": int(classes.max())}


@torch.no_grad()
def decode(decoder: Decoder, roll: np.ndarray, heard: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Put the classes of a roll back on keys, given its first ``heard`` steps (§6.2, Fig. 11).

    ``roll`` ``(time, key)``; from step ``heard`` on the decoder sees x'_{t+1} of the roll and the keys that it
    chose itself. Returns keys and masked probabilities, both ``(time - heard, key)``.
    """
    x, x12 = (torch.from_numpy(a.astype(np.float32))[:, None] for a in (roll, compress(roll)))
    rng = torch.Generator().manual_seed(seed)
    state = decoder(x12[1:heard], x[:heard - 1])[2] if heard > 1 else None
    keys, steps = x[heard - 1], []
    for t in range(heard, len(roll)):
        u = torch.rand(1, 1, decoder.hidden + KEYS, generator=rng)
        keys, probability, state = decoder.decode(x12[t], keys, u, state)
        steps.append(torch.stack([keys[0], probability[0]]))
    return tuple(torch.stack(steps, dim=1).numpy())


def decoded_counts(keys: np.ndarray, roll: np.ndarray) -> dict[str, float]:
    """Decoded keys, or their probabilities, beside the true ones, both ``(time, key)``: (expected) numbers of keys.

    ``onsets`` of the truth; ``right`` and ``wrong`` keys; of the wrong ones those ``outside the mask``, in a class
    that is silent.
    """
    found = {"onsets": roll.sum(), "right": (keys * roll).sum(), "wrong": (keys * (1.0 - roll)).sum(),
             "outside the mask": (keys * (1 - mask(compress(roll)).astype(float))).sum()}
    return {name: float(number) for name, number in found.items()}
