"""The figure of a metric by epoch."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnn_experiments.report.svg import COLORS
from cnn_experiments.runs.metrics import SPLITS

_COLORS: Mapping[str, str] = dict(zip(SPLITS, COLORS, strict=False))
_TESTED_COLOR = "#777777"
_MAX_MARKED_EPOCHS = 30
"""Up to this number, every epoch has a marker."""


def curves_figure(
    curves: Mapping[str, Mapping[int, float]], label: str, title: str, tested_epoch: int | None
) -> Figure:
    """Draw curves by epoch, and mark the tested epoch.

    Args:
        curves: values by epoch, by the name of their split or metric.
        label: of the vertical axis.
        title: of the figure.
        tested_epoch: the epoch whose checkpoint was tested, or None.
    """
    figure = Figure(figsize=(5.6, 3.6), dpi=100, layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        marker = "o" if len(curve) <= _MAX_MARKED_EPOCHS else ""
        axes.plot(list(curve), list(curve.values()), color=_COLORS.get(name), marker=marker, markersize=4, label=name)
    if tested_epoch is not None:
        axes.axvline(tested_epoch, color=_TESTED_COLOR, linestyle=":", label=f"epoch {tested_epoch}, tested", zorder=0)
    axes.set(xlabel="epoch", ylabel=label)
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
