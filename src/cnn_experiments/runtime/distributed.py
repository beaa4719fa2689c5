"""The further processes that Lightning starts for a run on several devices."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def processes_of_a_job(command: Sequence[str]) -> Iterator[None]:
    """Lightning's further processes repeat `command` instead of the whole sweep, and leave no trace for the next job.

    Lightning starts them with the command line of this process, and takes their environment variables, which it leaves
    behind, for a sign that they are running already.
    """
    arguments, environment = sys.argv, dict(os.environ)
    sys.argv = list(command)
    try:
        yield
    finally:
        sys.argv = arguments
        os.environ.clear()
        os.environ.update(environment)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
