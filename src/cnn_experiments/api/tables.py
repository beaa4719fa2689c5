"""Tables for a notebook, a terminal and pandas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import rich.table

from cnn_experiments.console import cell, printable, table_text, table_title
from cnn_experiments.errors import ConfigError

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Column:
    """One quantity of every row."""

    name: str
    values: Sequence[Any]
    format: Callable[[Any], str] = str
    """Returns what is displayed of a value; nothing is displayed of None."""
    is_text: bool = False

    def texts(self) -> list[str]:
        """Return what is displayed."""
        return ["" if value is None else self.format(value) for value in self.values]


@dataclass(frozen=True)
class Table:
    """A table that Jupyter shows as HTML, and `print` as text."""

    title: str
    columns: Sequence[Column]
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    def __str__(self) -> str:
        table = rich.table.Table(title=table_title(self.title), title_justify="left")
        for column in self.columns:
            table.add_column(cell(column.name), justify="left" if column.is_text else "right", no_wrap=True)
        for row in zip(*(column.texts() for column in self.columns), strict=True):
            table.add_row(*map(cell, row))
        return "\n".join([table_text(table), *map(printable, self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [list(map(to_html, row)) for row in zip(*(column.texts() for column in self.columns), strict=True)]
        header = [to_html(column.name) for column in self.columns]
        table = html_table(header, rows, [column.is_text for column in self.columns], title=self.title)
        return table + html_notes(self.notes)

    def to_frame(self) -> "DataFrame":
        """Return the values as a DataFrame of pandas.

        Raises:
            ConfigError: pandas is not installed.
        """
        return data_frame({column.name: list(column.values) for column in self.columns})


def data_frame(columns: dict[str, list[Any]]) -> "DataFrame":
    """Return columns of the same length as a DataFrame of pandas.

    Raises:
        ConfigError: pandas is not installed.
    """
    return import_pandas().DataFrame(columns)


def import_pandas() -> Any:
    """Return pandas.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise ConfigError("to_frame()", problem='needs pandas: pip install ".[notebook]"') from None
    return pandas


def to_html(text: str) -> str:
    """Return a text as HTML, with control characters as escapes and line breaks as they are."""
    return "<br>".join(escape(printable(line)) for line in text.split("\n"))


def html_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    is_text: Sequence[bool],
    *,
    title: str = "",
    emphasized_row: int | None = None,
) -> str:
    """Return a table with the columns that are not text aligned to the right, in the colors of the page.

    Args:
        header: the names of the columns, in HTML.
        rows: the cells, in HTML.
        is_text: whether each column is text.
        title: what stands above it, as plain text.
        emphasized_row: the row in bold.
    """
    style = ["text-align: left" if text else "text-align: right; white-space: nowrap" for text in is_text]

    def row_html(cells: Sequence[str], tag: str, weight: str = "") -> str:
        cells_html = (
            f'<{tag} style="{align}{weight}">{content}</{tag}>' for align, content in zip(style, cells, strict=True)
        )
        return f"<tr>{''.join(cells_html)}</tr>"

    body = "".join(
        row_html(row, "td", "; font-weight: bold" if place == emphasized_row else "") for place, row in enumerate(rows)
    )
    heading = f"<p><b>{to_html(title)}</b></p>" if title else ""
    return (
        f'{heading}<div style="overflow-x: auto"><table style="font-variant-numeric: tabular-nums">'
        f"<thead>{row_html(header, 'th')}</thead><tbody>{body}</tbody></table></div>"
    )


def html_notes(notes: Sequence[str]) -> str:
    """Return lines of text below a table, in small print."""
    lines = "<br>".join(map(to_html, notes))
    return f'<p style="font-size: 90%">{lines}</p>' if notes else ""
