"""The leaderboard of some runs in a notebook."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnn_experiments.api.tables import html_notes, html_table, import_pandas, to_html
from cnn_experiments.console import printable, table_text
from cnn_experiments.report.leaderboard.columns import (
    Cell,
    Column,
    build_columns,
    find_column,
    footnotes,
    headline_sentence,
    legend,
    sort_groups,
)
from cnn_experiments.report.leaderboard.export import as_csv, terminal_table
from cnn_experiments.report.leaderboard.groups import Board, Leaderboard, build_leaderboard
from cnn_experiments.runs.records import RunRecord, describe_damaged_curves

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Ranking:
    """A leaderboard that Jupyter shows as HTML, and `print` as text."""

    leaderboard: Leaderboard
    """Groups of runs that differ in their seed alone, ranked among those that may be compared."""
    sort_by: Column
    """The column that orders the tables."""
    damaged: Sequence[str]
    """One line for each file that could not be read."""

    def __str__(self) -> str:
        columns = build_columns(self.leaderboard)
        parts = []
        for board in self.leaderboard.boards:
            parts += [table_text(terminal_table(board, columns, self.sort_by)), printable(headline_sentence(board))]
        return "\n".join([*parts, *map(printable, self._notes())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(map(self._board_html, self.leaderboard.boards)) + html_notes(self._notes())

    def _board_html(self, board: Board) -> str:
        columns = build_columns(self.leaderboard)
        groups = sort_groups(board, self.sort_by)
        table = html_table(
            [to_html(column.name) for column in columns],
            [[_cell_html(column.cell(board, group)) for column in columns] for group in groups],
            [column.is_text for column in columns],
            title=f"{board.title}, by {board.metric if self.sort_by.name == 'rank' else self.sort_by.name}",
            emphasized_row=groups.index(board.best),
        )
        return f"{table}<p>{to_html(headline_sentence(board))}</p>"

    def _notes(self) -> list[str]:
        return [
            *(legend(self.leaderboard) if self.leaderboard.boards else ()),
            *footnotes(self.leaderboard, self.damaged),
        ]

    def to_frame(self) -> "DataFrame":
        """Return what `leaderboard.csv` holds as a DataFrame of pandas: one row for each group, with all digits.

        Raises:
            ConfigError: pandas is not installed.
        """
        frame: DataFrame = import_pandas().read_csv(
            io.StringIO(as_csv(self.leaderboard)), keep_default_na=False, na_values=[""]
        )
        return frame


def rank(runs: Sequence[RunRecord], damaged: Sequence[str], sort: str) -> Ranking:
    """Return the leaderboard of some runs.

    Args:
        runs: of any status.
        damaged: one line for each run that could not be read.
        sort: the column that orders the tables, the best first.

    Raises:
        ConfigError: there is no such column.
    """
    leaderboard = build_leaderboard(runs)
    lines = [f"damaged, skipped: {line}" for line in damaged]
    lines += [f"damaged: {line}" for line in describe_damaged_curves(runs)]
    return Ranking(leaderboard, find_column(leaderboard, build_columns(leaderboard), sort, key="sort"), lines)


def _cell_html(cell: Cell) -> str:
    detail = f"<br><small>{to_html(cell.detail)}</small>" if cell.detail else ""
    return to_html(cell.text) + detail
