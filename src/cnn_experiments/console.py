"""What a run says on the terminal."""

import logging

import rich
from rich.console import Console, RenderableType


class ConsoleHandler(logging.Handler):
    """Prints messages as they are, above the progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Unwrapped, so that every message stays one line in a pipe or a file."""
        message = self.format(record)
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        rich.get_console().print(message, style=style, markup=False, highlight=False, soft_wrap=True)


def print_lines(*lines: RenderableType) -> None:
    """Prints tables and texts, as wide as they are where no terminal sets a width."""
    console = Console(width=None if rich.get_console().is_terminal else 200, highlight=False)
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, str))
