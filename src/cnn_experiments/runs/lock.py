"""The lock of a directory: one process at a time works there."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FILE = ".lock"

_ACQUIRE_SECONDS = 1.0
"""How long `acquire` tries: a probe holds its shared lock for a moment."""

_acquired: dict[str, FileLock] = {}


def acquire(directory: Path) -> bool:
    """Keep other processes out of a directory until `release` or the end of this process, however it ends.

    Returns:
        Whether this process has the lock; another one may have it.

    Raises:
        OSError: the lock file cannot be written, or is a link.
    """
    key = os.path.realpath(directory)
    if key not in _acquired:
        path = Path(key, LOCK_FILE)
        if path.is_symlink():
            raise OSError(errno.ELOOP, "must be a regular file, not a link", str(path))
        lock = FileLock(path)
        try:
            lock.acquire(timeout=_ACQUIRE_SECONDS)
        except Timeout:
            return False
        _acquired[key] = lock
    return True


def release(directory: Path) -> None:
    """Let other processes in again."""
    if lock := _acquired.pop(os.path.realpath(directory), None):
        lock.release()


@contextmanager
def one_writer(directory: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the same directory; no lock file is left there.

    Raises:
        OSError: the directory cannot be opened.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Return whether another process has the lock, as far as this process may know.

    A probe asks for a shared lock, which any number of probes can have at once: none sees another one, and it needs no
    permission to write. It never raises: what makes the lock file unreadable does not keep a run from being shown.
    """
    if _acquired and os.path.realpath(directory) in _acquired:
        return False
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)  # this also gives the shared lock back
    return False
