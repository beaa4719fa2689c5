"""A sweep over a grid: compose, validate, compare with what is on disk, execute, summarize."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import expand_grid
from cnn_experiments.config.overrides import parse_overrides
from cnn_experiments.console import print_line
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.fingerprint import SWEEP_KEYS
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.sweep.executors.base import Executor
from cnn_experiments.sweep.observer import SweepObserver, finalize_run
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
from cnn_experiments.sweep.summary import print_plan, print_results, suggest_existing_sweeps, write_hparams_columns
from cnn_experiments.tasks import TaskSpec, preflight, task_of


class Report(Protocol):
    """Prints and writes the leaderboard of all runs below some directories."""

    def __call__(self, paths: Sequence[Path], output_dir: Path | None, *, quiet: bool = False) -> bool:
        """Return whether everything was written."""


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
    _check_not_empty(overrides)
    invalid = InvalidCombinations(skip=config.on_invalid == "skip")
    configs = list(_compose(config, overrides, invalid))
    invalid.raise_unless_skipped(any_valid=bool(configs))
    task = _common_task(configs)
    if not task.needs_run_directory:
        for combination in configs:
            preflight(combination)
        task.run(configs, None)
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
    for combination in expand_grid(overrides):
        try:
            yield ComposedConfig.compose(config, combination)
        except ConfigError as error:
            if error.key in SWEEP_KEYS:
                raise
            invalid.errors.append(error)


def _check_not_empty(overrides: Sequence[Override]) -> None:
    for override in overrides:
        if override.is_discrete_sweep() and not list(override.sweep_iterator()):
            raise ConfigError(str(override.input_line), problem="must have at least one value")


def _common_task(configs: Sequence[ComposedConfig]) -> TaskSpec:
    names = list(dict.fromkeys(config.settings["task"] for config in configs))
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
        existing_runs, damaged = find_runs_by_id(self.directory)
        for path in damaged:
            print_line(f"{path / 'results.json'} is damaged; that run is not counted", style="yellow")
        varying = [override.key_or_group for override in overrides if override.is_sweep_override()]
        self.runs = plan_runs(RunPaths(self.directory, varying, existing_runs), configs)

    def run(self, report: Report) -> int:
        """Execute the pending runs, and return the exit status."""
        pending = self._select()
        if not self._has_name:
            suggest_existing_sweeps(self.directory, pending)
        if self._settings["dry_run"]:
            print_plan(self.runs, pending, self._invalid, self.directory, self._executor.max_parallel)
            return 0
        interruption = self._execute(pending)
        print_results(self.runs, self._invalid, self.directory)
        if interruption is not None:
            raise interruption
        states = [run.read_state() for run in self.runs]
        if any(state.results for state in states):
            report([self.directory], self.directory)
        return 0 if all(state.status == Status.COMPLETED for state in states) else 1

    def _select(self) -> list[PlannedRun]:
        """Return the runs to execute, and drop invalid combinations from the sweep."""
        wanted = (Action.START, Action.RESUME, Action.RESTART)
        pending = [run for run in self.runs if run.next_action() in wanted]
        if pending and not self._settings["dry_run"]:
            self._executor.warm_up()
        valid = list(drop_invalid(pending, self._invalid))
        self._invalid.raise_unless_skipped(any_valid=len(self.runs) > len(self._invalid.configs))
        self.runs = [run for run in self.runs if run.config not in self._invalid.configs]
        return valid

    def _execute(self, pending: Sequence[PlannedRun]) -> Interrupted | None:
        """Run the runs and wait for all of them. Returns the interruption, if a signal came."""

        def write_columns() -> None:
            write_hparams_columns(self.directory, self.runs)

        if not pending:
            write_columns()
            return None
        observer = SweepObserver(len(pending), self._settings["on_error"] == "stop", on_launch=write_columns)
        interruption = None
        try:
            self._executor.run(pending, observer)
        except Interrupted as error:
            interruption = error
        except RunFailedError as error:  # the runs may continue without this sweep
            print_line(str(error), style="red")
            return None
        for run in pending:
            results = run.read_state().results
            if results is None or results.status != Status.RUNNING:
                continue
            if interruption is None:
                finalize_run(run, Status.FAILED, error="process exited without recording a status")
            else:
                finalize_run(run, Status.INTERRUPTED, signal=interruption.signal)
        return interruption
