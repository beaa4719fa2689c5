"""`python -m cnn_experiments.report FOLDER...`: which configuration is better, by how much, and at what cost."""

import argparse
import sys
from pathlib import Path

from cnn_experiments.console import print_line
from cnn_experiments.errors import ConfigError, Refusal


def main() -> None:
    """Prints and writes the leaderboard, or with `--published` the ledger. Exit status 2 for bad input.

    It is 1 where the leaderboard can't be written to a folder that was asked for.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cnn_experiments.report",
        description="The leaderboard of some runs, finished or not, from their results.json and metrics.csv alone.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="runs, or folders with runs below them")
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help="order of the printed tables, the best first: val/acc, seconds, a setting such as lr",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="FOLDER",
        help="where leaderboard.html, .md and .csv go; by default, to the one given",
    )
    parser.add_argument("--published", action="store_true", help="instead, runs of recipes beside published figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="with --published: write that there")
    arguments = parser.parse_args()
    folders: list[Path] = arguments.folders
    try:
        if arguments.published:
            _leave_out(arguments, "sort", "to", beside="--published")
            from cnn_experiments.report.published.show import show_published

            show_published(folders, arguments.markdown)
        else:
            _leave_out(arguments, "markdown", beside="a leaderboard; --to=FOLDER writes it")
            from cnn_experiments.report.leaderboard.show import show

            if arguments.to is not None and arguments.to.exists() and not arguments.to.is_dir():
                raise Refusal(f"--to={arguments.to}: must be a folder; this is a file")
            to = folders[0] if arguments.to is None and len(folders) == 1 else arguments.to
            written = show(folders, to, "rank" if arguments.sort is None else arguments.sort)
            if arguments.to is not None and not written:
                sys.exit(1)
            if to is None:
                print_line("not written: of several folders, --to=FOLDER says where")
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _leave_out(arguments: argparse.Namespace, *flags: str, beside: str) -> None:
    for flag in flags:
        if (value := getattr(arguments, flag)) is not None:
            raise Refusal(f"--{flag}={value}: must be left out beside {beside}")


if __name__ == "__main__":
    main()
