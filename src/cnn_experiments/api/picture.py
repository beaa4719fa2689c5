"""A figure of matplotlib as Jupyter shows it, whatever backend the notebook has chosen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnn_experiments.predictions.figures import to_png

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_DPI = 100


@dataclass(frozen=True)
class Picture:
    """A figure that a notebook shows."""

    figure: "Figure"
    """The figure of matplotlib."""

    @classmethod
    def from_pixels(cls, pixels: "NDArray[np.uint8]") -> "Picture":
        """Return a figure that has exactly these pixels, RGB (height, width, 3)."""
        from matplotlib.figure import Figure

        height, width, _ = pixels.shape
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        figure.figimage(pixels, origin="upper")
        return cls(figure)

    def save(self, path: str | Path) -> None:
        """Write the figure to a file, whose name says its format: `.png`, `.svg`, `.pdf`."""
        self.figure.savefig(path)

    def _repr_png_(self) -> bytes:
        return to_png(self.figure)
