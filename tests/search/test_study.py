"""Tests of the file of a study that something else has written, or that can't be written."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from optuna.trial import TrialState

from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.metrics import DEFAULT_MONITOR, Monitor
from cnn_experiments.search.definition import Definition
from cnn_experiments.search.optuna_internals import open_study
from cnn_experiments.search.space import to_parameter
from cnn_experiments.search.study import best_trial, load_study, monitor_of, read_study


def define(*fixed: str) -> Definition:
    (override,) = OverridesParser.create().parse_overrides(["optimizer.lr=interval(0.1,1.0)"])
    return Definition(cast(DictConfig, None), [to_parameter(override)], fixed)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a study with a completed trial and one that runs."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = tmp_path / "study.db"
    study = load_study(file, define("seed=0"), DEFAULT_MONITOR)
    for _ in range(2):
        trial = study.ask({parameter.key: parameter.distribution for parameter in define().space})
        trial.set_user_attr("overrides", ["optimizer.lr=0.5"])
        trial.report(0.5, 1)
    study.tell(0, 0.5)
    return file


def execute(*statements: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return damage


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def replace_by_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda file: file.write_text("a diary\n" * 1000), "file is not a database"),
    "truncated": (truncate, "database disk image is malformed"),
    "directory": (replace_by_directory, "it is not a file"),
    "loop of links": (replace_by_loop, "it is not a file"),
    "fifo": (replace_by_fifo, "it is not a file"),
    "older schema": (
        execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'"),
        "The runtime optuna version .* is no longer compatible with the table schema .*",
    ),
    "unknown schema": (
        execute("UPDATE alembic_version SET version_num = 'v99'"),
        "The runtime optuna version .* is no longer compatible with the table schema .*",
    ),
    "other tables": (execute("CREATE TABLE diary (day TEXT)"), "it has the table diary"),
    "other study": (execute("UPDATE studies SET study_name = 'mine'"), "it has the study mine, none with the name search"),
    "missing column": (execute("ALTER TABLE trials DROP COLUMN number"), "no such column: trials.number"),
    "minimized": (execute("UPDATE study_directions SET direction = 'MINIMIZE'"), "it does not maximize val/acc"),
    "unknown state": (execute("UPDATE trials SET state = 'DONE'"), "'DONE' is not among the defined enum values.*"),
    "text as value": (execute("UPDATE trial_values SET value = 'high'"), "trial 0 has a value that is not a number"),
    "no value": (execute("UPDATE trial_values SET value = NULL"), ".+"),
    "no values": (execute("DELETE FROM trial_values"), ".+"),
    "text as intermediate value": (
        execute("UPDATE trial_intermediate_values SET intermediate_value = 'high'"),
        "trial 0 has a value that is not a number",
    ),
    "text as parameter": (execute("UPDATE trial_params SET param_value = 'high'"), ".+"),
    "broken distribution": (execute("UPDATE trial_params SET distribution_json = '{'"), ".+"),
    "missing trial": (execute("DELETE FROM trials WHERE number = 0"), "trial 0 is missing"),
    "no number": (execute("UPDATE trials SET number = NULL WHERE number = 1"), ".+"),
    "broken attribute": (execute("UPDATE trial_user_attributes SET value_json = '{'"), ".+"),
    "attribute of another type": (
        execute("UPDATE trial_user_attributes SET value_json = '[1]'"),
        "its attribute overrides must be a list of overrides",
    ),
    "search of another type": (
        execute("UPDATE study_user_attributes SET value_json = '3'"),
        "its attribute fixed must be a list of overrides",
    ),
    "text as time": (execute("UPDATE trials SET datetime_start = 'yesterday'"), ".+"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_study_is_named_in_one_line_and_not_changed(
    file: Path, damage: Callable[[Path], object], problem: str
) -> None:
    damage(file)
    content = file.read_bytes() if not file.is_symlink() and file.is_file() and not file.is_fifo() else None
    for read in (read_study, load_study):
        with pytest.raises(
            ConfigError,
            match=rf"\A{file}: not a study of a search \({problem}\); moved away, it is made again from the runs beside it\Z",
        ):
            read(file, define("seed=0"), DEFAULT_MONITOR)
    if content is not None:
        assert file.read_bytes() == content
        assert [path.name for path in file.parent.iterdir()] == ["study.db"]


def test_locked_study_is_not_waited_for_without_end_nor_called_foreign(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options | {"timeout": 0.0}))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for read in (read_study, load_study):
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                read(file, define("seed=0"), DEFAULT_MONITOR)


def test_study_is_read_from_a_copy_and_nothing_is_written(file: Path) -> None:
    content = file.read_bytes()
    study = read_study(file, define("seed=0"), DEFAULT_MONITOR)
    assert study is not None
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    study.ask()
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == ["study.db"]
    with pytest.raises(ConfigError, match=r"^seed=1: must be seed=0, as in the search in "):
        load_study(file, define("seed=1"), DEFAULT_MONITOR)
    assert file.read_bytes() == content


def test_study_that_may_not_be_written_can_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    study = read_study(file, define("seed=0"), DEFAULT_MONITOR)
    assert study is not None
    assert len(study.trials) == 2
    with pytest.raises(ConfigError, match=r"study.db: must be writable, and its directory too; dry_run=true shows"):
        load_study(file, define("seed=0"), DEFAULT_MONITOR)


def test_no_study_is_made_by_reading_and_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    assert read_study(tmp_path / "study.db", define(), DEFAULT_MONITOR) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "study.db").touch()  # the search was killed before it wrote the first table
    assert read_study(tmp_path / "study.db", define(), DEFAULT_MONITOR) is None
    assert load_study(tmp_path / "study.db", define(), DEFAULT_MONITOR).trials == []


def test_directory_of_a_study_may_have_any_name(tmp_path: Path) -> None:
    directory = tmp_path / "a?b%20#c 'd'"
    directory.mkdir()
    load_study(directory / "study.db", define(), DEFAULT_MONITOR).ask()
    assert len(open_study(directory / "study.db", maximizes=True).trials) == 1
    study = read_study(directory / "study.db", define(), DEFAULT_MONITOR)
    assert study is not None
    assert len(study.trials) == 1


def test_study_minimizes_a_monitor_whose_lowest_value_is_the_best(tmp_path: Path) -> None:
    monitor = Monitor("val/loss", "min")
    study = load_study(tmp_path / "study.db", define(), monitor)
    for value in (0.5, 0.25, 0.75):
        study.tell(study.ask(), value)
    copy = read_study(tmp_path / "study.db", define(), monitor)
    assert copy is not None
    assert monitor_of(copy) == monitor
    best = best_trial(copy)
    assert best is not None
    assert (best.number, best.value) == (1, 0.25)
    line = r"^monitor=val/acc \(max\): must be val/loss \(min\), as in the search in .*; sweep=NAME starts a new one$"
    with pytest.raises(ConfigError, match=line):  # an option of one's own was edited
        load_study(tmp_path / "study.db", define(), DEFAULT_MONITOR)


def test_study_of_an_earlier_version_maximizes_the_accuracy(file: Path) -> None:
    execute("DELETE FROM study_user_attributes WHERE key = 'monitor'")(file)
    study = load_study(file, define("seed=0"), DEFAULT_MONITOR)
    assert monitor_of(study) == DEFAULT_MONITOR
