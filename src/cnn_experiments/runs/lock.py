"""The lock of a directory: one process at a time works there."""

import fcntl
import os
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FILE = ".lock"

_ACQUIRE_SECONDS = 1.0
"""How long `acquire` tries: a probe holds its shared lock for a moment."""

_acquired: dict[Path, FileLock] = {}


def acquire(directory: Path) -> bool:
    """Keep other processes out of a directory until `release` or the end of this process, however it ends.

    Returns:
        Whether this process has the lock; another one may have it.
    """
    directory = directory.resolve()
    if directory not in _acquired:
        lock = FileLock(directory / LOCK_FILE)
        try:
            lock.acquire(timeout=_ACQUIRE_SECONDS)
        except Timeout:
            return False
        _acquired[directory] = lock
    return True


def release(directory: Path) -> None:
    """Let other processes in again."""
    if lock := _acquired.pop(directory.resolve(), None):
        lock.release()


def is_locked(directory: Path) -> bool:
    """Return whether another process has the lock.

    A probe asks for a shared lock, which any number of probes can have at once: none sees another one, and it needs no
    permission to write.
    """
    if directory.resolve() in _acquired:
        return False
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)  # this also gives the shared lock back
    return False
