"""A small run that the attacks repeat, and what of its result must not depend on what happened to it."""

import csv
import hashlib
import io
import json
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from tests.attacks.faulty_program import Fault
from tests.commands import Process, command_server, spawn

PLAIN = ("data=digits", "trainer=cpu", "trainer.max_epochs=4", "trainer.limit_train_batches=20")
VARIANTS = {
    "adam": PLAIN,
    "sgd": (
        *PLAIN, "trainer.max_epochs=6", "model=lenet_bn", "optimizer=sgd", "optimizer.momentum=0.9", "scheduler=onecycle",
        "augment=[crop,flip,erase]", "seed=3",
    ),
}  # fmt: skip
"""Command lines without their directory, by name."""

_TIMINGS = ("train/images_per_second",)
"""The columns of metrics.csv that differ between equal runs."""


@dataclass(frozen=True)
class Outcome:
    """What of a completed run depends on its settings alone. Weights are given as hashes."""

    best: str
    last: str
    curves: tuple[tuple[str, ...], ...]
    metrics: str
    epochs: tuple[int, int | None]

    @classmethod
    def read(cls, run: Path) -> "Outcome":
        """Read the outcome of a completed run.

        Raises:
            RuntimeError: the run is not completed.
        """
        state = RunState.read(run)
        if state.status is not Status.COMPLETED or state.results is None:
            raise RuntimeError(f"{run} is {state.status}")
        return cls(
            best=_hash_checkpoint(run / "checkpoints" / "best.ckpt"),
            last=_hash_checkpoint(run / "checkpoints" / "last.ckpt"),
            curves=_read_curves(run / "metrics.csv"),
            metrics=json.dumps(state.results.metrics),
            epochs=(state.results.epochs, state.results.tested_epoch),
        )

    def differences(self, other: "Outcome") -> list[str]:
        """Return the parts that differ."""
        return [name for name in vars(self) if getattr(self, name) != getattr(other, name)]


def _read_curves(path: Path) -> tuple[tuple[str, ...], ...]:
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    return tuple(tuple(f"{name}={value}" for name, value in row.items() if name not in _TIMINGS) for row in rows)


def _hash_checkpoint(path: Path) -> str:
    """Return a hash of the weights, the optimizer's state, the schedule and the position of a checkpoint."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
    hasher = hashlib.sha256()
    for key in keys:
        _hash(checkpoint[key], hasher)
    return hasher.hexdigest()


def _hash(value: Any, hasher: "hashlib._Hash") -> None:
    if isinstance(value, torch.Tensor):
        hasher.update(f"{value.dtype}{tuple(value.shape)}".encode())
        hasher.update(value.contiguous().numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            hasher.update(str(key).encode())
            _hash(value[key], hasher)
    elif isinstance(value, list | tuple):
        for item in value:
            _hash(item, hasher)
    else:
        hasher.update(repr(value).encode())


def read_outcomes(cwd: Path) -> dict[str, Outcome]:
    """Return the outcomes of all runs below a directory, by their paths there."""
    runs = sorted(path.parent for path in cwd.rglob("results.json"))
    return {str(run.relative_to(cwd)): Outcome.read(run) for run in runs}


def start(cwd: Path, words: Iterable[str], fault: Fault | None = None, directory: str = "run") -> Process:
    """Start the program, or the program with a fault, in a directory."""
    module = "cnn_experiments" if fault is None else "tests.attacks.faulty_program"
    environment = (fault or Fault()).to_environment() | {"OMP_NUM_THREADS": "1"}
    return spawn(cwd, *words, f"hydra.run.dir={directory}", module=module, **environment)


def fork(cwd: Path, words: Iterable[str], descriptors: tuple[int, int], fault: Fault) -> int:
    """Start the program with a standard output and a standard error, which are closed here, and return its process id."""
    request = {
        "module": "tests.attacks.faulty_program",
        "arguments": [*words, "hydra.run.dir=run"],
        "cwd": str(cwd),
        "environment": os.environ | fault.to_environment() | {"OMP_NUM_THREADS": "1"},
    }
    pid = command_server(os.environ.get("PYTHONPATH", "")).fork(request, descriptors)
    for descriptor in set(descriptors):
        os.close(descriptor)
    return pid


def finish(process: Process) -> "subprocess.CompletedProcess[str]":
    """Wait for the end of a command, and return its status and output."""
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)


def run(cwd: Path, words: Iterable[str], fault: Fault | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the program, or the program with a fault, in a directory, and wait for its end."""
    return finish(start(cwd, words, fault))


def reference(cwd: Path, words: Iterable[str]) -> tuple[Outcome, list[str], float]:
    """Run undisturbed.

    Returns:
        The outcome, the file operations of the program, and its seconds.
    """
    cwd.mkdir()
    record = cwd.with_suffix(".operations")
    begin = time.perf_counter()
    completed = run(cwd, words, Fault(record=str(record)))
    seconds = time.perf_counter() - begin
    if completed.returncode != 0:
        raise RuntimeError(f"status {completed.returncode}: {completed.stdout}{completed.stderr}")
    return Outcome.read(cwd / "run"), record.read_text().splitlines(), seconds
