"""Runs as a Slurm array, submitted by submitit."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_experiments.console import print_line
from cnn_experiments.errors import Refusal, RunFailedError
from cnn_experiments.runtime.signals import Interrupted, disable_watchdog, signals_deferred
from cnn_experiments.sweep.executors.local import PROGRAM, in_words
from cnn_experiments.sweep.monitor import Watch
from cnn_experiments.sweep.run import Run

_OF_SLURM_ALONE = ("partition", "array_parallelism", "additional_parameters")
_FROM_OUTSIDE = {"CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "DEADLINE", "REVOKED"}
_BY_ITSELF = {"COMPLETED", "FAILED", "OUT_OF_MEMORY", "BOOT_FAIL"}
"""States in which a job ends: stopped, or for a reason of its own."""
_LOOK_EVERY = 2.0  # seconds
_PATIENCE = 10  # looks that Slurm may leave unanswered


class CommandJob:
    """What submitit calls in a job: the run's command, in a process of its own.

    A run that is queued again, after a time limit or for a more urgent job, goes on in its folder.
    """

    def __call__(self, words: list[str]) -> int:
        """Its exit status."""
        environment = dict(os.environ)
        if threads := environment.get("SLURM_CPUS_PER_TASK"):
            environment.setdefault("OMP_NUM_THREADS", threads)
        process = subprocess.Popen([sys.executable, "-m", PROGRAM, *words], env=environment)  # noqa: S603
        try:
            return process.wait()
        finally:  # submitit leaves with an exception where the job is to be queued again; Slurm has told the run too
            process.wait()

    def checkpoint(self, words: list[str]) -> Any:
        """What is queued in its place: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, words)


class Array:
    """One Slurm array.

    Args:
        folder: for submitit's own files and what the jobs print.
        parameters: of submitit's executor.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        try:
            import submitit
        except ModuleNotFoundError:
            raise Refusal('hydra/launcher=slurm: needs submitit; pip install "cnn_experiments[slurm]"') from None
        given = dict(parameters)
        times = given.pop("max_num_timeout")
        try:
            self._executor = submitit.AutoExecutor(folder / "%j", cluster="slurm", slurm_max_num_timeout=times)
        except RuntimeError as error:
            raise Refusal(f"hydra/launcher=slurm: {error}") from error
        self._executor.update_parameters(
            name=PROGRAM,
            **{f"slurm_{key}" if key in _OF_SLURM_ALONE else key: value for key, value in given.items()},
        )

    def run(self, runs: Sequence[Run], watch: Watch) -> None:
        """Submits an array, and watches it until all its jobs have ended.

        Raises:
            Interrupted: a signal came; the jobs are cancelled, and have ended.
        """
        left: list[tuple[Any, Run]] = []
        try:
            with signals_deferred():
                left += zip(self._submitted(runs), runs, strict=True)
            number = _array(left)
            print_line(f"Slurm array {number}; what its jobs print is in {self._executor.folder}")
            for run in runs:
                watch.started(run)
            while left:
                time.sleep(_LOOK_EVERY)
                if not self._look(number, left, watch):
                    _cancel(number)
        except Interrupted:
            disable_watchdog()
            if left:
                _cancel(_array(left))
            while left:
                time.sleep(_LOOK_EVERY)
                self._look(_array(left), left, watch)
            raise

    def _submitted(self, runs: Sequence[Run]) -> list[Any]:
        """One job for each.

        Raises:
            Refusal: Slurm takes none.
        """
        from submitit.core.utils import FailedJobError

        try:
            return self._executor.map_array(CommandJob(), [run.command[1:] for run in runs])
        except FailedJobError as error:
            raise Refusal(f"hydra/launcher=slurm: {' '.join(str(error).split())}") from error

    def _look(self, number: str, left: list[tuple[Any, Run]], watch: Watch) -> bool:
        """Tells of those that have ended; whether the sweep goes on."""
        states = _states(number)
        goes_on = True
        for job, run in list(left):
            state = states.get(job.job_id)
            if state is None or state in _FROM_OUTSIDE:
                goes_on &= watch.ended(run, "interrupted", f"Slurm: {state or 'forgotten'}")
            elif state in _BY_ITSELF:
                returned = state == "COMPLETED" and job.paths.result_pickle.exists()
                goes_on &= watch.ended(run, *(in_words(job.result()) if returned else ("failed", f"Slurm: {state}")))
            else:
                continue
            left.remove((job, run))
        return goes_on


def _array(jobs: Sequence[tuple[Any, Run]]) -> str:
    """The number that the jobs have in common."""
    number: str = jobs[0][0].job_id.partition("_")[0]
    return number


def _states(number: str) -> dict[str, str]:
    """By job; Slurm forgets those that ended long ago."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={number}", "--format=%i %T"]
    for _ in range(_PATIENCE):
        asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if asked.returncode == 0 or "Invalid job id" in asked.stderr:
            return dict(line.split(maxsplit=1) for line in asked.stdout.splitlines())
        time.sleep(_LOOK_EVERY)
    raise RunFailedError(f"squeue does not answer: {asked.stderr.strip()}; the runs go on without this sweep")


def _cancel(number: str) -> None:
    subprocess.run(["scancel", number], check=False)  # noqa: S603, S607
