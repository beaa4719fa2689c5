"""Regular files: never a FIFO that waits for a writer, a device, or a link that leads to somebody else's file."""

import errno
import os
import stat
from pathlib import Path
from typing import IO


def is_regular_file(path: Path) -> bool:
    """Return whether there is a regular file at a path, which a link may lead to.

    Raises:
        OSError: it cannot be determined, because of the disk or of permissions.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def open_to_read(path: Path) -> IO[bytes]:
    """Open a regular file.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, or is a directory, a FIFO or a device.
    """
    return _open_regular(path, os.O_RDONLY, "rb")


def read_text(path: Path, max_bytes: int) -> str:
    """Return the text of a regular file in UTF-8.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, or is a directory, a FIFO or a device.
        ValueError: it is longer than `max_bytes`, or not UTF-8.
    """
    with open_to_read(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"longer than {max_bytes:,} bytes")
    return content.decode("utf-8")


def reading_problem(error: OSError | ValueError) -> str:
    """Return why a file could not be read, or what is wrong with its content, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def open_to_append(path: Path) -> IO[bytes]:
    """Open a file of a run to append to it, and make it if it is missing.

    Raises:
        OSError: it cannot be written, or is a link, a directory, a FIFO or a device.
    """
    return _open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, "ab")


def open_new(path: Path) -> IO[bytes]:
    """Open an empty file in place of what is at a path: a link is replaced, not followed.

    Raises:
        OSError: it cannot be written.
    """
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb")


def _open_regular(path: Path, flags: int, mode: str) -> IO[bytes]:
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)  # without O_NONBLOCK, a FIFO waits for its other end
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "must be a regular file", str(path))
        return os.fdopen(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
