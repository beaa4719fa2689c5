"""Files that are never seen half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

WRITING_SUFFIX = ".writing"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """Open a text file that replaces the one at `path` when it is complete."""
    temporary = path.with_name(f"{path.name}{WRITING_SUFFIX}")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())  # a power cut could leave an empty file otherwise
    temporary.replace(path)
