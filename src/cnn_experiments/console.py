"""Output on the terminal."""

import logging
from pathlib import Path

import rich
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


class ConsoleHandler(logging.Handler):
    """Prints messages unchanged, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message in one line, not wrapped."""
        message = self.format(record)
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        print_line(message, style)


def print_line(line: str, style: str | None = None) -> None:
    """Print a line unchanged and not wrapped."""
    rich.get_console().print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def fits_terminal(table: Table) -> bool:
    """Return whether the terminal is wide enough for a table; a pipe or a file always is."""
    terminal = rich.get_console()
    return not terminal.is_terminal or _measure(table).maximum <= terminal.width


def print_table(table: Table) -> None:
    """Print a table, wrapped to the terminal's width as far as its columns allow."""
    terminal = rich.get_console()
    widest = _measure(table)
    width = max(widest.minimum, terminal.width) if terminal.is_terminal else widest.maximum
    Console(width=width, highlight=False).print(table)


def _measure(table: Table) -> Measurement:
    terminal = rich.get_console()
    return terminal.measure(table, options=terminal.options.update(max_width=10_000))


def relative_path(path: Path) -> Path:
    """Return a path relative to the working directory if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
