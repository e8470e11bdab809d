"""The numbers that hold the floor: what shipped networks, every model, a corpus and the statistics give, and limits.

    python tests/test_golden.py    writes tests/golden.json anew

A change that means to change no number leaves that file alone; one that means to raises the version of what it changes
first: nothing is written while numbers differ and no version does. Only what is the same on every processor to within
1e-4 is in it: float32 throughout, few iterations, few draws.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from octavoice import corpus, provenance
from octavoice.composer import Composer
from octavoice.corpus import Fragments
from octavoice.laboratory import validity
from octavoice.likelihood import axis
from octavoice.model import DURATIONS
from octavoice.statistics import likeness
from octavoice.thesis import limits
from octavoice.training import fit, models, networks, presets, weights

FILE = Path(__file__).with_name("golden.json")
FILES, SEED, PRIME, NEW = 24, 1, 16, 24
"""Chorales that are read; the seed of networks, batches and draws; steps of a prime, and new ones."""
FRAGMENT, BATCH, ITERATIONS = 32, 4, 3
PARTICLES = 16
SHIPPED = ("thesis", "beyond")


def music() -> corpus.Corpus:
    """The first chorales that music21 carries."""
    return corpus.load("bach", FILES)


def of_corpus(chorales: corpus.Corpus) -> dict:
    """What was read: how much, which side, and hashes of all that is hashed."""
    pieces = chorales.pieces
    return {"sha256": chorales.sha256, "kept": len(pieces), "read": len(chorales.report),
            "steps": sum(piece.steps for piece in pieces), "onsets": int(sum(piece.roll.sum() for piece in pieces)),
            "steps held": int(sum(piece.held.sum() for piece in pieces)),
            "pickups": [piece.pickup for piece in pieces], "keys": [piece.key for piece in pieces],
            "sides": {side: [piece.name for piece in part] for side, part in chorales.splits().items()}}


def of_shipped(name: str, chorale) -> dict:
    """Of a model that ships: each network's nats per step on a chorale, and a continuation of its opening."""
    shipped = weights.load(model=name)
    return {"levels": {stage.name: level(network, chorale) for stage, network in
                       zip(shipped.model.stages, shipped.stages, strict=True)},
            "notes": continued(shipped.stages, chorale)}


def level(network, chorale) -> float:
    """Nats per step of a network on a whole piece."""
    tiles = Fragments.tiling([chorale], 257, network.hears_durations or network.space == DURATIONS)
    batch = fit.to_tensors(tiles.gather(np.arange(len(tiles))))
    known = {"particles": PARTICLES} if hasattr(network, "particles") else {}
    nats, real = axis.network_judge(network, SEED, **known)(batch), batch.weight.numpy() > 0
    return float(nats[real].mean())


def continued(stages, chorale) -> list[list[int]]:
    """The opening of a piece, continued: ``[step, key, steps held]`` of every note, prime included."""
    prime, held = chorale.roll[:PRIME, None], chorale.held[:PRIME, None]
    with torch.random.fork_rng(devices=[]):
        made = Composer(*stages).compose(prime.astype(np.float32), NEW, SEED, durations=held.astype(np.float32))
    durations = made.roll if made.durations is None else made.durations
    return [[int(t), int(k), int(durations[t, 0, k])] for t, k in np.argwhere(made.roll[:, 0] > 0.5)]


def of_model(name: str, pieces) -> dict:
    """Of any model, untrained: the losses of its first iterations, and what it composes before them."""
    model = models.named(name)
    fresh = [fit.seeded(stage.build, SEED).eval() for stage in model.stages]
    return {"losses": {stage.name: losses(stage, pieces) for stage in model.stages},
            "notes": continued(fresh, pieces[0])}


def losses(stage, pieces) -> list[float]:
    """Nats per step of the first iterations of a network's training."""
    network = fit.seeded(stage.build, SEED)
    fragments = Fragments(pieces, FRAGMENT, FRAGMENT, network.hears_durations)
    network.prepare(1)
    recipe = stage.recipe(presets.resolve("smoke", batch=BATCH, fragment=FRAGMENT))
    task = networks.network_task(stage.name, network, fragments, recipe)
    return fit.fit(task, ITERATIONS, SEED)["train"].tolist()


def of_statistics(chorale) -> dict:
    """The statistics of one piece, its own prime."""
    return likeness.portraits_of(chorale.roll)


def of_limits() -> dict:
    """Every threshold of a verdict, by claim."""
    return {claim: {name: each["value"] for name, each in told.get("limits", {}).items()}
            for claim, told in limits.written().items()}


def versions() -> dict[str, int]:
    """Every version: of what measures by its module, of networks and of the training loop by their names."""
    found = validity.versions_in(module for module in provenance.modules()
                                 if module.split(".")[1:2] and module.split(".")[1] in validity.MEASURING)
    return found | validity.versions_of_networks(list(models.MODELS))


def sections() -> dict:
    """What there is, by name, each to be computed from the chorales."""
    return {"limits": lambda _: of_limits(), "corpus": of_corpus,
            "statistics": lambda chorales: of_statistics(chorales.pieces[0]),
            **{f"shipped {name}": lambda chorales, name=name: of_shipped(name, chorales.pieces[0]) for name in SHIPPED},
            **{f"model {name}": lambda chorales, name=name: of_model(name, chorales.splits()["train"])
               for name in models.MODELS}}


# --- they are held to ------------------------------------------------------------------------------------------------

STORED = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}

@pytest.fixture(scope="module")
def chorales():
    return music()


def test_the_file_has_a_section_for_every_model_and_no_other():
    assert list(STORED) == ["versions", *sections()]


def test_a_raised_version_is_in_the_file():
    assert STORED["versions"] == {name: version for name, version in versions().items() if version > 1}


@pytest.mark.parametrize("name", sections())
def test_the_numbers_are_what_they_were(name, chorales):
    alike(json.loads(json.dumps(sections()[name](chorales))), STORED[name])


def alike(found, stored) -> None:
    """Plain data of the same shape, floats within 1e-4 of each other, all else equal."""
    assert type(found) is type(stored)
    if isinstance(stored, dict):
        assert list(found) == list(stored)
        for key in stored:
            alike(found[key], stored[key])
    elif isinstance(stored, float) or (isinstance(stored, list) and any(isinstance(each, float) for each in stored)):
        assert found == pytest.approx(stored, rel=1e-4)
    else:
        assert found == stored


@pytest.mark.parametrize("change", [{"a": 1.001}, {"a": 1.0, "b": 2}, {"a": True}, {}])
def test_other_numbers_are_not_alike(change):
    with pytest.raises(AssertionError):
        alike(change, {"a": 1.0})


@pytest.mark.parametrize(("changed", "raised", "refused"), [
    ({}, {}, False), ({"corpus": 2}, {}, True), ({"model a": 2}, {}, True), ({"model a": 2}, {"main": 2}, False),
    ({"limits": 2}, {}, False)])
def test_numbers_are_written_anew_only_with_another_version(changed, raised, refused):
    stored = {"versions": {}, "limits": 1, "corpus": 1, "model a": 1}
    assert bool(unversioned(stored | changed | {"versions": raised}, stored)) is refused


def unversioned(found: dict, stored: dict) -> list[str]:
    """The sections whose numbers changed though no version did; limits have their reasons beside them instead."""
    if found["versions"] != stored.get("versions", {}):
        return []
    return [name for name in stored.keys() & found.keys() - {"versions", "limits"} if differ(found[name], stored[name])]


def differ(found, stored) -> bool:
    try:
        alike(found, stored)
    except AssertionError:
        return True
    return False


def write() -> None:
    """Write the file anew, unless numbers changed and no version did."""
    torch.set_num_threads(1)
    found = {"versions": {name: version for name, version in versions().items() if version > 1}}
    found |= {name: json.loads(json.dumps(compute(music()))) for name, compute in sections().items()}
    if names := unversioned(found, STORED):
        sys.exit(f"the numbers of {', '.join(names)} changed, but no version did; raise the version of what changed "
                 "them, beside it, and write again.")
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in found.items())
    FILE.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
