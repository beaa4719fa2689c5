"""A search by Optuna: its space, its study in a file, and its results."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.overrides import config_flags, parse_overrides
from cnn_experiments.console import print_line, print_table, relative_path
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import SEED_KEYS, SWEEP_KEYS
from cnn_experiments.runs.lock import acquire, release
from cnn_experiments.runs.results import RESULTS_FILE
from cnn_experiments.runs.settings import short_names, split_override
from cnn_experiments.runs.status import Status
from cnn_experiments.search.space import Parameter, to_parameter
from cnn_experiments.search.trials import (
    METRIC,
    OVERRIDES_ATTR,
    REASON_ATTR,
    ActiveTrials,
    TrialObserver,
    TrialRuns,
    make_pruner,
    make_sampler,
)
from cnn_experiments.sweep.executors.base import Executor
from cnn_experiments.sweep.grid import Report
from cnn_experiments.sweep.monitor import STYLES
from cnn_experiments.sweep.plan import RunDirectories, default_name, find_runs_by_id, sweep_directory
from cnn_experiments.sweep.summary import write_hparams_columns
from cnn_experiments.tasks import preflight, task_of

_STUDY_FILE = "study.db"
_MAX_EPOCHS_KEY = "trainer.max_epochs"
_FIXED_ATTR, _SPACE_ATTR = "fixed", "space"
"""What the study stores of the search: overrides with one value, and those with several."""

_INTEGER_REMEDY = "for integers, write int(interval(...))"

_STATE_LABELS = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "queued",
}
_STATE_STYLES = {
    TrialState.COMPLETE: STYLES[Status.COMPLETED],
    TrialState.FAIL: STYLES[Status.FAILED],
}


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
        The exit status: 1 if no trial is completed, or fewer have ended than there are to be, else 0.

    Raises:
        ConfigError: this can't be searched, or the study in the directory is that of another search.
        Interrupted: a signal came.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    overrides = {override.key_or_group: override for override in parse_overrides(arguments)}
    space = [to_parameter(override) for override in overrides.values() if override.is_sweep_override()]
    fixed = [str(override.input_line) for override in overrides.values() if not override.is_sweep_override()]
    definition = _Definition(config, space, fixed)
    settings = definition.check().settings

    directory = sweep_directory(config, settings["sweep"] or _default_name(config))
    if settings["dry_run"]:
        _print_dry_run(directory, definition, n_trials)
        return 0
    directory.mkdir(parents=True, exist_ok=True)
    if not acquire(directory):
        name = str(relative_path(directory.absolute()))
        raise ConfigError(name, problem="locked by another search; sweep=NAME starts a new one")
    try:
        study = _load_study(directory / _STUDY_FILE, definition)
        study.pruner = make_pruner(pruner, definition.max_epochs(settings))
        num_trials = len(study.get_trials(deepcopy=False))
        print_line(f"{relative_path(directory.absolute())}: {num_trials} trials, {n_trials} wanted")
        scheduler, observer = _plan_trials(
            definition,
            study,
            directory,
            n_trials=n_trials,
            stop_on_error=settings["on_error"] == "stop",
            make_sampler=lambda number: make_sampler(sampler, seed, number, executor.max_parallel),
        )
        try:
            executor.run(scheduler, observer)
        finally:
            write_hparams_columns(directory, [], definition.searched)
            _print_trials(directory, study, definition, n_trials)
    finally:
        release(directory)
    _print_best(study)
    if any(directory.glob(f"*/{RESULTS_FILE}")):
        report([directory], directory, quiet=True)
    num_ended = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return 0 if _best_trial(study) is not None and num_ended >= n_trials else 1


@dataclass(frozen=True)
class _Definition:
    """What is searched, and what is fixed."""

    config: DictConfig
    """The search's own configuration, as Hydra composed it."""
    space: Sequence[Parameter]
    fixed: Sequence[str]
    """Overrides with one value."""

    @property
    def searched(self) -> dict[str, list[Any]]:
        """Return the settings that are searched, with some of their values."""
        return {parameter.key: parameter.values for parameter in self.space}

    def compose(self, drawn: Sequence[str]) -> ComposedConfig:
        """Compose the configuration of a run from drawn overrides.

        Raises:
            ConfigError: it is not valid.
        """
        return ComposedConfig.compose(self.config, [*self.fixed, *drawn])

    def max_epochs(self, settings: Mapping[str, Any]) -> int:
        """Return the largest number of epochs that a trial can have."""
        searched = [value for parameter in self.space if parameter.key == _MAX_EPOCHS_KEY for value in parameter.values]
        return max(map(int, [settings["trainer"]["max_epochs"], *searched]))

    def check(self) -> ComposedConfig:
        """Check some values of every parameter, each with the first values of the others.

        Returns:
            The configuration with all the first values.
        """
        if not self.space:
            example = "'optimizer.lr=tag(log,interval(1e-4,1))'"
            raise ConfigError("hydra/sweeper", "optuna", problem=f"needs a setting to search, such as {example}")
        for parameter in self.space:
            if parameter.key in SEED_KEYS:
                problem = "must be one value in a search; more seeds are for the best settings"
                raise ConfigError(str(parameter.override.input_line), problem=problem)
        first = [parameter.to_override(parameter.probe_values[0]) for parameter in self.space]
        base = self.compose(first)
        _check_settings(base)
        configs = [base]
        for place, parameter in enumerate(self.space):
            for value in parameter.probe_values[1:]:
                drawn = [*first[:place], parameter.to_override(value), *first[place + 1 :]]
                configs.append(self._compose_probe(drawn, parameter))
        for config in configs:
            try:
                preflight(config)
            except ConfigError as error:
                if base.settings["on_invalid"] == "error":
                    raise error.with_context(remedy="on_invalid=skip counts such trials as failed") from error
        return base

    def _compose_probe(self, drawn: Sequence[str], varied: Parameter) -> ComposedConfig:
        try:
            return self.compose(drawn)
        except ConfigError as error:
            is_rounded_up = isinstance(error.value, float) and varied.is_float and "an integer" in error.problem
            raise error.with_context(remedy=_INTEGER_REMEDY if is_rounded_up else None) from error


def _check_settings(config: ComposedConfig) -> None:
    settings = config.settings
    if not task_of(config).needs_run_directory:
        raise ConfigError("task", settings["task"], problem="must be train in a search")
    if settings["data"].get("val_size") == 0:
        raise ConfigError("data.val_size", 0, problem=f"must be >= 1 in a search, which maximizes {METRIC}")
    if settings["retry_failed"]:
        problem = "must be false in a search, which counts failed trials"
        raise ConfigError("retry_failed", settings["retry_failed"], problem=problem)


def _plan_trials(
    definition: _Definition,
    study: Study,
    directory: Path,
    *,
    n_trials: int,
    stop_on_error: bool,
    make_sampler: Callable[[int], BaseSampler],
) -> tuple[TrialRuns, TrialObserver]:
    active = ActiveTrials(study, stop_on_error)
    known, _ = find_runs_by_id(directory)
    scheduler = TrialRuns(
        active,
        definition.space,
        definition.compose,
        RunDirectories(directory, [parameter.key for parameter in definition.space], known),
        n_trials,
        make_sampler,
    )
    observer = TrialObserver(
        active, stop_on_error, on_launch=lambda: write_hparams_columns(directory, [], definition.searched)
    )
    return scheduler, observer


def _default_name(config: DictConfig) -> str:
    """Return a name made of that of a ready-made search and of the keys typed."""
    _, _, ready_made = config.hydra.runtime.choices["hydra/sweeper"].partition("/")
    typed = parse_overrides(config.hydra.overrides.task)
    words = ["search", *([ready_made] if ready_made else []), *([default_name(typed)] if typed else [])]
    return "-".join(words).replace("/", "-")


def _load_study(file: Path, definition: _Definition) -> Study:
    """Return the study in a file, or a new one.

    Raises:
        ConfigError: it is the study of another search, or not a study.
    """
    url = URL.create("sqlite", database=str(file.absolute())).render_as_string()
    try:
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(url), study_name="search", direction="maximize", load_if_exists=True
        )
    except DatabaseError as error:
        raise ConfigError(str(file), problem=f"not a study of Optuna ({error.orig})") from error
    fixed = [line for line in definition.fixed if split_override(line)[0] not in SWEEP_KEYS]
    current = {
        _SPACE_ATTR: sorted(str(parameter.override.input_line) for parameter in definition.space),
        _FIXED_ATTR: sorted(fixed),
    }
    for name, lines in current.items():
        stored = study.user_attrs.get(name, lines)
        if stored != lines:
            raise _other_search_error(set(lines), set(stored), file.parent)
        study.set_user_attr(name, lines)
    return study


def _other_search_error(current: set[str], stored: set[str], directory: Path) -> ConfigError:
    added, missing = (" ".join(sorted(difference)) for difference in (current - stored, stored - current))
    place = f"as in the search in {relative_path(directory.absolute())}; sweep=NAME starts a new one"
    if not missing:
        return ConfigError(added, problem=f"must be left out, {place}")
    if not added:
        return ConfigError(missing, problem=f"must be given, {place}")
    return ConfigError(added, problem=f"must be {missing}, {place}")


def _print_dry_run(directory: Path, definition: _Definition, n_trials: int) -> None:
    if (directory / _STUDY_FILE).exists():
        _print_trials(directory, _load_study(directory / _STUDY_FILE, definition), definition, n_trials)
    else:
        print_line(f"{relative_path(directory.absolute())}: no trials yet, {n_trials} to do")


def _print_trials(directory: Path, study: Study, definition: _Definition, n_trials: int) -> None:
    """Print a table of all trials, and what is missing."""
    table = Table(title=str(relative_path(directory.absolute())), title_justify="left")
    names = short_names([parameter.key for parameter in definition.space])
    for name in ("trial", METRIC, "epochs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in names.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    best = _best_trial(study)
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        is_best = best is not None and trial.number == best.number
        table.add_row(*_trial_cells(trial, list(names), is_best), style="bold" if is_best else None)
    print_table(table)
    labels = [_STATE_LABELS[trial.state] for trial in trials]
    counts = [f"{labels.count(label)} {label}" for label in dict.fromkeys(_STATE_LABELS.values()) if label in labels]
    print_line(f"{len(trials)} of {max(n_trials, len(trials))} trials: {', '.join(counts) or 'none yet'}")
    if len(trials) < n_trials or _STATE_LABELS[TrialState.RUNNING] in labels:
        print_line("to continue, run the same command again")


def _trial_cells(trial: FrozenTrial, keys: Sequence[str], is_best: bool) -> list[str | Text]:
    drawn = dict(map(split_override, trial.user_attrs.get(OVERRIDES_ATTR, [])))
    best_so_far = max(trial.intermediate_values.values(), default=None)
    value = trial.value if trial.state == TrialState.COMPLETE else best_so_far
    return [
        f"{trial.number} best" if is_best else str(trial.number),
        "" if value is None else f"{value:.4f}",
        str(len(trial.intermediate_values) or ""),
        Text(_STATE_LABELS[trial.state], style=_STATE_STYLES.get(trial.state, STYLES[Status.INTERRUPTED])),
        *(Text(drawn.get(key, "")) for key in keys),
        Text(str(trial.user_attrs.get(REASON_ATTR, ""))),
    ]


def _best_trial(study: Study) -> FrozenTrial | None:
    """Return the completed trial with the highest value, or None."""
    try:
        return study.best_trial
    except ValueError:
        return None


def _print_best(study: Study) -> None:
    """Print the best settings as commands."""
    best = _best_trial(study)
    if best is None:
        print_line("no trial is completed", style="yellow")
        return
    overrides = [*study.user_attrs[_FIXED_ATTR], *best.user_attrs[OVERRIDES_ATTR]]
    command = ["python", "-m", "cnn_experiments", *config_flags()]
    print_line(f"best: trial {best.number}, {METRIC} {best.value:.4f}", style="bold")
    print_line(shlex.join([*command, *overrides]))
    print_line("confirm with more seeds (the best of many trials is biased upwards):")
    without_seed = [override for override in overrides if split_override(override)[0] != "seed"]
    print_line(shlex.join([*command, "-m", *without_seed, "seed=1,2,3,4,5"]))
