"""The cores that this process may use, and those that are free."""

from pathlib import Path

import pytest
import torch

from cnn_experiments.runtime import cpu
from cnn_experiments.runtime.cpu import _CpuTime, compute_threads, free_cores, usable_cores


@pytest.mark.parametrize(("limit", "cores"), [(None, 8), (2.0, 2), (2.9, 2), (0.5, 1), (64.0, 8)])
def test_cores_are_those_of_affinity_and_control_group(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, cores: int
) -> None:
    monkeypatch.setattr(cpu, "_affinity", lambda: set(range(8)))
    monkeypatch.setattr(cpu, "cpu_limit", lambda: limit)
    assert usable_cores() == cores


@pytest.mark.parametrize(
    ("all_programs", "this_process", "free"),
    [(0.0, 0.0, 4), (20.0, 20.0, 4), (20.0, 9.0, 3), (16.0, 0.0, 2), (60.0, 10.0, 1), (14.0, 0.0, 3), (9.0, 10.0, 4)],
)
def test_cores_that_other_programs_use_are_not_free(
    monkeypatch: pytest.MonkeyPatch, all_programs: float, this_process: float, free: int
) -> None:
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    monkeypatch.setattr(cpu, "_affinity", lambda: set(range(4)))
    monkeypatch.setattr(cpu, "_watched_from", _CpuTime(100.0, 1000.0, 50.0))
    now = _CpuTime(110.0, 1000.0 + all_programs, 50.0 + this_process)
    monkeypatch.setattr(_CpuTime, "now", lambda: now)
    assert free_cores() == free


def test_quota_is_free_where_neighbors_leave_that_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "cpu_limit", lambda: 2.0)
    monkeypatch.setattr(cpu, "_affinity", lambda: set(range(64)))
    monkeypatch.setattr(cpu, "_watched_from", _CpuTime(100.0, 1000.0, 50.0))
    monkeypatch.setattr(_CpuTime, "now", lambda: _CpuTime(110.0, 1000.0 + 190.0, 50.0))
    assert free_cores() == 2


def test_cores_are_watched_for_a_moment_if_they_have_not_been(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    monkeypatch.setattr(cpu, "_affinity", lambda: set(range(4)))
    monkeypatch.setattr(cpu, "_watched_from", None)
    monkeypatch.setattr(cpu.time, "sleep", lambda _: None)
    times = iter([_CpuTime(100.0, 1000.0, 50.0), _CpuTime(100.0, 1000.0, 50.0), _CpuTime(100.2, 1000.4, 50.0)])
    monkeypatch.setattr(_CpuTime, "now", lambda: next(times))
    assert free_cores() == 2


def test_all_cores_are_free_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    monkeypatch.setattr(_CpuTime, "now", lambda: None)
    assert free_cores() == 4


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system has no /proc/stat")
def test_time_of_this_process_is_part_of_that_of_all_programs() -> None:
    before = _CpuTime.now()
    sum(range(10_000_000))
    after = _CpuTime.now()
    assert before is not None
    assert after is not None
    own = after.this_process - before.this_process
    assert own > 0
    assert after.all_programs - before.all_programs >= own - 0.05  # ticks of 10 ms


def test_threads_are_those_of_the_block_alone() -> None:
    before = torch.get_num_threads()
    with compute_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
