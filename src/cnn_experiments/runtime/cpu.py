"""The CPU cores that this process may use, those that are free, and the threads that compute on them."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cnn_experiments.runtime.control_group import cpu_limit

THREADS_VARIABLE = "OMP_NUM_THREADS"
"""With it users choose the number of threads."""

_MIN_SECONDS = 0.2
"""How long other programs are watched at least."""


def usable_cores() -> int:
    """Return the number of cores that this process may use: its affinity, and the limit of its control group."""
    cores = len(_affinity())
    limit = cpu_limit()
    return cores if limit is None else max(1, min(cores, int(limit)))


def watch_cores() -> None:
    """Begin to watch what other programs use: the longer, the better `free_cores` knows it."""
    global _watched_from
    _watched_from = _CpuTime.now()


def free_cores() -> int:
    """Return how many of the usable cores other programs have left since `watch_cores`, or else now; at least one.

    Programs of lower priority count as none: they give way. Where the system does not tell, all cores are free.
    """
    before, now = _watched_from, _CpuTime.now()
    if before is None or now is None or now.clock - before.clock < _MIN_SECONDS:
        before = _CpuTime.now()
        time.sleep(_MIN_SECONDS)
        now = _CpuTime.now()
    if before is None or now is None:
        return usable_cores()
    others = (now.all_programs - before.all_programs) - (now.this_process - before.this_process)
    used_cores = round(max(0.0, others) / (now.clock - before.clock))
    return max(1, min(usable_cores(), len(_affinity()) - used_cores))


@contextmanager
def compute_threads(threads: int) -> Iterator[None]:
    """Let torch compute with this many threads in the block."""
    import torch

    previous = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(previous)


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


@dataclass(frozen=True)
class _CpuTime:
    """Seconds of CPU time until a moment."""

    clock: float
    all_programs: float
    """On the cores of the process's affinity."""
    this_process: float

    @classmethod
    def now(cls) -> "_CpuTime | None":
        """Return those until now, or None where the system has no /proc/stat."""
        with suppress(OSError, ValueError):
            cores = {f"cpu{number}" for number in _affinity()}
            counts_lower_priority = os.nice(0) > 0
            ticks = 0
            for line in Path("/proc/stat").read_text().splitlines():
                name, *counts = line.split()
                if name in cores:
                    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, counts[:8])
                    ticks += user + system + irq + softirq + steal + (nice if counts_lower_priority else 0)
            return cls(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time())
        return None


_watched_from: _CpuTime | None = None
