"""What applies to a model: where a notebook speaks of a part that the model does not have, one sentence says so."""

from collections.abc import Callable

from IPython.display import Markdown, display

from octavoice.model import CLASSES, DURATIONS, EXACT
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.training import models

LACKS = {
    "classes": "it has no stage of pitch classes",
    "exact classes": "it has no stage of pitch classes with an exact likelihood",
    "durations": "it does not say how long notes are held",
    "voices": "it decides without voices",
    "decoder": "it has no LSTM-RBM decoder",
    "thesis": "this is the thesis's alone",
    "beyond": "this is about the parts of the model beyond",
}
"""Parts of models, and how a notebook says that a model is without one."""


class Only:
    """Shows what applies to a ``model``, and in place of the rest one sentence.

    Called with the name of a part (of :data:`LACKS`) and a function that shows what depends on it, it gives what the
    function gives; without the part, the sentence, and then what ``instead`` gives.
    """

    def __init__(self, model: str):
        networks = models.named(model).build()
        kinds = {network.space: network.kind for network in networks}
        self.model = model
        self.has = {"classes": CLASSES in kinds, "exact classes": kinds.get(CLASSES) == EXACT,
                    "durations": DURATIONS in kinds,
                    "voices": any(isinstance(network, OctaveGenerator) for network in networks),
                    "decoder": any(isinstance(network, Decoder) for network in networks),
                    "thesis": model == "thesis", "beyond": model == "beyond"}

    def __call__(self, part: str, show: Callable, instead: Callable | None = None):
        """See the class. KeyError for a part that there is not."""
        if self.has[part]:
            return show()
        if not instead:
            return display(Markdown(f"*Does not apply to {self.model}: {LACKS[part]}.*"))
        display(Markdown(f"*Of {self.model}, since {LACKS[part]}:*"))
        return instead()
