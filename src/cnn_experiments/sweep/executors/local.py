"""Runs as processes of their own, several at once on this machine."""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from cnn_experiments.runtime.signals import SIGNALS, Interrupted, disable_watchdog, signals_deferred
from cnn_experiments.sweep.monitor import Watch
from cnn_experiments.sweep.run import Run

PROGRAM = "cnn_experiments"

# A process that is forked from one that has imported everything starts at once. Elsewhere than on Linux, libraries
# do not bear being forked.
_FORKS = sys.platform == "linux"
_LOOK_EVERY = 0.2  # seconds
_WARM = ["cnn_experiments.sweep.executors.forkserver_preload"]


@dataclass(frozen=True)
class Share:
    """What of the machine a run may use: CPU threads, and GPUs by the names that CUDA_VISIBLE_DEVICES knows."""

    threads: int
    gpus: tuple[str, ...]


def shares(jobs: int, threads: int, gpus: Sequence[str]) -> list[Share]:
    """Divides the machine among runs that go on at once. Where there are fewer GPUs than runs, some share one."""
    dealt = [tuple(gpus[job % len(gpus) :: jobs]) if gpus else () for job in range(jobs)]
    return [Share(max(1, threads // jobs), each) for each in dealt]


class Pool:
    """Starts runs as others end, and survives whatever becomes of them."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._context: BaseContext = multiprocessing.get_context("forkserver" if _FORKS else "spawn")
        self._running: dict[int, tuple[BaseProcess, Run, int]] = {}

    def warm_up(self) -> None:
        """Begins to import what runs need, in the background."""
        if _FORKS:
            from multiprocessing import forkserver

            forkserver.set_forkserver_preload(_WARM)
            forkserver.ensure_running()

    def run(self, runs: Iterable[Run], watch: Watch) -> None:
        """Runs them all in order.

        Args:
            runs: what to run; the next is asked for when there is room for it.
            watch: is told of each, and says whether to go on. If not, what is running is asked to stop.

        Raises:
            Interrupted: a signal came; all that were running have ended by it.
        """
        self.warm_up()
        # The same for the last runs, or those left of an interrupted sweep: the number of threads shows in last digits.
        machine = shares(self.jobs, *_machine()) if self.jobs > 1 else [None]
        waiting = iter(runs)
        try:
            while True:
                taken = {slot for _, _, slot in self._running.values()}
                for slot in range(self.jobs):
                    if slot not in taken and (run := _next(waiting, watch)):
                        watch.started(run)
                        self._start(run, slot, machine[slot])
                if not self._running:
                    return
                goes_on = [watch.ended(run, *in_words(status)) for run, status in self._ended(_LOOK_EVERY)]
                if not all(goes_on):
                    waiting = iter(())
                    self._stop(signal.SIGTERM, watch)
                self._tell(signal.SIGTERM, watch.unwanted())
        except Interrupted as interruption:
            disable_watchdog()
            try:
                self._stop(signal.Signals[interruption.signal], watch)
            except Interrupted:
                self._stop(signal.SIGKILL, watch)
            raise

    def _start(self, run: Run, slot: int, share: Share | None) -> None:
        # One that is started by half would go on unseen; the first waits until everything is imported.
        with signals_deferred():
            self._start_whole(run, slot, share)

    def _start_whole(self, run: Run, slot: int, share: Share | None) -> None:
        process = self._context.Process(target=_run, args=(run.command, run.folder, share))  # type: ignore[attr-defined]
        process.start()
        self._running[process.sentinel] = process, run, slot

    def _ended(self, seconds: float | None = None) -> list[tuple[Run, int]]:
        """Waits for at least one of those that run, or for some time."""
        found = []
        for sentinel in wait(list(self._running), seconds):
            assert isinstance(sentinel, int)
            process, run, _ = self._running[sentinel]
            process.join()
            assert process.pid is not None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # processes that it started and left
            del self._running[sentinel]
            found.append((run, process.exitcode or 0))
        return found

    def _stop(self, signum: signal.Signals, watch: Watch) -> None:
        """Waits for all to end by a signal."""
        self._tell(signum, [run for _, run, _ in self._running.values()])
        while self._running:
            for run, _ in self._ended():
                watch.ended(run, "interrupted", signum.name)

    def _tell(self, signum: signal.Signals, runs: Iterable[Run]) -> None:
        folders = {run.folder for run in runs}
        for process, run, _ in self._running.values():
            assert process.pid is not None
            if run.folder in folders:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signum)


def _next(waiting: Iterator[Run], watch: Watch) -> Run | None:
    """The next that nobody else has done or is at."""
    for run in waiting:
        if run.standing.status not in ("completed", "running"):
            return run
        watch.skipped(run)
    return None


def in_words(status: int) -> tuple[str, str]:
    """Status and error of a run that has not said itself how it ended, from the exit status of its process.

    A negative one is that of a signal that killed it; behind 128 is one that it was asked by.
    """
    number = -status if status < 0 else status - 128
    if number not in set(signal.Signals):
        return "failed", f"its process ended with status {status}"
    return "interrupted" if number in SIGNALS else "failed", signal.Signals(number).name


def _machine() -> tuple[int, list[str]]:
    """CPU threads and visible GPUs."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
    return torch.get_num_threads(), gpus[: torch.cuda.device_count()]


def _run(command: list[str], folder: Path, share: Share | None) -> None:
    """What happens in the new process: the same as if the command had been typed."""
    os.setsid()  # Ctrl-C reaches the sweep alone, which passes it on
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()
    if share is not None:
        _keep_to(share)
        _write_to(folder / "console.log")
    sys.argv = command
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


def _keep_to(share: Share) -> None:
    import torch

    torch.set_num_threads(share.threads)
    os.environ["OMP_NUM_THREADS"] = str(share.threads)  # of further processes
    if share.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share.gpus)


def _write_to(path: Path) -> None:
    """Everything that the process prints, the libraries underneath Python included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def _end_with_the_sweep() -> None:
    """A run does not go on alone where its sweep was killed."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None
    sweep.join()
    os.kill(os.getpid(), signal.SIGTERM)
