"""What this package uses of Optuna's private API and of its storage: an upgrade of Optuna touches this file alone."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

_STUDY_NAME = "search"
_TABLES = {*models.BaseModel.metadata.tables, "alembic_version"}

StorageErrors = (StorageInternalError, SQLAlchemyError, sqlite3.Error)
"""What is raised if the file of a study can't be read or written."""


def resume_trial(study: Study, trial: FrozenTrial) -> Trial:
    """Return a trial that has not ended, so that it can be continued."""
    return Trial(study, trial._trial_id)


def open_study(file: Path, *, maximizes: bool) -> Study:
    """Return the study in a file, or a new one, which maximizes or minimizes."""
    storage = _storage(lambda: sqlite3.connect(file, check_same_thread=False), QueuePool)
    direction = StudyDirection.MAXIMIZE if maximizes else StudyDirection.MINIMIZE
    return optuna.create_study(storage=storage, study_name=_STUDY_NAME, direction=direction, load_if_exists=True)


def copy_study(file: Path) -> Study | None:
    """Return a copy in memory of the study in a file, or None if there is no study in the file yet.

    The file is not changed; only a write that was interrupted is undone, if its directory can be written.

    Raises:
        ValueError: the file has no study that this version of Optuna can read.
        sqlite3.Error: another process keeps the file locked.
    """
    if not file.is_file():
        raise ValueError("it is not a file")
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        mode = "rw" if is_writable(file) else "ro"
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True)) as source:
            source.execute("PRAGMA schema_version")  # fails if the file stays locked; backup() would wait for ever
            source.backup(memory)
        if not _has_study(memory):
            return None
        study = optuna.load_study(study_name=_STUDY_NAME, storage=_storage(lambda: memory, StaticPool))
        _check(study)
    except Exception as error:  # what a file raises that something else has written is not documented
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise
        raise ValueError(describe_storage_error(error)) from error
    return study


def describe_storage_error(error: Exception) -> str:
    """Return in one line why a study can't be read or written, without the statement of SQL."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    origin = cause.orig if isinstance(cause, DBAPIError) and cause.orig else cause
    return " ".join(str(origin).split()) or type(origin).__name__


def is_writable(file: Path) -> bool:
    """Return whether a study can be written: SQLite also needs a file beside it."""
    return os.access(file, os.W_OK) and os.access(file.absolute().parent, os.W_OK)


def _storage(connect: Callable[[], sqlite3.Connection], poolclass: type) -> RDBStorage:
    # Not by a URL, in which `?` and `%` of a path would mean something else.
    return RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": poolclass})


def _has_study(connection: sqlite3.Connection) -> bool:
    """Return whether a database has a study; a search that was killed at once may have left an empty one.

    Raises:
        ValueError: it has something else.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if foreign := tables - _TABLES:
        raise ValueError(f"it has the table {min(foreign)}")
    names = [name for (name,) in connection.execute("SELECT study_name FROM studies")] if "studies" in tables else []
    if names and _STUDY_NAME not in names:
        raise ValueError(f"it has the study {names[0]}, none with the name {_STUDY_NAME}")
    return bool(names)


def _check(study: Study) -> None:
    """Read everything, and check that a study has what a search writes."""
    if len(study.directions) != 1:
        raise ValueError("it has several values to optimize")
    for number, trial in enumerate(study.get_trials(deepcopy=False)):
        if trial.number != number:
            raise ValueError(f"trial {number} is missing")
        values = [*(trial.values or ()), *trial.intermediate_values.values()]
        if not all(isinstance(value, int | float) for value in values):
            raise ValueError(f"trial {number} has a value that is not a number")
        trial._validate()
