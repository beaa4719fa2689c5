"""Tests of locking, resuming and restarting a run directory without losing a user's files."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.directory import RunDirectory, is_unused, resolve_checkpoint
from cnn_experiments.runs.fingerprint import run_id
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Action, Status

SETTINGS: dict[str, Any] = {"seed": 0}
RUN_ID = run_id(SETTINGS)


def begin(directory: RunDirectory, **values: Any) -> None:
    directory.begin(RunResults.initial({"model": "lenet", "data": "digits"}, [], SETTINGS, previous=directory.results))
    directory.update(**values)


def test_updates_replace_keys_and_are_written(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    begin(directory, epochs=1)
    directory.update(status=Status.COMPLETED, metrics={"test/acc": 0.5})
    stored = RunResults.load(tmp_path)
    assert (stored.status, stored.epochs, stored.metrics) == (Status.COMPLETED, 1, {"test/acc": 0.5})


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    directory = RunDirectory(tmp_path)
    with directory.locked_for(RUN_ID):
        begin(directory, epochs=1)
        directory.write_config("seed: 0")
    assert list(tmp_path.iterdir()) == []


def test_best_checkpoint_is_copied_with_the_resumed_one(tmp_path: Path) -> None:
    old, new = RunDirectory(tmp_path / "old"), RunDirectory(tmp_path / "new")
    for directory in (old, new):
        directory.path.mkdir()
        with directory.locked_for(RUN_ID) as action:
            assert action == Action.START
    old.best.write_bytes(b"best")
    new.copy_best_checkpoint(resolve_checkpoint(old.path))
    assert new.best.read_bytes() == b"best"
    old.best.write_bytes(b"changed")
    assert new.best.read_bytes() == b"best"


def test_run_directory_resolves_to_its_last_checkpoint(tmp_path: Path) -> None:
    assert resolve_checkpoint(tmp_path) == tmp_path / "checkpoints" / "last.ckpt"
    assert resolve_checkpoint(tmp_path / "some.ckpt") == tmp_path / "some.ckpt"


ACQUIRE = """
import sys
from pathlib import Path
from cnn_experiments.runs.lock import acquire
print(acquire(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_run_in_a_directory_locked_by_another_process_is_running_and_cannot_be_started(tmp_path: Path) -> None:
    begin(RunDirectory(tmp_path))
    other = subprocess.Popen(
        [sys.executable, "-c", ACQUIRE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    assert RunState.read(tmp_path).status == Status.RUNNING
    message = re.escape(f"{tmp_path}: locked by another process")
    with pytest.raises(RunFailedError, match=message), RunDirectory(tmp_path).locked_for(RUN_ID):
        pass
    other.kill()
    other.communicate()
    assert RunState.read(tmp_path).status == Status.INTERRUPTED
    with RunDirectory(tmp_path).locked_for(RUN_ID) as action:
        assert action == Action.RESUME


def test_directory_of_another_run_is_rejected(tmp_path: Path) -> None:
    begin(RunDirectory(tmp_path), status=Status.INTERRUPTED)
    with pytest.raises(RunFailedError, match="belongs to a run with other settings"):
        RunDirectory(tmp_path).locked_for("another id").__enter__()
    with RunDirectory(tmp_path).locked_for(RUN_ID) as action:  # the lock was released
        assert action == Action.RESUME


@pytest.mark.parametrize(
    ("end", "action", "epochs"),
    [
        ({"signal": "SIGKILL"}, Action.RESUME, 3),
        ({"error": "ZeroDivisionError: division by zero"}, Action.RESTART, None),
    ],
)
def test_killed_run_is_resumed_and_failed_run_is_restarted(
    tmp_path: Path, end: dict[str, str], action: Action, epochs: int | None
) -> None:
    directory = RunDirectory(tmp_path)
    with directory.locked_for(RUN_ID):
        begin(directory, status=Status.FAILED, epochs=3, **end)
        directory.last.write_bytes(b"last")
    (tmp_path / "run.log").write_text("why")
    (tmp_path / "events.out.tfevents.1").touch()
    next_directory = RunDirectory(tmp_path)
    with next_directory.locked_for(RUN_ID) as next_action:
        assert next_action == action
        assert next_directory.find_resume_checkpoint() == (next_directory.last if action == Action.RESUME else None)
        assert (next_directory.results.epochs if next_directory.results else None) == epochs
    assert (tmp_path / "events.out.tfevents.1").exists() == (action == Action.RESUME)
    assert (tmp_path / "run.log").read_text() == "why"


def test_files_of_the_user_are_kept_when_a_failed_run_is_restarted(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with directory.locked_for(RUN_ID):
        begin(directory, status=Status.FAILED, error="ZeroDivisionError")
        directory.last.write_bytes(b"last")
    names = ("notes.md", "plots/a.png", "checkpoints/mine.pt", "checkpoints/before_nan.ckpt")
    files = [tmp_path / name for name in names]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    with RunDirectory(tmp_path).locked_for(RUN_ID) as action:
        assert action == Action.RESTART
    assert [file.read_text() for file in files] == ["mine"] * 4
    assert not directory.last.exists()
    assert not (tmp_path / "results.json").exists()


def test_directory_with_files_of_the_user_is_not_unused(tmp_path: Path) -> None:
    (tmp_path / "run.log").touch()
    assert is_unused(tmp_path)
    (tmp_path / "thesis.tex").touch()
    assert not is_unused(tmp_path)
