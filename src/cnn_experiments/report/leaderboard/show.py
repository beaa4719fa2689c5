"""The leaderboard of some runs: printed, and written as a page, as Markdown and as CSV."""

from collections.abc import Sequence
from pathlib import Path

from cnn_experiments.config.schema import near
from cnn_experiments.console import fits, print_line, print_table
from cnn_experiments.errors import Refusal
from cnn_experiments.report.leaderboard.columns import LEGEND, Column, answer, columns, remarks
from cnn_experiments.report.leaderboard.export import as_csv, markdown, terminal
from cnn_experiments.report.leaderboard.groups import Board, Leaderboard, leaderboard
from cnn_experiments.runs.directory import rewritten, short
from cnn_experiments.runs.records import damaged_curves, find
from cnn_experiments.runs.settings import short_names

_NAME = "leaderboard"


def show(folders: Sequence[Path], to: Path | None, by: str = "rank", *, printed: bool = True) -> bool:
    """Prints the leaderboard of the runs in some folders, and writes it, if that can be done.

    Args:
        folders: runs, or folders with runs below them.
        to: where the files are written; None for nowhere.
        by: the column that the printed tables are in the order of.
        printed: whether it is.

    Returns:
        Whether it is written where it was to be.

    Raises:
        Refusal: there are no runs, or no such column.
    """
    runs, damaged = find(folders)
    if not runs:
        raise Refusal(f"{folders[0]}: there is no run that can be read; {damaged[0]}")
    damaged = [f"damaged, skipped: {line}" for line in damaged]
    damaged += [f"damaged: {line}" for line in damaged_curves(runs)]
    made = leaderboard(runs)
    shown = columns(made)
    named = {column.name: column for column in shown}
    if (key := short_names(made.keys).get(by, by)) not in named:
        raise Refusal(f"--sort={by}: must be one of {', '.join(named)}{near(by, named)}")
    if printed:
        _print(made, damaged, shown, named[key])
    if to is None:
        return True
    from cnn_experiments.report.leaderboard.html import page  # matplotlib takes its time

    title = " ".join(str(short(folder.absolute())) for folder in folders)
    texts = {
        ".csv": as_csv(made),
        ".md": markdown(made, damaged, title),
        ".html": page(made, damaged, title),
    }
    try:
        print_line(f"written: {', '.join(map(str, _write(to, texts)))}")
    except OSError as error:
        print_line(f"not written to {to}: {error.strerror}", style="yellow")
        return False
    return True


def _print(made: Leaderboard, damaged: Sequence[str], shown: Sequence[Column], by: Column) -> None:
    for board in made.boards:
        room = _with_room(board, shown, by)
        print_table(terminal(board, room, by))
        if left_out := [column.name for column in shown if column not in room]:
            print_line(f"not shown for lack of room: {', '.join(left_out)}")
        print_line(answer(board))
    for line in [*(LEGEND if made.boards else ()), *remarks(made, damaged)]:
        print_line(line, style="yellow" if line.startswith("damaged") else None)


def _with_room(board: Board, shown: Sequence[Column], by: Column) -> list[Column]:
    """As many columns as the terminal is wide enough for."""
    room = list(shown)
    for column in sorted((each for each in shown if each.leaves and each is not by), key=lambda each: each.leaves):
        if fits(terminal(board, room, by)):
            break
        room.remove(column)
    return room


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    files = [folder / f"{_NAME}{ending}" for ending in texts]
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in zip(files, texts.values(), strict=True):
        with rewritten(file) as opened:
            opened.write(text)
    return files
