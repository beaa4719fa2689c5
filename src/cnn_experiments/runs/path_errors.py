"""What the file system says of a directory that somebody chose, as an error of the setting."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnn_experiments.errors import ConfigError

_PROBLEMS = {
    errno.ENOTDIR: "must be a directory; a part of the path is a file",
    errno.EEXIST: "must be a directory; a part of the path is a file, or a link to nothing",
    errno.ELOOP: "must be a directory; a part of the path is a loop of links",
    errno.ENAMETOOLONG: "must be a shorter path; this file system does not allow such a long one",
    errno.ENOSPC: "could not be made: the disk is full",
}


@contextmanager
def path_errors(key: str, directory: Path) -> Iterator[None]:
    """Raise an error of the operating system as one of the setting that names a directory.

    Raises:
        ConfigError: the directory can't be made, read or written.
    """
    try:
        yield
    except OSError as error:
        problem = _PROBLEMS.get(error.errno or 0, f"can't be used: {error.strerror or error}")
        remedy = f"choose another one with {key}=DIRECTORY"
        raise ConfigError(key, directory, problem=problem, remedy=remedy) from error


def check_printable(key: str, directory: Path) -> None:
    """Check that the name of a directory can be printed in one line.

    Raises:
        ConfigError: it has control characters.
    """
    if any(not character.isprintable() for character in str(directory)):
        raise ConfigError(key, repr(str(directory)), problem="must not have control characters")


def check_directory(key: str, directory: Path, *, must_be_writable: bool) -> None:
    """Check without writing that a directory can be read, or made if it does not exist.

    Raises:
        ConfigError: it can't.
    """
    check_printable(key, directory)
    with path_errors(key, directory):
        existing = directory
        while not existing.exists():  # raises if the path can't exist
            if existing.is_symlink():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            existing = existing.absolute().parent
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        access = os.R_OK | os.X_OK | (os.W_OK if must_be_writable else 0)
        if not os.access(existing, access):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
