"""A sweep over a grid: compose, validate, compare with what is on disk, execute, summarize."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import expand_grid
from cnn_experiments.config.overrides import parse_overrides
from cnn_experiments.console import announce, print_line, relative_path
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.fingerprint import SWEEP_KEYS
from cnn_experiments.runs.lock import check_locks, is_locked
from cnn_experiments.runs.path_errors import check_directory, path_errors
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.sweep.executors.base import Capacity, Executor
from cnn_experiments.sweep.observer import SweepObserver
from cnn_experiments.sweep.plan import (
    InvalidCombinations,
    PlannedRun,
    RunPaths,
    default_name,
    drop_invalid,
    find_runs_by_id,
    plan_runs,
    sweep_directory,
)
from cnn_experiments.sweep.report import Report, write_report
from cnn_experiments.sweep.summary import (
    format_count,
    print_invalid,
    print_plan,
    print_results,
    suggest_existing_sweeps,
    write_hparams_columns,
)
from cnn_experiments.tasks import TaskSpec, task_of

_MAX_COMBINATIONS = 100_000
_POLL_SECONDS = 1.0
"""Between two looks at runs that other processes work on."""


def sweep(config: DictConfig, arguments: Sequence[str], executor: Executor, report: Report) -> int:
    """Run the runs of a sweep that are not completed, and print the state of all.

    Args:
        config: the sweep's own configuration, as Hydra composed it.
        arguments: overrides, with one value or several.
        executor: runs the runs.
        report: is called at the end, unless the sweep was interrupted.

    Returns:
        The exit status: 0 if every run is completed or the task has no runs, else 1.

    Raises:
        ConfigError: a combination is invalid and not to be skipped, or all are.
        Interrupted: a signal came.
    """
    overrides = parse_overrides(arguments)
    _check_size(overrides)
    invalid = InvalidCombinations(skip=config.on_invalid == "skip")
    configs = list(_compose(config, overrides, invalid))
    invalid.raise_unless_skipped(any_valid=bool(configs))
    task = _common_task(configs)
    if not task.needs_run_directory:
        valid = drop_invalid(configs, invalid, directories={})
        invalid.raise_unless_skipped(any_valid=bool(valid))
        task.run(valid, None)
        print_invalid(invalid)
        return 0
    return _GridSweep(config, overrides, configs, invalid, executor).run(report)


def _compose(
    config: DictConfig, overrides: Sequence[Override], invalid: InvalidCombinations
) -> Iterator[ComposedConfig]:
    for override in overrides:
        if override.is_interval_sweep():
            raise ConfigError(
                str(override.input_line),
                problem="must be single values in a grid; hydra/sweeper=optuna searches intervals",
            )
    for combination in with_progress(expand_grid(overrides), "composing the combinations"):
        try:
            yield ComposedConfig.compose(config, combination)
        except ConfigError as error:
            if error.key in SWEEP_KEYS:
                raise
            invalid.errors.append(error)


def _check_size(overrides: Sequence[Override]) -> None:
    """Check that there is a combination, and not more of them than anybody can run."""
    num_combinations = 1
    for override in overrides:
        if override.is_discrete_sweep():
            try:
                num_values = sum(1 for _ in islice(override.sweep_iterator(), _MAX_COMBINATIONS + 1))
            except ValueError as error:  # such as a step of 0
                raise ConfigError(str(override.input_line), problem=str(error)) from error
            if not num_values:
                raise ConfigError(str(override.input_line), problem="must have at least one value")
            num_combinations *= num_values
            if num_combinations > _MAX_COMBINATIONS:
                problem = f"must not make more than {_MAX_COMBINATIONS:,} combinations"
                raise ConfigError(str(override.input_line), problem=problem)


def _common_task(configs: Sequence[ComposedConfig]) -> TaskSpec:
    names = list(dict.fromkeys(config.task for config in configs))
    if len(names) > 1:
        raise ConfigError("task", ",".join(map(str, names)), problem="must be one task in a sweep")
    return task_of(configs[0])


class _GridSweep:
    """A sweep of runs, each with its directory."""

    def __init__(
        self,
        config: DictConfig,
        overrides: Sequence[Override],
        configs: Sequence[ComposedConfig],
        invalid: InvalidCombinations,
        executor: Executor,
    ) -> None:
        self._config = config
        self._settings = settings = configs[0].settings  # the settings of the sweep as a whole are equal in all
        self._invalid = invalid
        self._executor = executor
        if settings["on_error"] == "stop" and not executor.supports_stop:
            choice = config.hydra.runtime.choices["hydra/launcher"]
            problem = f"must be continue with hydra/launcher={choice}; local and slurm can stop"
            raise ConfigError("on_error", "stop", problem=problem)
        typed_directory = any(line.startswith("hydra.sweep.dir=") for line in config.hydra.overrides.hydra)
        self._has_name = bool(settings["sweep"] or typed_directory)
        self.directory = sweep_directory(config, settings["sweep"] or default_name(overrides))
        known = find_runs_by_id(self.directory)
        varying = [override.key_or_group for override in overrides if override.is_sweep_override()]
        self.runs = plan_runs(RunPaths(self.directory, varying, known), configs)
        self._num_combinations = len(configs)
        self._states = {
            run.directory: known[run.config.run_id].state if run.config.run_id in known else run.read_state()
            for run in self.runs
        }
        """The states of the runs when they were last read, or as they ended."""

    def run(self, report: Report) -> int:
        """Execute the pending runs, wait for those that other processes work on, and return the exit status."""
        if num_repeated := self._num_combinations - len(self.runs):
            print_line(
                f"{num_repeated} of {self._num_combinations} combinations repeat others: "
                "they differ in nothing that changes the result",
                style="yellow",
            )
        pending = self._select()
        if not self._has_name:
            suggest_existing_sweeps(self.directory, self._states, pending)
        if self._settings["dry_run"]:
            capacity = self._executor.capacity(pending) if pending else Capacity(1, {})
            print_plan(self.runs, self._states, pending, self._invalid, self.directory, capacity)
            return 0
        if pending:
            check_directory("hydra.sweep.dir", self.directory, must_be_writable=True)
            with path_errors("hydra.sweep.dir", self.directory):
                check_locks(self.directory)
        elif not any(self.directory.glob("events.out.tfevents.*")):
            write_hparams_columns(self.directory, self.runs)
        try:
            self._execute(pending)
            while others := self._runs_of_others():
                self._execute(self._wait_for(others))
        except Interrupted:
            print_results(self._states, self._invalid, self.directory, self._settings)
            raise
        print_results(self._states, self._invalid, self.directory, self._settings)
        is_reported = write_report(report, self.directory)
        is_completed = all(state.status == Status.COMPLETED for state in self._states.values())
        return 0 if is_reported and is_completed else 1

    def _select(self) -> list[PlannedRun]:
        """Return the runs to execute, and drop invalid combinations from the sweep."""
        wanted = (Action.START, Action.RESUME, Action.RESTART)
        pending = [run for run in self.runs if run.next_action(self._states[run.directory]) in wanted]
        if pending and not self._settings["dry_run"]:
            announce(f"{format_count(len(pending))} to do in {relative_path(self.directory.absolute())}")
            self._executor.warm_up()
        directories = {run.config.run_id: run.directory for run in pending}
        drop_invalid([run.config for run in pending], self._invalid, directories)
        self._invalid.raise_unless_skipped(any_valid=len(self.runs) > len(self._invalid.configs))
        invalid_ids = {config.run_id for config in self._invalid.configs}
        self.runs = [run for run in self.runs if run.config.run_id not in invalid_ids]
        self._states = {run.directory: self._states[run.directory] for run in self.runs}
        return [run for run in pending if run.config.run_id not in invalid_ids]

    def _execute(self, pending: Sequence[PlannedRun]) -> None:
        """Run the runs, and wait for all of them.

        Raises:
            ConfigError: the executor rejects them.
            Interrupted: a signal came.
        """
        if not pending:
            return
        observer = SweepObserver(
            pending,
            self._settings["on_error"] == "stop",
            on_launch=lambda: write_hparams_columns(self.directory, self.runs),
        )
        try:
            self._executor.run(pending, observer)
        except RunFailedError as error:  # the runs may continue without this sweep
            print_line(str(error), style="red")
        finally:
            for run in pending:
                self._states[run.directory] = observer.states.get(run.directory) or run.read_state()

    def _runs_of_others(self) -> list[PlannedRun]:
        """Return the runs that other processes work on; none if a failed run has ended the sweep."""
        has_failed = any(state.status == Status.FAILED for state in self._states.values())
        if self._settings["on_error"] == "stop" and has_failed:
            return []
        return [run for run in self.runs if run.next_action(self._states[run.directory]) == Action.WAIT]

    def _wait_for(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Wait until no other process works on these runs, and return those that are not completed or failed."""
        names = ", ".join(run.directory.name for run in runs)
        print_line(f"waiting for {names}, on which other processes work", style="yellow")
        while any(is_locked(run.directory) for run in runs):
            time.sleep(_POLL_SECONDS)
        for run in runs:
            self._states[run.directory] = run.read_state()
        unfinished = [run for run in runs if self._states[run.directory].status in (Status.NEW, Status.INTERRUPTED)]
        # What another process has trained in the meantime is not what `restart` was typed for.
        return [run.continued(self._config) if self._settings["restart"] else run for run in unfinished]
