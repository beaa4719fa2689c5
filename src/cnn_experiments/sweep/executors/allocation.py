"""Which of the runs at the same time computes where: CPU threads, GPUs and memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cnn_experiments.sweep.demand import Demand, Machine
from cnn_experiments.sweep.plan import PlannedRun


@dataclass(frozen=True)
class ResourceShare:
    """What a run may use of the machine: CPU threads, and GPUs as CUDA_VISIBLE_DEVICES names them."""

    threads: int
    gpus: tuple[str, ...]


class Allocation(Protocol):
    """Gives runs their shares of the machine."""

    max_parallel: int
    """How many runs can have one at once."""

    @property
    def may_have_room(self) -> bool:
        """Return False if no run could start now, whichever it is."""

    def take(self, run: PlannedRun) -> ResourceShare | None:
        """Return the share of a run that is about to start, or None if it has to wait until another ends."""

    def give_back(self, run: PlannedRun) -> None:
        """Note that a run has ended, or was not started."""


def split_machine(jobs: int, machine: Machine) -> list[ResourceShare]:
    """Divide the machine among runs that run at the same time. If there are fewer GPUs than runs, some share one."""
    gpus = machine.gpus
    gpus_of_jobs = [tuple(gpus[job % len(gpus) :: jobs]) if gpus else () for job in range(jobs)]
    return [ResourceShare(max(1, machine.cores // jobs), gpus_of_job) for gpus_of_job in gpus_of_jobs]


class FixedAllocation:
    """As many runs at once as there are shares.

    Shares are fixed, also for the last runs or those left of an interrupted sweep: the number of threads changes the
    last digits of results.
    """

    def __init__(self, shares: Sequence[ResourceShare]) -> None:
        self.max_parallel = len(shares)
        self._free = list(shares)
        self._taken: dict[Path, ResourceShare] = {}

    @property
    def may_have_room(self) -> bool:
        """Return whether a share is free."""
        return bool(self._free)

    def take(self, run: PlannedRun) -> ResourceShare | None:
        """Return the first share that is free."""
        if not self._free:
            return None
        self._taken[run.directory] = self._free.pop(0)
        return self._taken[run.directory]

    def give_back(self, run: PlannedRun) -> None:
        """Let another run have the share."""
        self._free.insert(0, self._taken.pop(run.directory))


class DemandAllocation:
    """As many runs at once as the machine has cores, memory and GPUs for.

    A run has the share that it needs, whatever runs beside it, and one that needs more than the machine has runs alone.

    Args:
        machine: that the runs share.
        demands: what each run needs.
    """

    def __init__(self, machine: Machine, demands: Iterable[tuple[PlannedRun, Demand]]) -> None:
        self.machine = machine
        self._demands = {run.directory: demand for run, demand in demands}
        self._taken: dict[Path, ResourceShare] = {}
        self.max_parallel = min(
            max((demand.max_parallel for demand in self._demands.values()), default=1),
            len(self._demands),
        )

    @property
    def may_have_room(self) -> bool:
        """Return whether a core or a GPU is free."""
        return self._num_free_cores() > 0 or bool(self._free_gpus())

    def take(self, run: PlannedRun) -> ResourceShare | None:
        """Return the threads that a run needs, and GPUs that no other run has."""
        demand = self._demands[run.directory]
        free_gpus = self._free_gpus()
        used_bytes = sum(self._demands[directory].memory_bytes for directory in self._taken)
        has_processor = demand.gpus <= len(free_gpus) if demand.gpus else demand.threads <= self._num_free_cores()
        has_memory = used_bytes + demand.memory_bytes <= self.machine.memory_bytes
        if self._taken and not (has_processor and has_memory):
            return None
        share = ResourceShare(demand.threads, tuple(free_gpus[: demand.gpus]))
        self._taken[run.directory] = share
        return share

    def give_back(self, run: PlannedRun) -> None:
        """Let other runs have what this one needed."""
        del self._taken[run.directory]

    def _num_free_cores(self) -> int:
        """Return the number of cores with which no run trains; those of runs on GPUs only prepare batches."""
        return self.machine.cores - sum(share.threads for share in self._taken.values() if not share.gpus)

    def _free_gpus(self) -> list[str]:
        used = {gpu for share in self._taken.values() for gpu in share.gpus}
        return [gpu for gpu in self.machine.gpus if gpu not in used]

    def describe(self, runs: Iterable[PlannedRun]) -> str:
        """Return how many runs of each network run at once, with how many threads, and why."""
        networks: dict[str, list[str]] = {}
        for run in runs:
            reason = _describe(self._demands[run.directory], self.machine)
            names = networks.setdefault(reason, [])
            if (name := run.config.choices["model"]) not in names:
                names.append(name)
        return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in networks.items())


def _describe(demand: Demand, machine: Machine) -> str:
    from cnn_experiments.analysis.cost import format_bytes

    threads = f"{demand.threads} thread{'s' * (demand.threads > 1)}"
    runs = f"{demand.max_parallel} run{'s' * (demand.max_parallel > 1)} at once"
    if demand.gpus:
        return f"{runs}, {demand.gpus} of {len(machine.gpus)} GPUs each"
    reasons = []
    if demand.speed_with_all_cores is not None:
        reasons.append(f"{machine.cores} threads make a run {demand.speed_with_all_cores:.1f} times as fast")
    if demand.max_parallel < machine.cores // demand.threads or demand.max_parallel == 1 < machine.cores:
        needed, available = format_bytes(demand.memory_bytes), format_bytes(machine.memory_bytes)
        reasons.append(f"a run needs about {needed} of {available}")
    return f"{runs}, {threads} each" + (f" ({', and '.join(reasons)})" if reasons else "")
