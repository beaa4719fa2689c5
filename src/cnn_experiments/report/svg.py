"""Charts as SVG in the colors of the page, light or dark."""

import io
import re
import warnings
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

FOREGROUND, _GRID = "#010101", "#020202"
"""Placeholders for the page's own colors, which differ between light and dark mode."""
COLORS = ("#3b82c4", "#e07b39", "#2ca58d", "#d1495b", "#8f6fcf", "#a98600", "#4f9bb0", "#c563a0")
_FONT = "DejaVu Sans"
_SIZE = (4.6, 3.4)  # inches of 72 points, which a phone shows one to one
STYLE: Any = {
    "axes.edgecolor": _GRID,
    "axes.grid": True,
    "axes.labelcolor": FOREGROUND,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.family": _FONT,
    "font.size": 10,
    "grid.alpha": 0.35,
    "grid.color": _GRID,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": FOREGROUND,
    "text.parse_math": False,
    "xtick.color": FOREGROUND,
    "ytick.color": FOREGROUND,
}
"""The parameters of matplotlib with which a chart is drawn, and made an SVG."""


def new_chart(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Return an empty chart."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def number_epochs(axes: Axes, epochs: Iterable[int]) -> None:
    """Give the x axis of some epochs ticks at whole numbers only. A single epoch is in its middle."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(numbers := set(epochs)) == 1:
        (epoch,) = numbers
        axes.set_xlim(epoch - 0.5, epoch + 0.5)


def to_svg(figure: Figure, description: str) -> Markup:
    """Return a chart that was drawn in STYLE as an element of the page.

    Args:
        figure: the chart.
        description: what it shows, for those who do not see it.
    """
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has others
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    document = file.getvalue()
    svg = document[document.index("<svg") :].replace(FOREGROUND, "var(--ink)").replace(_GRID, "var(--faint)")
    svg = svg.replace(f"'{_FONT}'", "system-ui")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
    # Ids that nothing refers to are the same in every chart, and an id must be unique in a page.
    used_ids = set(re.findall(r'(?:url\(|href=")#([\w-]+)', svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used_ids else "", svg)
    return Markup(svg)  # noqa: S704
