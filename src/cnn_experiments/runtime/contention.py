"""Other programs on the cores that a training computes with: noticed, and made less costly."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_INTERVAL_SECONDS = 1.0
CONTENDED_SHARE = 0.2
"""Of a thread's time, for which it waits for a core."""
_INTERVALS_BEFORE_REPORT = 3
_PARALLEL_ELEMENTS = 2**21
"""More than torch computes in one thread."""


@contextmanager
def watched_cores(threads: int, on_contention: Callable[[], None]) -> Iterator[None]:
    """Watch in the block whether threads wait for cores that other programs use.

    OpenMP's threads spin while they wait for each other. Where one of them has to wait for a core, the others burn
    theirs, and a step can take twenty times as long. From then on they hardly spin.

    Args:
        threads: the number of threads that compute.
        on_contention: called once, in a thread of its own, if it lasts for some seconds.
    """
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(threads, on_contention, ended), daemon=True)
    if waiting_seconds() is not None:
        watch.start()
    try:
        yield
    finally:
        ended.set()
        if watch.ident is not None:
            watch.join()


def _watch(threads: int, on_contention: Callable[[], None], ended: threading.Event) -> None:
    seconds_before = waiting_seconds() or 0.0
    contended_intervals = 0
    while not ended.wait(_INTERVAL_SECONDS):
        seconds = waiting_seconds() or 0.0
        share = (seconds - seconds_before) / (threads * _INTERVAL_SECONDS)
        seconds_before = seconds
        contended_intervals = contended_intervals + 1 if share > CONTENDED_SHARE else 0
        if contended_intervals == 1 and threads > 1:
            _limit_spinning()
        if contended_intervals == _INTERVALS_BEFORE_REPORT:
            on_contention()
            ended.wait()


def waiting_seconds() -> float | None:
    """Return how long all threads of this process have waited for a core while they could run.

    Returns None where the system does not say.
    """
    nanoseconds = 0
    try:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                nanoseconds += int((thread / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return nanoseconds / 1e9


def _limit_spinning() -> None:
    """Keep GNU's OpenMP from spinning for long while this thread lives.

    It spins a thousand times instead of some hundred thousand where there are more threads than cores. A computation in
    this thread adds threads for itself, which then sleep.
    """
    import torch

    if sys.platform == "linux":
        torch.empty(_PARALLEL_ELEMENTS).fill_(0.0)
