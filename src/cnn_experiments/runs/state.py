"""The state of a run as its directory shows it, and what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_experiments.errors import format_value
from cnn_experiments.runs.fingerprint import differing_keys, effective_settings
from cnn_experiments.runs.lock import is_locked
from cnn_experiments.runs.regular_file import reading_problem
from cnn_experiments.runs.results import RESULTS_FILE, RunResults
from cnn_experiments.runs.status import Action, Status


@dataclass(frozen=True)
class RunState:
    """A run's status, and its results as far as they can be read.

    A run whose results.json says `running` while no process holds its lock was killed: its status is `interrupted`.
    """

    status: Status
    results: RunResults | None
    problem: str | None = None
    """What is wrong with the results.json of a run whose status is `damaged`."""

    @classmethod
    def read(cls, directory: Path) -> "RunState":
        """Read the state of the run in a directory, which need not exist; it never raises."""
        locked = is_locked(directory)
        try:
            results = RunResults.load(directory)
        except (FileNotFoundError, NotADirectoryError):
            return cls(Status.RUNNING if locked else Status.NEW, None)
        except (OSError, ValueError) as error:
            return cls(Status.DAMAGED, None, reading_problem(error))
        return cls(_status(results, locked), results)

    @classmethod
    def of(cls, directory: Path, results: RunResults) -> "RunState":
        """Return the state of the run in a directory whose results were read before."""
        return cls(_status(results, is_locked(directory)), results)

    def rejection(self, settings: Mapping[str, Any]) -> str:
        """Return why a run with these settings is rejected, which is not the one in the directory.

        Args:
            settings: of the rejected run; none if they are not known.
        """
        if self.problem:
            return f"its {RESULTS_FILE} is damaged ({self.problem})"
        stored = self.results.settings if self.results else {}
        current = effective_settings(settings)
        differences = [f"{key}={format_value(stored.get(key))}" for key in differing_keys(stored, current)]
        if not stored or not settings or not differences:
            return "it holds another run"
        more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
        return f"it holds another run, with {differences[0]}{more}"

    @property
    def run_id(self) -> str | None:
        """Return the hash by which the run is known, if it can be read."""
        return self.results.identity if self.results else None


def _status(results: RunResults, locked: bool) -> Status:
    if locked:
        return Status.RUNNING
    return Status.INTERRUPTED if results.status == Status.RUNNING else results.status


def next_action(state: RunState, run_id: str, *, retry_failed: bool, restart: bool = False) -> Action:
    """Decide what is done with a run: the one rule for typed commands, sweeps and searches.

    A failure is not a fresh start: whatever ended an unfinished run, it continues from its last checkpoint.

    Args:
        state: of the run's directory.
        run_id: of the run that is wanted there.
        retry_failed: whether a run that failed runs again.
        restart: whether a run that is not completed starts over, also one that failed.
    """
    if state.status == Status.RUNNING:
        return Action.WAIT
    if state.status == Status.NEW:
        return Action.START
    if state.status == Status.DAMAGED or state.run_id != run_id:
        return Action.REJECT
    if state.status == Status.COMPLETED:
        return Action.SKIP
    if restart:
        return Action.RESTART
    if state.status == Status.FAILED and not retry_failed:
        return Action.SKIP
    return Action.RESUME
