"""Memory of this process and its device: peak use, and tuning of glibc's allocator."""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from cnn_experiments.runtime import control_group

# <malloc.h> of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def disable_malloc_trim() -> None:
    """Keep glibc from returning large freed blocks to the kernel, which would zero them again at every training step.

    Training on a CPU frees and allocates the same activations over and over. Without glibc, this does nothing.
    """
    if mallopt := _glibc_function("mallopt"):
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def malloc_trim() -> None:
    """Return all freed memory to the kernel once. Without glibc, this does nothing but collect garbage."""
    gc.collect()
    if trim := _glibc_function("malloc_trim"):
        trim(0)


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` start from the present use, so that it can tell several runs in one process apart.

    On a CPU this is possible only on Linux, and not in every container.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform.startswith("linux"):
        malloc_trim()
        with suppress(PermissionError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """Return the peak memory use in bytes: of the GPU on CUDA, else of the resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform.startswith("linux"):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def total_memory() -> int:
    """Return the memory of this machine in bytes, or what its control group may use of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = control_group.memory_limit()
    return total if limit is None else min(total, limit)


def available_memory() -> int:
    """Return how much memory programs can still take without swapping, in bytes.

    Where the system does not say, this is all of it.
    """
    available = total_memory()
    with suppress(OSError, IndexError, ValueError):
        text = Path("/proc/meminfo").read_text()
        available = min(available, int(text.partition("MemAvailable:")[2].split()[0]) * 1024)
    free = control_group.free_memory()
    return available if free is None else min(available, free)


def _glibc_function(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
