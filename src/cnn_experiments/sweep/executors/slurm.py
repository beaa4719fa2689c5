"""Runs as the jobs of a Slurm array, submitted by submitit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cnn_experiments.config.rules import NULL, STRING, Rule, check_all, integer
from cnn_experiments.console import print_line, relative_path
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.plan_file import remove_plan
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.signals import Interrupted, disable_watchdog, signals_deferred
from cnn_experiments.sweep.executors.base import Capacity, RunObserver, end
from cnn_experiments.sweep.executors.local import PROGRAM, describe_exit_code
from cnn_experiments.sweep.plan import PlannedRun

_RULES = {
    "partition": STRING | NULL,
    "timeout_min": integer(1, 1_000_000),
    "max_num_timeout": integer(0, 10_000),
    "array_parallelism": integer(1, 100_000),
    "cpus_per_task": integer(1, 10_000),
    "gpus_per_node": integer(0, 1000) | NULL,
    "mem_gb": integer(1, 1_000_000) | NULL,
    "additional_parameters": Rule("a dictionary of options of sbatch", lambda value: isinstance(value, dict)),
}
_SLURM_ONLY_KEYS = ("partition", "array_parallelism", "additional_parameters")
"""Parameters that submitit knows with the prefix `slurm_`."""

_STOPPED_STATES = {"CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "DEADLINE", "REVOKED"}
_ENDED_STATES = {"COMPLETED", "FAILED", "OUT_OF_MEMORY", "BOOT_FAIL"}
"""Slurm's states of jobs that were stopped from outside, and of jobs that ended for a reason of their own."""

_POLL_SECONDS = 2.0
_MAX_UNANSWERED_POLLS = 10


class CommandJob:
    """What submitit calls in a job: the run's command, in a process of its own.

    A run that is requeued, after a time limit or for a more urgent job, continues in its directory.
    """

    def __call__(self, arguments: list[str]) -> int:
        """Run the command and return its exit code."""
        environment = dict(os.environ)
        if threads := environment.get("SLURM_CPUS_PER_TASK"):
            environment.setdefault("OMP_NUM_THREADS", threads)
        process = subprocess.Popen([sys.executable, "-m", PROGRAM, *arguments], env=environment)  # noqa: S603
        try:
            return process.wait()
        finally:  # submitit raises if the job is to be requeued; Slurm has signaled the run too
            process.wait()

    def checkpoint(self, arguments: list[str]) -> Any:
        """Return what is submitted in place of a job that is requeued: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, arguments)


@dataclass(frozen=True)
class _RunningJob:
    job: Any
    run: PlannedRun


class SlurmExecutor:
    """Submits runs as one array of Slurm jobs and watches them until all have ended.

    Args:
        parameters: of submitit's executor, by the names in conf/hydra/launcher/slurm.yaml.

    Raises:
        ConfigError: a parameter is not allowed.
    """

    supports_stop = True
    supports_pruning = False

    def __init__(self, **parameters: Any) -> None:
        check_all(_RULES, "hydra.launcher", parameters)
        self._array_parallelism: int = parameters["array_parallelism"]
        self._parameters = parameters

    def capacity(self, runs: Sequence[PlannedRun]) -> Capacity:
        """Return the number of runs at once that was typed."""
        return Capacity(self._array_parallelism, {})

    def warm_up(self) -> None:
        """Do nothing."""

    def run(self, runs: Iterable[PlannedRun], observer: RunObserver) -> None:
        """Submit an array, and wait until all its jobs have ended.

        Raises:
            ConfigError: submitit or Slurm rejects the array.
            Interrupted: a signal came; the jobs have been cancelled and have ended, unless the terminal was lost.
        """
        runs = list(runs)
        executor = _submitit_executor(self._parameters, runs[0])
        running: list[_RunningJob] = []
        try:
            with signals_deferred():
                running += map(_RunningJob, _submit(executor, runs), runs)
                array = _array_id(running)
                observer.on_launch()
                print_line(f"Slurm array {array}; the output of its jobs is in {relative_path(executor.folder.parent)}")
                for run in runs:
                    observer.on_start(run)
            while running:
                time.sleep(_POLL_SECONDS)
                if not _poll(running, observer):
                    _cancel(array)
        except Interrupted as interruption:
            if interruption.signal == signal.SIGHUP.name:
                raise  # the terminal was lost: the jobs continue, and the same command watches them again
            disable_watchdog()
            if running:
                _cancel(_array_id(running))
            while running:
                time.sleep(_POLL_SECONDS)
                _poll(running, observer)
            raise


def _submitit_executor(parameters: Mapping[str, Any], run: PlannedRun) -> Any:
    try:
        import submitit
    except ModuleNotFoundError:
        problem = 'needs submitit; pip install "cnn_experiments[slurm]"'
        raise ConfigError("hydra/launcher", "slurm", problem=problem) from None
    options = dict(parameters)
    max_num_timeout = options.pop("max_num_timeout")
    folder = run.directory.parent / ".submitit" / "%j"
    try:
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=max_num_timeout)
    except RuntimeError as error:
        raise ConfigError("hydra/launcher", "slurm", problem=str(error)) from error
    executor.update_parameters(
        name=PROGRAM,
        **{f"slurm_{key}" if key in _SLURM_ONLY_KEYS else key: value for key, value in options.items()},
    )
    return executor


def _submit(executor: Any, runs: Sequence[PlannedRun]) -> list[Any]:
    """Submit one job for each run.

    Raises:
        ConfigError: Slurm rejects them, or their directories can't be written.
    """
    from submitit.core.utils import FailedJobError

    try:
        for run in runs:
            run.write_plan()
        jobs: list[Any] = executor.map_array(CommandJob(), [run.argv[1:] for run in runs])
    except (FailedJobError, OSError) as error:
        for run in runs:
            remove_plan(run.directory)
            with suppress(OSError):  # the directory holds something else
                run.directory.rmdir()
        raise ConfigError("hydra/launcher", "slurm", problem=" ".join(str(error).split())) from error
    return jobs


def _poll(running: list[_RunningJob], observer: RunObserver) -> bool:
    """Report the jobs that have ended and remove them; return whether to continue."""
    states = _job_states(_array_id(running))
    continues = True
    for running_job in list(running):
        job, run = running_job.job, running_job.run
        state = states.get(job.job_id)
        if state is None:
            continues &= end(run, observer, Status.INTERRUPTED, error="Slurm: job no longer known to squeue")
        elif state in _STOPPED_STATES:
            continues &= end(run, observer, Status.INTERRUPTED, error=f"Slurm: {state}")
        elif state == "COMPLETED" and job.paths.result_pickle.exists():
            continues &= end(run, observer, **describe_exit_code(job.result()))
        elif state in _ENDED_STATES:
            continues &= end(run, observer, Status.FAILED, error=f"Slurm: {state}")
        else:
            continue
        running.remove(running_job)
    return continues


def _array_id(running: Sequence[_RunningJob]) -> str:
    """Return the number that the jobs have in common."""
    array_id: str = running[0].job.job_id.partition("_")[0]
    return array_id


def _job_states(array_id: str) -> dict[str, str]:
    """Return Slurm's state of each job; Slurm forgets jobs that ended long ago.

    Raises:
        RunFailedError: squeue does not answer.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={array_id}", "--format=%i %T"]
    for _ in range(_MAX_UNANSWERED_POLLS):
        squeue = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if squeue.returncode == 0 or "Invalid job id" in squeue.stderr:
            return dict(line.split(maxsplit=1) for line in squeue.stdout.splitlines())
        time.sleep(_POLL_SECONDS)
    raise RunFailedError(f"squeue does not answer: {squeue.stderr.strip()}; the runs continue without this sweep")


def _cancel(array_id: str) -> None:
    subprocess.run(["scancel", array_id], check=False)  # noqa: S603, S607
