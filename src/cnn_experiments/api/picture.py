"""A figure of matplotlib as Jupyter shows it, whatever backend the notebook has chosen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnn_experiments.predictions.figures import to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure that a notebook shows."""

    figure: "Figure"
    """The figure of matplotlib."""

    def save(self, path: str | Path) -> None:
        """Write the figure to a file, whose name says its format: `.png`, `.svg`, `.pdf`."""
        self.figure.savefig(path)

    def _repr_png_(self) -> bytes:
        return to_png(self.figure)
