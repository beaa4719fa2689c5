"""Tests of resource shares, variables and exit codes; tests/sweep/test_sweep.py tests the processes."""

import os
from pathlib import Path

import pytest

from cnn_experiments.runs.status import Status
from cnn_experiments.sweep.executors.local import (
    ResourceShare,
    _redirect_output,
    _without_rank,
    describe_exit_code,
    split_resources,
)


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


def test_rank_of_the_sweep_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rank = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with _without_rank():
        assert dict(os.environ) == {name: value for name, value in before.items() if name not in rank}
    assert dict(os.environ) == before
