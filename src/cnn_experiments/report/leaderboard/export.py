"""A leaderboard in a terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import Any

from rich.table import Table
from rich.text import Text

from cnn_experiments.report.leaderboard.columns import (
    LEGEND,
    Cell,
    Column,
    columns,
    difference,
    in_order,
    remarks,
    sentence,
)
from cnn_experiments.report.leaderboard.groups import Board, Group, Leaderboard, device_of, word
from cnn_experiments.report.statistics import Sample

_STATUSES = ("failed", "pruned", "interrupted", "running")
MOST_COMPARED = 12
"""Groups that are compared each with each; the square of more is not read."""


def terminal(board: Board, shown: Sequence[Column], by: Column) -> Table:
    """One board, in the order of a column."""
    table = Table(title=f"{board.title}, by {by.name if by.name != 'rank' else board.metric}", title_justify="left")
    for column in shown:
        table.add_column(column.name, justify="left" if column.is_text else "right", no_wrap=not column.is_text)
    for group in in_order(board, by):
        cells = [column.cell(board, group) for column in shown]
        table.add_row(*(Text(_lines(cell)) for cell in cells), style="bold" if group is board.best else None)
    return table


def _lines(cell: Cell) -> str:
    return "\n".join(filter(None, (cell.text, cell.below)))


def markdown(made: Leaderboard, damaged: Sequence[str], title: str) -> str:
    """All of it."""
    shown = columns(made)
    parts = [f"# {title}"]
    for board in made.boards:
        rows = [[_cell(column.cell(board, group)) for column in shown] for group in board.groups]
        parts += [
            f"## {board.title}, by {board.metric}",
            _table([column.name for column in shown], rows, [column.is_text for column in shown]),
            sentence(board),
        ]
        if 2 < len(board.groups) <= MOST_COMPARED:
            parts += [
                "### Each with each",
                "Test accuracy of the row minus that of the column, over shared seeds.",
                _square(board),
            ]
    parts += ["\n".join(f"- {line}" for line in (*LEGEND, *remarks(made, damaged)))]
    return "\n\n".join(parts) + "\n"


def pairs(board: Board) -> list[tuple[Group, list[Cell | None]]]:
    """Every group against every other; None against itself."""
    return [
        (one, [None if one is other else difference(board.difference(one, other)) for other in board.groups])
        for one in board.groups
    ]


def _square(board: Board) -> str:
    rows = [
        [_escaped(group.label), *("" if cell is None else _cell(cell) for cell in cells)]
        for group, cells in pairs(board)
    ]
    head = ["", *(_escaped(group.label) for group in board.groups)]
    return _table(head, rows, [True] + [False] * len(rows))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], is_text: Sequence[bool]) -> str:
    rule = ["---" if text else "---:" for text in is_text]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _cell(cell: Cell) -> str:
    return "<br>".join(_escaped(line) for line in (cell.text, cell.below) if line)


def _escaped(line: str) -> str:
    return " ".join(escape(line, quote=False).split()).replace("|", "\\|")


def as_csv(made: Leaderboard) -> str:
    """A row for each group, those without a result included; figures with all their digits, seconds and bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("board", "ranked by", "rank", *(made.keys or ["model"]), "completed", *_STATUSES),
            *("seeds", *_statistics("val/acc"), *_statistics("test/acc"), *_statistics("difference in test/acc")),
            *("parameters", "multiply_adds", "device", "images_per_second", "seconds", "peak_memory_bytes"),
        ]
    )
    for board in made.boards:
        for rank, group in enumerate(board.groups, start=1):
            writer.writerow([board.title, board.metric, rank, *_figures(made, group, board)])
    for group in made.without_result:
        writer.writerow(["", "", "", *_figures(made, group, None)])
    return text.getvalue()


def _statistics(name: str) -> list[str]:
    return [f"{name} {figure}" for figure in ("n", "mean", "sd", "95% low", "95% high")]


def _figures(made: Leaderboard, group: Group, board: Board | None) -> list[Any]:
    difference_to_best = board.difference(group, board.best) if board and group is not board.best else None
    settings = group.varied if made.keys else {"model": group.anyone.results["model"]}
    devices = list(dict.fromkeys(map(device_of, group.runs)))
    costs = [
        "; ".join(f"{figure[device]:.10g}" if device in figure else "" for device in devices)
        for figure in (group.images_per_second, group.seconds, group.peak_memory)
    ]
    return [
        *map(word, settings.values()),
        len(group.runs),
        *(len(group.others.get(status, ())) for status in _STATUSES),
        " ".join(map(str, group.seeds)),
        *(figure for sample in (group.val, group.test, difference_to_best) for figure in _all(sample)),
        group.parameters,
        group.multiply_adds,
        "; ".join(devices),
        *costs,
    ]


def _all(sample: Sample | None) -> list[float | str | None]:
    if sample is None:
        return [0, None, None, None, None]
    return [
        sample.count,
        *(
            None if f is None else f"{f:.7g}"
            for f in (sample.mean, sample.deviation, *(sample.interval or (None, None)))
        ),
    ]
