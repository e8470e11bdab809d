"""A model of our own at the thesis's budget: its ideas, with an exact likelihood at every stage."""

from octavoice.beyond.classes import ClassChain
from octavoice.beyond.durations import DurationChain
from octavoice.beyond.keys import KeyChain
from octavoice.model import Card, Model, Recipe, Stage

RATE, WARM_UP, CLIP, BATCH = 0.01, 100, 1.0, 16
"""On the same music batches of 16 fragments learn more than large ones, having more steps to take: see 08's parts."""


def recipe(fragments: float, batch: int) -> Recipe:
    """Adam with warm-up and a half cosine over so many ``fragments`` in all, in batches of at most 16 and ``batch``."""
    batch = min(BATCH, batch)
    iterations = max(4, round(fragments / batch))
    return Recipe(iterations, batch, RATE, warm_up=min(WARM_UP, iterations // 4), cosine=True, clip=CLIP)


def _recipe(preset, share: float) -> Recipe:
    """A ``share`` of the fragments that the thesis's network is trained on."""
    return recipe(share * preset.iterations * preset.batch, max(1, preset.batch // 2))


MODEL = Model(
    "beyond",
    Card(
        title="Chain of classes, chain of octaves, chain of durations",
        source="this project; §5.6 of the thesis remarks that note after note, each given those before it, needs no "
               "hidden variables",
        section="§6.2, §6.3, §5.6, §2.2",
        equations=("p(x'_{t+1} | x'_{≤t}) = Π_p p(x'_{t+1}[p] | u_t, v_t, x'_{t+1}[<p])",
                   "p(x_{t+1} | x'_{t+1}, x_{≤t}) = Π_{p sounds} p(octaves of p | q_{t,p}, octaves before)",
                   "p(d_{t+1} | x_{≤t+1}, d_{≤t}) = Π_{k struck} p(d_{t+1}[k] | q_{t,k}, durations of lower keys)"),
        deviations=("twelve decisions in a fixed order in place of five voices",
                    "all eight reads enter the first LSTM, the attended one the second",
                    "running counts, repetition, silence and what is before the piece are told to the network",
                    "notes have durations of their own, which the first two stages hear in half of the fragments",
                    "stage one hears wrong notes in half of the fragments, and a stretch of each in another key",
                    "every fragment of a batch is transposed by a shift of its own",
                    "Adam with warm-up, a cosine schedule and clipped gradients"),
    ),
    (
        Stage("beyond_classes", "pitch classes", ClassChain, lambda preset: _recipe(preset, 0.2),
              "steps with durations"),
        Stage("beyond_keys", "keys", KeyChain, lambda preset: _recipe(preset, 0.08),
              "steps with durations"),
        Stage("beyond_durations", "durations", DurationChain, lambda preset: _recipe(preset, 0.04),
              "durations of steps"),
    ),
)
