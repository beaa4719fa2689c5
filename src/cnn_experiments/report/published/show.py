"""Prints the comparison of runs with published results, and writes it as Markdown."""

from pathlib import Path

from cnn_experiments.console import print_line, print_table
from cnn_experiments.errors import ConfigError
from cnn_experiments.report.published.comparison import PublishedComparison, compare_with_published
from cnn_experiments.report.published.render import VERDICT_LEGEND, format_notes, markdown_report, terminal_tables
from cnn_experiments.runs.atomic import atomic_write, atomic_write_bytes
from cnn_experiments.runs.records import find_runs


def show_published(directories: list[Path], file: Path | None) -> bool:
    """Print the comparison of the runs in some directories, and write it to a Markdown file with plots next to it.

    The plots go to a directory with the name of the file without its suffix.

    Returns:
        False if the file could not be written.

    Raises:
        ConfigError: there are no runs in a directory, or the name of the file is wrong.
    """
    if file is not None and (file.suffix != ".md" or file.is_dir() or not file.parent.is_dir()):
        raise ConfigError("--markdown", file, problem="must be a file name that ends in .md, in an existing directory")
    runs, damaged = find_runs(directories)
    comparison = compare_with_published(runs)
    problem = None if file is None else _write(comparison, file)  # before the tables: a terminal may not take them
    _print(comparison, damaged)
    if problem is not None:
        print_line(f"could not write {file}: {problem}", style="yellow")
    elif file is not None:
        print_line(f"written: {file}")
    return problem is None


def _print(comparison: PublishedComparison, damaged: list[str]) -> None:
    for table in terminal_tables(comparison):
        print_table(table)
    if comparison.results:
        print_line(VERDICT_LEGEND)
    for line in format_notes(result.recipe for result in comparison.results):
        print_line(line)
    for line in damaged:
        print_line(f"damaged: {line}", style="yellow")
    for line in comparison.excluded:
        print_line(f"excluded: {line}", style="yellow")
    if comparison.num_unmatched:
        print_line(f"runs that follow none of these recipes: {comparison.num_unmatched}")
    if comparison.not_measured:
        print_line(f"recipes with reported results but without runs: {len(comparison.not_measured)}")


def _write(comparison: PublishedComparison, file: Path) -> str | None:
    """Write the Markdown file and its plots, and return what prevents it."""
    from cnn_experiments.predictions.figures import to_png  # matplotlib is slow to import
    from cnn_experiments.report.published.plots import network_figures

    directory = file.with_suffix("")
    pictures = {name: to_png(figure) for name, figure in network_figures(comparison).items()}
    text = markdown_report(comparison, directory.name)
    try:
        directory.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            atomic_write_bytes(directory / name, picture)
        with atomic_write(file) as markdown:
            markdown.write(text)
    except OSError as error:
        return error.strerror or str(error)
    return None
