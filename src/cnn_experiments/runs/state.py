"""The state of a run as its directory shows it, and what to do next."""

from dataclasses import dataclass
from pathlib import Path

from cnn_experiments.runs.lock import is_locked
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.status import Action, Status


@dataclass(frozen=True)
class RunState:
    """A run's status, and its results as far as they can be read.

    A run whose results.json says `running` while no process holds its lock was killed: its status is `interrupted`.
    """

    status: Status
    results: RunResults | None

    @classmethod
    def read(cls, directory: Path) -> "RunState":
        """Read the state of the run in a directory, which need not exist."""
        locked = is_locked(directory)
        try:
            results = RunResults.load(directory)
        except FileNotFoundError:
            return cls(Status.RUNNING if locked else Status.NEW, None)
        except (OSError, ValueError, RecursionError):
            return cls(Status.DAMAGED, None)
        if locked:
            return cls(Status.RUNNING, results)
        return cls(Status.INTERRUPTED if results.status == Status.RUNNING else results.status, results)

    @property
    def run_id(self) -> str | None:
        """Return the hash by which the run is known, if it can be read."""
        return self.results.identity if self.results else None

    @property
    def is_resumable(self) -> bool:
        """Return whether the run can continue: it was stopped or killed and raised no error itself."""
        was_killed = self.status == Status.FAILED and self.results is not None and self.results.signal is not None
        return self.status == Status.INTERRUPTED or was_killed


def next_action(state: RunState, run_id: str, *, retry_failed: bool) -> Action:
    """Decide what is done with a run: the one rule for typed commands, sweeps and searches.

    Args:
        state: of the run's directory.
        run_id: of the run that is wanted there.
        retry_failed: whether a run that failed runs again; one that a signal killed then continues.
    """
    if state.status == Status.RUNNING:
        return Action.WAIT
    if state.status == Status.NEW:
        return Action.START
    if state.status == Status.DAMAGED or state.run_id != run_id:
        return Action.REJECT
    if state.status == Status.COMPLETED or (state.status == Status.FAILED and not retry_failed):
        return Action.SKIP
    return Action.RESUME if state.is_resumable else Action.RESTART
