"""Prints how the runs of a sweep start and end, and records the end of those that could not do so themselves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cnn_experiments.console import print_line
from cnn_experiments.errors import describe_error
from cnn_experiments.runs import hparams
from cnn_experiments.runs.directory import LOG_FILE
from cnn_experiments.runs.fingerprint import effective_settings
from cnn_experiments.runs.lock import locked
from cnn_experiments.runs.metrics import leaderboard_keys, metrics_of
from cnn_experiments.runs.regular_file import open_to_append
from cnn_experiments.runs.results import RESULTS_FILE, RunResults, monitors_of
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.sweep.plan import PlannedRun

STYLES = {Status.FAILED: "red", Status.INTERRUPTED: "yellow", Status.COMPLETED: "green"}


class SweepObserver:
    """Observes the runs of a sweep.

    Args:
        runs: the runs, in the order in which they are numbered.
        stop_on_error: whether the sweep ends at the first run that fails.
        on_launch: called once when the executor starts runs and can't reject its settings any more.
    """

    def __init__(self, runs: Sequence[PlannedRun], stop_on_error: bool, on_launch: Callable[[], None]) -> None:
        self.on_launch = on_launch
        self._stop_on_error = stop_on_error
        self._numbers = {run.directory: number for number, run in enumerate(runs, start=1)}
        self.states: dict[Path, RunState] = {}
        """How the runs ended, by directory: also what could not be written there."""

    def on_start(self, run: PlannedRun) -> None:
        """Print a line."""
        print_line(f"{self._number(run)} {run.directory.name}", style="bold")

    def on_skip(self, run: PlannedRun) -> None:
        """Print a line that says what another process does or did."""
        self.on_start(run)
        status = run.read_state().status
        print_line(f"{self._number(run)} {run.directory.name} {status} by another process; skipped", style="yellow")

    def on_end(
        self,
        run: PlannedRun,
        status: Status,
        *,
        error: str | None = None,
        signal: str | None = None,
        is_rejected: bool = False,
    ) -> bool:
        """Record the end if the run has not, print a line, and return whether the sweep continues."""
        state = self.states[run.directory] = finalize_run(run, status, error=error, signal=signal)
        words = [self._number(run), run.directory.name, status_label(state), reason(state) or format_metrics(state)]
        has_own_reason = state.status == Status.INTERRUPTED or (is_rejected and error != reason(state))
        if status == Status.FAILED and has_own_reason:
            words.append(f"(it was not continued: {error or signal})")
        print_line(" ".join(words).rstrip(), style=STYLES.get(state.status))
        return not (self._stop_on_error and state.status == Status.FAILED)

    def runs_to_stop(self) -> Iterable[PlannedRun]:
        """Return nothing: a grid stops no single run."""
        return ()

    def _number(self, run: PlannedRun) -> str:
        return f"[{self._numbers[run.directory]}/{len(self._numbers)}]"


def finalize_run(run: PlannedRun, status: Status, *, error: str | None = None, signal: str | None = None) -> RunState:
    """Record how a run ended whose process has ended, if it has not done so itself, and return its state.

    Args:
        run: the run.
        status: failed or interrupted.
        error: why it failed.
        signal: the signal that stopped or killed it.
    """
    directory, config, state = run.directory, run.config, run.read_state()
    if not _lacks_end(state, status):
        return state
    results = RunResults.initial(
        config.choices, config.overrides, config.settings, config.changed_settings, previous=state.results
    )
    results = replace(results, status=status, error=error, signal=signal)
    try:
        with locked(directory) as is_locked:
            if is_locked and _lacks_end(run.read_state(), status):  # another process may have continued it
                _write_end(directory, results, config.choices | effective_settings(config.settings))
    except OSError as os_error:
        print_line(f"could not record the end of {directory}: {describe_error(os_error)}", style="red")
        return RunState(status, results)
    return run.read_state()


def _lacks_end(state: RunState, status: Status) -> bool:
    """Return whether it is to be recorded that a run ended with this status; no process works on it."""
    if state.status in (Status.RUNNING, Status.DAMAGED):
        return False  # whatever a damaged results.json holds is not replaced
    if state.status == Status.NEW:
        return status != Status.INTERRUPTED  # else it had not started
    return state.results is not None and state.results.status == Status.RUNNING


def _write_end(directory: Path, results: RunResults, settings: Mapping[str, Any]) -> None:
    results.save(directory)
    if not hparams.has_session(directory):
        hparams.write_session_start(directory, settings)
    hparams.write_session_end(directory, results.status)
    with open_to_append(directory / LOG_FILE) as log:
        milliseconds = f"{datetime.now():%Y-%m-%d %H:%M:%S,%f}"[:-3]
        line = f"[{milliseconds}][ERROR] {results.status}: {results.error or results.signal}\n"
        log.write(line.encode("utf-8", "backslashreplace"))


def status_label(state: RunState) -> str:
    """Return the status as tables show it."""
    return "not run" if state.status == Status.NEW else state.status


def format_metrics(state: RunState) -> str:
    """Return the ranking metrics of a run as far as it has them: `val/acc 0.9  test/acc 0.89`."""
    results = state.results
    if results is None:
        return ""
    keys = leaderboard_keys(metrics_of([results.metric_info]), monitors_of([results]))
    values = {key: value for key in keys if (value := results.metrics.get(key)) is not None}
    return "  ".join(f"{key} {value:.4g}" for key, value in values.items())


def reason(state: RunState) -> str:
    """Return why a run is not completed; empty if it is."""
    if state.status == Status.RUNNING:
        return "by another process"
    if state.status == Status.DAMAGED:
        return f"{RESULTS_FILE}: {state.problem}" if state.problem else ""
    results = state.results
    if results is None:
        return ""
    if state.status == Status.FAILED and results.signal:
        return f"killed by {results.signal}{' (out of memory?)' if results.signal == 'SIGKILL' else ''}"
    if state.status == Status.FAILED:
        return str(results.error or "")
    if state.status == Status.INTERRUPTED:
        return _interruption(results)
    return ""


def _interruption(results: RunResults) -> str:
    if results.pruned_after_epoch is not None:
        return f"pruned after epoch {results.pruned_after_epoch}"
    if results.signal:
        return f"by {results.signal}"
    return results.error or "killed together with its sweep"
