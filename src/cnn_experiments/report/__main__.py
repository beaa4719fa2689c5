"""`python -m cnn_experiments.report DIRECTORY...`: a leaderboard, the page of a run, or published results."""

import signal

_on_ctrl_c = signal.getsignal(signal.SIGINT)
if _on_ctrl_c is signal.default_int_handler:  # Ctrl-C during the imports ends the program without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from cnn_experiments.console import print_error, print_line
from cnn_experiments.errors import ConfigError, describe_error
from cnn_experiments.runtime.output import lossy_output
from cnn_experiments.runtime.signals import Interrupted, interruptible

if _on_ctrl_c is signal.default_int_handler:
    signal.signal(signal.SIGINT, _on_ctrl_c)

_LEADERBOARD_FLAGS = ("sort", "to", "pages")
_PUBLISHED_FLAGS = ("markdown",)


def main() -> None:
    """Print and write a leaderboard of several runs, the page of one, or a comparison with published results.

    The exit status is 2 for bad input, 1 if the leaderboard could not be written to the directory
    in `--to`, or pages could not be written, and 128 plus the number of a signal that ended it.
    """
    with lossy_output():
        arguments = _parse_arguments()
        try:
            with interruptible():
                is_successful = _report_published(arguments) if arguments.published else _report_leaderboard(arguments)
        except ConfigError as error:
            print_error(error)
            sys.exit(2)
        except Interrupted as interruption:
            sys.exit(interruption.status)
        except OSError as error:  # such as a path that is too long, or a directory that may not be read
            print_error(describe_error(error))
            sys.exit(2)
        if not is_successful:
            sys.exit(1)


class _Parser(argparse.ArgumentParser):
    """A parser that rejects bad input in one line, as the other commands do."""

    def error(self, message: str) -> NoReturn:
        print_error(f"{self.prog}: {message}; --help lists what is allowed")
        self.exit(2)


def _parse_arguments() -> argparse.Namespace:
    parser = _Parser(
        prog="python -m cnn_experiments.report",
        allow_abbrev=False,
        description="Compare runs, finished or not, or show one, from the files of their directories alone.",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="DIRECTORY", help="a run directory, or a directory with runs below it"
    )
    leaderboard = parser.add_argument_group("leaderboard of several runs, or the page of one")
    leaderboard.add_argument(
        "--sort",
        metavar="COLUMN",
        help="order of the printed tables, the best first: val/acc, seconds, a setting such as lr",
    )
    leaderboard.add_argument(
        "--to",
        type=Path,
        metavar="DIRECTORY",
        help="where to write leaderboard.html, .md and .csv, or run.html; default: DIRECTORY, if there is only one",
    )
    leaderboard.add_argument(
        "--pages", action="store_true", default=None, help="also write run.html into the directory of every run"
    )
    published = parser.add_argument_group("published results")
    published.add_argument("--published", action="store_true", help="compare runs of recipes with published results")
    published.add_argument("--markdown", type=Path, metavar="FILE", help="write the comparison to this file, too")
    return parser.parse_args()


def _report_leaderboard(arguments: argparse.Namespace) -> bool:
    _reject(arguments, _PUBLISHED_FLAGS, "only valid with --published; to write a leaderboard, use --to=DIRECTORY")
    paths: list[Path] = arguments.paths
    output_dir: Path | None = arguments.to
    if output_dir is not None and output_dir.exists() and not output_dir.is_dir():
        raise ConfigError("--to", output_dir, problem="must be a directory; this is a file")
    if output_dir is None and len(paths) == 1:
        output_dir = paths[0]
    from cnn_experiments.runs.records import holds_one_run

    if output_dir is not None and len(paths) == 1 and holds_one_run(paths[0]):
        _reject(arguments, ("sort",), "only valid for several runs; this directory has one")
        from cnn_experiments.report.run_page.show import report_run

        return report_run(paths[0], output_dir) or arguments.to is None
    from cnn_experiments.report.leaderboard.show import report_leaderboard

    num_pages, num_runs = _write_pages(paths) if arguments.pages else (0, 0)
    is_written = report_leaderboard(paths, output_dir, "rank" if arguments.sort is None else arguments.sort)
    if output_dir is None:
        print_line("not written: several directories are given; choose one with --to=DIRECTORY")
    if arguments.pages:  # last, where it is seen
        print_line(f"written: run.html of {num_pages:,} run{'' if num_pages == 1 else 's'}")
    return num_pages == num_runs and (is_written or arguments.to is None)


def _write_pages(paths: list[Path]) -> tuple[int, int]:
    from cnn_experiments.report.run_page.show import write_run_pages

    return write_run_pages(paths)


def _report_published(arguments: argparse.Namespace) -> bool:
    _reject(arguments, _LEADERBOARD_FLAGS, "not valid with --published")
    from cnn_experiments.report.published.show import show_published

    return show_published(arguments.paths, arguments.markdown)


def _reject(arguments: argparse.Namespace, flags: tuple[str, ...], problem: str) -> None:
    for flag in flags:
        if (value := getattr(arguments, flag)) is not None:
            raise ConfigError(f"--{flag}", value, problem=problem)


if __name__ == "__main__":
    main()
