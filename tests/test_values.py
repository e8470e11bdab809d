"""The thesis's numbers stand where the thesis has them."""

import tomllib
from importlib import resources

import pytest

from octavoice.thesis import values

PLACES = {
    "§3.2": {"sounding_classes"}, "§6.2": {"compression"}, "§7.1": {"pieces", "mean_length"},
    "§7.2": {"fragments", "train_fragments", "train_pieces", "voices", "fragment", "stride", "batch", "clock_bits",
             "shifts", "local_lstm", "aggregation_lstm", "controller_lstm", "periods", "sampler_lstm", "decoder_lstm",
             "rbm_hidden", "gibbs_steps", "learning_rate", "epsilon"},
    "§7.3": {"iterations", "hours", "trueskill", "challenge_comparisons", "challenge_rank", "challenge_entries"},
    "§7.4": {"prime"}, "Fig. 14": {"train_curve", "held_out_2400"},
    "published program": {"decoder_learning_rate", "decoder_epsilon", "new_steps"}}
"""Every number by its place, read again in the thesis's text."""


def entries():
    text = resources.files("octavoice.thesis").joinpath("values.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize("place", PLACES)
def test_numbers_stand_where_the_thesis_has_them(place):
    assert {name for name, entry in entries().items() if entry["where"] == place} == PLACES[place]


def test_every_place_was_read_again():
    assert set(entries()) == set().union(*PLACES.values())


@pytest.mark.parametrize(("name", "printed"), [
    ("fragments", 48427), ("train_fragments", 40000), ("train_pieces", 1150), ("gibbs_steps", 1), ("iterations", 2400),
    ("hours", 12), ("prime", 16), ("periods", [4, 8, 16, 32, 48, 64, 96, 128]), ("shifts", "-6 to 5")])
def test_what_the_thesis_prints(name, printed):
    assert values.value(name) == printed
