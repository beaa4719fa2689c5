"""Runs as processes of this machine, several at once."""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cnn_experiments.config.rules import Rule, check_all, integer
from cnn_experiments.console import print_line
from cnn_experiments.errors import describe_error
from cnn_experiments.runs.directory import CONSOLE_FILE
from cnn_experiments.runs.plan_file import record_rejection
from cnn_experiments.runs.regular_file import open_to_append
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.cpu import free_cores, watch_cores
from cnn_experiments.runtime.distributed import RANK_VARIABLES, processes_per_node
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.runtime.signals import SIGNALS, Interrupted, disable_watchdog, signals_deferred
from cnn_experiments.sweep.demand import Demands, Machine
from cnn_experiments.sweep.executors.allocation import (
    Allocation,
    DemandAllocation,
    FixedAllocation,
    ResourceShare,
    split_machine,
)
from cnn_experiments.sweep.executors.base import Beginning, Capacity, RunObserver, begin, end
from cnn_experiments.sweep.plan import PlannedRun

PROGRAM = "cnn_experiments"

# A process that is forked from one that has imported everything starts at once. On other systems than Linux, libraries
# do not survive a fork.
_USES_FORKSERVER = sys.platform == "linux"
_POLL_SECONDS = 0.2
_MAX_JOBS = 1024
_JOBS = Rule("auto", lambda value: value == "auto", ("auto",)) | integer(1, _MAX_JOBS)

_PRELOAD = ["cnn_experiments.sweep.executors.forkserver_preload"]


@dataclass(frozen=True)
class _RunningProcess:
    process: BaseProcess
    run: PlannedRun

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid


class LocalExecutor:
    """Starts a process for each run as others end, and survives whatever happens in them.

    Args:
        jobs: runs at the same time, among which CPU threads and visible GPUs are divided; or `auto`: each run has the
            threads that pay, and as many run at once as the machine holds.
    """

    supports_stop = True
    supports_pruning = True

    def __init__(self, jobs: int | str) -> None:
        check_all({"jobs": _JOBS}, "hydra.launcher", {"jobs": jobs})
        self._jobs = jobs
        self._context: BaseContext = multiprocessing.get_context("forkserver" if _USES_FORKSERVER else "spawn")
        self._running: dict[int, _RunningProcess] = {}

    def warm_up(self) -> None:
        """Begin to import what runs need, in a process of its own."""
        if _USES_FORKSERVER:
            from multiprocessing import forkserver

            forkserver.set_forkserver_preload(_PRELOAD)
            with _without_rank():
                forkserver.ensure_running()

    def _finish_warm_up(self) -> None:
        process = self._context.Process(target=_do_nothing)  # type: ignore[attr-defined]
        process.start()
        process.join()

    def capacity(self, runs: Sequence[PlannedRun]) -> Capacity:
        """Return how many of these runs can run at once, and their threads."""
        allocation = self._allocation(runs)
        return Capacity(allocation.max_parallel, {run.directory: allocation.threads_of(run) for run in runs})

    def run(self, runs: Iterable[PlannedRun], observer: RunObserver) -> None:
        """Run all of them in order; the next is taken when there is room for it.

        Raises:
            Interrupted: a signal came; all runs that were running have been stopped by it.
        """
        self.warm_up()
        if not isinstance(self._jobs, int):
            self._finish_warm_up()  # it would slow down the steps that are timed
            watch_cores()  # those imports are no other program's
        allocation = self._allocation(runs)
        if isinstance(allocation, DemandAllocation) and allocation.machine.cores > 1:
            print_line(allocation.describe(runs))
        observer.on_launch()
        waiting = _Waiting(runs)
        try:
            while self._start_waiting(waiting, allocation, observer) and self._running:
                continues = True
                for run, exit_code in self._collect_ended(_POLL_SECONDS):
                    allocation.give_back(run)
                    continues &= end(run, observer, **describe_exit_code(exit_code))
                if not continues:
                    break
                self._send_signal(signal.SIGTERM, observer.runs_to_stop())
            self._stop_all(signal.SIGTERM, observer)
        except (Exception, Interrupted) as error:  # an Exception of the observer: no run continues unobserved
            disable_watchdog()
            signum = signal.Signals[error.signal] if isinstance(error, Interrupted) else signal.SIGTERM
            with suppress(Exception):  # what the observer raises now does not hide the first error
                try:
                    self._stop_all(signum, observer)
                except Interrupted:
                    self._stop_all(signal.SIGKILL, observer)
            raise

    def _allocation(self, runs: Iterable[PlannedRun]) -> Allocation:
        """Return what gives these runs their shares."""
        machine = Machine.here()
        if isinstance(self._jobs, int):
            return FixedAllocation(split_machine(self._jobs, machine))
        machine = replace(machine, busy_cores=max(0, machine.cores - free_cores()))
        demands = Demands(machine)
        timed = with_progress([*runs], "timing a few steps")
        return DemandAllocation(machine, [(run, demands.of(run)) for run in timed])

    def _start_waiting(self, waiting: "_Waiting", allocation: Allocation, observer: RunObserver) -> bool:
        """Start runs that are waiting, as many as there is room for; return whether to continue."""
        while allocation.may_have_room and (run := waiting.next_run()) is not None:
            if run.next_action() in (Action.SKIP, Action.WAIT):
                observer.on_skip(run)
                continue
            share = allocation.take(run)
            if share is None:
                waiting.put_back(run)
                return True
            beginning = begin(run, observer)
            if beginning == Beginning.BEGUN:
                self._start(run, share, prints_to_file=allocation.max_parallel > 1)
                continue
            allocation.give_back(run)
            if beginning == Beginning.FAILED_AND_STOP:
                return False
        return True

    def _start(self, run: PlannedRun, share: ResourceShare, *, prints_to_file: bool) -> None:
        share = replace(share, threads=max(1, share.threads // processes_per_node(run.config.settings["trainer"])))
        with signals_deferred(), _without_rank():  # a process that is started but not noted down would run on unseen
            process = self._context.Process(target=_run, args=(run.argv, run.directory, share, prints_to_file))  # type: ignore[attr-defined]
            process.start()
            self._running[process.sentinel] = _RunningProcess(process, run)

    def _collect_ended(self, seconds: float | None = None) -> Iterator[tuple[PlannedRun, int]]:
        """Wait until a process ends, or for some time, and yield the runs that ended with their exit codes.

        A run counts as running until it is yielded: if the caller fails before that, its end can still be collected.
        """
        for sentinel in wait(list(self._running), seconds):
            assert isinstance(sentinel, int)
            running = self._running.pop(sentinel)
            running.process.join()
            with suppress(ProcessLookupError, PermissionError):  # macOS: no permission for a group that is ending
                os.killpg(running.pid, signal.SIGKILL)  # processes that it started and left behind
            yield running.run, running.process.exitcode or 0

    def _stop_all(self, signum: signal.Signals, observer: RunObserver) -> None:
        """Send all processes a signal, wait for their ends and report them.

        Raises:
            Exception: the first that the observer raised, after all processes have ended.
        """
        self._send_signal(signum, [running.run for running in self._running.values()])
        errors: list[Exception] = []
        while self._running:
            for run, _ in self._collect_ended():
                try:
                    end(run, observer, Status.INTERRUPTED, signal=signum.name)
                except Exception as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def _send_signal(self, signum: signal.Signals, runs: Iterable[PlannedRun]) -> None:
        directories = {run.directory for run in runs}
        for running in self._running.values():
            if running.run.directory in directories:
                with suppress(ProcessLookupError):
                    os.kill(running.pid, signum)


class _Waiting:
    """Runs that have not started, of which one may have been looked at."""

    def __init__(self, runs: Iterable[PlannedRun]) -> None:
        self._runs = iter(runs)
        self._looked_at: list[PlannedRun] = []

    def next_run(self) -> PlannedRun | None:
        return self._looked_at.pop() if self._looked_at else next(self._runs, None)

    def put_back(self, run: PlannedRun) -> None:
        self._looked_at.append(run)


@contextmanager
def _without_rank() -> Iterator[None]:
    """Start processes in this block without the variables that would make them one of several of a run."""
    variables = {name: os.environ.pop(name) for name in RANK_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(variables)


def describe_exit_code(exit_code: int) -> dict[str, Any]:
    """Return status, error and signal of a run that has not recorded its end, from the exit code of its process.

    A negative code is a signal that killed the process; one above 128 is a signal that it ended by itself for.
    """
    number = -exit_code if exit_code < 0 else exit_code - 128
    if number not in set(signal.Signals):
        return {"status": Status.FAILED, "error": f"process exited with status {exit_code}"}
    status = Status.INTERRUPTED if number in SIGNALS else Status.FAILED
    return {"status": status, "signal": signal.Signals(number).name}


def _do_nothing() -> None:
    pass


def _run(argv: list[str], directory: Path, share: ResourceShare, prints_to_file: bool) -> None:
    """Do in the new process what typing the command would do."""
    os.setsid()  # Ctrl-C reaches the sweep alone, which passes it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_resources(share)
    if prints_to_file:
        try:
            _redirect_output(directory / CONSOLE_FILE)
        except OSError as error:
            record_rejection(directory, describe_error(error))
            sys.exit(1)
    sys.argv = argv
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


def _limit_resources(share: ResourceShare) -> None:
    import torch

    torch.set_num_threads(share.threads)
    os.environ["OMP_NUM_THREADS"] = str(share.threads)  # of processes that it starts
    if share.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share.gpus)


def _redirect_output(path: Path) -> None:
    """Append everything that the process prints to a file, also what libraries below Python print.

    Raises:
        OSError: the file cannot be written, or is a link, a directory, a FIFO or a device.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_to_append(path) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def _end_with_parent() -> None:
    """Stop this run when its sweep is killed."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None
    sweep.join()
    os.kill(os.getpid(), signal.SIGTERM)
