"""A leaderboard as tables: for a terminal, in Markdown and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from cnn_experiments.console import cell as table_cell
from cnn_experiments.console import printable, table_title
from cnn_experiments.markdown import escape_markdown, markdown_list, markdown_table
from cnn_experiments.report.leaderboard.columns import (
    Cell,
    Column,
    build_columns,
    description_names,
    difference_cell,
    footnotes,
    headline_sentence,
    legend,
    sort_groups,
)
from cnn_experiments.report.leaderboard.groups import Board, Group, Leaderboard, format_device, format_setting
from cnn_experiments.report.statistics import Sample
from cnn_experiments.runs.csv_text import csv_text
from cnn_experiments.runs.metrics import DEFAULT_MONITOR

_UNFINISHED_STATUSES = ("failed", "pruned", "interrupted", "running")
_MAX_PAIRWISE = 12
"""Groups up to which all pairs are compared; a larger table is not readable."""
PAIRWISE_TITLE = "Pairwise differences"


def pairwise_caption(board: Board) -> str:
    """Return what a table of pairwise differences shows."""
    return f"test {board.label} of the row minus that of the column, over the seeds that both have"


def terminal_table(board: Board, columns: Sequence[Column], sort_by: Column) -> Table:
    """Return one board as a table, in the order of a column."""
    order = board.metric if sort_by.name == "rank" else sort_by.name
    table = Table(title=table_title(f"{board.title}, by {order}"), title_justify="left")
    for column in columns:
        header = table_cell(column.name)
        table.add_column(header, justify="left" if column.is_text else "right", no_wrap=not column.is_text)
    for group in sort_groups(board, sort_by):
        cells = [Text("\n".join(map(printable, _lines(column.cell(board, group))))) for column in columns]
        table.add_row(*cells, style="bold" if group is board.best else None)
    return table


def as_markdown(leaderboard: Leaderboard, damaged: Sequence[str], title: str) -> str:
    """Return all boards, with headlines, pairwise differences and footnotes."""
    columns = build_columns(leaderboard)
    parts = [f"# {escape_markdown(title)}"]
    for board in leaderboard.boards:
        rows = [[_markdown_cell(column.cell(board, group)) for column in columns] for group in board.groups]
        parts += [
            f"## {escape_markdown(f'{board.title}, by {board.metric}')}",
            markdown_table(
                [escape_markdown(column.name) for column in columns], rows, [column.is_text for column in columns]
            ),
            escape_markdown(headline_sentence(board)),
        ]
        if pairs := pairwise_differences(board):
            caption = escape_markdown(pairwise_caption(board))
            parts += [
                f"### {PAIRWISE_TITLE}",
                f"{caption[0].upper()}{caption[1:]}.",
                pairwise_table(pairs),
            ]
    parts.append(markdown_list([*legend(leaderboard), *map(escape_markdown, footnotes(leaderboard, damaged))]))
    return "\n\n".join(parts) + "\n"


def pairwise_differences(board: Board) -> list[tuple[Group, list[Cell | None]]]:
    """Return every group with its differences from all groups, None from itself.

    The list is empty for two groups, whose difference is in the board, and for more than a table can show.
    """
    if not 2 < len(board.groups) <= _MAX_PAIRWISE:
        return []

    def cell(row: Group, column: Group) -> Cell | None:
        return None if row is column else difference_cell(board.test_difference(row, column), board.ranking)

    return [(row, [cell(row, column) for column in board.groups]) for row in board.groups]


def pairwise_table(pairs: Sequence[tuple[Group, Sequence[Cell | None]]]) -> str:
    """Return pairwise differences as a Markdown table."""
    labels = [escape_markdown(group.label) for group, _ in pairs]
    rows = [
        [label, *("" if cell is None else _markdown_cell(cell) for cell in cells)]
        for label, (_, cells) in zip(labels, pairs, strict=True)
    ]
    return markdown_table(["", *labels], rows, [True] + [False] * len(labels))


def as_csv(leaderboard: Leaderboard) -> str:
    """Return one row for each group, unranked ones included, with all digits, in seconds and bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    descriptions = description_names(leaderboard)
    samples = [*leaderboard.metric_columns, *(f"difference in {metric}" for metric in _test_metrics(leaderboard))]
    writer.writerow(
        [
            *("board", "ranked by", "rank", *map(csv_text, leaderboard.keys or ["model"])),
            *("completed", *_UNFINISHED_STATUSES),
            "seeds",
            *(f"{sample} {name}" for sample in samples for name in ("n", "mean", "sd", "95% low", "95% high")),
            *("parameters", "multiply_adds", "device", "images_per_second", "seconds", "peak_memory_bytes"),
            *("images_seed", "images_compared", "images_only_this", "images_only_best", "mcnemar_p"),
            *descriptions,
        ]
    )
    for board in leaderboard.boards:
        for group in board.groups:
            difference = None if group is board.best else board.test_difference(group, board.best)
            place = [csv_text(board.title), board.metric, board.rank(group)]
            fields = _csv_fields(leaderboard, group, {board.test_metric: difference})
            texts = [csv_text(group.descriptions.get(name, "")) for name in descriptions]
            writer.writerow([*place, *fields, *_images_fields(board, group), *texts])
    for group in leaderboard.unranked:
        texts = [csv_text(group.descriptions.get(name, "")) for name in descriptions]
        writer.writerow(["", "", "", *_csv_fields(leaderboard, group, {}), *[""] * 5, *texts])
    return text.getvalue()


def _test_metrics(leaderboard: Leaderboard) -> list[str]:
    """Return the metrics in which groups differ, of all boards."""
    return list(dict.fromkeys(board.test_metric for board in leaderboard.boards)) or [f"test/{DEFAULT_MONITOR.name}"]


def _csv_fields(leaderboard: Leaderboard, group: Group, differences: Mapping[str, Sample | None]) -> list[Any]:
    settings = group.varying if leaderboard.keys else {"model": group.any_run.results.model}
    samples = [group.sample(key) for key in leaderboard.metric_columns]
    samples += [differences.get(metric) for metric in _test_metrics(leaderboard)]
    devices = list(dict.fromkeys(map(format_device, group.completed)))
    costs = [
        "; ".join(f"{values[device]:.10g}" if device in values else "" for device in devices)
        for values in (group.images_per_second, group.seconds, group.peak_memory)
    ]
    return [
        *(csv_text(format_setting(value)) for value in settings.values()),
        len(group.completed),
        *(len(group.not_completed.get(status, ())) for status in _UNFINISHED_STATUSES),
        " ".join(map(str, group.seeds)),
        *(field for sample in samples for field in _sample_fields(sample)),
        group.parameters,
        group.multiply_adds,
        csv_text("; ".join(devices)),
        *costs,
    ]


def _sample_fields(sample: Sample | None) -> list[int | str]:
    """Return n, mean, standard deviation and the ends of the confidence interval; empty where unknown."""
    if sample is None:
        return [0, "", "", "", ""]
    numbers = (sample.mean, sample.std, *(sample.ci95 or (None, None)))
    return [sample.n, *("" if value is None else f"{value:.7g}" for value in numbers)]


def _images_fields(board: Board, group: Group) -> list[int | str]:
    """Return seed, images, how many only one of both runs gets right, and the p-value; empty if not compared."""
    comparison = board.image_comparisons.get(group)
    if comparison is None:
        return [""] * 5
    counts = comparison.counts
    num_only = (len(counts.only_first), len(counts.only_second))
    return [comparison.seed, counts.num_images, *num_only, f"{counts.p_value:.7g}"]


def _lines(cell: Cell) -> list[str]:
    return [line for line in (cell.text, cell.detail) if line]


def _markdown_cell(cell: Cell) -> str:
    return "<br>".join(map(escape_markdown, _lines(cell)))
