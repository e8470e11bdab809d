"""How fast the networks train. Run by hand on an idle machine; prints ratios, all forms measured in one run, in turn.

    python benchmarks/training.py forms [ROUNDS]     plain steps, sequences in float32, in bfloat16: batch 140 × 256
    python benchmarks/training.py rate [ITERATIONS]  preset thesis as it runs, on a GPU if there is one, with a profile
    python benchmarks/training.py scaling            how the cost grows with fragment length, batch and voices
    python benchmarks/training.py precision [SEEDS]  where float32 and bfloat16 end, seed by seed: preset quick, bach
    python benchmarks/training.py composing          an hour of music: all pieces at once beside one at a time
"""

import itertools
import statistics
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from octavoice.composer import Composer
from octavoice.music.roll import clock, compress
from octavoice.provenance import processor
from octavoice.representation import Batch
from octavoice.representations.steps import Fragments
from octavoice.thesis import plain
from octavoice.thesis.decoder import Decoder
from octavoice.thesis.generator import OctaveGenerator
from octavoice.thesis.voices import objective
from octavoice.training import fit, networks, presets
from octavoice.training.run import Run, pick_device


def batch(steps: int = 256, size: int = 140) -> Batch:
    """A made-up batch as dense as real music."""
    rng = np.random.default_rng(0)
    x = (rng.random((steps, size, 88)) < 0.02).astype(np.float32)
    history = (rng.random((128, size, 12)) < 0.12).astype(np.float32)
    ticks = np.broadcast_to(clock(np.arange(steps))[:, None], (steps, size, 6)).astype(np.float32)
    return fit.to_tensors(Batch(x, compress(x).astype(np.float32), history, ticks.copy(),
                                np.ones((steps - 1, size), np.float32),
                                np.zeros((128, size, 88), np.float32), np.zeros((1, size), int)))


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def plain_main(generator, t):
    u = torch.rand(generator.sampler.voices, len(t.x12) - 1, t.x12.shape[1])
    log_q, _ = plain.log_q(generator, t.x12, t.clock, t.history, u)
    fit.weighted_mean(objective(log_q, t.x12[1:]), t.weight).backward()


def plain_decoder(decoder, t):
    u = torch.rand(len(t.x) - 1, t.x.shape[1], decoder.hidden + 88)
    fit.weighted_mean(plain.decoder_objective(decoder, t.x12, t.x, u), t.weight).backward()


def sequences(module, precision, t, cut=True):
    """One part of the batch a thread, or uncut: every operation shared out among the threads."""
    threads = torch.get_num_threads() if cut else 1
    task = fit.Task("", module, networks.mean_loss(module, precision), None, threads=threads)
    fit.gradients(task, t, torch.Generator().manual_seed(0))


def forms(rounds: int = 5) -> None:
    """One iteration of both networks, forward and backward, in each form."""
    t, generator, decoder = batch(), OctaveGenerator(), Decoder()
    work = {"plain, step by step": (lambda: plain_main(generator, t), lambda: plain_decoder(decoder, t))}
    for precision, cut in itertools.product(("fp32", "bf16"), (False, True)):
        work[f"sequences, {precision}{'' if cut else ', uncut'}"] = (
            lambda how=(precision, t, cut): sequences(generator, *how),
            lambda how=(precision, t, cut): sequences(decoder, *how))
    times = {name: ([], []) for name in work}
    for _ in range(rounds + 1):
        for name, pair in work.items():
            for part, taken in zip(pair, times[name], strict=True):
                taken.append(seconds(part))
    times = {name: [taken[1:] for taken in pair] for name, pair in times.items()}  # the first round warms up
    base = sum(statistics.median(taken) for taken in times["plain, step by step"])
    print(f"{processor()}, {torch.get_num_threads()} thread(s), median of {rounds}")
    print(f"{'form':24}{'main, s':>10}{'decoder, s':>12}{'together':>10}{'times faster':>14}{'decoder adds':>14}")
    for name, taken in times.items():
        main, decoder_time = map(statistics.median, taken)
        print(f"{name:24}{main:10.2f}{decoder_time:12.2f}{main + decoder_time:10.2f}"
              f"{base / (main + decoder_time):14.1f}{decoder_time / main:14.0%}")


def rate(iterations: int = 20) -> None:
    """Iterations per second of preset thesis (drawing, loss, Adam) on one device, and where the time goes."""
    p, device, threads = presets.resolve("thesis"), pick_device("auto"), torch.get_num_threads()
    run = Run(p, "bach", 1, device)
    run.begin()
    fragments = Fragments(run.splits["train"], p.fragment, p.stride)
    tables = []
    for build, task_of in ((OctaveGenerator, networks.main_task), (Decoder, networks.decoder_task)):
        task = task_of(build().to(device), fragments, p.batch, precision=p.precision, threads=threads)
        fit.fit(task, 3, 1)
        taken = seconds(lambda task=task: fit.fit(task, iterations, 1))
        with torch.profiler.profile() as profile:  # which sees its own thread only
            fit.fit(replace(task, threads=1), 3, 1)
        column = "self_cpu_time_total" if device.type == "cpu" else "self_device_time_total"
        tables.append(f"{task.name}: {iterations / taken:.2f} iterations per second\n"
                      + profile.key_averages().table(sort_by=column, row_limit=8, max_name_column_width=40))
    where = processor() if device.type == "cpu" else torch.cuda.get_device_name(device)
    print(f"{where}, {threads} thread(s), {fit.peak_memory(device):.0f} MiB", *tables, sep="\n")


def scaling() -> None:
    """One iteration of the main module (float32) beside the thesis's 140 × 256 with five voices."""
    rows = [("thesis: 140 × 256, V = 5", 256, 140, 5), *((f"{n} steps", n, 140, 5) for n in (64, 128, 512)),
            *((f"batch {n}", 256, n, 5) for n in (35, 70, 280)), *((f"V = {v}", 256, 140, v) for v in (1, 3, 7))]
    taken = {}
    for name, steps, size, voices in rows:
        t, generator = batch(steps, size), OctaveGenerator(voices=voices)
        sequences(generator, "fp32", t)
        taken[name] = statistics.median(seconds(lambda t=t, g=generator: sequences(g, "fp32", t))
                                        for _ in range(3))
    base = taken[rows[0][0]]
    print(f"{processor()}, {torch.get_num_threads()} thread(s)")
    for name, value in taken.items():
        print(f"{name:28}{value:8.2f} s{value / base:8.2f}")


def precision(seeds: int = 3) -> None:
    """Held-out objective (float32, nats per step) at the end of preset quick on bach, trained in either precision."""
    ends = {}
    for name in ("fp32", "bf16"):
        for seed in range(1, seeds + 1):
            run = Run(presets.resolve("quick", precision=name), "bach", seed, torch.device("cpu"))
            run.begin()
            p, generator = run.preset, fit.seeded(OctaveGenerator, seed)
            task = networks.main_task(generator, Fragments(run.splits["train"], p.fragment, p.stride), p.batch,
                                      networks.panel_of(run), precision=name)
            ends[name, seed] = fit.fit(task, p.iterations, seed, p.iterations)["held_out"].iloc[-1]
            print(f"{name} seed {seed}: {-ends[name, seed]:.4f}", flush=True)
    levels = {name: [-ends[name, seed] for seed in range(1, seeds + 1)] for name in ("fp32", "bf16")}
    for name, values in levels.items():
        print(f"{name}: mean {statistics.mean(values):.4f}, deviation over seeds {statistics.stdev(values):.4f}")
    print(f"bf16 - fp32, mean over seeds: {statistics.mean(levels['bf16']) - statistics.mean(levels['fp32']):+.4f}")


def composing(pieces: int = 120, steps: int = 240) -> None:
    """120 continuations of 240 steps at once, beside two of them composed alone (times 60)."""
    composer = Composer(OctaveGenerator(), Decoder())
    prime = (np.random.default_rng(0).random((16, pieces, 88)) < 0.04).astype(np.uint8)
    composer.compose(prime[:, :2], 2, 1)
    together = seconds(lambda: composer.compose(prime, steps, 1))
    alone = sum(seconds(lambda i=i: composer.compose(prime[:, i:i + 1], steps, 1, i)) for i in range(2)) * pieces / 2
    print(f"{processor()}, {torch.get_num_threads()} thread(s)")
    print(f"{pieces} pieces of {steps} new steps together {together:.1f} s; one at a time {alone:.0f} s (from two); "
          f"{alone / together:.0f} times faster")


if __name__ == "__main__":
    commands = {"forms": forms, "rate": rate, "scaling": scaling, "precision": precision, "composing": composing}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    fit.keep_memory()
    commands[sys.argv[1]](*map(int, sys.argv[2:]))
