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

    def threads_of(self, run: PlannedRun) -> int:
        """Return the CPU threads that a run will have."""

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
        self._threads = shares[0].threads
        self._free = list(shares)
        self._taken: dict[Path, ResourceShare] = {}

    @property
    def may_have_room(self) -> bool:
        """Return whether a share is free."""
        return bool(self._free)

    def threads_of(self, run: PlannedRun) -> int:
        """Return the CPU threads of every run."""
        return self._threads

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

    def threads_of(self, run: PlannedRun) -> int:
        """Return the CPU threads that a run needs."""
        return self._demands[run.directory].threads

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
        groups: dict[tuple[int, int, int], list[PlannedRun]] = {}
        for run in runs:
            demand = self._demands[run.directory]
            groups.setdefault((demand.gpus, demand.threads, demand.max_parallel), []).append(run)
        return "; ".join(
            f"{', '.join(dict.fromkeys(run.config.choices['model'] for run in group))}: {self._describe(group)}"
            for group in groups.values()
        )

    def _describe(self, runs: Sequence[PlannedRun]) -> str:
        """Return it of runs that have equal shares of the machine."""
        from cnn_experiments.analysis.cost import format_bytes

        demands, machine = [self._demands[run.directory] for run in runs], self.machine
        threads, max_parallel = demands[0].threads, demands[0].max_parallel
        at_once = f"{max_parallel} run{'s' * (max_parallel > 1)} at once"
        if demands[0].gpus:
            return f"{at_once}, {demands[0].gpus} of {len(machine.gpus)} GPUs each"
        reasons = []
        if machine.busy_cores:
            reasons.append(f"other programs use {machine.busy_cores} of {machine.cores} cores")
        speeds = [demand.speed_with_max_threads for demand in demands if demand.speed_with_max_threads is not None]
        if speeds:
            reasons.append(f"{machine.max_threads} threads make a run {_format_speeds(speeds)}")
        if max_parallel < machine.cores // threads or max_parallel == 1 < machine.cores:
            needed = max(demand.memory_bytes for demand in demands)
            reasons.append(f"a run needs about {format_bytes(needed)} of {format_bytes(machine.memory_bytes)}")
        because = f" ({', and '.join(reasons)})" if reasons else ""
        return f"{at_once}, {threads} thread{'s' * (threads > 1)} each{because}"


def _format_speeds(speeds: Sequence[float]) -> str:
    """Return how many times as fast runs are: 1.3 times as fast, 0.8 to 1.3 times as fast, no faster."""
    lowest, highest = f"{min(speeds):.1f}", f"{max(speeds):.1f}"
    if float(highest) <= 1:
        return "no faster"
    return f"{lowest if lowest == highest else f'{lowest} to {highest}'} times as fast"
