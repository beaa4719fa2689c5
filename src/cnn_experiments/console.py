"""What a run says on the terminal."""

import logging

import rich
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


class ConsoleHandler(logging.Handler):
    """Prints messages as they are, above the progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Unwrapped, so that every message stays one line in a pipe or a file."""
        message = self.format(record)
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        print_line(message, style)


def print_line(line: str, style: str | None = None) -> None:
    """As it is."""
    rich.get_console().print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def fits(table: Table) -> bool:
    """Whether a terminal has room for all of it unfolded; a pipe or a file always has."""
    terminal = rich.get_console()
    return not terminal.is_terminal or _measure(table).maximum <= terminal.width


def print_table(table: Table) -> None:
    """Folds what may be folded to the terminal's width; what may not is wider, and whole."""
    terminal = rich.get_console()
    widest = _measure(table)
    width = max(widest.minimum, terminal.width) if terminal.is_terminal else widest.maximum
    Console(width=width, highlight=False).print(table)


def _measure(table: Table) -> Measurement:
    terminal = rich.get_console()
    return terminal.measure(table, options=terminal.options.update(max_width=10_000))
