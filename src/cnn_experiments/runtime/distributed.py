"""The processes that train one run together: which of them this is, and what Lightning leaves behind in it."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def is_rank_zero() -> bool:
    """Return whether this is the first process of a run, by the variables that torchrun, Lightning and Slurm set."""
    return all(os.environ.get(name, "0") == "0" for name in _RANK_VARIABLES)


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
