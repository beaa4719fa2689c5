"""The study of a search, in a file in its directory."""

from pathlib import Path

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from cnn_experiments.console import relative_path
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import COMMAND_KEYS
from cnn_experiments.runs.settings import split_override
from cnn_experiments.search.definition import Definition

STUDY_FILE = "study.db"

FIXED_ATTR, SPACE_ATTR = "fixed", "space"
"""What the study stores of the search: overrides with one value, and those with several."""


def load_study(file: Path, definition: Definition) -> Study:
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
    fixed = [line for line in definition.fixed if split_override(line)[0] not in COMMAND_KEYS]
    current = {
        SPACE_ATTR: sorted(str(parameter.override.input_line) for parameter in definition.space),
        FIXED_ATTR: sorted(fixed),
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


def best_trial(study: Study) -> FrozenTrial | None:
    """Return the completed trial with the highest value, or None."""
    try:
        return study.best_trial
    except ValueError:
        return None
