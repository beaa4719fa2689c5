"""Files that are never seen half written."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cnn_experiments.runs.regular_file import open_new

WRITING_SUFFIX = ".writing"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """Open a text file that replaces the one at `path` when it is complete.

    If it cannot be completed, for example because the disk is full, nothing is left of it and the old file stays.
    """
    with _atomic_open(path) as file:
        text = io.TextIOWrapper(file, newline="", encoding="utf-8")
        yield text
        text.flush()
        text.detach()  # which `text` would close


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path` by one with this content, as `atomic_write` does."""
    with _atomic_open(path) as file:
        file.write(content)


@contextmanager
def _atomic_open(path: Path) -> Iterator[IO[bytes]]:
    temporary = path.with_name(f"{path.name}{WRITING_SUFFIX}")
    with remove_on_error(temporary):
        with open_new(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a power cut could leave an empty file otherwise
        temporary.replace(path)


@contextmanager
def remove_on_error(temporary: Path) -> Iterator[None]:
    """Remove a temporary file if the block raises. An OSError that names no file, as that of a write, gets its name."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(temporary)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
