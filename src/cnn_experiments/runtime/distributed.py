"""The processes that train one run together: which of them this is, and what Lightning leaves behind in it."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cnn_experiments.errors import ConfigError

_INTEGER_VARIABLES = (
    "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID",
    "JSM_NAMESPACE_RANK",
)  # fmt: skip
"""What Lightning reads as an integer when it is imported or chooses its processes."""

RANK_VARIABLES = (
    *_INTEGER_VARIABLES,
    *("ROLE_RANK", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("TORCHELASTIC_RUN_ID", "SLURM_NODEID", "SLURM_NTASKS_PER_NODE", "SLURM_STEP_NUM_TASKS"),
)
"""What torchrun and Slurm tell a process of its place among others."""


@dataclass(frozen=True)
class Launch:
    """How several processes were started of which this is one."""

    launcher: str
    """`torchrun`, `srun`, or `Lightning`, which starts the processes of a node itself."""
    rank: int
    num_processes: int | None
    """How many were started; None if only Lightning knows."""


def num_processes(trainer: Mapping[str, Any]) -> int:
    """Return how many processes train a run together, by its settings of the Trainer."""
    devices = trainer["devices"]
    return (len(devices) if isinstance(devices, list) else int(devices)) * int(trainer["num_nodes"])


def processes_per_node(trainer: Mapping[str, Any]) -> int:
    """Return how many of these processes are on one machine."""
    return num_processes(trainer) // int(trainer["num_nodes"])


def find_launch() -> Launch | None:
    """Return how this process was started if something started several, by the variables that Lightning reads too."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return Launch("torchrun", _read("RANK"), _read("WORLD_SIZE", 1))
    is_interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if _read("SLURM_NTASKS", 1) > 1 and not is_interactive:
        return Launch("srun", _read("SLURM_PROCID"), _read("SLURM_NTASKS"))
    rank = max(_read("LOCAL_RANK"), _read("NODE_RANK", _read("GROUP_RANK")))
    return Launch("Lightning", rank, None) if rank else None


def is_started_by_lightning() -> bool:
    """Return whether Lightning has started this process as another one of a run.

    Raises:
        ConfigError: a variable that tells is no integer.
    """
    check_rank_variables()
    launch = find_launch()
    return launch is not None and launch.launcher == "Lightning"


def is_rank_zero(trainer: Mapping[str, Any]) -> bool:
    """Return whether this is the first process of a run, which alone writes.

    A run whose Trainer has a single process is never the follower of another one, whatever variables are set: `RANK`
    may be left over from something else, and the tasks of `srun` may be runs of their own.
    """
    launch = find_launch() if num_processes(trainer) > 1 else None
    return launch is None or launch.rank == 0


def check_launch(trainer: Mapping[str, Any], *, names_directory: bool) -> None:
    """Check that the processes that were started are those of the run.

    Args:
        trainer: the settings of the Trainer.
        names_directory: whether the command names the run's directory, so that all processes know it.

    Raises:
        ConfigError: their number is wrong, or each would have a directory of its own.
    """
    count, launch = num_processes(trainer), find_launch()
    if int(trainer["num_nodes"]) > 1 and not names_directory:
        problem = "must be given with trainer.num_nodes > 1: all processes of the run need the same directory"
        raise ConfigError("hydra.run.dir", problem=problem)
    has_launcher = launch is not None and launch.launcher != "Lightning"
    if int(trainer["num_nodes"]) > 1 and not has_launcher and "MASTER_ADDR" not in os.environ:
        problem = "must be 1 without torchrun, srun or the variables MASTER_ADDR and NODE_RANK of every node"
        raise ConfigError("trainer.num_nodes", trainer["num_nodes"], problem=problem)
    if launch is None or (launch.launcher != "torchrun" and count == 1):
        return
    if launch.num_processes is not None and launch.num_processes != count:
        problem = (
            f"times trainer.num_nodes must be {launch.num_processes}, the number of processes that {launch.launcher} "
            "started"
        )
        raise ConfigError("trainer.devices", trainer["devices"], problem=problem)
    if launch.rank >= count:
        problem = f"must be below {count}, the number of processes of the run (an environment variable)"
        raise ConfigError("rank", launch.rank, problem=problem)
    if count > 1 and not names_directory:
        problem = f"must be given with {launch.launcher}: all processes of the run need the same directory"
        raise ConfigError("hydra.run.dir", problem=problem)


def check_sweep_launch() -> None:
    """Check that a sweep was not started several times.

    Raises:
        ConfigError: torchrun started it.
    """
    launch = find_launch()
    if launch is not None and launch.launcher == "torchrun":
        raise ConfigError("-m", problem="can't be combined with torchrun; each run of a sweep starts its own processes")


def check_rank_variables() -> None:
    """Check the variables that Lightning reads when it is imported.

    Raises:
        ConfigError: one is no integer.
    """
    for name in _INTEGER_VARIABLES:
        value = os.environ.get(name)
        if value is not None and not value.isdecimal():
            raise ConfigError(name, value, problem="must be an integer >= 0 (an environment variable); unset it")


def _read(name: str, default: int = 0) -> int:
    return int(os.environ.get(name, default))


@contextmanager
def no_launcher(trainer: Mapping[str, Any]) -> Iterator[None]:
    """Keep Lightning from taking a Trainer with a single process for one of several tasks of `srun`."""
    launch = find_launch()
    if launch is None or launch.launcher != "srun" or num_processes(trainer) > 1:
        yield
        return
    name = os.environ.get("SLURM_JOB_NAME")
    os.environ["SLURM_JOB_NAME"] = "interactive"  # Lightning's own way to say so
    try:
        yield
    finally:
        del os.environ["SLURM_JOB_NAME"]
        if name is not None:
            os.environ["SLURM_JOB_NAME"] = name


@contextmanager
def isolated_ddp_environment(command: Sequence[str]) -> Iterator[None]:
    """Let Lightning's subprocesses execute `command`, and undo afterwards what Lightning changed in this process.

    Lightning starts the other processes of a run with `sys.argv` of this one, which may be the command of a whole
    sweep. The environment variables that it sets would make the next run assume that its processes are running already.
    On exit `sys.argv` and the changed environment variables are restored, and the process group is destroyed.
    """
    argv, environment = sys.argv, dict(os.environ)
    sys.argv = list(command)
    try:
        yield
    finally:
        sys.argv = argv
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})
        distributed = sys.modules.get("torch.distributed")  # without that import there is no process group
        if distributed is not None and distributed.is_initialized():
            distributed.destroy_process_group()
