"""Limits of Linux's control groups."""

from itertools import pairwise
from pathlib import Path

import pytest

from cnn_experiments.runtime import control_group


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(control_group, "_ROOT", tmp_path)
    monkeypatch.setattr(control_group, "_groups", lambda: [tmp_path / "job" / "step", tmp_path / "job", tmp_path])
    (tmp_path / "job" / "step").mkdir(parents=True)
    return tmp_path


def test_no_files_are_no_limits(root: Path) -> None:
    limits = control_group.cpu_limit(), control_group.memory_limit(), control_group.free_memory()
    assert limits == (None, None, None)


def test_smallest_limit_of_all_groups_counts(root: Path) -> None:
    (root / "job" / "step" / "cpu.max").write_text("max 100000\n")
    (root / "job" / "cpu.max").write_text("250000 100000\n")
    (root / "job" / "step" / "memory.max").write_text("max\n")
    (root / "job" / "memory.max").write_text("8000\n")
    (root / "memory.max").write_text("9000\n")
    assert (control_group.cpu_limit(), control_group.memory_limit()) == (2.5, 8000)


def test_limits_of_version_1_count(root: Path) -> None:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    (root / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (root / "memory").mkdir()
    (root / "memory" / "memory.limit_in_bytes").write_text("7000\n")
    assert (control_group.cpu_limit(), control_group.memory_limit()) == (1.5, 7000)


def test_quota_of_minus_one_is_no_limit(root: Path) -> None:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (root / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert control_group.cpu_limit() is None


def test_pages_that_can_be_dropped_are_free(root: Path) -> None:
    (root / "job" / "memory.max").write_text("8000\n")
    (root / "job" / "memory.current").write_text("6000\n")
    (root / "job" / "memory.stat").write_text("anon 4500\ninactive_file 1500\n")
    assert control_group.free_memory() == 3500


def test_own_group_and_those_around_it_are_read() -> None:
    groups = control_group._groups()
    assert groups[-1] == Path("/sys/fs/cgroup")
    assert all(inner.parent == outer for inner, outer in pairwise(groups))
