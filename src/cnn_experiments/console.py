"""Output on the terminal."""

import logging
import sys
import unicodedata
from io import StringIO
from pathlib import Path

import rich
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


class ConsoleHandler(logging.Handler):
    """Prints messages without their tracebacks, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print each line of a message, not wrapped."""
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        for line in record.getMessage().splitlines():
            print_line(line, style)


def printable(text: str) -> str:
    r"""Return a text in which characters are escapes that control a terminal or can't be seen: `\x1b`, `\u200b`."""
    if text.isprintable():
        return text
    return "".join(letter if _is_visible(letter) else ascii(letter)[1:-1] for letter in text)


def _is_visible(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"  # spaces of all widths


def shorten(text: str, max_characters: int) -> str:
    """Return a text whose end is replaced by an ellipsis if it is too long."""
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def shorten_path(text: str, max_characters: int) -> str:
    """Return a path whose beginning is replaced by an ellipsis if it is too long: its end says the most."""
    return text if len(text) <= max_characters else f"…{text[1 - max_characters :]}"


def print_line(line: str, style: str | None = None) -> None:
    """Print one line, not wrapped, above a progress bar if there is one; control characters are printed as escapes."""
    if is_jupyter():
        print(printable(line))  # Rich would make an output of its own for each line
        return
    rich.get_console().print(printable(line), style=style, markup=False, highlight=False, soft_wrap=True)


def announce(line: str) -> None:
    """Print on a terminal what starts, before anything slow is imported.

    Elsewhere nothing is printed: what starts may still be rejected, and bad input is answered with one line alone.
    """
    if rich.get_console().is_terminal:
        print_line(line)


def is_jupyter() -> bool:
    """Return whether the output is that of a cell of a Jupyter notebook."""
    return rich.get_console().is_jupyter


def print_error(line: object) -> None:
    """Print one line to standard error; control characters are printed as escapes."""
    print(printable(str(line)), file=sys.stderr)


def cell(content: object, style: str = "") -> Text:
    """Return the cell of a table with a text that comes from outside, such as a name; markup and controls are text."""
    return Text(printable(str(content)), style=style)


def table_title(title: object) -> Text:
    """Return the title of a table."""
    return cell(title, style="table.title")


def fits_terminal(table: Table) -> bool:
    """Return whether the terminal is wide enough for a table; a pipe or a file always is."""
    terminal = rich.get_console()
    return not terminal.is_terminal or _measure(table).maximum <= terminal.width


def print_table(table: Table) -> None:
    """Print a table, wrapped to the terminal's width as far as its columns allow."""
    terminal = rich.get_console()
    widest = _measure(table)
    width = max(widest.minimum, terminal.width) if terminal.is_terminal else widest.maximum
    Console(width=width, highlight=False, markup=False).print(table)


def table_text(table: Table) -> str:
    """Return a table as text, as wide as it needs to be."""
    file = StringIO()
    Console(file=file, width=_measure(table).maximum, highlight=False, markup=False, force_jupyter=False).print(table)
    return file.getvalue().rstrip("\n")


def _measure(table: Table) -> Measurement:
    terminal = Console(markup=False)
    return terminal.measure(table, options=terminal.options.update(max_width=10_000))


def relative_path(path: Path) -> Path:
    """Return a path relative to the working directory if it is below it."""
    directory = Path.cwd()
    return path.relative_to(directory) if directory in path.parents else path
