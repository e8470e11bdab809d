"""Figs. 11 to 13 of the thesis, every width read off the live modules (§6.1–6.4)."""

from matplotlib.figure import Figure

from octavoice.figures import diagrams
from octavoice.music.roll import CLASSES, KEYS
from octavoice.thesis.attention import MainModule
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.voices import VoiceSampler


def whole_model(generator: OctaveGenerator, decoder: Decoder) -> Figure:
    """Fig. 11: compression, generator and decoder around one step."""
    controller = generator.history_reader
    return diagrams.whole_model({
        "keys": KEYS, "classes": CLASSES, "clock": controller.read_lstm.input_size - generator.classes,
        "periods": controller.read_linear.out_features, "features": generator.features,
        "voices": generator.sampler.voices, "sampler": generator.sampler.lstm.hidden_size,
        "decoder": decoder.decoder_lstm.hidden_size, "hidden": decoder.W.shape[0]})


def main_module(main: MainModule) -> Figure:
    """Fig. 12: the main module with soft attention."""
    controller = main.history_reader
    return diagrams.main_module({
        "classes": main.classes, "clock": controller.read_lstm.input_size - main.classes,
        "controller": controller.read_lstm.hidden_size, "periods": controller.read_linear.out_features,
        "local": main.local_lstm.hidden_size, "aggregate_in": main.aggregation_lstm.input_size,
        "features": main.aggregation_lstm.hidden_size}, main.periods)


def sampler(voices: VoiceSampler) -> Figure:
    """Fig. 13: the voices of one step in turn."""
    return diagrams.sampler({
        "features": voices.lstm.input_size - 2 * voices.classes, "classes": voices.classes,
        "input": voices.lstm.input_size, "hidden": voices.lstm.hidden_size,
        "output": voices.linear.out_features}, voices.voices)
