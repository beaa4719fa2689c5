"""The files that a reader of a page has: images of their own, or runs of an earlier page."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT


def write_kept_runs(directory: Path) -> None:
    """Copy the runs that the repository has in `docs/runs`."""
    shutil.copytree(ROOT / "docs" / "runs", directory / "docs" / "runs")


PAGE_FILES: dict[str, Callable[[Path], None]] = {"docs/how_to/published": write_kept_runs}
"""By page: a function that makes its files in the directory where its commands are run."""
