"""The directory of a run and the files that the program keeps there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.atomic import WRITING_SUFFIX, atomic_write
from cnn_experiments.runs.lock import LOCK_FILE, acquire, release
from cnn_experiments.runs.plan_file import PLAN_FILE
from cnn_experiments.runs.results import RESULTS_FILE, RunResults
from cnn_experiments.runs.state import RunState, next_action
from cnn_experiments.runs.status import Action
from cnn_experiments.runtime.distributed import is_rank_zero

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.csv"
LOG_FILE = "run.log"
CONSOLE_FILE = "console.log"

FILES = {
    RESULTS_FILE: "the status and the results of the run, see below; complete at every moment",
    METRICS_FILE: "every metric of every epoch",
    CONFIG_FILE: "all settings, resolved",
    LOG_FILE: "what the run printed, with times, and tracebacks",
    CONSOLE_FILE: "everything that the process printed, if several runs of a sweep ran at once",
    "checkpoints/best.ckpt": "the epoch that is tested: that with the highest validation accuracy, or the last",
    "checkpoints/last.ckpt": "the checkpoint to resume from",
    "events.out.tfevents.*": "TensorBoard's curves and the run's row in its HParams tab",
    ".hydra/": "what Hydra composed: configuration and overrides",
    "train_ddp_process_*.log": "what the other processes of a run on several devices printed",
    LOCK_FILE: "the lock of the process that works on the run",
    PLAN_FILE: "the settings that a sweep planned the run to have, while it works on the run",
}
"""The files of a run's directory and what they hold; docs/runs.md lists them from here."""

_FILES_BEFORE_RESULTS = {
    *(LOCK_FILE, ".hydra", LOG_FILE, CONSOLE_FILE),
    *(PLAN_FILE, f"{PLAN_FILE}{WRITING_SUFFIX}", f"{RESULTS_FILE}{WRITING_SUFFIX}"),
}
"""What is there before the run has results."""

_ATTEMPT_FILES = (
    *(f"checkpoints/{name}" for name in ("best.ckpt", "last.ckpt", "last.writing", "best.best")),
    "events.out.tfevents.*",
)
"""The checkpoints of an attempt, the temporary files in which they are written, and its event files."""


def is_unused(path: Path) -> bool:
    """Return whether a directory holds nothing but what is written there before a run has results."""
    files = {file.relative_to(path).parts[0] for file in path.rglob("*") if file.is_file()}
    return files <= _FILES_BEFORE_RESULTS


def numbered_paths(path: Path) -> Iterator[Path]:
    """Yield a path and, with numbers appended, alternatives to it: `run`, `run-2`, `run-3`."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}-{number}")


def resolve_checkpoint(path: Path) -> Path:
    """Return the checkpoint to continue from: `path` itself, or the last one of a run's directory."""
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path


class RunDirectory:
    """Writes the files of one run. Of several processes that train together, only rank 0 writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self.results: RunResults | None = None
        """The results so far; None in a directory without a run."""

    def find_resume_checkpoint(self) -> Path | None:
        """Return the checkpoint that this directory's own run continues from, or None if there is none."""
        return self.last if self.last.exists() else None

    @contextmanager
    def locked_for(self, run_id: str) -> Iterator[Action]:
        """Lock the directory for a run, and yield what is to be done: SKIP, START, RESUME or RESTART.

        Before a failed run starts over, the files of its previous attempt are removed; the logs stay.
        Ranks above 0 take no lock and get START.

        Raises:
            RunFailedError: another process works there, or the directory holds another run or damaged results.
        """
        if not is_rank_zero():
            yield Action.START
            return
        if not acquire(self.path):
            raise RunFailedError(f"{self.path}: locked by another process")
        try:
            state = RunState.read(self.path)
            action = next_action(state, run_id, retry_failed=True)
            if action == Action.REJECT:
                raise RunFailedError(f"{self.path}: belongs to a run with other settings, or its results are damaged")
            self.results = state.results
            if action == Action.RESTART:
                self._remove_attempt()
            self.checkpoints.mkdir(exist_ok=True)
            yield action
        finally:
            release(self.path)

    def _remove_attempt(self) -> None:
        # results.json last: without it, the other files would belong to no run.
        for pattern in (*_ATTEMPT_FILES, METRICS_FILE, CONFIG_FILE, RESULTS_FILE):
            for file in self.path.glob(pattern):
                file.unlink()
        self.results = None

    def begin(self, results: RunResults) -> None:
        """Write the results of a run that starts or continues."""
        self.results = results
        self.update()

    def update(self, **values: Any) -> None:
        """Set keys of the results and write results.json."""
        assert self.results is not None, "begin() comes first"
        self.results = replace(self.results, **values)
        if is_rank_zero():
            self.results.save(self.path)

    def write_config(self, text: str) -> None:
        """Write the resolved configuration, as YAML."""
        if is_rank_zero():
            with atomic_write(self.path / CONFIG_FILE) as file:
                file.write(text)

    def copy_best_checkpoint(self, checkpoint: Path) -> None:
        """Copy the best checkpoint so far of the run that `checkpoint` belongs to."""
        best = checkpoint.with_name(self.best.name)
        if is_rank_zero() and best.is_file():
            shutil.copyfile(best, self.best)
