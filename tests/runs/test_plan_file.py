"""Tests of the file in which a sweep says what a run is to be."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import is_unused
from cnn_experiments.runs.plan_file import check_plan, record_rejection, rejection_recorded, remove_plan, write_plan

PROC = Path("/proc/self/stat")
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


def test_directory_of_a_plan_stays_that_of_a_run(tmp_path: Path) -> None:
    write_plan(tmp_path / "run", SETTINGS)
    (tmp_path / "run" / "console.log").touch()
    remove_plan(tmp_path / "run")
    assert is_unused(tmp_path / "run")


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


@pytest.fixture
def killed_sweep(tmp_path: Path) -> Path:
    """Return a directory with the plan of a process that has ended."""
    sweep = multiprocessing.get_context("fork").Process(target=write_plan, args=(tmp_path, SETTINGS))
    sweep.start()
    sweep.join()
    assert sweep.exitcode == 0
    return tmp_path


def test_plan_of_a_killed_sweep_is_removed(killed_sweep: Path) -> None:
    check_plan(killed_sweep, {"seed": 1})
    assert list(killed_sweep.iterdir()) == []


def test_plan_of_a_killed_sweep_gets_no_rejection(killed_sweep: Path) -> None:
    content = (killed_sweep / ".plan.json").read_text()
    record_rejection(killed_sweep, "no")
    assert (killed_sweep / ".plan.json").read_text() == content


def change_writer(directory: Path, **values: Any) -> None:
    plan = json.loads((directory / ".plan.json").read_text())
    (directory / ".plan.json").write_text(json.dumps(plan | {"writer": plan["writer"] | values}))


def test_plan_of_another_machine_counts(killed_sweep: Path) -> None:
    change_writer(killed_sweep, host="another")
    with pytest.raises(ConfigError):
        check_plan(killed_sweep, {"seed": 1})
    assert (killed_sweep / ".plan.json").exists()


@pytest.mark.skipif(not PROC.exists(), reason="needs /proc")
@pytest.mark.parametrize("values", [{"start": "1"}, {"pid": 2**100}])
def test_plan_of_an_earlier_process_with_the_same_number_is_removed(tmp_path: Path, values: dict[str, Any]) -> None:
    write_plan(tmp_path, SETTINGS)
    change_writer(tmp_path, **values)
    check_plan(tmp_path, {"seed": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not PROC.exists(), reason="needs /proc")
def test_plan_of_a_process_that_ended_and_was_not_waited_for_is_removed(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        write_plan(tmp_path, SETTINGS)
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    check_plan(tmp_path, {"seed": 1})
    assert list(tmp_path.iterdir()) == []
    os.waitpid(pid, 0)
