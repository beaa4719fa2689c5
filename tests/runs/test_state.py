"""Tests of the state of a run and of the action that follows from it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState, next_action
from cnn_experiments.runs.status import Action, Status

COMPLETE: dict[str, Any] = {
    "status": "completed", "model": "lenet", "data": "digits", "overrides": [], "seed": 0, "metrics": {}, "identity": "id", "signal": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (None, Status.NEW),
        ('{"status": "compl', Status.DAMAGED),
        ("[]", Status.DAMAGED),
        (COMPLETE, Status.COMPLETED),
        (COMPLETE | {"status": "running"}, Status.INTERRUPTED),
        (COMPLETE | {"status": "failed", "signal": "SIGKILL"}, Status.FAILED),
    ],
)
def test_state_follows_from_the_files(tmp_path: Path, content: str | dict[str, Any] | None, status: Status) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content if isinstance(content, str) else json.dumps(content))
    assert RunState.read(tmp_path).status == status


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_sparse_file(path: Path) -> None:
    path.touch()
    os.truncate(path, 200_000_000)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_fifo, "must be a regular file"),
        (Path.mkdir, "must be a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "must be a regular file"),
        (lambda path: path.write_text("[" * 100_000), "nested too deep"),
        (lambda path: path.write_bytes(b"\xff"), "invalid start byte"),
        (make_sparse_file, "longer than 10,000,000 bytes"),
    ],
    ids=["fifo", "directory", "loop", "device", "deep", "not_utf8", "huge"],
)
def test_whatever_results_json_is_the_run_is_damaged(
    tmp_path: Path, make: Callable[[Path], None], problem: str
) -> None:
    make(tmp_path / "results.json")
    state = RunState.read(tmp_path)
    assert state.status == Status.DAMAGED
    assert problem in str(state.problem)


def test_run_below_a_file_or_with_a_name_that_is_too_long_has_a_state(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert RunState.read(tmp_path / "file" / "run").status == Status.NEW
    assert RunState.read(tmp_path / ("a" * 300)).status == Status.DAMAGED


def test_lock_file_that_is_no_file_does_not_keep_a_run_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(COMPLETE | {"status": "running"}))
    os.mkfifo(tmp_path / ".lock")
    assert RunState.read(tmp_path).status == Status.INTERRUPTED


def test_rejected_run_is_told_from_the_one_that_is_there() -> None:
    stored = RunState(Status.COMPLETED, RunResults.from_json(COMPLETE | {"settings": {"seed": 1, "optimizer.lr": 0.1}}))
    assert stored.rejection({"seed": 0, "optimizer": {"lr": 0.1}}) == "it holds another run, with seed=1"
    assert stored.rejection({"seed": 0, "optimizer": {"lr": 1}}) == "it holds another run, with seed=1 and 1 more"
    assert stored.rejection({}) == "it holds another run"
    assert RunState(Status.DAMAGED, None, "[]").rejection({"seed": 0}) == "its results.json is damaged ([])"


def state_of(status: Status, **changes: Any) -> RunState:
    if status in (Status.NEW, Status.DAMAGED):
        return RunState(status, None)
    return RunState(status, RunResults.from_json(COMPLETE | {"status": str(status)} | changes))


@pytest.mark.parametrize(
    ("state", "action", "action_with_retry"),
    [
        (state_of(Status.NEW), Action.START, Action.START),
        (state_of(Status.RUNNING), Action.WAIT, Action.WAIT),
        (state_of(Status.RUNNING, identity="another"), Action.WAIT, Action.WAIT),
        (state_of(Status.COMPLETED), Action.SKIP, Action.SKIP),
        (state_of(Status.INTERRUPTED), Action.RESUME, Action.RESUME),
        (state_of(Status.FAILED, error="ValueError"), Action.SKIP, Action.RESUME),
        (state_of(Status.FAILED, signal="SIGKILL"), Action.SKIP, Action.RESUME),
        (state_of(Status.COMPLETED, identity="another"), Action.REJECT, Action.REJECT),
        (state_of(Status.FAILED, identity="another"), Action.REJECT, Action.REJECT),
        (state_of(Status.DAMAGED), Action.REJECT, Action.REJECT),
    ],
)
def test_next_action(state: RunState, action: Action, action_with_retry: Action) -> None:
    assert next_action(state, "id", retry_failed=False) == action
    assert next_action(state, "id", retry_failed=True) == action_with_retry


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (state_of(Status.NEW), Action.START),
        (state_of(Status.RUNNING), Action.WAIT),
        (state_of(Status.COMPLETED), Action.SKIP),
        (state_of(Status.INTERRUPTED), Action.RESTART),
        (state_of(Status.FAILED, error="ValueError"), Action.RESTART),
        (state_of(Status.FAILED, identity="another"), Action.REJECT),
    ],
)
def test_restart_starts_every_unfinished_run_over_and_no_other(state: RunState, action: Action) -> None:
    for retry_failed in (False, True):
        assert next_action(state, "id", retry_failed=retry_failed, restart=True) == action
