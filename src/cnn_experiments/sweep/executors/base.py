"""What a sweep needs of the thing that runs its runs, and what that thing reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from cnn_experiments.errors import describe_error
from cnn_experiments.runs.directory import foreign_file_problem
from cnn_experiments.runs.plan_file import remove_plan
from cnn_experiments.runs.status import Status
from cnn_experiments.sweep.plan import PlannedRun


class RunObserver(Protocol):
    """Is told how runs start and end."""

    def on_launch(self) -> None:
        """Record that runs are about to start: from here on, nothing is rejected."""

    def on_start(self, run: PlannedRun) -> None:
        """Report that a run starts."""

    def on_skip(self, run: PlannedRun) -> None:
        """Report that a run is left to another process, or was completed by one."""

    def on_end(
        self,
        run: PlannedRun,
        status: Status,
        *,
        error: str | None = None,
        signal: str | None = None,
        is_rejected: bool = False,
    ) -> bool:
        """Record how a run ended whose process has ended, and report it.

        Args:
            run: the run.
            status: what to record if the run itself has not recorded how it ended.
            error: why it failed, in that case.
            signal: the signal that stopped or killed it, in that case.
            is_rejected: whether the run was not started, or rejected itself before it trained, because of `error`.

        Returns:
            Whether to continue with the other runs.
        """

    def runs_to_stop(self) -> Iterable[PlannedRun]:
        """Return the running runs that are to stop. It is called often."""


@dataclass(frozen=True)
class Capacity:
    """What an executor has for runs."""

    max_parallel: int
    """How many of them it can run at once."""
    threads: Mapping[Path, int]
    """The CPU threads of each run, by its directory; empty where the executor does not know them."""


class Executor(Protocol):
    """Runs planned runs."""

    supports_stop: bool
    """Whether it can end a sweep at the first failed run."""
    supports_pruning: bool
    """Whether it takes runs one by one and can stop a single one, as a search needs."""

    def capacity(self, runs: Sequence[PlannedRun]) -> Capacity:
        """Return what it has for these runs."""

    def warm_up(self) -> None:
        """Begin to prepare, in the background."""

    def run(self, runs: Iterable[PlannedRun], observer: RunObserver) -> None:
        """Run all of them in order, and wait for their end.

        Raises:
            ConfigError: the runs are rejected, before any starts.
            Interrupted: a signal came; all runs that were running have been stopped, as far as that is possible.
            RunFailedError: the executor lost sight of the runs, which may continue without it.
        """


class Beginning(Enum):
    """What follows from the attempt to begin a run."""

    BEGUN = auto()
    """Its process can be started."""
    FAILED = auto()
    """It can't, and its end is reported; the sweep continues with the other runs."""
    FAILED_AND_STOP = auto()
    """It can't, and its end is reported; the sweep stops."""


def begin(run: PlannedRun, observer: RunObserver) -> Beginning:
    """Report that a run starts and write its plan; if that fails, report the end of the run.

    A run is not started in a directory with links to elsewhere, which it would write through.
    """
    observer.on_start(run)
    try:
        problem = foreign_file_problem(run.directory)
        if problem is None:
            run.write_plan()
            return Beginning.BEGUN
    except OSError as error:
        problem = describe_error(error)
    continues = observer.on_end(run, Status.FAILED, error=problem, is_rejected=True)
    return Beginning.FAILED if continues else Beginning.FAILED_AND_STOP


def end(
    run: PlannedRun, observer: RunObserver, status: Status, *, error: str | None = None, signal: str | None = None
) -> bool:
    """Remove the plan of a run whose process has ended, and report the end: why it was rejected, if it was."""
    if rejection := remove_plan(run.directory):
        return observer.on_end(run, Status.FAILED, error=rejection, is_rejected=True)
    return observer.on_end(run, status, error=error, signal=signal)
