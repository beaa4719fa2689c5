"""What every program of this comparison trains: the same network on as many images of the same size."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from step_clock import StepClock
from torch import nn

NUM_IMAGES = 60_000
"""Training images of Fashion-MNIST."""
NUM_WARMUP_STEPS = 20


@dataclass(frozen=True)
class Workload:
    """A training to measure."""

    network: dict[str, Any]
    """The class of the network and its arguments, as in conf/model."""
    size: int | None
    """Pixels per side to which images are resized; None keeps their 28."""
    batch_size: int
    num_warmup_steps: int
    num_steps: int
    data_root: str
    """The directory that torchvision reads Fashion-MNIST from."""

    @property
    def batches_per_epoch(self) -> int:
        """Return the number of batches, of which the last one may be smaller."""
        return math.ceil(NUM_IMAGES / self.batch_size)

    def build_network(self) -> nn.Module:
        """Return the network, one of this package's, as all programs train the same."""
        arguments = dict(self.network)
        module, _, name = arguments.pop("_target_").rpartition(".")
        return getattr(import_module(module), name)(**arguments)

    def new_clock(self) -> StepClock:
        """Return a clock that is finished after the last step."""
        return StepClock(self.num_warmup_steps, self.num_steps)


def workload_of(
    overrides: Sequence[str], data_root: str, num_warmup_steps: int = NUM_WARMUP_STEPS, num_steps: int | None = None
) -> Workload:
    """Return what a command of this program with these overrides trains.

    By default, as many steps are timed as an epoch has: from within the first epoch to the same place in the second
    one. These contain all that an epoch costs, whatever happens between two epochs too.
    """
    from cnn_experiments.config.composed import ComposedConfig  # here, because others need not wait for this import

    settings = ComposedConfig.from_overrides(*overrides).settings
    data = settings["data"]
    if num_steps is None:
        num_steps = num_warmup_steps + math.ceil(NUM_IMAGES / data["batch_size"])
    return Workload(settings["model"], data["resize"], data["batch_size"], num_warmup_steps, num_steps, data_root)


def read_workload(arguments: Sequence[str]) -> Workload:
    """Return the workload of a command line: a workload in JSON, or overrides such as `model=densenet`."""
    if arguments and arguments[0].startswith("{"):
        return Workload(**json.loads(arguments[0]))
    return workload_of(arguments, "data")
