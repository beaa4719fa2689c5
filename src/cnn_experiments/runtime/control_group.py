"""What Linux's control groups allow this process, as in a container or in a job of a cluster."""

from contextlib import suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def memory_limit() -> int | None:
    """Return how many bytes this process and its neighbors may use, or None without a limit."""
    limits = [int(text) for text in _read("memory.max", "memory/memory.limit_in_bytes") if text.isdecimal()]
    return min(limits, default=None)


def free_memory() -> int | None:
    """Return how many bytes of the limit are not in use, or None without a limit.

    Pages of files that the kernel can drop count as free.
    """
    free = []
    for group in _groups():
        with suppress(OSError, ValueError, KeyError):  # no limit, or no such file in the root
            limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            free.append(limit - used + int(counts["inactive_file"]))
    return min(free, default=None)


def cpu_limit() -> float | None:
    """Return how many CPU cores' time this process and its neighbors may use, or None without a limit."""
    limits = []
    for text in _read("cpu.max"):
        quota, period = text.split()
        if quota != "max":
            limits.append(int(quota) / int(period))
    quotas, periods = (_read(f"cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))  # version 1
    limits += [int(quota) / int(period) for quota, period in zip(quotas, periods, strict=False) if int(quota) > 0]
    return min(limits, default=None)


def _groups() -> list[Path]:
    """Return the control group (version 2) of this process, and those that it is in."""
    path = "/"
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    group = _ROOT / path.lstrip("/")
    return [place for place in (group, *group.parents) if place.is_relative_to(_ROOT)]


def _read(*names: str) -> list[str]:
    """Return the contents of the files of these names in the process's groups, as far as they are there."""
    texts = []
    for group in _groups():
        for name in names:
            with suppress(OSError):
                texts.append((group / name).read_text().strip())
    return texts
