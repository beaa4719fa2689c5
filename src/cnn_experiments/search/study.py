"""The study of a search, in a file in its directory."""

from pathlib import Path

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from cnn_experiments.console import relative_path
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import COMMAND_KEYS, DESCRIPTION_KEYS
from cnn_experiments.runs.metrics import Monitor
from cnn_experiments.runs.settings import split_override
from cnn_experiments.search.definition import Definition
from cnn_experiments.search.optuna_internals import copy_study, is_writable, open_study

STUDY_FILE = "study.db"

FIXED_ATTR, SPACE_ATTR = "fixed", "space"
"""What the study stores of the search: overrides with one value, and those with several."""

MONITOR_ATTR = "monitor"
"""By what the study compares trials; that of an earlier version does not have it, and maximizes `val/acc`."""

OVERRIDES_ATTR, REASON_ATTR = "overrides", "reason"
"""What the study stores of a trial besides its values: the overrides of its run, and why it failed."""


def read_study(file: Path, definition: Definition, monitor: Monitor) -> Study | None:
    """Return a copy of the study in a file, or None if there is none yet. The file is not changed.

    Raises:
        ConfigError: it is the study of another search, or not a study.
    """
    if not file.exists() and not file.is_symlink():
        return None
    try:
        study = copy_study(file)
        if study is not None:
            _check_attributes(study)
            _check_direction(study)
    except ValueError as error:
        raise ConfigError(
            str(file),
            problem=f"not a study of a search ({error}); moved away, it is made again from the runs beside it",
        ) from error
    if study is not None:
        for name, lines in _attributes(definition).items():
            stored = study.user_attrs.get(name, lines)
            if stored != lines:
                raise _other_search_error(set(lines), set(stored), file.parent)
        if (stored_monitor := monitor_of(study)) != monitor:
            problem = f"must be {stored_monitor.key} ({stored_monitor.mode}), {_place(file.parent)}"
            raise ConfigError("monitor", f"{monitor.key} ({monitor.mode})", problem=problem)
    return study


def load_study(file: Path, definition: Definition, monitor: Monitor) -> Study:
    """Return the study in a file, or a new one.

    Raises:
        ConfigError: it is the study of another search, or not a study, or may not be written.
    """
    read_study(file, definition, monitor)
    if file.exists() and not is_writable(file):
        raise ConfigError(str(file), problem="must be writable, and its directory too; dry_run=true shows its trials")
    study = open_study(file, maximizes=monitor.higher_is_better)
    study.set_user_attr(MONITOR_ATTR, monitor.to_json())
    for name, lines in _attributes(definition).items():
        study.set_user_attr(name, lines)
    return study


def monitor_of(study: Study) -> Monitor:
    """Return the metric by which a study compares trials."""
    return Monitor.from_json(study.user_attrs.get(MONITOR_ATTR))


def _attributes(definition: Definition) -> dict[str, list[str]]:
    free_keys = (*COMMAND_KEYS, *DESCRIPTION_KEYS)
    fixed = [line for line in definition.fixed if split_override(line)[0] not in free_keys]
    return {
        SPACE_ATTR: sorted(str(parameter.override.input_line) for parameter in definition.space),
        FIXED_ATTR: sorted(fixed),
    }


def _check_attributes(study: Study) -> None:
    """Check the attributes that a search writes.

    Raises:
        ValueError: one has another type.
    """
    trials = study.get_trials(deepcopy=False)
    attributes = [(name, study.user_attrs.get(name, [])) for name in (FIXED_ATTR, SPACE_ATTR)]
    attributes += [(OVERRIDES_ATTR, trial.user_attrs.get(OVERRIDES_ATTR, [])) for trial in trials]
    for name, lines in attributes:
        if not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):
            raise ValueError(f"its attribute {name} must be a list of overrides")


def _check_direction(study: Study) -> None:
    """Check that a study is optimized in the direction of its monitor.

    Raises:
        ValueError: it is not.
    """
    monitor = study.user_attrs.get(MONITOR_ATTR, {})
    if not (isinstance(monitor, dict) and all(isinstance(value, str) for value in monitor.values())):
        raise ValueError(f"its attribute {MONITOR_ATTR} must be a metric and its mode")
    maximizes = monitor_of(study).higher_is_better
    if maximizes != (study.direction == StudyDirection.MAXIMIZE):
        raise ValueError(f"it does not {'maximize' if maximizes else 'minimize'} {monitor_of(study).key}")


def _place(directory: Path) -> str:
    return f"as in the search in {relative_path(directory.absolute())}; sweep=NAME starts a new one"


def _other_search_error(current: set[str], stored: set[str], directory: Path) -> ConfigError:
    added, missing = (" ".join(sorted(difference)) for difference in (current - stored, stored - current))
    place = _place(directory)
    if not missing:
        return ConfigError(added, problem=f"must be left out, {place}")
    if not added:
        return ConfigError(missing, problem=f"must be given, {place}")
    return ConfigError(added, problem=f"must be {missing}, {place}")


def best_trial(study: Study) -> FrozenTrial | None:
    """Return the completed trial with the best value, or None."""
    try:
        return study.best_trial
    except ValueError:
        return None
