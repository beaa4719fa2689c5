"""Tells how the runs of a sweep begin and end, and puts their folders in order."""

import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from cnn_experiments.console import print_line
from cnn_experiments.runs.directory import Standing
from cnn_experiments.sweep.run import Run
from cnn_experiments.sweep.settle import settle

STYLES = {"failed": "red", "interrupted": "yellow", "completed": "green"}


class Watch:
    """Counts the runs that are started.

    Args:
        runs: how many there will be.
        on_error: stop ends the sweep at the first that fails.
        at_first: what is done when the launcher has begun, and will not refuse its settings any more.
    """

    def __init__(self, runs: int, on_error: str, at_first: Callable[[], None] = lambda: None) -> None:
        self._at_first = at_first
        self._runs = runs
        self._on_error = on_error
        self._numbers: dict[Path, int] = {}

    def started(self, run: Run) -> None:
        """Says so."""
        if not self._numbers:
            self._at_first()
        self._numbers[run.folder] = len(self._numbers) + 1
        print_line(f"{self._place(run)} {run.folder.name}", style="bold")

    def skipped(self, run: Run) -> None:
        """Another sweep has been faster."""
        self.started(run)
        print_line(f"{self._place(run)} {run.folder.name} {run.standing.status} by another process; skipped", "yellow")

    def ended(self, run: Run, status: str, error: str) -> bool:
        """Says how.

        Args:
            run: what ended.
            status: what is written down where the run itself has not done so, failed or interrupted.
            error: why.

        Returns:
            Whether the sweep goes on.
        """
        standing = settle(run, status, error)
        told = [self._place(run), run.folder.name, status_of(standing), reason(standing) or figures(standing)]
        print_line(" ".join(told), style=STYLES.get(standing.status))
        return self._goes_on(standing)

    def unwanted(self) -> Iterable[Run]:
        """Those that go on and are to stop; asked often."""
        return ()

    def _goes_on(self, standing: Standing) -> bool:
        return self._on_error == "continue" or standing.status != "failed"

    def _place(self, run: Run) -> str:
        return f"[{self._numbers[run.folder]}/{self._runs}]"


def status_of(standing: Standing) -> str:
    """As it is shown."""
    return "not run" if standing.status == "new" else standing.status


def figures(standing: Standing) -> str:
    """The accuracies of a run, as far as it has them."""
    metrics = standing.results.get("metrics", {})
    return "  ".join(f"{name} {metrics[name]:.4g}" for name in ("val/acc", "test/acc") if metrics.get(name) is not None)


def reason(standing: Standing) -> str:
    """Why a run is not complete."""
    error = standing.results.get("error")
    if standing.status == "failed" and standing.ended_by_signal:
        return f"killed by {error}{' (out of memory?)' if error == 'SIGKILL' else ''}"
    if standing.status == "running":
        return "by another process"
    if standing.status == "interrupted":
        by = "by " if error in signal.Signals.__members__ else ""
        return f"{by}{error}" if error else "killed together with its sweep"
    return str(error) if standing.status == "failed" else ""
