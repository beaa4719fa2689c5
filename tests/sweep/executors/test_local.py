"""Tests of resource shares, variables and exit codes; tests/sweep/test_sweep.py tests the processes."""

import errno
import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.distributed import RANK_VARIABLES
from cnn_experiments.sweep.executors.local import (
    LocalExecutor,
    ResourceShare,
    _redirect_output,
    _RunningProcess,
    _without_rank,
    describe_exit_code,
    split_resources,
)
from cnn_experiments.sweep.plan import PlannedRun


@pytest.mark.parametrize(
    ("jobs", "threads", "gpus", "shares"),
    [
        (2, 2, [], [ResourceShare(1, ()), ResourceShare(1, ())]),
        (2, 16, ["0", "1", "2", "3"], [ResourceShare(8, ("0", "2")), ResourceShare(8, ("1", "3"))]),
        (
            4,
            16,
            ["5", "7"],
            [ResourceShare(4, ("5",)), ResourceShare(4, ("7",)), ResourceShare(4, ("5",)), ResourceShare(4, ("7",))],
        ),
        (3, 2, ["0"], [ResourceShare(1, ("0",))] * 3),
        (1, 8, ["0", "1"], [ResourceShare(8, ("0", "1"))]),
    ],
)
def test_threads_and_gpus_are_divided(jobs: int, threads: int, gpus: list[str], shares: list[ResourceShare]) -> None:
    assert split_resources(jobs, threads, gpus) == shares


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
        *("GROUP_RANK", "GROUP_WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
        *("NODE_RANK", "RANK", "ROLE_RANK", "ROLE_WORLD_SIZE", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS"),
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
    executor._running[process.sentinel] = _RunningProcess(process, run, 0)
    assert executor._collect_ended() == [(run, 7)]


def test_rank_of_the_sweep_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rank = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with _without_rank():
        assert dict(os.environ) == {name: value for name, value in before.items() if name not in rank}
    assert dict(os.environ) == before
