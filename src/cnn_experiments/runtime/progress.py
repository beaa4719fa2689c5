"""A progress bar for what may take seconds without a line on the terminal."""

import time
from collections.abc import Generator, Sequence
from typing import TypeVar

import rich

T = TypeVar("T")

_DELAY_SECONDS = 1.0
"""What is done sooner shows no bar."""


def with_progress(items: Sequence[T], description: str) -> Generator[T, None, None]:
    """Yield the items, with a bar on a terminal that disappears at the end; a pipe gets nothing."""
    terminal = rich.get_console()
    if not terminal.is_terminal:
        yield from items
        return
    from rich.progress import MofNCompleteColumn, Progress

    started = time.monotonic()
    progress = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=terminal, transient=True)
    task = progress.add_task(description, total=len(items))
    try:
        for item in items:
            if not progress.live.is_started and time.monotonic() - started > _DELAY_SECONDS:
                progress.start()
            yield item
            progress.advance(task)
    finally:
        if progress.live.is_started:
            progress.stop()
