"""Tests of the file in which a sweep says what a run is to be."""

from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.plan_file import check_plan, record_rejection, rejection_recorded, remove_plan, write_plan

SETTINGS: dict[str, Any] = {"seed": 0, "optimizer": {"lr": 0.1, "betas": [0.9, 1]}, "data": {"root": "a"}}


def test_planned_settings_are_accepted_also_if_they_are_written_differently(tmp_path: Path) -> None:
    write_plan(tmp_path / "run", SETTINGS)
    check_plan(tmp_path / "run", {"seed": 0.0, "optimizer": {"lr": 0.1, "betas": [0.9, 1.0]}, "data": {"root": "b"}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": {"lr": 0.5, "betas": [0.9, 1]}}, "optimizer.lr=0.5: configuration changed since the sweep started; it was 0.1"),
        ({"optimizer": {"betas": [0.9, 1]}}, "~optimizer.lr: configuration changed since the sweep started; it was 0.1"),
        ({"compile": True}, "compile=true: configuration changed since the sweep started; it did not exist"),
    ],
)  # fmt: skip
def test_changed_setting_is_named(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    write_plan(tmp_path, SETTINGS)
    with pytest.raises(ConfigError) as error:
        check_plan(tmp_path, SETTINGS | settings)
    assert str(error.value) == message


def test_rejection_reaches_the_sweep_that_removes_the_plan(tmp_path: Path) -> None:
    write_plan(tmp_path, SETTINGS)
    with pytest.raises(ConfigError), rejection_recorded(tmp_path):
        raise ConfigError("seed", 1, problem="no")
    check_plan(tmp_path, SETTINGS)
    assert remove_plan(tmp_path) == "seed=1: no"
    assert list(tmp_path.iterdir()) == []
    assert remove_plan(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"settings": []}'])
def test_run_without_a_readable_plan_is_not_checked(tmp_path: Path, content: str) -> None:
    (tmp_path / ".plan.json").write_text(content)
    check_plan(tmp_path, SETTINGS)
    check_plan(tmp_path / "missing", SETTINGS)
    record_rejection(tmp_path / "missing", "no")
    with pytest.raises(ConfigError), rejection_recorded(None):
        raise ConfigError("seed", 1, problem="no")
    assert remove_plan(tmp_path) is None
