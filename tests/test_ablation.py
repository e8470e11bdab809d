"""Ablations: every variant's network, its likelihood against enumeration, what it hears, what results say."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from octavoice import cli, paths, provenance
from octavoice.errors import UserError
from octavoice.laboratory import sweeps
from octavoice.model import CLASSES, EXACT, GIVEN, HISTORY, uniforms
from octavoice.music.roll import KEYS, clock, compress
from octavoice.representation import Batch
from octavoice.representations.steps import Fragments
from octavoice.results import ablations as table
from octavoice.studies import ablations as runs
from octavoice.studies import variants
from octavoice.studies.variants import FEATURES, VARIANTS
from octavoice.survey.chords import Bernoulli
from octavoice.survey.rnn_nade import NADE
from octavoice.thesis import ablated as networks
from octavoice.thesis.ablated import Clockless, Headed, ManySteps, Rewired, SchemeOne
from octavoice.thesis.attention import MainState
from octavoice.thesis.decoder import Decoder
from octavoice.training import presets
from octavoice.training.fit import seeded
from octavoice.training.run import Run, pick_device

every_variant = pytest.mark.parametrize("name", VARIANTS)


def rng(seed=1):
    return torch.Generator().manual_seed(seed)


def drawn(time=4, batch=2, seed=0, position=0):
    """A batch as fragments give it: sparse notes, with something before them."""
    draws = np.random.default_rng(seed)
    x, past = ((draws.random((steps, batch, KEYS)) < 0.03).astype(np.float32) for steps in (time, HISTORY))
    ticks = np.broadcast_to(clock(np.arange(time))[:, None], (time, batch, 6)).astype(np.float32)
    return Batch(x, compress(x), compress(past), ticks, np.ones((time - 1, batch), np.float32), past,
                 np.full((1, batch), position), *[np.zeros((0, batch, KEYS), np.float32)] * 2)


def tensors(batch):
    return Batch(*(torch.from_numpy(field) for field in batch))


def built(name):
    return seeded(VARIANTS[name].build, 1)


# --- networks ---------------------------------------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_variant_learns_from_a_batch(name, precision, request):
    """At both precisions: a CPU that is faster so trains at the lower one."""
    network = built(name)
    network.precision = request.getfixturevalue("bf16") if precision == "bf16" else precision
    loss = network.loss(tensors(drawn()), rng())
    assert loss.shape == (3, 2)
    loss.mean().backward()
    moved = [each.grad for each in network.parameters() if each.requires_grad and each.numel()]
    assert loss.isfinite().all()
    assert all(grad is not None and grad.isfinite().all() for grad in moved)
    assert any(grad.abs().max() > 0 for grad in moved)


@every_variant
def test_a_variant_gives_probabilities_and_samples(name):
    network = built(name).eval()
    network.particles = 4
    batch = tensors(drawn())
    with torch.no_grad():
        nats = network.log_likelihood(batch, rng())
        first = batch.x12[0] if network.space == CLASSES else batch.x[0]
        given = batch.x12[1] if network.space == GIVEN else None
        state, value, _ = network.step(network.start(first), uniforms(rng(), 2, network.draw_size), given=given)
        value = network.step(state, uniforms(rng(2), 2, network.draw_size), given=given).value
    assert nats.shape == (3, 2)
    assert not nats.isnan().any()
    assert nats.max() <= 0
    assert value.shape == first.shape
    assert set(value.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", ["independent", "softmax", "chain"])
def test_all_steps_have_probabilities_that_sum_to_one(name):
    network = built(name).eval()
    every = ((torch.arange(4096)[:, None] >> torch.arange(12)) & 1).float()
    one = tensors(drawn(2, 1))
    with torch.no_grad():
        features = network.conditions(one)[0].expand(-1, 4096, -1)
        p = network.head.nats(features, every[None]).exp()
        of_it = network.log_likelihood(one)
    assert network.kind == EXACT
    assert p.sum().item() == pytest.approx(1, abs=1e-4)
    index = int((one.x12[1, 0] * 2 ** torch.arange(12)).sum())
    assert p[0, index].log().item() == pytest.approx(of_it.item(), abs=1e-4)


def test_a_joint_softmax_samples_the_step_it_names():
    """The bits of its index are read back as they are written."""
    head = networks.Joint(3)
    wanted = torch.tensor([[0., 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1]])
    with torch.no_grad():
        head.softmax.linear.weight.zero_()
        head.softmax.linear.bias.zero_()[int((wanted[0] * 2 ** torch.arange(12)).sum())] = 50.0
        sample = head.sample(torch.zeros(1, 3), torch.tensor([[0.5]]), wanted, 1.0)
        assert head.nats(torch.zeros(1, 1, 3), wanted[None]).item() == pytest.approx(0, abs=1e-6)
    assert torch.equal(sample, wanted)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sounding", [(), (3,), (2, 7), (1, 2, 3)])
def test_scheme_one_is_bounded_by_all_pairs_of_choices(shared, sounding):
    """Two voices, one step: 13 times 13 choices, of which those count whose union is the step."""
    network = seeded(lambda: SchemeOne(shared=shared, voices=2), 1).double().eval()
    with torch.no_grad():
        for parameter in network.scheme.parameters():
            parameter.mul_(4)
    network.particles = 25
    batch = Batch(*(field.double() if field.is_floating_point() else field for field in tensors(drawn(2, 1))))
    batch.x12[1] = 0
    batch.x12[1, 0, list(sounding)] = 1
    features = network.conditions(batch)[0][0].detach()
    empty, total = torch.zeros(1, 12).double(), 0.0
    with torch.no_grad():
        first = network.voice(0, features, empty)[0][0]
        for a in range(13):
            named = functional.one_hot(torch.tensor([a]), 13)[:, :12].double()
            second = network.voice(1, features, named)[0][0]
            total += sum((first[a] + second[b]).exp().item() for b in range(13) if {a, b} - {12} == set(sounding))
        wide = Batch(*(field.expand(-1, 400, *field.shape[2:]) for field in batch))
        found = network.log_likelihood(wide, rng()).exp().mean().item()
    assert found == pytest.approx(total, rel=0.03)
    assert (total == 0) == (len(sounding) > 2)


def test_many_steps_of_one_are_the_decoders_loss():
    one, plain, batch = seeded(ManySteps, 1), seeded(Decoder, 1), tensors(drawn())
    assert not torch.equal(one.loss(batch, rng()), plain.loss(batch, rng()))
    one.contrasted = 1
    assert torch.equal(one.loss(batch, rng()), plain.loss(batch, rng()))


STEPWISE = {"whole": lambda: Rewired(whole=True), "early": lambda: Rewired(early=True), "clockless": Clockless}


@pytest.mark.parametrize("name", STEPWISE)
def test_features_step_by_step_are_those_of_the_sequence(name):
    network, batch = seeded(STEPWISE[name], 1).eval(), tensors(drawn(9))
    with torch.no_grad():
        whole, attention, _ = network(batch.x12, batch.clock, MainState(batch.history))
        state, parts = MainState(batch.history), []
        for t in range(9):
            features, _, state = network(batch.x12[t:t + 1], batch.clock[t:t + 1], state)
            parts.append(features)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-5)
    assert whole.shape == (9, 2, FEATURES)
    assert attention.sum() == 0 if name == "whole" else attention.sum(dim=-1).allclose(torch.ones(9, 2))


@pytest.mark.parametrize("build", [lambda: Headed(NADE(FEATURES, 12, 20)),
                                   lambda: Headed(Bernoulli(FEATURES, KEYS), "keys")])
def test_a_headed_network_hears_step_by_step_what_it_hears_at_once(build):
    network, batch = seeded(build, 1).eval(), tensors(drawn(9))
    x, past = (batch.x12, batch.history) if network.space == CLASSES else (batch.x, batch.past)
    with torch.no_grad():
        state, parts = network.start(x[0], past), []
        for t in range(1, 9):
            parts.append(network.heard(state)[0])
            state = network.step(state, torch.zeros(2, network.draw_size), heard=x[t]).state
        torch.testing.assert_close(torch.cat(parts), network.conditions(batch)[0], rtol=0, atol=1e-5)


def test_what_sounds_on_is_told_and_nothing_else_of_durations():
    """A note of three steps sounds on after its first and second; one of a single step never."""
    batch, network = tensors(drawn(5)), built("hears-held").eval()
    durations = torch.zeros(HISTORY + 5, 2, KEYS)
    durations[HISTORY - 1, 0, 3], durations[HISTORY + 2, 0, 15], durations[HISTORY + 1, 1, 40] = 3, 1, 9
    told = networks.holding(batch._replace(durations=durations))
    on = told.clock[..., 6:]
    assert torch.equal(told.clock[..., :6], batch.clock)
    assert on[:, 0, 3].tolist() == [1, 0, 0, 0, 0]
    assert on[:, 1, 4].tolist() == [0, 1, 1, 1, 1]
    assert on.sum() == 5
    with torch.no_grad():
        untold, heard = (network.loss(each, rng()) for each in (batch, batch._replace(durations=durations)))
    assert not torch.equal(untold, heard)
    assert torch.equal(untold, network.loss(batch._replace(durations=torch.zeros_like(durations)), rng()))


def test_the_reads_and_the_clock_are_where_they_should_be():
    batch = tensors(drawn(3))
    other = batch._replace(clock=1 - batch.clock)
    silent = batch._replace(history=torch.zeros_like(batch.history))
    for name, hears_clock, hears_past in (("thesis", True, True), ("clock-off", False, True),
                                          ("attention-off", True, False), ("attention-constant", True, True),
                                          ("reads-concatenated", True, True), ("reads-first", True, True)):
        network = built(name).eval()
        with torch.no_grad():
            losses = [network.loss(each, rng()) for each in (batch, other, silent)]
        assert torch.equal(losses[0], losses[1]) != hears_clock, name
        assert torch.equal(losses[0], losses[2]) != hears_past, name


# --- what is heard ----------------------------------------------------------------------------------------------------


def test_an_older_past_is_hidden():
    batch = drawn(seed=4)
    heard = variants.newest(32)(batch)
    for before, after in ((batch.history, heard.history), (batch.past, heard.past)):
        assert before[:96].any()
        assert not after[:96].any()
        np.testing.assert_array_equal(after[96:], before[96:])
    assert not variants.newest(0)(batch).past.any()
    np.testing.assert_array_equal(heard.x, batch.x)


def test_the_clock_is_zero_on_a_bar_line():
    batch = drawn(20)._replace(position=np.array([[32, 64]]))
    heard = variants.from_the_bar_line(batch, np.array([4, 0])).clock
    np.testing.assert_array_equal(heard[:, 1], clock(np.arange(64, 84)))
    assert not heard[0, 1].any()
    np.testing.assert_array_equal(heard[:, 0], clock(np.arange(28, 48)))
    begins = variants.from_the_bar_line(batch._replace(position=np.zeros((1, 2), int)), np.array([4, 0])).clock
    assert not begins[4, 0].any()
    assert begins[3, 0].all()


def test_samples_are_made_by_the_clock_that_was_learned():
    """A step that is made later hears what a sequence with such a clock would tell it."""
    network, begins = built("clock-from-bar-line").eval(), np.array([-3, 0])
    line = tensors(drawn(9)).x12
    ticks = torch.from_numpy(clock(begins + np.arange(9)[:, None]))
    heard = []
    forward = network.forward
    network.forward = lambda x, clock, state: heard.append(clock) or forward(x, clock, state)
    runs.continued(network, line, 4, 1, begins)
    assert torch.equal(torch.cat(heard)[:9], ticks)
    assert not torch.equal(ticks[:, 0], ticks[:, 1])


@pytest.fixture(scope="module")
def run():
    return Run(presets.resolve("smoke", iterations=2, decoder_iterations=2, new_steps=6, batch=4, fragment=16), "bach",
               1, pick_device("cpu"))


def test_batches_that_are_not_transposed_are_those_of_the_same_draws(run, monkeypatch):
    asked = {"thesis": [], "not-transposed": []}

    class Drawn(Exception):
        """Enough was drawn."""

    def fit(task, *_):
        draws = np.random.default_rng(3)
        asked[task.name] = [task.draw(draws) for _ in range(3)]
        raise Drawn
    monkeypatch.setattr(runs, "fit", fit)
    for name in asked:
        with pytest.raises(Drawn):
            runs.train(run, name, VARIANTS[name], "key")
    fragments, draws = Fragments(run.splits["train"], 16, run.preset.stride), np.random.default_rng(3)
    shifts = []
    for plain, shifted in zip(asked["not-transposed"], asked["thesis"], strict=True):
        which = draws.integers(len(fragments), size=4)
        shifts.append(int(draws.integers(-6, 6)))
        np.testing.assert_array_equal(plain.x, fragments.gather(which).x)
        np.testing.assert_array_equal(shifted.x, fragments.gather(which, shifts[-1]).x)
    assert any(shifts)


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(runs, "FRAGMENTS", 4)
    monkeypatch.setattr(runs, "VALID", 2)
    monkeypatch.setattr(runs, "PARTICLES", 2)


@pytest.mark.parametrize("name", ["history-32", "hears-held", "independent", "keys-directly", "decoder-0-slow"])
def test_a_result_is_made_and_found_again(run, few, name, monkeypatch):
    made = runs.obtain(run, name)
    path = runs.result_path(run, name)
    assert json.loads(path.read_text()) == json.loads(json.dumps(made))
    assert path.is_relative_to(run.dir)
    assert made["level"] == pytest.approx(sum(made["nats"]) / sum(made["steps"]), abs=1e-4)
    assert ("samples" in made) == (made["space"] != GIVEN and name != "hears-held")
    assert ("mixed" in made) == (made["space"] == CLASSES)
    assert made["cost"]["iterations"] == 2
    assert table.level(made) == pytest.approx(made.get("mixed", made["level"]), abs=1e-4)

    def trained(*_):
        raise AssertionError("trained again")
    monkeypatch.setattr(runs, "train", trained)
    assert runs.obtain(run, name) == made
    monkeypatch.setattr(runs, "versions_of", lambda _: {"ablations": 2})
    with pytest.raises(AssertionError, match="trained again"):
        runs.obtain(run, name)


def test_only_the_presets_own_results_lie_among_those_compared(run, octavoice_home):
    plain = Run(presets.resolve("ablation"), "bach", 7, pick_device("cpu"))
    assert runs.result_path(plain, "chain") == octavoice_home / "results/ablation/bach/chain/seed-7.json"
    for other in (run, Run(presets.resolve("ablation", batch=3), "bach", 7, pick_device("cpu"))):
        assert runs.result_path(other, "chain").is_relative_to(other.dir)


def test_a_wrong_name_gets_one_sentence(run, capsys):
    with pytest.raises(UserError, match="unknown variant 'atention'; choose one of thesis, "):
        runs.obtain(run, "atention")
    assert cli.main(["ablate", "clock-off", "atention"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("octavoice: unknown variant 'atention'")
    assert said.count("\n") == 1


def test_the_command_lists_variants(capsys):
    assert cli.main(["ablate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(VARIANTS)
    assert "clock: no clock" in lines[list(VARIANTS).index("clock-off")]


def test_the_command_leaves_a_manifest_with_the_results_hash(few, octavoice_home, capsys):
    changed = {"iterations": 1, "batch": 2, "fragment": 16, "new_steps": 4}
    assert cli.main(["ablate", "voices-1", "clock-off", "--preset", "smoke", "--corpus", "bach", "--seed", "3",
                     "--device", "cpu", "--overrides", json.dumps(changed)]) == 0
    folder = paths.run_dir("smoke", "bach", 3, changed)
    for name in ("voices-1", "clock-off"):
        manifest = json.loads((folder / f"manifests/ablation_{name}.json").read_text())
        ((file, sha),) = manifest["files"].items()
        assert json.loads((octavoice_home / file).read_text())["variant"] == name
        assert provenance.sha256(octavoice_home / file) == sha
        assert manifest["cost"][f"ablation, {name}"]["iterations"] == 1
        assert manifest["code"] == {"training": 1, "ablations": 1, f"variant {name}": 1}
    said = capsys.readouterr().err
    assert "impossible alone in" in said
    assert "clock-off.json: -" in said


# --- what stored results say ------------------------------------------------------------------------------------------


def result(nats, space=CLASSES, steps=10):
    """A made-up result of three fragments, ``nats`` per step each."""
    sums = {"nats": [steps * n for n in nats], "steps": [steps] * 3}
    return {"space": space, **sums, **({"mixed nats": sums["nats"], "all steps": sums["steps"]}
                                       if space == CLASSES else {})}


def test_a_gain_of_one_seed_is_over_fragments():
    found = {"thesis": {1: result([-2, -2, -3])}, "clock-off": {1: result([-3, -2.5, -3.5])}}
    gain = table.gain(found, "clock-off")
    assert gain["gain"] == pytest.approx(2 / 3)
    assert 0.5 <= gain["low"] < gain["gain"] < gain["high"] <= 1
    assert gain["over"] == "95 % over fragments, one seed"


def test_a_gain_of_two_seeds_is_their_mean_and_range():
    found = {"thesis": {seed: result([-2] * 3) for seed in (1, 2, 3)},
             "clock-off": {1: result([-3] * 3), 2: result([-2.5] * 3), 4: result([-9] * 3)}}
    assert table.gain(found, "clock-off") == {"gain": 0.75, "low": 0.5, "high": 1.0, "over": "2 seeds"}


def test_keys_at_once_are_set_beside_both_networks():
    found = {"thesis": {1: result([-2] * 3), 2: result([-2] * 3)}, "keys-chain": {
        seed: result([-4] * 3, "keys") for seed in (1, 2)}, "decoder-slow": {1: result([-1] * 3, GIVEN)}}
    assert table.gain(found, "keys-chain")["gain"] == pytest.approx(-3 + 4)
    assert table.gain(found | {"decoder-slow": {}}, "keys-chain") is None


def test_there_is_no_gain_without_a_pair():
    found = {"thesis": {1: result([-2] * 3)}, "chain": {2: result([-1] * 3)}}
    assert table.gain(found, "chain") is None
    assert table.gain({}, "chain") is None


@every_variant
def test_a_variant_is_set_beside_one_that_there_is(name):
    base = table.base_of(name)
    assert base in VARIANTS
    assert VARIANTS[base].recipe(presets.resolve("ablation")).iterations == VARIANTS[name].recipe(
        presets.resolve("ablation")).iterations or name in ("quarter", "half", "full")
    assert (VARIANTS[base].build().space == GIVEN) == (VARIANTS[name].build().space == GIVEN)


def test_density_is_told_by_corpus_and_ends_with_its_music(tmp_path):
    """Of what composes: keys given classes, and networks that hear durations, have no samples."""
    def told(value):
        return dict.fromkeys(table.SHOWN, value)
    results = {"a/thesis/seed-1": (CLASSES, 0.2, 0.6), "a/thesis/seed-2": (CLASSES, 0.4, 0.8),
               "a/hears-held/seed-1": (CLASSES, None, None), "b/chain/seed-1": (CLASSES, 0.1, 0.5),
               "b/decoder/seed-1": (GIVEN, None, None), "c/decoder/seed-1": (GIVEN, None, None)}
    for file, (space, sample, music) in results.items():
        found = {"space": space, "cost": {"iterations": 3}} | (
            {} if sample is None else {"samples": told(sample), "music": told(music)})
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{file}.json").write_text(json.dumps(found))
    found, music = table.density(tmp_path), "the music that the primes come from"
    assert found.index.tolist() == [("a", VARIANTS["thesis"].told), ("a", music), ("b", VARIANTS["chain"].told),
                                    ("b", music)]
    assert found["steps struck"].tolist() == [0.3, 0.7, 0.1, 0.5]
    assert found["seeds"].tolist()[::2] == [2, 1]


STORED = sorted(path.relative_to(table.committed()).as_posix() for path in table.committed().glob("*/*/seed-*.json"))


def test_there_are_results_to_check():
    assert len(STORED) > 40


@pytest.mark.parametrize("file", STORED)
def test_a_committed_result_is_what_its_own_sums_give(file):
    found = json.loads((table.committed() / file).read_text())
    corpus, name, _ = file.split("/")
    assert (found["corpus"], found["variant"], f"{corpus}/{name}/seed-{found['seed']}.json") == (corpus, name, file)
    assert found["preset"].pop("precision") in ("fp32", "bf16")  # what it came to on its machine
    assert found["preset"] | {"precision": "auto"} == vars(presets.PRESETS[runs.PRESET])
    if found["level"] is None:
        assert found["impossible"] > 0
    else:
        assert found["level"] == pytest.approx(sum(found["nats"]) / sum(found["steps"]), abs=1e-5)
    if found["space"] == CLASSES:
        assert table.level(found) == pytest.approx(found["mixed"], abs=1e-5)


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_has_every_variant_with_two_seeds():
    steps = {(work.corpus, work.seed): work.steps for work in sweeps.read("claims")}
    for seed in (1, 2):
        assert steps["open-keyboard", seed] == tuple(f"ablation_{name}" for name in VARIANTS)
    assert len(steps["open-keyboard", 3]) == 13
    assert len(steps["piano-midi", 1]) == 4
