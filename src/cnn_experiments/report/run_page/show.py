"""Prints the summary of one run, and writes its page."""

from collections.abc import Sequence
from pathlib import Path

import rich
from rich.progress import track
from rich.table import Table

from cnn_experiments.console import cell, print_line, print_table, relative_path
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.report.run_page.content import StoredRun
from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.directory import RUN_PAGE
from cnn_experiments.runs.lock import one_writer
from cnn_experiments.runs.records import find_runs
from cnn_experiments.runs.state import RunState


def report_run(directory: Path, output_dir: Path) -> bool:
    """Print the summary of a run, and write its page if that is possible.

    Args:
        directory: of the run.
        output_dir: the directory of run.html.

    Returns:
        False if the page could not be written.

    Raises:
        ConfigError: the run cannot be read.
    """
    run = StoredRun.read(directory)
    problem = write_run_page(run, output_dir)  # before the table: a terminal may not take it
    _print(run)
    if problem is None:
        print_line(f"written: {output_dir / RUN_PAGE}")
    else:
        print_line(f"could not write to {output_dir}: {problem}", style="yellow")
    return problem is None


def write_run_page(run: StoredRun, directory: Path) -> str | None:
    """Write the page of a run into a directory, and return what prevents it."""
    from cnn_experiments.report.run_page.html import render_run_page  # imports matplotlib, which takes a second

    page = render_run_page(run, str(relative_path(run.directory.absolute())))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with one_writer(directory), atomic_write(directory / RUN_PAGE) as file:
            file.write(page)
    except OSError as error:
        return error.strerror or str(error)
    return None


def write_run_pages(paths: Sequence[Path]) -> tuple[int, int]:
    """Write the pages of all runs at and below some paths into their directories, with a progress bar on a terminal.

    A line says which of them could not be written, and why.

    Returns:
        The numbers of pages that were written, and of runs.

    Raises:
        ConfigError: there is no run.
    """
    runs, _ = find_runs(paths)
    terminal = rich.get_console()
    num_written = 0
    for record in track(runs, "pages", console=terminal, transient=True, disable=not terminal.is_terminal):
        state = RunState.read(record.directory)
        problem = write_run_page(StoredRun(record.directory, state.status, record.results), record.directory)
        num_written += problem is None
        if problem is not None:
            print_line(f"could not write {record.directory / RUN_PAGE}: {problem}", style="yellow")
    return num_written, len(runs)


def _print(run: StoredRun) -> None:
    print_line(run.subtitle)
    for line in (run.description or "").splitlines():
        print_line(line)
    table = Table(show_header=False)
    for name, value in run.facts.items():
        table.add_row(cell(name), cell(value))
    print_table(table)
    if run.problem:
        print_line(run.problem, style="yellow")
    if run.curve_problem:
        print_line(run.curve_problem, style="yellow")
    if not isinstance(run.predictions, Predictions):
        print_line(run.predictions, style="yellow")
        if run.advice:
            print_line(f"to see what the network gets wrong: {run.advice}")
