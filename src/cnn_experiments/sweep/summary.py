"""What a sweep prints: its plan, its results and what to do next; and its columns in TensorBoard's HParams tab."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from cnn_experiments.console import cell, print_line, print_table, relative_path, table_title
from cnn_experiments.errors import describe_error
from cnn_experiments.runs.fingerprint import SEED_KEYS, effective_settings
from cnn_experiments.runs.metrics import DEFAULT_MONITOR, leaderboard_keys, metrics_of
from cnn_experiments.runs.records import find_runs
from cnn_experiments.runs.results import RESULTS_FILE, monitors_of
from cnn_experiments.runs.settings import RunSettings, varying_keys
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.sweep.executors.base import Capacity
from cnn_experiments.sweep.observer import STYLES, reason, status_label
from cnn_experiments.sweep.plan import InvalidCombinations, PlannedRun, find_completed_elsewhere

States = Mapping[Path, RunState]
"""The states of a sweep's runs, by directory."""


def print_results(states: States, invalid: InvalidCombinations, directory: Path, settings: Mapping[str, Any]) -> None:
    """Print a table of all runs, and what to do next, which depends on `restart` and `retry_failed` of the settings."""
    runs = [state.results for state in states.values() if state.results]
    metrics = leaderboard_keys(metrics_of(results.metric_info for results in runs), monitors_of(runs))
    table = _new_table(directory, numbers=("epochs", *metrics, "seconds"))
    for path, state in states.items():
        results = state.results
        seconds = [value for value in results.seconds.values() if value is not None] if results else []
        values = [results.metrics.get(name) for name in metrics] if results else [None] * len(metrics)
        table.add_row(
            cell(path.name),
            cell(status_label(state), STYLES.get(state.status, "")),
            str(results.epochs) if results else "",
            *("" if value is None else f"{value:.4f}" for value in values),
            f"{sum(seconds):.1f}" if seconds else "",
            cell(reason(state)),
        )
    print_table(table)
    print_invalid(invalid)
    labels = Counter(map(status_label, states.values()))
    print_line(f"{format_count(len(states))}: {', '.join(f'{number} {label}' for label, number in labels.items())}")
    if any(state.status in (Status.INTERRUPTED, Status.NEW) for state in states.values()):
        print_continue_hint(settings)
    _print_retry_hint(states.values(), settings)


def print_continue_hint(settings: Mapping[str, Any]) -> None:
    """Print how to continue what these settings were typed for."""
    print_line(f"to continue, run the same command again{' without restart=true' if settings['restart'] else ''}")


def print_plan(
    runs: Sequence[PlannedRun],
    states: States,
    to_do: Collection[PlannedRun],
    invalid: InvalidCombinations,
    directory: Path,
    capacity: Capacity,
) -> None:
    """Print what a sweep would do, and about how long it would take."""
    seconds: dict[Path, float] = {}
    if to_do:
        from cnn_experiments.sweep.estimate import estimate_seconds  # importing torch takes seconds

        seconds = estimate_seconds(runs, states, to_do, capacity.threads)
    table = _new_table(directory, numbers=("to do",))
    for path, state in states.items():
        duration = _format_duration(seconds[path]) if path in seconds else "nothing"
        status = cell(status_label(state), STYLES.get(state.status, ""))
        table.add_row(cell(path.name), status, duration, cell(reason(state)))
    print_table(table)
    print_invalid(invalid)
    print_line(f"{format_count(len(runs))}, {_format_workload(list(seconds.values()), capacity.max_parallel)}")
    untouched = [run for run in runs if run.directory not in seconds]
    if untouched:
        _print_retry_hint([states[run.directory] for run in untouched], untouched[0].config.settings)


def _new_table(directory: Path, numbers: Iterable[str]) -> Table:
    table = Table(title=table_title(relative_path(directory.absolute())), title_justify="left")
    for name in ("run", "status"):
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    return table


def _format_workload(seconds: Sequence[float], max_parallel: int) -> str:
    if not seconds:
        return "nothing to do"
    total = _format_duration(sum(seconds) / min(max_parallel, len(seconds)))
    parallel = f", {max_parallel} at once" if max_parallel > 1 else ""
    return f"{len(seconds)} to do{parallel}: about {total}"


def _format_duration(seconds: float) -> str:
    """Return a duration in two units at most: 45 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def format_count(num_runs: int) -> str:
    return f"{num_runs} run{'s' * (num_runs != 1)}"


def print_invalid(invalid: InvalidCombinations) -> None:
    """Print a line for each combination that is left out."""
    for error, count in Counter(map(str, invalid.errors)).items():
        others = f", and with {count - 1} more seed{'s' * (count > 2)}" if count > 1 else ""
        print_line(f"skipped: {error}{others}", style="yellow")


def _print_retry_hint(states: Iterable[RunState], settings: Mapping[str, Any]) -> None:
    if all(state.status != Status.FAILED for state in states):
        return
    same_command = "run the same command again"
    retry, restart = "add retry_failed=true", "add restart=true"
    if settings["retry_failed"]:
        retry = same_command
    if settings["restart"]:
        retry, restart = (
            f"{retry} {'without' if settings['retry_failed'] else 'and leave out'} restart=true",
            same_command,
        )
    print_line(
        f"to continue the failed runs from their last checkpoints, {retry}; to start them over, {restart}; tracebacks "
        "are in each run's run.log"
    )


def suggest_existing_sweeps(directory: Path, states: States, to_do: Sequence[PlannedRun]) -> None:
    """Print which other sweeps have completed some of these runs: a sweep with another name repeats them.

    Whatever is wrong in another sweep's directory neither ends nor delays this sweep.
    """
    wanted = [run.config.run_id for run in to_do if states[run.directory].status == Status.NEW]
    try:
        sweeps = sorted(path for path in directory.parent.iterdir() if path.is_dir() and path != directory)
    except OSError:
        return
    for sweep in with_progress(sweeps if wanted else [], "reading other sweeps"):
        if completed := find_completed_elsewhere(sweep, wanted):
            print_line(
                f"{len(completed)} of these runs already completed in {relative_path(sweep.absolute())}; "
                f"to continue there, add sweep={sweep.name}",
                style="yellow",
            )


def write_hparams_columns(
    directory: Path, runs: Iterable[PlannedRun], searched: Mapping[str, Sequence[Any]] | None = None
) -> None:
    """Show in the HParams tab what varies among these runs and those that are in the directory already.

    They are a convenience: if they can't be written, a line says so.

    Args:
        directory: the sweep's.
        runs: those that are planned.
        searched: settings whose values a search draws, with some of the values.
    """
    from cnn_experiments.runs import hparams  # imports tensorboard

    settings = {run.directory: _run_settings(run) for run in runs}
    stored = find_runs([directory])[0] if any(directory.glob(f"*/{RESULTS_FILE}")) else []
    settings |= {run.directory: run.settings for run in stored if run.directory not in settings}
    known = list(settings.values())
    keys = varying_keys(known)
    keys += [key for key in SEED_KEYS if _varies_as_typed(key, known)]
    columns = {key: [*values] for key, values in (searched or {}).items()}
    for key in keys:
        columns.setdefault(key, []).extend(run.value(key) for run in known)
    monitors = dict.fromkeys(str(run.value("monitor")) for run in known) or {DEFAULT_MONITOR.key: None}
    names = dict.fromkeys(["acc", *(key.rpartition("/")[2] for key in monitors), *_own_metric_names(known)])
    tags = [*map(hparams.best_tag, monitors), *(f"test/{name}" for name in names)]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        hparams.write_experiment(directory, columns, tags)
    except OSError as error:
        print_line(f"could not write the columns of TensorBoard's HParams tab: {describe_error(error)}", style="yellow")


def _own_metric_names(runs: Iterable[RunSettings]) -> list[str]:
    keys = (key.split(".") for run in runs for key in run.settings)
    return list(dict.fromkeys(parts[1] for parts in keys if parts[0] == "metrics" and len(parts) > 1))


def _run_settings(run: PlannedRun) -> RunSettings:
    return RunSettings(run.config.choices, run.config.overrides_by_key, effective_settings(run.config.settings))


def _varies_as_typed(key: str, runs: Sequence[RunSettings]) -> bool:
    return any(key in run.overrides for run in runs) and len({run.value(key) for run in runs}) > 1
