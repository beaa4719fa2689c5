"""The lock of a directory: one process at a time works there."""

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cnn_experiments.runs.regular_file import open_to_append

LOCK_FILE = ".lock"

_NO_LOCKS = "its file system has no locks (flock), without which two processes could work on the same run"

_ACQUIRE_SECONDS = 1.0
"""How long `acquire` tries: a probe holds its shared lock for a moment."""
_RETRY_SECONDS = 0.05

_acquired: dict[str, int] = {}
"""The descriptors of the lock files that this process has locked, by the real paths of their directories."""


def acquire(directory: Path) -> bool:
    """Keep other processes out of a directory until `release` or the end of this process, however it ends.

    Returns:
        Whether this process has the lock; another one may have it.

    Raises:
        OSError: the lock file cannot be written, or is a link, or its file system has no locks.
    """
    key = os.path.realpath(directory)
    if key in _acquired:
        return True
    path = Path(key, LOCK_FILE)
    if path.is_symlink():
        raise OSError(errno.ELOOP, "must be a regular file, not a link", str(path))
    with open_to_append(path) as file:
        deadline = time.monotonic() + _ACQUIRE_SECONDS
        while not _try_lock(file.fileno(), fcntl.LOCK_EX, path):
            if time.monotonic() > deadline:
                return False
            time.sleep(_RETRY_SECONDS)
        _acquired[key] = os.dup(file.fileno())  # which keeps the lock
    return True


def release(directory: Path) -> None:
    """Let other processes in again."""
    descriptor = _acquired.pop(os.path.realpath(directory), None)
    if descriptor is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process that was forked in the meantime has the file open too
        os.close(descriptor)


@contextmanager
def locked(directory: Path) -> Iterator[bool]:
    """Make a directory and keep other processes out of it during the block; yield whether that is so.

    Raises:
        OSError: the directory can't be made or locked.
    """
    directory.mkdir(parents=True, exist_ok=True)
    is_acquired = acquire(directory)
    try:
        yield is_acquired
    finally:
        if is_acquired:
            release(directory)


def check_locks(directory: Path) -> None:
    """Check that there are locks on the file system of a directory, which need not exist.

    Raises:
        OSError: there are none, or a part of the path can't be written.
    """
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    with tempfile.TemporaryFile(dir=existing) as file:
        _try_lock(file.fileno(), fcntl.LOCK_EX, existing)


def _try_lock(descriptor: int, kind: int, path: Path) -> bool:
    """Try to get a lock, and return whether no other process has one that excludes it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(error.errno, _NO_LOCKS, str(path)) from error
    return True


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
        return not _try_lock(descriptor, fcntl.LOCK_SH, directory)
    except OSError:  # no process has a lock where there are none
        return False
    finally:
        os.close(descriptor)  # this also gives the shared lock back
