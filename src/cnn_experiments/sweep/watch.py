"""Tells how the runs of a sweep begin and end, and puts their folders in order."""

from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cnn_experiments.combination import Combination
from cnn_experiments.console import print_line
from cnn_experiments.run_folder import Standing
from cnn_experiments.sweep.command import command_of
from cnn_experiments.sweep.settle import settle

STYLES = {"failed": "red", "interrupted": "yellow", "completed": "green"}


@dataclass(frozen=True)
class Task:
    """A run to be started, as the command that does it alone.

    Attributes:
        combination: its settings.
        folder: its own.
        command: the words to type, the program's first.
    """

    combination: Combination
    folder: Path
    command: list[str]

    @classmethod
    def of(cls, config: DictConfig) -> "Task":
        """From the whole configuration of a run, Hydra's part with its number included."""
        HydraConfig.instance().set_config(config)  # the folder's name may refer to it
        folder = Path(config.hydra.sweep.dir) / config.hydra.sweep.subdir
        return cls(Combination(config), folder, command_of(config.hydra, folder))


class Watch:
    """Counts the runs that are started."""

    def __init__(self, runs: int, on_error: str) -> None:
        self._runs = runs
        self._on_error = on_error
        self._numbers: dict[Path, int] = {}

    def started(self, task: Task) -> None:
        """Says so."""
        self._numbers[task.folder] = len(self._numbers) + 1
        print_line(f"{self._place(task)} {task.folder.name}", style="bold")

    def ended(self, task: Task, status: str, error: str) -> bool:
        """Says how.

        Args:
            task: what ended.
            status: what is written down where the run itself has not done so, failed or interrupted.
            error: why.

        Returns:
            Whether the sweep goes on.
        """
        standing = settle(task.folder, task.combination, status, error)
        told = [self._place(task), task.folder.name, standing.status, reason(standing) or figures(standing)]
        print_line(" ".join(told), style=STYLES.get(standing.status))
        return self._on_error == "continue" or standing.status != "failed"

    def _place(self, task: Task) -> str:
        return f"[{self._numbers[task.folder]}/{self._runs}]"


def figures(standing: Standing) -> str:
    """The accuracies of a run, as far as it has them."""
    metrics = standing.results.get("metrics", {})
    return "  ".join(f"{name} {metrics[name]:.4g}" for name in ("val/acc", "test/acc") if metrics.get(name) is not None)


def reason(standing: Standing) -> str:
    """Why a run is not complete."""
    error = standing.results.get("error")
    if standing.status == "failed" and standing.ended_by_signal:
        memory = ", as the system does where memory runs out" if error == "SIGKILL" else ""
        return f"killed by {error}{memory}"
    if standing.status == "interrupted":
        return f"by {error}" if error else "killed together with its sweep"
    return str(error) if standing.status == "failed" else ""
