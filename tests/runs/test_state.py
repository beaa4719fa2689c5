"""Tests of the state of a run and of the action that follows from it."""

import json
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
    ("content", "status", "is_resumable"),
    [
        (None, Status.NEW, False),
        ('{"status": "compl', Status.DAMAGED, False),
        ("[]", Status.DAMAGED, False),
        (COMPLETE, Status.COMPLETED, False),
        (COMPLETE | {"status": "running"}, Status.INTERRUPTED, True),
        (COMPLETE | {"status": "failed", "signal": "SIGKILL"}, Status.FAILED, True),
        (COMPLETE | {"status": "failed", "error": "ValueError: SIGKILL"}, Status.FAILED, False),
    ],
)
def test_state_follows_from_the_files(
    tmp_path: Path, content: str | dict[str, Any] | None, status: Status, is_resumable: bool
) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content if isinstance(content, str) else json.dumps(content))
    state = RunState.read(tmp_path)
    assert (state.status, state.is_resumable) == (status, is_resumable)


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
        (state_of(Status.FAILED, error="ValueError"), Action.SKIP, Action.RESTART),
        (state_of(Status.FAILED, signal="SIGKILL"), Action.SKIP, Action.RESUME),
        (state_of(Status.COMPLETED, identity="another"), Action.REJECT, Action.REJECT),
        (state_of(Status.FAILED, identity="another"), Action.REJECT, Action.REJECT),
        (state_of(Status.DAMAGED), Action.REJECT, Action.REJECT),
    ],
)
def test_next_action(state: RunState, action: Action, action_with_retry: Action) -> None:
    assert next_action(state, "id", retry_failed=False) == action
    assert next_action(state, "id", retry_failed=True) == action_with_retry
