"""Every variant by name: which of the thesis's choices it makes otherwise, and how it is built and fed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from octavoice.corpus import Batch
from octavoice.model import GIVEN, Network, Recipe
from octavoice.model import KEYS as IN_KEYS
from octavoice.music.roll import CLASSES, KEYS, clock
from octavoice.survey.chords import Bernoulli
from octavoice.survey.rnn_nade import NADE
from octavoice.thesis.ablated import Clockless, Headed, Holding, Joint, ManySteps, Rewired, SchemeOne, unattended
from octavoice.thesis.attention import HISTORY
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training.presets import Preset

FEATURES = 130
"""F of the main module (§7.2)."""
Change = Callable[[Batch], Batch]
"""A batch as a variant hears it."""


def unchanged(batch: Batch) -> Batch:
    """As the thesis's networks hear it."""
    return batch


def newest(steps: int) -> Change:
    """Before a fragment only the newest ``steps`` are heard, silence before them."""
    def change(batch: Batch) -> Batch:
        heard = (np.arange(HISTORY) >= HISTORY - steps)[:, None, None]
        return replace(batch, history=batch.history * heard, past=batch.past * heard)
    return change


def from_the_bar_line(batch: Batch, pickups: np.ndarray) -> Batch:
    """The clock counts from the first bar line of each piece, not from the fragment's start; ``pickups`` ``(batch,)``
    are the steps before that line."""
    step = batch.position[0] - pickups + np.arange(len(batch.x))[:, None]
    return replace(batch, clock=clock(step).astype(np.float32))


@dataclass(frozen=True)
class Variant:
    """What is varied (``choice``), ``told`` in words, and how the network is built.

    ``change`` is what it hears of a batch, ``barred`` whether its clock counts from the bar line, ``shifted`` whether
    training transposes; ``share`` of the preset's iterations; ``rate`` and ``epsilon`` of Adam where they are not the
    preset's. Its ``version`` is raised by hand when its numbers change.
    """

    choice: str
    told: str
    build: Callable[[], Network]
    change: Change = unchanged
    barred: bool = False
    shifted: bool = True
    share: float = 1.0
    rate: float | None = None
    epsilon: float | None = None
    version: int = 1

    def recipe(self, preset: Preset) -> Recipe:
        """How it is trained at a preset: the decoder and its kin by the decoder's settings."""
        of_keys = self.build().space == GIVEN
        iterations = preset.decoder_iterations if of_keys else preset.iterations
        rate = preset.decoder_learning_rate if of_keys else preset.learning_rate
        epsilon = preset.decoder_epsilon if of_keys else preset.epsilon
        return Recipe(max(1, round(self.share * iterations)), preset.batch, rate if self.rate is None else self.rate,
                      epsilon if self.epsilon is None else self.epsilon)


def forced(forcing: str) -> OctaveGenerator:
    """The generator whose later voices are fed otherwise in training (C8)."""
    network = OctaveGenerator()
    network.forcing = forcing
    return network


def unmasked() -> Decoder:
    """The decoder trained without the mask."""
    network = Decoder()
    network.masked = False
    return network


THESIS, DECODER = "thesis", "decoder"
"""The variants that vary nothing: what the others are set beside."""
SLOW = {"rate": 0.01, "epsilon": 1e-8}
VOICES = (1, 2, 3, 4, 6, 7, 12)
VARIANTS: dict[str, Variant] = {
    THESIS: Variant("nothing", "main module and sampler as in the thesis", OctaveGenerator),
    "attention-off": Variant("attention", "nothing is read of the past", partial(unattended, False)),
    "attention-constant": Variant("attention", "the same learned weights at every step", partial(unattended, True)),
    "attention-all-periods": Variant("attention", "periods 1 to 128, all of them",
                                     partial(OctaveGenerator, periods=tuple(range(1, HISTORY + 1)))),
    "reads-concatenated": Variant("attention", "all eight reads side by side", partial(Rewired, whole=True)),
    "reads-first": Variant("attention", "the read goes into the first LSTM", partial(Rewired, early=True)),
    "clock-off": Variant("clock", "no clock", Clockless),
    "clock-from-bar-line": Variant("clock", "counted from the piece's first bar line", OctaveGenerator,
                                   barred=True),
    "history-32": Variant("history", "the newest 32 steps before a fragment [published program]", OctaveGenerator,
                          newest(32)),
    "history-none": Variant("history", "nothing before a fragment", OctaveGenerator, newest(0)),
    "hears-held": Variant("onsets", "told which classes are still held, beside the onsets", Holding),
    "not-transposed": Variant("transposition", "batches are not transposed", OctaveGenerator, shifted=False),
    **{f"voices-{count}": Variant("voices", f"{count} voice{'s' * (count > 1)}",
                                  partial(OctaveGenerator, voices=count)) for count in VOICES},
    "forcing-own": Variant("forcing", "voices are fed their own decisions", partial(forced, "own")),
    "forcing-ordered": Variant("forcing", "voices are fed the first decisions in order", partial(forced, "ordered")),
    "scheme-one": Variant("sampler", "scheme one, a net for each voice", SchemeOne),
    "scheme-one-shared": Variant("sampler", "scheme one, one shared net", partial(SchemeOne, shared=True)),
    "scheme-one-penalty": Variant("sampler", "scheme one with a penalty of 1 on pauses",
                                  partial(SchemeOne, penalty=1.0)),
    "independent": Variant("sampler", "independent classes", lambda: Headed(Bernoulli(FEATURES, CLASSES))),
    "softmax": Variant("sampler", "a softmax over all 4096 steps", lambda: Headed(Joint(FEATURES))),
    "chain": Variant("sampler", "an exact chain over the classes", lambda: Headed(NADE(FEATURES, CLASSES, 100))),
    "keys-directly": Variant("compression", "88 keys, each by itself",
                             lambda: Headed(Bernoulli(FEATURES, KEYS), IN_KEYS)),
    "keys-chain": Variant("compression", "88 keys by an exact chain",
                          lambda: Headed(NADE(FEATURES, KEYS, 100), IN_KEYS)),
    "quarter": Variant("length", "a quarter of the iterations", OctaveGenerator, share=0.25),
    "half": Variant("length", "half of the iterations", OctaveGenerator, share=0.5),
    "full": Variant("length", "eight times the iterations, as many as in the thesis", OctaveGenerator, share=8),
    "chain-full": Variant("length", "an exact chain, eight times the iterations",
                          lambda: Headed(NADE(FEATURES, CLASSES, 100)), share=8),
    DECODER: Variant("nothing", "the decoder as published", Decoder),
    "decoder-slow": Variant("decoder's Adam", "rate 0.01, epsilon 1e-8", Decoder, **SLOW),
    "decoder-slow-rate": Variant("decoder's Adam", "rate 0.01", Decoder, rate=0.01),
    "decoder-small-epsilon": Variant("decoder's Adam", "epsilon 1e-8", Decoder, epsilon=1e-8),
    "decoder-unmasked": Variant("mask", "trained without the mask", unmasked),
    "decoder-cd10": Variant("Gibbs steps", "ten Gibbs steps in training", ManySteps),
    "decoder-cd10-slow": Variant("Gibbs steps", "ten Gibbs steps in training, rate 0.01", ManySteps, **SLOW),
    **{f"decoder-{hidden}-slow": Variant("hidden units", f"{hidden or 'no'} hidden units, rate 0.01",
                                         partial(Decoder, hidden), **SLOW) for hidden in (0, 150)},
}
"""All of them. Decoders of other sizes are set beside ``decoder-slow``: at the published rate none learns much."""
