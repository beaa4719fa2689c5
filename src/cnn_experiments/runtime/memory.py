"""What becomes of freed memory."""

import ctypes
import gc
import sys
from collections.abc import Callable

# <malloc.h> of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Stops glibc from handing large freed blocks back to the kernel, which zeroes them again at every step.

    Training on a CPU frees and allocates the same activations over and over. Elsewhere than on glibc it does nothing.
    """
    if mallopt := _of_glibc("mallopt"):
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Hands what is kept back to the kernel, once: the next run in this process starts without it."""
    gc.collect()
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
