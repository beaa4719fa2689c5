"""Tests of ranks, and of restoring the process after a run on several devices."""

import os
import subprocess
import sys

import pytest
import torch
from lightning.fabric.utilities.rank_zero import _get_rank

from cnn_experiments.errors import ConfigError
from cnn_experiments.runtime.distributed import (
    check_launch,
    check_rank_variables,
    check_sweep_launch,
    is_rank_zero,
    isolated_ddp_environment,
    no_launcher,
    num_processes,
)

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
SINGLE = {"devices": 1, "num_nodes": 1}
PAIR = {"devices": 2, "num_nodes": 1}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
SRUN = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_JOB_NAME": "train"}


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*RANK_VARIABLES, *TORCHRUN, *SRUN):
        monkeypatch.delenv(name, raising=False)


def set_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_number_of_processes_follows_from_the_trainer() -> None:
    assert num_processes({"devices": [0, 2, 3], "num_nodes": 2}) == 6
    assert num_processes(PAIR) == 2


def test_process_without_ranks_is_rank_zero() -> None:
    assert is_rank_zero(SINGLE)
    assert is_rank_zero(PAIR)


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN, {"LOCAL_RANK": "1"}, {"NODE_RANK": "1"}])
def test_process_follows_only_if_the_trainer_has_several(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    set_variables(monkeypatch, variables)
    assert is_rank_zero(SINGLE)
    assert not is_rank_zero(PAIR)
    set_variables(monkeypatch, dict.fromkeys(set(variables) & set(RANK_VARIABLES), "0"))
    assert is_rank_zero(PAIR)


def test_leftover_rank_of_another_launcher_makes_no_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")  # without TORCHELASTIC_RUN_ID
    monkeypatch.setenv("SLURM_PROCID", "1")  # without SLURM_NTASKS
    assert is_rank_zero(PAIR)


@pytest.mark.parametrize(
    ("variables", "trainer", "names_directory", "line"),
    [
        (TORCHRUN, PAIR, True, None),
        (SRUN, PAIR, True, None),
        (SRUN, SINGLE, False, None),  # runs of their own
        ({}, PAIR, False, None),
        (
            TORCHRUN,
            PAIR,
            False,
            "hydra.run.dir: must be given with torchrun: all processes of the run need the same directory",
        ),
        (
            TORCHRUN,
            SINGLE,
            True,
            "trainer.devices=1: times trainer.num_nodes must be 2, the number of processes that torchrun started",
        ),
        (
            SRUN | {"SLURM_NTASKS": "4"},
            PAIR,
            True,
            "trainer.devices=2: times trainer.num_nodes must be 4, the number of processes that srun started",
        ),
        (
            {},
            {"devices": 1, "num_nodes": 2},
            False,
            "hydra.run.dir: must be given with trainer.num_nodes > 1: all processes of the run need the same directory",
        ),
    ],
)
def test_started_processes_must_be_those_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    trainer: dict[str, int],
    names_directory: bool,
    line: str | None,
) -> None:
    set_variables(monkeypatch, variables)
    if line is None:
        check_launch(trainer, names_directory=names_directory)
        return
    with pytest.raises(ConfigError) as error:
        check_launch(trainer, names_directory=names_directory)
    assert str(error.value) == line


def test_several_nodes_must_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    nodes = {"devices": 1, "num_nodes": 2}
    with pytest.raises(ConfigError) as error:
        check_launch(nodes, names_directory=True)
    assert str(error.value) == (
        "trainer.num_nodes=2: must be 1 without torchrun, srun or the variables MASTER_ADDR and NODE_RANK of every node"
    )
    monkeypatch.setenv("NODE_RANK", "1")
    with pytest.raises(ConfigError, match=r"^trainer\.num_nodes=2: must be 1 without"):
        check_launch(nodes, names_directory=True)
    monkeypatch.setenv("MASTER_ADDR", "node0")
    check_launch(nodes, names_directory=True)


def test_sweep_cannot_be_started_by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    check_sweep_launch()
    set_variables(monkeypatch, TORCHRUN)
    with pytest.raises(ConfigError, match=r"^-m: can't be combined with torchrun"):
        check_sweep_launch()


def test_every_variable_is_checked_that_lightning_reads_as_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    (names,) = (constant for constant in _get_rank.__code__.co_consts if isinstance(constant, tuple))
    assert names[0] == "RANK"
    for name in names:
        with monkeypatch.context() as environment:
            environment.setenv(name, "x")
            with pytest.raises(ConfigError, match=rf"^{name}=x: must be an integer"):
                check_rank_variables()


@pytest.mark.parametrize("value", ["x", "-1", "1.5", ""])
def test_rank_must_be_an_integer(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RANK", value)
    with pytest.raises(ConfigError) as error:
        check_rank_variables()
    assert str(error.value) == f"RANK={value}: must be an integer >= 0 (an environment variable); unset it"


@pytest.mark.parametrize("job_name", ["train", None])
def test_tasks_of_srun_with_a_single_process_are_hidden_from_lightning(
    monkeypatch: pytest.MonkeyPatch, job_name: str | None
) -> None:
    set_variables(monkeypatch, SRUN)
    if job_name is None:
        monkeypatch.delenv("SLURM_JOB_NAME")
    with no_launcher(SINGLE):
        assert os.environ["SLURM_JOB_NAME"] == "interactive"
    assert os.environ.get("SLURM_JOB_NAME") == job_name
    with no_launcher(PAIR):
        assert os.environ.get("SLURM_JOB_NAME") == job_name


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
