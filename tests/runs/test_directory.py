"""Tests of locking, resuming and restarting a run directory without losing a user's files."""

import errno
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.directory import (
    RunDirectory,
    foreign_file_problem,
    is_unused,
    make_unused_directory,
    resolve_checkpoint,
)
from cnn_experiments.runs.fingerprint import run_id
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Action, Status

SETTINGS: dict[str, Any] = {"seed": 0}
RUN_ID = run_id(SETTINGS)


def begin(directory: RunDirectory, **values: Any) -> None:
    directory.begin(
        RunResults.initial({"model": "lenet", "data": "digits"}, [], SETTINGS, {}, previous=directory.results)
    )
    directory.update(**values)


def test_updates_replace_keys_and_are_written(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    begin(directory, epochs=1)
    directory.update(status=Status.COMPLETED, metrics={"test/acc": 0.5})
    stored = RunResults.load(tmp_path)
    assert (stored.status, stored.epochs, stored.metrics) == (Status.COMPLETED, 1, {"test/acc": 0.5})


def test_process_that_is_no_writer_writes_nothing(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, is_writer=False)
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
    with pytest.raises(RunFailedError, match="it holds another run"):
        RunDirectory(tmp_path).locked_for("another id").__enter__()
    with RunDirectory(tmp_path).locked_for(RUN_ID) as action:  # the lock was released
        assert action == Action.RESUME


@pytest.mark.parametrize("end", [{"signal": "SIGKILL"}, {"error": "ZeroDivisionError: division by zero"}])
def test_killed_and_failed_runs_continue_with_all_their_files(tmp_path: Path, end: dict[str, str]) -> None:
    directory = RunDirectory(tmp_path)
    with directory.locked_for(RUN_ID):
        begin(directory, status=Status.FAILED, epochs=3, **end)
        directory.last.write_bytes(b"last")
    (tmp_path / "events.out.tfevents.1").touch()
    next_directory = RunDirectory(tmp_path)
    with next_directory.locked_for(RUN_ID) as action:
        assert action == Action.RESUME
        assert next_directory.find_resume_checkpoint() == next_directory.last
        assert next_directory.results is not None
        assert next_directory.results.epochs == 3
    assert (tmp_path / "events.out.tfevents.1").exists()


def test_restart_puts_checkpoints_and_curves_aside_and_keeps_the_files_of_the_user(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    names = ("notes.md", "plots/a.png", "checkpoints/mine.pt", "run.log")
    with directory.locked_for(RUN_ID):
        begin(directory, status=Status.FAILED, epochs=3, error="ZeroDivisionError")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    for number in (1, 2):
        directory.last.write_text(f"last {number}")
        directory.best.write_text(f"best {number}")
        (tmp_path / "metrics.csv").write_text(f"metrics {number}")
        (tmp_path / "events.out.tfevents.1").write_text(f"events {number}")
        with directory.locked_for(RUN_ID, restart=True) as action:
            assert action == Action.RESTART
            assert directory.results is None
            assert directory.find_resume_checkpoint() is None
    for number in (1, 2):
        aside = directory.checkpoints / f"attempt-{number}"
        assert {file.name: file.read_text() for file in aside.iterdir()} == {
            "last.ckpt": f"last {number}",
            "best.ckpt": f"best {number}",
            "metrics.csv": f"metrics {number}",
            "events.out.tfevents.1": f"events {number}",
        }
    assert [(tmp_path / name).read_text() for name in names] == ["mine"] * 4


def test_restart_leaves_a_completed_run_alone(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with directory.locked_for(RUN_ID):
        begin(directory, status=Status.COMPLETED)
        directory.last.write_bytes(b"last")
    with directory.locked_for(RUN_ID, restart=True) as action:
        assert action == Action.SKIP
    assert directory.last.read_bytes() == b"last"


def test_temporary_files_of_a_killed_process_are_removed_by_the_next_one(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with directory.locked_for(RUN_ID):
        begin(directory, status=Status.INTERRUPTED)
    names = ("results.json.writing", "metrics.csv.writing", "config.yaml.writing")
    names = (*names, ".plan.json.writing", "checkpoints/last.writing", "checkpoints/best.writing")
    for name in names:
        (tmp_path / name).write_text("half")
    with directory.locked_for(RUN_ID):
        assert [name for name in names if (tmp_path / name).exists()] == []


def test_unreadable_checkpoint_is_no_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    directory = RunDirectory(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", fail)
        with pytest.raises(OSError, match="Input/output error"):
            directory.resumable_checkpoints()
        assert directory.find_resume_checkpoint() == directory.last
    assert directory.resumable_checkpoints() == []


@pytest.mark.parametrize("name", [".lock", ".hydra", "run.log", "console.log", "checkpoints"])
def test_link_to_elsewhere_is_not_written_through(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (run / name).symlink_to(elsewhere)
    kind = "directory" if name in (".hydra", "checkpoints") else "regular file"
    assert foreign_file_problem(run) == f"{run / name} must be a {kind}, not a link"
    with pytest.raises((RunFailedError, OSError), match=f"must be a {kind}, not a link"):
        RunDirectory(run).locked_for(RUN_ID).__enter__()
    assert elsewhere.read_text() == "mine"


def test_links_are_replaced_by_files_that_are_written_as_a_whole(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    for name in ("results.json", "results.json.writing", "config.yaml", "config.yaml.writing"):
        (directory.path / name).symlink_to(elsewhere)
    begin(directory, epochs=1)
    directory.write_config("seed: 0")
    assert elsewhere.read_text() == "mine"
    assert (directory.path / "config.yaml").read_text() == "seed: 0"
    assert RunResults.load(directory.path).epochs == 1
    assert {path.name for path in directory.path.iterdir()} == {"results.json", "config.yaml"}


def test_directory_with_files_of_the_user_is_not_unused(tmp_path: Path) -> None:
    assert is_unused(tmp_path)
    (tmp_path / ".hydra").mkdir()
    assert not is_unused(tmp_path)  # of another program
    (tmp_path / ".lock").touch()
    assert is_unused(tmp_path)
    (tmp_path / "thesis.tex").touch()
    assert not is_unused(tmp_path)


def test_new_directory_has_a_number_if_its_name_is_taken(tmp_path: Path) -> None:
    wanted = tmp_path / "outputs" / "run"
    assert make_unused_directory(wanted) == wanted
    (tmp_path / "outputs" / "run-2").touch()
    assert make_unused_directory(wanted) == tmp_path / "outputs" / "run-3"
    assert {path.name for path in wanted.parent.iterdir() if path.is_dir()} == {"run", "run-3"}
