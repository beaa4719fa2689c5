"""Prints the leaderboard of some runs, and writes it as HTML, Markdown and CSV."""

from collections.abc import Sequence
from pathlib import Path

from cnn_experiments.console import fits_terminal, print_line, print_table, relative_path
from cnn_experiments.errors import ConfigError
from cnn_experiments.report.leaderboard.columns import Column, build_columns, find_column, footnotes, headline, legend
from cnn_experiments.report.leaderboard.export import as_csv, as_markdown, terminal_table
from cnn_experiments.report.leaderboard.groups import Board, Leaderboard, build_leaderboard
from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.lock import one_writer
from cnn_experiments.runs.records import describe_damaged_curves, find_runs
from cnn_experiments.runs.regular_file import read_text

FILES = ("leaderboard.csv", "leaderboard.md", "leaderboard.html")
_MAX_BYTES = 100_000_000


def report_leaderboard(
    paths: Sequence[Path],
    output_dir: Path | None,
    sort_by: str = "rank",
    *,
    quiet: bool = False,
    keep_unchanged: bool = False,
) -> bool:
    """Print the leaderboard of the runs at and below some paths, and write it if that is possible.

    Args:
        paths: run directories, or directories with runs below them.
        output_dir: the directory of leaderboard.html, .md and .csv; None writes nothing.
        sort_by: the column that orders the printed tables.
        quiet: whether to print no tables.
        keep_unchanged: whether to leave files that already show these results: curves take seconds to draw.

    Returns:
        False if the files could not be written.

    Raises:
        ConfigError: no run can be read, or there is no such column.
    """
    runs, errors = find_runs(paths)
    if not runs:
        raise ConfigError(str(paths[0]), problem=f"no run can be read; {errors[0]}")
    damaged = [f"damaged, skipped: {line}" for line in errors]
    damaged += [f"damaged: {line}" for line in describe_damaged_curves(runs)]
    leaderboard = build_leaderboard(runs)
    columns = build_columns(leaderboard)
    sort_column = find_column(leaderboard, columns, sort_by, key="--sort")
    problem, is_unchanged = None, False
    if output_dir is not None:  # before the tables: a terminal may not take them
        title = " ".join(str(relative_path(path.absolute())) for path in paths)
        is_unchanged = keep_unchanged and _shows(output_dir, leaderboard, damaged, title)
        problem = None if is_unchanged else _write(leaderboard, damaged, title, output_dir)
    if not quiet:
        _print(leaderboard, damaged, columns, sort_column)
    if problem is not None:
        print_line(f"could not write to {output_dir}: {problem}", style="yellow")
    elif output_dir is not None:
        print_line(
            f"{'unchanged' if is_unchanged else 'written'}: {', '.join(str(output_dir / name) for name in FILES)}"
        )
    return problem is None


def _print(leaderboard: Leaderboard, damaged: Sequence[str], columns: Sequence[Column], sort_by: Column) -> None:
    for board in leaderboard.boards:
        fitting = _fitting_columns(board, columns, sort_by)
        print_table(terminal_table(board, fitting, sort_by))
        if hidden := [column.name for column in columns if column not in fitting]:
            print_line(f"columns hidden (terminal too narrow): {', '.join(hidden)}")
        print_line(headline(board))
    for line in [*(legend(leaderboard) if leaderboard.boards else ()), *footnotes(leaderboard, damaged)]:
        print_line(line, style="yellow" if line.startswith("damaged") else None)


def _fitting_columns(board: Board, columns: Sequence[Column], sort_by: Column) -> list[Column]:
    """Return the columns without those that must be dropped for the terminal's width."""
    fitting = list(columns)
    droppable = [column for column in columns if column.drop_order and column is not sort_by]
    for column in sorted(droppable, key=lambda column: column.drop_order):
        if fits_terminal(terminal_table(board, fitting, sort_by)):
            break
        fitting.remove(column)
    return fitting


def _shows(directory: Path, leaderboard: Leaderboard, damaged: Sequence[str], title: str) -> bool:
    """Return whether the files of a leaderboard show it already; that in HTML is as new as the other two."""
    csv_file, markdown_file, html_file = (directory / name for name in FILES)
    try:
        return (
            html_file.is_file()
            and read_text(csv_file, _MAX_BYTES) == as_csv(leaderboard)
            and read_text(markdown_file, _MAX_BYTES) == as_markdown(leaderboard, damaged, title)
        )
    except (OSError, ValueError):
        return False


def _write(leaderboard: Leaderboard, damaged: Sequence[str], title: str, directory: Path) -> str | None:
    """Write the files of a leaderboard, and return what prevents it."""
    from cnn_experiments.report.leaderboard.html import render_page  # imports matplotlib, which takes a second

    texts = (
        as_csv(leaderboard),
        as_markdown(leaderboard, damaged, title),
        render_page(leaderboard, damaged, title, directory),
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with one_writer(directory):  # two sweeps in one directory may end at the same time
            for name, text in zip(FILES, texts, strict=True):
                with atomic_write(directory / name) as file:
                    file.write(text)
    except OSError as error:
        return error.strerror or str(error)
    return None
