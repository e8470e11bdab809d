"""A model of our own at the thesis's budget: its ideas, with an exact likelihood at every stage."""

from dataclasses import replace

from octavoice.beyond.classes import ClassChain
from octavoice.beyond.durations import DurationChain
from octavoice.beyond.keys import KeyChain
from octavoice.model import Card, Model, Recipe, Stage

RATE, WARM_UP, CLIP = 3e-3, 100, 1.0


def study_recipe(iterations: int, batch: int) -> Recipe:
    """The same kind of training at a study's scale."""
    return Recipe(iterations, batch, RATE, warm_up=min(WARM_UP, iterations // 4), cosine=True, clip=CLIP)


def _recipe(preset, rate: float, share: float) -> Recipe:
    """Adam with warm-up and a half cosine, a ``share`` of the thesis's iterations at under half its batch."""
    recipe = study_recipe(max(1, round(preset.iterations * share)), max(1, preset.batch * 16 // 35))
    return replace(recipe, learning_rate=rate)


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
                    "notes have durations of their own",
                    "every fragment of a batch is transposed by a shift of its own",
                    "Adam with warm-up, a cosine schedule and clipped gradients"),
    ),
    (
        Stage("beyond_classes", "pitch classes", ClassChain, lambda preset: _recipe(preset, RATE, 2 / 3)),
        Stage("beyond_keys", "keys", KeyChain, lambda preset: _recipe(preset, RATE * 2 / 3, 1 / 3)),
        Stage("beyond_durations", "durations", DurationChain, lambda preset: _recipe(preset, RATE, 1 / 4)),
    ),
)
