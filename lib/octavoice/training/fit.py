"""Training of any network: Adam, fragments drawn with replacement, one random transposition per batch, zero states at
a fragment's start, no regularisation (thesis §7.2); a schedule and clipped gradients if its recipe asks for them.

Everything random comes from two explicit generators, whose states are in the checkpoint, so a run
that is interrupted, or killed, and resumed ends as an undisturbed one: to the bit on a CPU with
the same versions, number of threads and type of processor. On a GPU torch does not promise that,
and the objective's draws come from the GPU's own generator, so they differ from a CPU's.
"""

import contextlib
import ctypes
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from octavoice.errors import UserError
from octavoice.paths import atomic
from octavoice.provenance import peak_memory_mb, versions
from octavoice.representation import Batch
from octavoice.training.run import machine

Built = TypeVar("Built", bound=nn.Module)
CHECKPOINT_SECONDS = 30
LIBRARIES = ("torch", "numpy")
"""The networks' numbers and random streams are theirs alone, whatever the version of Python."""
SYNC_EVERY = 25
"""Iterations between looks at the losses on a GPU, so that it never waits for the CPU in between."""


def to_tensors(batch: Batch, device: torch.device | str = "cpu") -> Batch:
    """Move a batch to a device; to a GPU from pinned memory, so that nobody waits for the copy."""
    on_gpu = torch.device(device).type == "cuda"
    arrays = (torch.from_numpy(np.ascontiguousarray(array)) for array in batch)
    return type(batch)(*(a.pin_memory().to(device, non_blocking=True) if on_gpu else a.to(device) for a in arrays))


def weighted_mean(per_step: Tensor, weight: Tensor) -> Tensor:
    """Mean over the real steps of a batch: ``(time - 1, batch)`` twice, to a scalar."""
    return (per_step * weight).sum() / weight.sum()


def keep_memory() -> None:
    """Ask the C library not to hand freed memory back to the system (glibc; elsewhere nothing happens).

    An iteration frees and takes again some gigabytes; fetching every page anew from the system costs
    a third of the time of training.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            library = ctypes.CDLL(None)
            library.mallopt(-4, 0)   # M_MMAP_MAX: large blocks come from the heap
            library.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap never shrinks
            library.mallopt(-8, 1)   # M_ARENA_MAX: threads share it


def peak_memory(device: torch.device) -> float:
    """Largest memory of this process so far, in MiB: resident size, or on a GPU what torch took there."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_memory_mb()


@contextmanager
def enough_memory(task: str) -> Iterator[None]:
    """Turn running out of memory into a :class:`UserError` that names the settings to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's CPU allocator raises a plain RuntimeError
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise UserError(f"training of {task} needs more memory than there is; lower the preset's batch or fragment "
                        f"(overrides), which changes the result, or use a larger machine.") from error


@dataclass(frozen=True)
class Turn:
    """A part of a module that is trained by a loss and an optimiser of its own: one of an adversarial pair."""

    module: nn.Module
    loss: Callable[[Any, torch.Generator], Tensor]
    learning_rate: float


@dataclass(frozen=True)
class Task:
    """What to train: a module, its loss, where batches come from, and how it is judged.

    ``loss(tensors, rng)`` returns a scalar in nats per step, the mean over real steps; ``draw(rng)`` a training
    batch; ``evaluate()`` a dictionary of held-out numbers on a fixed panel with fixed draws. On ``threads`` of a
    CPU a batch is computed in as many parts, see :func:`gradients`. ``schedule(iteration)`` multiplies the
    learning rate; gradients longer than ``clip`` are shortened to it (0: never). ``precision`` is what the loss is
    computed at, for the record. ``turns`` are taken after it in every iteration, on the same batch: the task's own
    loss then trains what none of them does.
    """

    name: str
    module: nn.Module
    loss: Callable[[Batch, torch.Generator], Tensor]
    draw: Callable[[np.random.Generator], Batch]
    evaluate: Callable[[], dict[str, float]] = dict
    learning_rate: float = 0.01
    epsilon: float = 1e-8
    threads: int = 1
    schedule: Callable[[int], float] | None = None
    clip: float = 0.0
    precision: str = "fp32"
    turns: tuple[Turn, ...] = ()


@functools.cache
def _workers(count: int) -> ThreadPoolExecutor:
    """Threads that compute alone; kept, as new ones would fetch their memory anew from the system."""
    return ThreadPoolExecutor(count, "part of a batch", _alone)


def _alone() -> None:
    """Let this thread share out nothing, and nothing of torch's one cache of weights in bfloat16: a race for bits."""
    torch.set_num_threads(1)
    torch.set_autocast_cache_enabled(False)


def gradients(task: Task, batch: Batch, draws: torch.Generator) -> Tensor:
    """Put the gradients of a batch's loss into the module's parameters; return the loss.

    With several threads the batch is cut into as many parts, and each goes forwards and backwards on a thread of
    its own, from draws that ``draws`` seeds. That is faster than sharing out each of an LSTM's many small matrix
    products. A part weighs as much as it has real steps, so the loss is the whole batch's.
    """
    undivided = bool(task.turns) or batch.weight.device.type != "cpu"
    count = 1 if undivided else min(task.threads, batch.weight.shape[1])
    task.module.zero_grad(set_to_none=True)
    if count == 1:
        loss = task.loss(batch, draws)
        loss.backward()
        return loss.detach()
    parameters = [parameter for parameter in task.module.parameters() if parameter.requires_grad]

    def part(fields: tuple[Tensor, ...], seed: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        tensors = type(batch)(*fields)
        share = tensors.weight.sum() / batch.weight.sum()
        loss = share * task.loss(tensors, torch.Generator().manual_seed(seed))
        return loss.detach(), torch.autograd.grad(loss, parameters)

    parts = zip(*(field.tensor_split(count, dim=1) for field in batch), strict=True)
    seeds = torch.randint(2**62, (count,), generator=draws).tolist()
    losses, gradients_of_parts = zip(*_workers(count).map(part, parts, seeds), strict=True)
    for parameter, summands in zip(parameters, zip(*gradients_of_parts, strict=True), strict=True):
        parameter.grad = sum(summands)
    whole: Tensor = sum(losses)
    return whole


def seeded(build: Callable[[], Built], seed: int) -> Built:
    """Build a module with PyTorch's default initialisation under ``seed``, disturbing no other stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def fit(task: Task, iterations: int, seed: int, evaluate_every: int = 0,
        checkpoint: Path | None = None, key: str = "") -> pd.DataFrame:
    """Train a task in place and return its metrics, one row per iteration.

    Columns: ``train`` (loss of that batch, nats per step) and the held-out numbers, NaN between
    evaluations. With a ``checkpoint`` path the run can be interrupted or killed and goes on where it was if
    ``key`` is the same, see :func:`set_aside`; the metrics are streamed beside it, one JSON line per iteration,
    and to TensorBoard where that is installed. Raises :class:`UserError` if the loss is not finite or memory runs out.
    """
    keep_memory()
    loop = _Loop(task, seed, checkpoint, key)
    loop.resume()
    bar = tqdm(total=iterations, initial=loop.done, desc=task.name, unit="it", mininterval=5.0)
    try:
        with enough_memory(task.name):
            while loop.done < iterations:
                loop.iterate(evaluate=bool(evaluate_every) and (loop.done + 1) % evaluate_every == 0)
                bar.set_postfix(loop.latest, refresh=False)
                bar.update()
            loop.settle()
    finally:
        bar.close()
        loop.save()
        loop.stream.close()
    loop.note_cost()
    return pd.DataFrame(loop.rows).set_index("iteration")


class _Loop:
    """The state of one training: module, optimiser, two random streams, metrics.

    Losses wait as tensors in ``pending`` until :meth:`settle` reads them. A checkpoint takes the random
    streams as the last whole iteration left them.
    """

    def __init__(self, task: Task, seed: int, checkpoint: Path | None, key: str):
        self.task, self.checkpoint, self.key = task, checkpoint, key
        self.device = next(task.module.parameters()).device
        theirs = {id(parameter) for turn in task.turns for parameter in turn.module.parameters()}
        own = [parameter for parameter in task.module.parameters() if id(parameter) not in theirs]
        self.optimiser = torch.optim.Adam(own, lr=task.learning_rate, eps=task.epsilon)
        self.others = [torch.optim.Adam(turn.module.parameters(), lr=turn.learning_rate, eps=task.epsilon)
                       for turn in task.turns]
        self.batches = np.random.default_rng(seed)
        self.draws = torch.Generator(self.device).manual_seed(seed)
        self.rows: list[dict[str, float]] = []
        self.pending: list[Tensor] = []
        self.latest: dict[str, str] = {}
        self.stream = MetricsStream(checkpoint)
        self._streams, self._whole = self._stream_states(), True
        self.timed = {"iterations": 0, "seconds": 0.0, "peak_memory_mb": 0.0}
        self._saved = self._began = time.monotonic()

    @property
    def done(self) -> int:
        return len(self.rows) + len(self.pending)

    def iterate(self, evaluate: bool) -> None:
        """One step of Adam; now and then an evaluation and a checkpoint."""
        batch = to_tensors(self.task.draw(self.batches), self.device)
        loss = gradients(self.task, batch, self.draws)
        self._whole = False
        self._prepare()
        self.optimiser.step()
        self._take_turns(batch)
        self.pending.append(loss)
        if self.device.type == "cpu" or evaluate or len(self.pending) >= SYNC_EVERY:
            self.settle()
        if evaluate:
            with torch.no_grad():
                self.rows[-1] |= self.task.evaluate()
        self._streams = self._stream_states()
        self._whole = True
        now = time.monotonic()
        self.timed = {"iterations": self.timed["iterations"] + 1,
                      "seconds": self.timed["seconds"] + now - self._began,
                      "peak_memory_mb": max(self.timed["peak_memory_mb"], peak_memory(self.device))}
        self._began = now
        self.stream.write(self.rows)
        if self.rows:
            self.latest |= {name: f"{value:.3f}" for name, value in self.rows[-1].items() if name != "iteration"}
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self.save()

    def _take_turns(self, batch: Batch) -> None:
        """The other optimisers' steps."""
        for turn, optimiser in zip(self.task.turns, self.others, strict=True):
            self.task.module.zero_grad(set_to_none=True)
            turn.loss(batch, self.draws).backward()
            if self.task.clip:
                nn.utils.clip_grad_norm_(turn.module.parameters(), self.task.clip)
            optimiser.step()

    def _prepare(self) -> None:
        """The rate of this iteration, and gradients that are not too long."""
        if self.task.schedule is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = self.task.learning_rate * self.task.schedule(self.done)
        if self.task.clip:
            nn.utils.clip_grad_norm_(self.task.module.parameters(), self.task.clip)

    def settle(self) -> None:
        """Read the losses that wait; raise :class:`UserError` at the first that is not finite."""
        losses, self.pending = [loss.item() for loss in self.pending], []
        for value in losses:
            if not np.isfinite(value):
                raise UserError(f"training of {self.task.name} broke down: the loss is {value} at iteration "
                                f"{self.done + 1}; lower the learning rate or try another seed.")
            self.rows.append({"iteration": len(self.rows) + 1, "train": value})

    def save(self) -> None:
        """Write a checkpoint of the last whole iteration, atomically; none if one broke off amid its step."""
        if self.checkpoint is None or not self._whole:
            return
        self.settle()
        state = {"key": self.key, "module": self.task.module.state_dict(), "optimiser": self.optimiser.state_dict(),
                 "others": [optimiser.state_dict() for optimiser in self.others], **self._streams,
                 "rows": json.dumps(self.rows), "timed": self.timed}
        with atomic(self.checkpoint) as temporary:
            torch.save(state, temporary)
        self._saved = time.monotonic()

    def _stream_states(self) -> dict[str, Any]:
        return {"draws": self.draws.get_state(), "batches": json.dumps(self.batches.bit_generator.state)}

    def resume(self) -> None:
        """Take up a checkpoint of the same key; another key's is set aside. Raises UserError for a damaged file."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        except Exception as error:
            raise UserError(f"{self.checkpoint}: is a damaged checkpoint; delete it to train afresh.") from error
        if state["key"] != self.key:
            set_aside(self.checkpoint, state["key"], len(json.loads(state["rows"])))
            return
        self.task.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        for optimiser, stored in zip(self.others, state.get("others", []), strict=True):
            optimiser.load_state_dict(stored)
        self.draws.set_state(state["draws"])
        self.batches.bit_generator.state = json.loads(state["batches"])
        self.rows, self.timed = json.loads(state["rows"]), state["timed"]
        self._streams = self._stream_states()

    def note_cost(self) -> None:
        """Write ``<checkpoint>.cost.json``: the iterations that ended in a checkpoint, their seconds, the memory, the
        precision and the machine."""
        if self.checkpoint is not None:
            with atomic(self.checkpoint.with_suffix(".cost.json")) as temporary:
                facts = {"precision": self.task.precision, "machine": _machine(self.device)}
                temporary.write_text(json.dumps(self.timed | facts) + "\n")


def _machine(device: torch.device) -> dict[str, str]:
    """What a training ran on, and the libraries whose rounding and streams it has."""
    return {"device": device.type, **machine(device), **{library: versions()[library] for library in LIBRARIES}}


def set_aside(checkpoint: Path, key: str, iterations: int) -> Path:
    """Rename a checkpoint after its key, ``main.1a2b3c4d.pt``, over no other one, and say so; return the new path."""
    again = (f"-{number}" if number else "" for number in itertools.count())
    names = (checkpoint.with_suffix(f".{key[:8]}{suffix}{checkpoint.suffix}") for suffix in again)
    kept = next(path for path in names if not path.exists())
    checkpoint.rename(kept)
    tqdm.write(f"octavoice: {checkpoint} holds {iterations} iterations made with other settings or code; it was kept "
               f"as {kept.name}, and training begins afresh.", file=sys.stderr)
    return kept


class MetricsStream:
    """Metrics as they come, for whoever watches: ``<checkpoint>.jsonl``, and TensorBoard where installed.

    Both are copies for the eye; the checkpoint alone decides where a run resumes, so rows that a killed
    run wrote after its last checkpoint are written again.
    """

    def __init__(self, checkpoint: Path | None):
        self.path = None if checkpoint is None else checkpoint.with_suffix(".jsonl")
        self.written = 0
        self.file: TextIO | None = None
        self.board: Any = None

    def write(self, rows: list[dict[str, float]]) -> None:
        """Append the rows that are new since the last call."""
        if self.path is None or len(rows) == self.written:
            return
        if self.file is None:
            self.file = self._open(self.path)
        for row in rows[self.written:]:
            self.file.write(json.dumps(row) + "\n")
            if self.board is not None:
                for name in row.keys() - {"iteration"}:
                    self.board.add_scalar(f"{self.path.stem}/{name}", row[name], row["iteration"])
        self.file.flush()
        self.written = len(rows)

    def close(self) -> None:
        for sink in (self.file, self.board):
            if sink is not None:
                sink.close()

    def _open(self, path: Path) -> TextIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter
            self.board = SummaryWriter(path.parent / "tensorboard", purge_step=self.written + 1)
        return path.open("w", encoding="utf-8")
