"""Tests of ranks, and of restoring the process after a run on several devices."""

import os
import subprocess
import sys

import pytest
import torch

from cnn_experiments.runtime.distributed import is_rank_zero, isolated_ddp_environment

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_process_without_ranks_is_rank_zero() -> None:
    assert is_rank_zero()


@pytest.mark.parametrize("name", RANK_VARIABLES)
def test_process_with_another_rank_is_not_rank_zero(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    assert is_rank_zero()
    monkeypatch.setenv(name, "1")
    assert not is_rank_zero()


def test_command_line_and_changed_variables_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    argv, environment = sys.argv, dict(os.environ)

    def run() -> None:
        with isolated_ddp_environment(["program", "model=lenet"]):
            assert sys.argv == ["program", "model=lenet"]
            os.environ["MASTER_PORT"] = "2"
            os.environ["LOCAL_RANK"] = "0"
            del os.environ["WORLD_SIZE"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert sys.argv is argv
    assert dict(os.environ) == environment


def test_environment_is_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(os.environ), "clear", None)  # other threads would see the empty environment
    environment = dict(os.environ)
    with isolated_ddp_environment(["program"]):
        os.environ["MASTER_PORT"] = "2"
    assert dict(os.environ) == environment


def test_process_group_is_destroyed() -> None:
    with isolated_ddp_environment(["program"]):
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("module", ["distributed", "signals"])
def test_module_imports_no_torch(module: str) -> None:
    program = f"import sys, cnn_experiments.runtime.{module}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"False\n"


def test_torch_is_not_imported_to_leave_the_environment() -> None:
    program = """
import sys
from cnn_experiments.runtime.distributed import isolated_ddp_environment
with isolated_ddp_environment(["program"]):
    pass
print("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"False\n"
