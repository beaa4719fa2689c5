"""What a run needs of this machine, and what the machine has."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cnn_experiments.runtime.cpu import usable_cores
from cnn_experiments.runtime.distributed import processes_per_node
from cnn_experiments.sweep.plan import PlannedRun

_NEARLY_BEST = 0.92
"""Of the images per second that are possible with the whole machine, for which a run has more threads."""
_PROCESS_BYTES = 2**30
"""Of a process besides its network: the libraries, and the batches of a small network."""
_MEMORY_FACTOR = 2.0
"""A training of DenseNet at 96 pixels needs 1.9 times the least: gradients of activations, buffers of kernels."""
_USED_SHARE_OF_MEMORY = 0.9


@dataclass(frozen=True)
class Machine:
    """What runs share."""

    cores: int
    memory_bytes: int
    """That is available before the first run."""
    gpus: tuple[str, ...]
    """As CUDA_VISIBLE_DEVICES names them."""
    busy_cores: int = 0
    """That other programs use, at most all but one. Runs share all cores with them, but no run has more threads than
    there are others."""

    @property
    def max_threads(self) -> int:
        """Return the most threads of a run: threads that wait for one whose core is busy lose much of their time."""
        return self.cores - self.busy_cores

    @classmethod
    def here(cls) -> "Machine":
        """Return what this process may use of its machine now."""
        import torch

        from cnn_experiments.runtime.memory import available_memory

        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
        return cls(
            cores=min(usable_cores(), torch.get_num_threads()),  # OMP_NUM_THREADS
            memory_bytes=int(_USED_SHARE_OF_MEMORY * available_memory()),
            gpus=tuple(gpus[: torch.cuda.device_count()]),
        )


@dataclass(frozen=True)
class Demand:
    """What a run needs, whatever else runs, so that its figures do not depend on the sweep it is in."""

    threads: int
    """Of all processes of the run."""
    memory_bytes: int
    gpus: int
    max_parallel: int
    """How many such runs the machine can hold at once."""
    speed_with_max_threads: float | None
    """How many times as fast it is with all free cores as with one; None if that was not measured."""


class Demands:
    """What runs need; runs that differ in their seeds or their learning rates alone need the same.

    Args:
        machine: that they share.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._known: dict[str, Demand] = {}

    def of(self, run: PlannedRun) -> Demand:
        """Return what a run needs; its steps are timed, unless they have been before.

        A run that goes on has as many threads as before, because their number changes the last digits of results.
        """
        optimizer = run.config.settings["optimizer"]
        key = f"{run.cost_key} {optimizer.get('_target_')} {optimizer.get('momentum')}"
        if key not in self._known:
            self._known[key] = _demand_of(run.config.settings, self._machine)
        results = run.read_state().results
        if results is None or results.threads is None or results.epochs == 0:
            return self._known[key]
        return replace(self._known[key], threads=min(results.threads, self._machine.cores))


def _demand_of(settings: Mapping[str, Any], machine: Machine) -> Demand:
    from cnn_experiments.training.build import build_data, build_trainer_alone
    from cnn_experiments.training.execution import thread_speeds
    from cnn_experiments.training.memory_estimate import least_training_memory
    from cnn_experiments.training.preflight import build_and_probe

    data = build_data(settings)
    num_images = data.num_images_per_epoch + data.val_size + data.num_test_images
    num_processes = processes_per_node(settings["trainer"])
    process_bytes = num_processes * (_PROCESS_BYTES + num_images * data.channels * data.native_size**2)
    device = build_trainer_alone(settings).strategy.root_device.type
    if device == "cuda" and machine.gpus:
        gpus = min(num_processes, len(machine.gpus))
        max_parallel = len(machine.gpus) // gpus
        return Demand(max(1, machine.cores // max_parallel), process_bytes, gpus, max_parallel, None)
    least = least_training_memory(settings, data, build_and_probe(settings, data))
    memory = process_bytes + int(_MEMORY_FACTOR * least.total)
    is_known = device == "cpu" and num_processes == 1 and least.activations is not None
    alone = Demand(machine.cores, memory, 0, 1, None)
    if not is_known:
        return alone
    try:
        speeds = thread_speeds(settings, machine.max_threads)
    except Exception:  # of somebody's own network; its run fails, and the others do not
        return alone
    max_by_memory = max(1, machine.memory_bytes // memory)
    threads = best_threads(speeds.by_threads, machine.cores, max_by_memory)
    speed = speeds.by_threads[machine.max_threads] if speeds.is_measured else None
    return Demand(threads, memory, 0, min(machine.cores // threads, max_by_memory), speed)


def best_threads(speeds: Mapping[int, float], cores: int, max_by_memory: int) -> int:
    """Return the number of threads of a run with which a machine full of such runs trains nearly the most images.

    Of several numbers that are nearly as good, it is the largest: each run ends earlier, and fewer need memory at once.

    Args:
        speeds: of a run by its number of threads.
        cores: of the machine.
        max_by_memory: how many runs its memory holds.
    """
    throughputs = {threads: min(cores // threads, max_by_memory) * speed for threads, speed in speeds.items()}
    needed = _NEARLY_BEST * max(throughputs.values())
    return max(threads for threads, throughput in throughputs.items() if throughput >= needed)
