"""Published figures and our curves in one picture for each network."""

import math
from collections.abc import Sequence
from itertools import cycle, zip_longest
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnn_experiments.report.published.comparison import Row
from cnn_experiments.report.published.reference import best_of
from cnn_experiments.report.published.render import share

_ACROSS = 4
_OURS, _TEST, _PUBLISHED, _MISTAKEN = "#1f77b4", "#e8710a", "#444444", "#d62728"


def picture(rows: Sequence[Row], path: Path) -> None:
    """Draws the measured recipes for one network in panels, accuracy over epochs."""
    across = min(len(rows), _ACROSS)
    down = math.ceil(len(rows) / across)
    figure = Figure(figsize=(3.3 * across, 3.6 * down), layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False)
    for panel, row in zip_longest(panels.flat, rows):
        if row is None:
            panel.remove()
        else:
            _draw(panel, row)
    for panel in panels[:, 0]:
        panel.set_ylabel("accuracy")
    figure.suptitle(rows[0].recipe.network)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw(panel: Axes, row: Row) -> None:
    recipe = row.recipe
    figure_of_a_run = "test/acc" if recipe.band else "val/acc"
    curves = [run.curve(figure_of_a_run) for run in row.runs]
    epochs = max(map(len, curves))
    for curve in curves:
        panel.plot(range(1, len(curve) + 1), curve, color=_OURS, alpha=0.45, linewidth=1)
    on = "" if recipe.band else ", validation"
    panel.plot([], [], color=_OURS, label=f"ours{on}, {len(row.runs)} seed{'s' * (len(row.runs) > 1)}")
    if recipe.band is None:
        panel.plot([epochs + 0.5] * len(row.runs), row.accuracies, "_", color=_TEST, markersize=12, label="ours, test")
        best = best_of(recipe.network)
        panel.axhline(best, color=_PUBLISHED, linestyle=":", label=f"best published, {share(best)}")
    elif recipe.builds is not None:
        builds = recipe.builds
        below, above = builds.median - builds.low, builds.high - builds.median
        label = f"{builds.count} builds, 5 to 95 %"
        panel.errorbar(
            epochs + 0.4, builds.median, [[below], [above]], fmt="s", color=_PUBLISHED, capsize=5, label=label
        )
    for each, marker in zip(recipe.prints, cycle("o^s"), strict=False):
        colour, said = (_MISTAKEN, " (mistaken)") if each.mistake else (_PUBLISHED, "")
        first = epochs - len(each.curve) + 1
        style = {"marker": marker, "markersize": 5, "linestyle": "--", "color": colour}
        panel.plot(range(first, epochs + 1), each.curve, label=f"{each.source}{said}", **style)  # type: ignore[arg-type]
    if recipe.band is not None and recipe.builds is None:
        panel.axhspan(*recipe.band, color=_PUBLISHED, alpha=0.12, label="band")
    panel.set_title(f"{recipe.name}\n{row.device}", fontsize=9)
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(alpha=0.3)
    panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2)
