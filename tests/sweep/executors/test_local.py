"""Tests of the local executor with stubs of runs; tests/sweep/test_sweep.py tests real ones."""

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.distributed import RANK_VARIABLES
from cnn_experiments.sweep.executors import local
from cnn_experiments.sweep.executors.allocation import DemandAllocation
from cnn_experiments.sweep.executors.local import (
    LocalExecutor,
    _redirect_output,
    _RunningProcess,
    _without_rank,
    describe_exit_code,
)
from cnn_experiments.sweep.plan import PlannedRun


@pytest.mark.parametrize(
    ("usable", "threads", "free", "busy"),
    [(2, 2, 2, 0), (2, 2, 1, 1), (8, 8, 5, 3), (8, 2, 5, 0), (8, 4, 1, 3), (1, 1, 1, 0)],
)
def test_cores_that_other_programs_use_are_those_that_are_missing(
    monkeypatch: pytest.MonkeyPatch, usable: int, threads: int, free: int, busy: int
) -> None:
    monkeypatch.setattr("cnn_experiments.sweep.demand.usable_cores", lambda: usable)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(local, "free_cores", lambda: free)
    allocation = LocalExecutor("auto")._allocation([])
    assert isinstance(allocation, DemandAllocation)
    assert (allocation.machine.cores, allocation.machine.busy_cores) == (min(usable, threads), busy)


class StubObserver:
    """An observer that records the ends of runs.

    Args:
        continues: whether the sweep continues after a run has ended.
        poll_error: what is raised when the executor asks which runs are to stop.
        end_error: what is raised after an end is recorded.
    """

    def __init__(
        self, *, continues: bool = True, poll_error: Exception | None = None, end_error: Exception | None = None
    ) -> None:
        self.ends: list[tuple[str, Status, str | None]] = []
        self._continues = continues
        self._poll_error = poll_error
        self._end_error = end_error

    def on_launch(self) -> None: ...

    def on_start(self, run: PlannedRun) -> None: ...

    def on_skip(self, run: PlannedRun) -> None:
        raise AssertionError("no other process works on the runs")

    def on_end(
        self,
        run: PlannedRun,
        status: Status,
        *,
        error: str | None = None,
        signal: str | None = None,
        is_rejected: bool = False,
    ) -> bool:
        self.ends.append((run.directory.name, status, error or signal))
        if self._end_error:
            raise self._end_error
        return self._continues

    def runs_to_stop(self) -> list[PlannedRun]:
        if self._poll_error:
            raise self._poll_error
        return []


def wait_for_signal(*_: object) -> None:
    signal.pause()


def exit_at_once(*_: object) -> None:
    os._exit(7)


def make_executor(monkeypatch: pytest.MonkeyPatch, work: Callable[..., None]) -> LocalExecutor:
    """Return an executor of two runs at once, whose processes do some other work."""
    monkeypatch.setattr(local, "_run", work)
    monkeypatch.setattr(LocalExecutor, "warm_up", lambda _: None)
    executor = LocalExecutor(2)
    executor._context = multiprocessing.get_context("fork")
    return executor


def make_runs(sweep: Path, count: int) -> list[PlannedRun]:
    settings = {"seed": 1, "retry_failed": False, "trainer": {"devices": 1, "num_nodes": 1}}
    config = SimpleNamespace(run_id="0", settings=settings, starts_over=False, overrides=[], hydra_overrides=[])
    return [PlannedRun(cast(ComposedConfig, config), sweep / f"run{number}") for number in range(count)]


def test_error_of_the_observer_is_raised_after_all_runs_have_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    observer = StubObserver(poll_error=ZeroDivisionError("first"), end_error=ZeroDivisionError("second"))
    executor = make_executor(monkeypatch, wait_for_signal)
    with pytest.raises(ZeroDivisionError, match="first"):
        executor.run(make_runs(tmp_path, 3), observer)
    assert executor._running == {}
    assert sorted(observer.ends) == [(run, "interrupted", "SIGTERM") for run in ("run0", "run1")]
    assert list(tmp_path.rglob(".plan.json")) == []


def test_run_whose_end_follows_an_error_of_the_observer_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    observer = StubObserver(end_error=ZeroDivisionError("first"))
    with pytest.raises(ZeroDivisionError, match="first"):
        make_executor(monkeypatch, exit_at_once).run(make_runs(tmp_path, 2), observer)
    assert sorted(run for run, *_ in observer.ends) == ["run0", "run1"]
    assert list(tmp_path.rglob(".plan.json")) == []


@pytest.mark.parametrize(("continues", "num_ends"), [(False, 1), (True, 3)])
def test_run_that_cannot_begin_stops_the_sweep_if_the_observer_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, continues: bool, num_ends: int
) -> None:
    runs = make_runs(tmp_path, 3)
    for run in runs:
        run.directory.mkdir()
        (run.directory / "checkpoints").symlink_to(tmp_path)
    observer = StubObserver(continues=continues)
    make_executor(monkeypatch, exit_at_once).run(runs, observer)
    assert observer.ends == [
        (run.directory.name, "failed", f"{run.directory}/checkpoints must be a directory, not a link")
        for run in runs[:num_ends]
    ]


def test_run_that_cannot_begin_stops_those_that_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = make_runs(tmp_path, 3)
    runs[1].directory.mkdir()
    (runs[1].directory / "checkpoints").symlink_to(tmp_path)
    observer = StubObserver(continues=False)
    make_executor(monkeypatch, wait_for_signal).run(runs, observer)
    assert [(run, status) for run, status, _ in observer.ends] == [("run1", "failed"), ("run0", "interrupted")]


@pytest.mark.parametrize(
    ("exit_code", "description"),
    [
        (-9, {"status": Status.FAILED, "signal": "SIGKILL"}),
        (-15, {"status": Status.INTERRUPTED, "signal": "SIGTERM"}),
        (130, {"status": Status.INTERRUPTED, "signal": "SIGINT"}),
        (137, {"status": Status.FAILED, "signal": "SIGKILL"}),
        (7, {"status": Status.FAILED, "error": "process exited with status 7"}),
        (0, {"status": Status.FAILED, "error": "process exited with status 0"}),
    ],
)
def test_exit_code_determines_status_and_reason(exit_code: int, description: dict[str, object]) -> None:
    assert describe_exit_code(exit_code) == description


@pytest.mark.parametrize("is_fifo", [True, False])
def test_output_is_not_redirected_into_a_foreign_file(tmp_path: Path, is_fifo: bool) -> None:
    (tmp_path / "mine").write_text("mine")
    if is_fifo:
        os.mkfifo(tmp_path / "console.log")
    else:
        (tmp_path / "console.log").symlink_to("mine")
    with pytest.raises(OSError, match=r"console\.log"):
        _redirect_output(tmp_path / "console.log")
    assert (tmp_path / "mine").read_text() == "mine"


def test_every_variable_that_tells_a_rank_is_kept_from_runs() -> None:
    assert sorted(RANK_VARIABLES) == [
        *("GROUP_RANK", "GROUP_WORLD_SIZE", "JSM_NAMESPACE_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR"),
        *(
            "MASTER_PORT",
            "NODE_RANK",
            "RANK",
            "ROLE_RANK",
            "ROLE_WORLD_SIZE",
            "SLURM_LOCALID",
            "SLURM_NODEID",
            "SLURM_NTASKS",
        ),
        *("SLURM_NTASKS_PER_NODE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "TORCHELASTIC_RUN_ID", "WORLD_SIZE"),
    ]


def test_group_of_an_ended_process_that_refuses_a_signal_does_not_stop_the_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(pid: int, signum: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refuse)
    executor = LocalExecutor(1)
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,))
    process.start()
    run = PlannedRun(cast(ComposedConfig, SimpleNamespace()), tmp_path)
    executor._running[process.sentinel] = _RunningProcess(process, run)
    assert list(executor._collect_ended()) == [(run, 7)]


def test_rank_of_the_sweep_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rank = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with _without_rank():
        assert dict(os.environ) == {name: value for name, value in before.items() if name not in rank}
    assert dict(os.environ) == before
