"""The thesis's model under the common interface: its two networks and its card."""

from octavoice.model import Card, Model, Recipe, Stage
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator

MODEL = Model(
    "thesis",
    Card(
        title="Octave compression, attention, five voices, LSTM-RBM",
        source="S. M. Ivanov, Neural Music Generation (Moscow State University, 2018)",
        section="§6.1–6.4, §7.2",
        equations=("F_t = LSTM([LSTM([x'_t ; τ_t]) ; Σ_h a_t[h] x'_{t+1-h}])",
                   "voice v: one of 12 × {sounds, is silent} given F_t and the decisions of voices before it",
                   "E(x) = -bᵀx - Σ_i log(1 + e^{(c + W x)_i}), b and c from an LSTM"),
        deviations=("compression includes the top four keys",
                    "attention sees all 128 steps before a fragment",
                    "the decoder is trained on 0 and 1, as it generates"),
    ),
    (
        Stage("main", "main module", OctaveGenerator,
              lambda p: Recipe(p.iterations, p.batch, p.learning_rate, p.epsilon)),
        Stage("decoder", "decoder", Decoder,
              lambda p: Recipe(p.decoder_iterations, p.batch, p.decoder_learning_rate, p.decoder_epsilon)),
    ),
)
