"""Tests of recording the end of killed runs, and of the lines that a sweep prints about its runs."""

import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.runs import hparams, state
from cnn_experiments.runs.lock import acquire, release
from cnn_experiments.runs.regular_file import open_to_append
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.sweep.observer import SweepObserver, finalize_run, format_metrics, reason, status_label
from cnn_experiments.sweep.plan import PlannedRun
from tests.conftest import read_results


@pytest.fixture
def run(tmp_path: Path) -> PlannedRun:
    return PlannedRun(ComposedConfig.from_overrides("data=digits", "seed=3"), tmp_path / "run")


def write_results(run: PlannedRun, **values: Any) -> None:
    run.directory.mkdir(exist_ok=True)
    config = run.config
    replace(
        RunResults.initial(config.choices, config.overrides, config.settings, config.changed_settings), **values
    ).save(run.directory)


def test_killed_run_is_recorded_as_failed_in_its_results_and_its_log(run: PlannedRun) -> None:
    write_results(run, status=Status.RUNNING, epochs=3)
    assert finalize_run(run, Status.FAILED, signal="SIGKILL").status == "failed"
    results = read_results(run.directory)
    assert (results["status"], results["signal"], results["error"]) == ("failed", "SIGKILL", None)
    assert (results["epochs"], results["seed"]) == (3, 3)
    assert (run.directory / "run.log").read_text().endswith("[ERROR] failed: SIGKILL\n")
    assert hparams.has_session(run.directory)


def test_run_without_directory_is_recorded_if_it_failed(run: PlannedRun) -> None:
    assert finalize_run(run, Status.INTERRUPTED, signal="SIGTERM").status == "new"
    assert not run.directory.exists()
    assert finalize_run(run, Status.FAILED, signal="SIGSEGV").status == "failed"
    results = read_results(run.directory)
    assert (results["overrides"], results["options"]["model"]) == (["data=digits", "seed=3"], "lenet")
    assert results["identity"] == run.config.run_id


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.INTERRUPTED])
def test_recorded_end_is_kept(run: PlannedRun, status: Status) -> None:
    write_results(run, status=status, error="its own")
    content = (run.directory / "results.json").read_bytes()
    assert finalize_run(run, Status.FAILED, signal="SIGKILL").status == status
    assert (run.directory / "results.json").read_bytes() == content
    assert not (run.directory / "run.log").exists()


def test_damaged_results_are_kept_and_named(run: PlannedRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.directory.mkdir()
    (run.directory / "results.json").write_text("[]")
    observer = SweepObserver([run], stop_on_error=False, on_launch=lambda: None)
    observer.on_start(run)
    observer.on_end(run, Status.FAILED, error="process exited with status 7")
    assert observer.states[run.directory].status == "damaged"
    assert capsys.readouterr().out.endswith("[1/1] run damaged results.json: must hold an object, not a list\n")
    assert {path.name: path.read_text() for path in run.directory.iterdir()} == {"results.json": "[]"}


def test_run_that_another_process_continues_meanwhile_is_kept(run: PlannedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(run, status=Status.RUNNING)
    content = (run.directory / "results.json").read_bytes()
    monkeypatch.setattr("cnn_experiments.runs.lock._ACQUIRE_SECONDS", 0.0)
    with open_to_append(run.directory / ".lock") as file:
        is_locked = state.is_locked
        monkeypatch.setattr(state, "is_locked", lambda _: False)  # the other process starts after the first look

        def lock(directory: Path) -> bool:
            fcntl.flock(file, fcntl.LOCK_EX)
            monkeypatch.setattr(state, "is_locked", is_locked)
            return acquire(directory)

        monkeypatch.setattr("cnn_experiments.runs.lock.acquire", lock)
        assert finalize_run(run, Status.FAILED, signal="SIGKILL").status == "running"
    assert (run.directory / "results.json").read_bytes() == content


def test_nothing_is_recorded_where_there_are_no_locks(
    run: PlannedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    write_results(run, status=Status.RUNNING)
    content = (run.directory / "results.json").read_bytes()
    monkeypatch.setattr(fcntl, "flock", fail)
    assert finalize_run(run, Status.FAILED, signal="SIGKILL").status == "failed"
    start = f"could not record the end of {run.directory}: its file system has no locks (flock), "
    assert capsys.readouterr().out.startswith(start)
    assert (run.directory / "results.json").read_bytes() == content


def test_log_that_is_a_link_is_not_written_through(run: PlannedRun, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(run, status=Status.RUNNING)
    notes = run.directory.with_name("notes.txt")
    notes.write_text("mine")
    (run.directory / "run.log").symlink_to(notes)
    assert finalize_run(run, Status.FAILED, signal="SIGKILL").status == "failed"
    assert notes.read_text() == "mine"
    assert capsys.readouterr().out.startswith(f"could not record the end of {run.directory}: ")
    assert read_results(run.directory)["signal"] == "SIGKILL"


def test_log_that_is_a_fifo_is_not_waited_for(run: PlannedRun, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(run, status=Status.RUNNING)
    os.mkfifo(run.directory / "run.log")
    assert finalize_run(run, Status.FAILED, signal="SIGKILL").status == "failed"
    assert capsys.readouterr().out.startswith(f"could not record the end of {run.directory}: ")


@pytest.mark.parametrize("stop_on_error", [False, True])
def test_monitor_numbers_runs_and_stops_at_a_failure_only_with_stop_on_error(
    run: PlannedRun, capsys: pytest.CaptureFixture[str], stop_on_error: bool
) -> None:
    completed = replace(run, directory=run.directory.with_name("completed"))
    write_results(completed, status=Status.COMPLETED, metrics={"val/acc": 0.98765, "test/acc": 0.5, "test/loss": 1.0})
    skipped = replace(run, directory=run.directory.with_name("skipped"))
    write_results(skipped, status=Status.COMPLETED)
    monitor = SweepObserver([run, completed, skipped], stop_on_error, on_launch=lambda: None)
    monitor.on_start(run)
    monitor.on_start(completed)
    assert monitor.on_end(completed, Status.FAILED, error="not recorded")
    assert monitor.on_end(run, Status.FAILED, signal="SIGKILL") != stop_on_error
    monitor.on_skip(skipped)
    assert list(monitor.runs_to_stop()) == []
    assert capsys.readouterr().out == (
        "[1/3] run\n"
        "[2/3] completed\n"
        "[2/3] completed completed val/acc 0.9877  test/acc 0.5\n"
        "[1/3] run failed killed by SIGKILL (out of memory?)\n"
        "[3/3] skipped\n"
        "[3/3] skipped completed by another process; skipped\n"
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"status": Status.COMPLETED}, ""),
        ({"status": Status.FAILED, "error": "ValueError: no"}, "ValueError: no"),
        ({"status": Status.FAILED, "signal": "SIGKILL"}, "killed by SIGKILL (out of memory?)"),
        ({"status": Status.FAILED, "signal": "SIGSEGV"}, "killed by SIGSEGV"),
        ({"status": Status.INTERRUPTED, "signal": "SIGTERM"}, "by SIGTERM"),
        ({"status": Status.INTERRUPTED, "signal": "SIGTERM", "pruned_after_epoch": 2}, "pruned after epoch 2"),
        ({"status": Status.INTERRUPTED, "error": "Slurm: TIMEOUT"}, "Slurm: TIMEOUT"),
        ({"status": Status.RUNNING}, "killed together with its sweep"),
    ],
)
def test_reason_explains_why_a_run_is_not_completed(run: PlannedRun, values: dict[str, Any], expected: str) -> None:
    write_results(run, **values)
    assert reason(run.read_state()) == expected


def test_state_without_results_has_a_label_and_no_metrics(run: PlannedRun) -> None:
    new = run.read_state()
    assert (status_label(new), reason(new), format_metrics(new)) == ("not run", "", "")
    damaged = RunState(Status.DAMAGED, None)
    assert (status_label(damaged), reason(damaged), format_metrics(damaged)) == ("damaged", "", "")
    running = RunState(Status.RUNNING, None)
    assert (status_label(running), reason(running)) == ("running", "by another process")


def test_results_of_a_locked_run_are_not_changed(run: PlannedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(run, status=Status.RUNNING)
    content = (run.directory / "results.json").read_bytes()
    assert acquire(run.directory)
    try:
        with monkeypatch.context() as other_process:
            other_process.setattr("cnn_experiments.runs.lock._acquired", {})
            assert finalize_run(run, Status.FAILED, signal="SIGKILL").status == "running"
    finally:
        release(run.directory)
    assert (run.directory / "results.json").read_bytes() == content


def test_end_that_cannot_be_recorded_is_known_to_the_sweep(
    run: PlannedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(results: RunResults, directory: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RunResults, "save", save)
    observer = SweepObserver([run], stop_on_error=False, on_launch=lambda: None)
    observer.on_start(run)
    assert observer.on_end(run, Status.FAILED, error="process exited with status 1")
    state = observer.states[run.directory]
    assert (state.status, reason(state)) == ("failed", "process exited with status 1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"could not record the end of {run.directory}: No space left on device")
    assert lines[2] == "[1/1] run failed process exited with status 1"


def test_run_that_ends_before_its_start_is_reported_has_its_number(
    run: PlannedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    observer = SweepObserver([run], stop_on_error=False, on_launch=lambda: None)
    assert observer.on_end(run, Status.INTERRUPTED, error="Slurm: CANCELLED")
    assert capsys.readouterr().out == "[1/1] run not run\n"


def test_run_that_was_not_continued_says_why(run: PlannedRun, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(run, status=Status.INTERRUPTED, signal="SIGTERM")
    observer = SweepObserver([run], stop_on_error=False, on_launch=lambda: None)
    observer.on_start(run)
    observer.on_end(run, Status.FAILED, error="seed=2: configuration changed")
    assert capsys.readouterr().out.endswith(
        "[1/1] run interrupted by SIGTERM (it was not continued: seed=2: configuration changed)\n"
    )


def test_failed_run_that_was_rejected_says_why(run: PlannedRun, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(run, status=Status.FAILED, error="ValueError: no")
    observer = SweepObserver([run], stop_on_error=False, on_launch=lambda: None)
    observer.on_start(run)
    observer.on_end(run, Status.FAILED, error="seed=2: configuration changed", is_rejected=True)
    observer.on_end(run, Status.FAILED, error="process exited with status 1")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "[1/1] run failed ValueError: no (it was not continued: seed=2: configuration changed)",
        "[1/1] run failed ValueError: no",
    ]
