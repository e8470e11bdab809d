"""Version 2 of the model beyond: it comes back to what it played."""

from octavoice.beyond import recipe
from octavoice.beyond.copying import CopyChain
from octavoice.beyond.copying_durations import DurationCopies
from octavoice.beyond.copying_keys import KeyCopies
from octavoice.model import Card, Model, Recipe, Stage


def _recipe(preset, share: float) -> Recipe:
    """A ``share`` of the fragments that the thesis's network is trained on, as of version 1."""
    return recipe(share * preset.iterations * preset.batch, max(1, preset.batch // 2))


def classes_recipe(preset) -> Recipe:
    return _recipe(preset, 0.2)


def keys_recipe(preset) -> Recipe:
    return _recipe(preset, 0.08)


def durations_recipe(preset) -> Recipe:
    return _recipe(preset, 0.04)


MODEL = Model(
    "beyond-2",
    Card(
        title="Chains that may copy anything the piece has played",
        source="this project; the question of §3.2 of the thesis, why nothing returns",
        section="§3.2, §6.2, §6.3",
        equations=("p(x'_{t+1} | x'_{≤t}) = p(z_t free) p_free(x'_{t+1}) + Σ_l p(z_t = l) [x'_{t+1} = x'_{t+1-l}]",
                   "p(x_{t+1} | x'_{t+1}, x_{≤t}) = p(z_t free) p_free(x_{t+1}) + Σ_l p(z_t = l) [x_{t+1} = x_{t+1-l}]",
                   "p(d_{t+1} | x_{≤t+1}, d_{≤t}) = "
                   "p(z_t free) p_free(d_{t+1}) + Σ_l p(z_t = l) [d_{t+1} = d_{t+1-l}]"),
        deviations=("every step may be a copy of any earlier one a whole number of quarters back",
                    "what is copied is weighed by how well what led to it agrees with what has led to now",
                    "one net serves all twelve classes, each seeing the others from itself",
                    "all of the piece is remembered, however long it is"),
    ),
    (
        Stage("beyond2_classes", "pitch classes", CopyChain, classes_recipe),
        Stage("beyond2_keys", "keys", KeyCopies, keys_recipe),
        Stage("beyond2_durations", "durations", DurationCopies, durations_recipe),
    ),
)
