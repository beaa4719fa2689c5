"""The leaderboard at the end of a sweep or a search. The sweeper passes its function in: `report` is a layer above."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cnn_experiments.console import print_line
from cnn_experiments.errors import ConfigError, describe_error
from cnn_experiments.runs.results import RESULTS_FILE
from cnn_experiments.runtime.signals import signals_deferred


class Report(Protocol):
    """Prints and writes the leaderboard of all runs below some directories."""

    def __call__(
        self, paths: Sequence[Path], output_dir: Path | None, *, quiet: bool = False, keep_unchanged: bool = False
    ) -> bool:
        """Return whether everything was written. Files that show the results already may be left as they are."""


def write_report(report: Report, directory: Path, *, quiet: bool = False) -> bool:
    """Print and write the leaderboard of a sweep that has runs, and return whether that was possible.

    The table of a sweep has been printed before: an error is one line here, whatever it is. A signal ends the sweep
    afterwards, because libraries that draw curves do not survive one while they are imported.
    """
    if not any(directory.glob(f"*/{RESULTS_FILE}")):
        return True
    try:
        with signals_deferred():
            return report([directory], directory, quiet=quiet, keep_unchanged=True)
    except Exception as error:
        message = str(error) if isinstance(error, ConfigError) else describe_error(error)
        print_line(f"no leaderboard: {message}", style="red")
        return False
