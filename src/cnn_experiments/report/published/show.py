"""The ledger of some runs: printed, and written as Markdown."""

from pathlib import Path

from rich.table import Table

from cnn_experiments.console import print_line, print_table
from cnn_experiments.errors import Refusal
from cnn_experiments.report.published.comparison import Row, ledger
from cnn_experiments.report.published.render import HEAD, cells, notes
from cnn_experiments.runs.records import find


def show_published(folders: list[Path], file: Path | None) -> None:
    """Prints the ledger of some runs, and writes it.

    Raises:
        Refusal: there are no runs, or the file is none that can be written.
    """
    if file is not None and (file.suffix != ".md" or file.is_dir() or not file.parent.is_dir()):
        raise Refusal(f"--markdown={file}: must be a file whose name ends in .md, in a folder that is there")
    runs, damaged = find(folders)
    made = ledger(runs)
    for device, rows in made.by(lambda row: row.device).items():
        print_table(_table(device, rows))
    if made.rows:
        print_line(
            "inside: our median lies in the brackets or the band; above: every seed beats the best figure published of "
            "its network, and the mean does by more than two standard deviations"
        )
    for line in notes(row.recipe for row in made.rows):
        print_line(line)
    for line in [*(f"damaged: {line}" for line in damaged), *(f"left out: {line}" for line in made.left_out)]:
        print_line(line, style="yellow")
    if made.of_no_recipe:
        print_line(f"runs that follow none of these recipes: {made.of_no_recipe}")
    if made.missing:
        print_line(f"{len(made.missing)} recipes with published figures have no run here")
    if file is not None:
        from cnn_experiments.report.published.markdown import write  # matplotlib takes its time

        write(made, file)
        print_line(f"written: {file}")


def _table(device: str, rows: list[Row]) -> Table:
    table = Table(title=f"on {device}", title_justify="left")
    for number, name in enumerate(HEAD):
        table.add_column(name, justify="right" if number > HEAD.index("verdict") else "left", no_wrap=name == "recipe")
    for row in rows:
        table.add_row(*cells(row))
    return table
