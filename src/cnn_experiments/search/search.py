"""A search by Optuna, from its overrides to its results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.samplers import BaseSampler
from optuna.study import Study

from cnn_experiments.console import print_line, relative_path
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.lock import acquire, release
from cnn_experiments.runs.metrics import Monitor
from cnn_experiments.runs.path_errors import path_errors
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.search.definition import Definition, default_search_name
from cnn_experiments.search.optuna_internals import StorageErrors, describe_storage_error
from cnn_experiments.search.study import STUDY_FILE, best_trial, load_study, read_study
from cnn_experiments.search.summary import print_best, print_trials
from cnn_experiments.search.trials import ActiveTrials, TrialObserver, TrialRuns, make_pruner, make_sampler
from cnn_experiments.sweep.executors.base import Executor
from cnn_experiments.sweep.plan import RunPaths, find_runs_by_id, sweep_directory
from cnn_experiments.sweep.report import Report, write_report
from cnn_experiments.sweep.summary import print_continue_hint, write_hparams_columns


def search(
    config: DictConfig,
    arguments: Sequence[str],
    executor: Executor,
    report: Report,
    *,
    n_trials: int,
    sampler: str,
    pruner: str,
    seed: int,
) -> int:
    """Continue a search until its study has so many trials, and print the best settings.

    Args:
        config: the search's own configuration, as Hydra composed it.
        arguments: overrides; those with several values are searched.
        executor: runs the runs.
        report: is called at the end, unless the search was interrupted.
        n_trials: in all, those of earlier commands, pruned and failed ones included.
        sampler: tpe or random.
        pruner: median, hyperband or none.
        seed: of the sampler.

    Returns:
        The exit status: 1 if no trial is completed, fewer have ended than there are to be, or the file of the study
        can't be read or written, else 0.

    Raises:
        ConfigError: this can't be searched, or the study in the directory is that of another search.
        Interrupted: a signal came.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    definition = Definition.parse(config, arguments)
    settings = definition.check().settings
    monitor = _monitor(settings)
    directory = sweep_directory(config, settings["sweep"] or default_search_name(config))
    with _storage_errors_printed(directory / STUDY_FILE, settings):
        if settings["dry_run"]:
            _print_dry_run(directory, definition, monitor, n_trials, settings)
            return 0
        with _locked(directory):
            study = load_study(directory / STUDY_FILE, definition, monitor)
            study.pruner = make_pruner(pruner, definition.max_epochs(settings))
            num_trials = len(study.get_trials(deepcopy=False))
            print_line(f"{relative_path(directory.absolute())}: {num_trials} trials, {n_trials} wanted")
            trial_runs, observer = _plan_trials(
                definition,
                study,
                directory,
                n_trials=n_trials,
                stop_on_error=settings["on_error"] == "stop",
                make_sampler=lambda number: make_sampler(sampler, seed, number, executor.capacity([]).max_parallel),
            )
            try:
                executor.run(trial_runs, observer)
            except Interrupted:
                with _storage_errors_printed(directory / STUDY_FILE, settings):
                    print_trials(directory, study, definition, n_trials, settings)
                raise
            finally:
                write_hparams_columns(directory, [], definition.searched)
            print_trials(directory, study, definition, n_trials, settings)
        print_best(study)
        num_ended = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
        is_successful = best_trial(study) is not None and num_ended >= n_trials
        return 0 if write_report(report, directory, quiet=True) and is_successful else 1
    return 1


def _monitor(settings: Mapping[str, Any]) -> Monitor:
    """Return the metric that compares trials."""
    from cnn_experiments.training.metrics import build_metrics, build_monitor  # imports torch

    return build_monitor(settings, build_metrics(settings))


@contextmanager
def _storage_errors_printed(file: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Print one line instead of raising an error if the file of a study can't be read or written in the block."""
    try:
        yield
    except StorageErrors as error:
        print_line(f"{file} could not be read or written: {describe_storage_error(error)}", style="red")
        print_continue_hint(settings)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Make and lock the directory of a search.

    Raises:
        ConfigError: another search works there, or the directory can't be written.
    """
    with path_errors("hydra.sweep.dir", directory):
        directory.mkdir(parents=True, exist_ok=True)
        is_acquired = acquire(directory)
    if not is_acquired:
        name = str(relative_path(directory.absolute()))
        raise ConfigError(name, problem="locked by another search; sweep=NAME starts a new one")
    try:
        yield
    finally:
        release(directory)


def _plan_trials(
    definition: Definition,
    study: Study,
    directory: Path,
    *,
    n_trials: int,
    stop_on_error: bool,
    make_sampler: Callable[[int], BaseSampler],
) -> tuple[TrialRuns, TrialObserver]:
    active = ActiveTrials(study, stop_on_error)
    known = find_runs_by_id(directory)
    scheduler = TrialRuns(
        active,
        definition.space,
        definition.compose,
        RunPaths(directory, [parameter.key for parameter in definition.space], known),
        n_trials,
        make_sampler,
    )
    observer = TrialObserver(
        active, stop_on_error, on_launch=lambda: write_hparams_columns(directory, [], definition.searched)
    )
    return scheduler, observer


def _print_dry_run(
    directory: Path, definition: Definition, monitor: Monitor, n_trials: int, settings: Mapping[str, Any]
) -> None:
    study = read_study(directory / STUDY_FILE, definition, monitor)
    if study is not None:
        print_trials(directory, study, definition, n_trials, settings)
    else:
        print_line(f"{relative_path(directory.absolute())}: no trials yet, {n_trials} to do")
