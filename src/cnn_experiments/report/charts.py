"""The page's pictures, as SVG that takes the page's colours."""

import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from cnn_experiments.report.leaderboard import Board, Group, word
from cnn_experiments.report.setup import short_names

MOST_CURVES = 8
_MOST_CELLS = 12
_MOST_NUMBERED = 30
_INK, _FAINT = "#010101", "#020202"
"""Stand for the page's own colours, which differ between light and dark."""
_COLOURS = ("#3b82c4", "#e07b39", "#2ca58d", "#d1495b", "#8f6fcf", "#a98600", "#4f9bb0", "#c563a0")
_FONT = "DejaVu Sans"
_SIZE = (4.6, 3.4)  # inches of 72 points, which a phone shows one to one
_STYLE: Any = {
    "axes.edgecolor": _FAINT,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": _FONT,
    "font.size": 10,
    "grid.alpha": 0.35,
    "grid.color": _FAINT,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def curves(board: Board, figure: str) -> Markup | None:
    """A figure over epochs, the mean over the seeds, of the best groups; None where it was not measured."""
    means = {}
    for group in board.groups[:MOST_CURVES]:
        if of_seeds := [curve for run in group.runs if (curve := run.curve(figure))]:
            means[group] = [statistics.fmean(at) for at in zip(*of_seeds, strict=False)]
    if not means:
        return None
    with mpl.rc_context(_STYLE):
        picture, axes = _chart("epoch", figure)
        for (group, curve), colour in zip(means.items(), _COLOURS, strict=False):
            label = f"{board.groups.index(group) + 1} {group.label}"
            marker = "o" if len(curve) == 1 else None
            axes.plot(range(1, len(curve) + 1), curve, color=colour, label=label, marker=marker, linewidth=1.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if figure.endswith("/acc"):
            _cut(axes, [value for curve in means.values() for value in curve])
        picture.legend(loc="outside lower center", ncols=2)
        return _svg(picture)


def against_cost(
    board: Board, name: str, cost: Callable[[Group], float | None], link: Callable[[Group], str]
) -> Markup | None:
    """Accuracy against a cost, and the line of the groups that none beats in both; None where no costs differ."""
    points = {group: (x, board.ranked(group).mean) for group in board.groups if (x := cost(group))}
    if len({x for x, _ in points.values()}) < 2:
        return None
    front = pareto_front(list(points.values()))
    kinds = list(dict.fromkeys(_kind(group) for group in points))
    colours = {kind: _COLOURS[place % len(_COLOURS)] for place, kind in enumerate(kinds)}
    with mpl.rc_context(_STYLE):
        picture, axes = _chart(name, board.metric)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(NullLocator())
        floor = _cut(axes, [y for _, y in points.values()])
        axes.step(*zip(*front, strict=True), where="post", color=_INK, alpha=0.6, linewidth=1, zorder=1)
        for group, (x, y) in points.items():
            numbered = (x, y) in front or len(points) <= _MOST_NUMBERED
            dot = axes.scatter(
                x,
                max(y, floor),
                s=110 if numbered else 14,
                marker="o" if y >= floor else "v",
                color=colours[_kind(group)],
                edgecolors=_INK if (x, y) in front else "none",
                zorder=3 if (x, y) in front else 2,
                clip_on=False,
            )
            dot.set_urls([link(group)])
            if numbered:
                rank = str(board.groups.index(group) + 1)
                axes.text(x, max(y, floor), rank, color="white", fontsize=8, ha="center", va="center", zorder=4)
        if len(kinds) <= len(_COLOURS):
            for kind, colour in colours.items():
                axes.scatter([], [], color=colour, label=kind, s=40)
            picture.legend(loc="outside lower center", ncols=4)
        return _svg(picture)


def heat_map(board: Board) -> Markup | None:
    """The accuracy of every combination of two settings; None where not exactly two vary, or in too many values."""
    values = {key: sorted({group.varied[key] for group in board.groups}, key=_order) for key in board.keys}
    varied = {key: found for key, found in values.items() if len(found) > 1}
    if len(varied) != 2 or max(map(len, varied.values())) > _MOST_CELLS:
        return None
    (row_key, rows), (column_key, columns) = varied.items()
    means = {(group.varied[row_key], group.varied[column_key]): board.ranked(group).mean for group in board.groups}
    best = max(means.values())
    normalised = Normalize(_floor(best), best, clip=True)
    names = short_names(board.keys)
    with mpl.rc_context(_STYLE | {"axes.grid": False, "axes.spines.left": False, "axes.spines.bottom": False}):
        picture, axes = _chart(names[column_key], names[row_key])
        for (row, column), mean in means.items():
            shade = mpl.colormaps["viridis"](float(normalised(mean)))
            is_light = sum(part * share for part, share in zip(shade, (0.3, 0.6, 0.1), strict=False)) > 0.5
            place = columns.index(column), rows.index(row)
            axes.add_patch(Rectangle((place[0] - 0.48, place[1] - 0.48), 0.96, 0.96, color=shade))
            axes.text(*place, f"{mean:.4f}", ha="center", va="center", color="black" if is_light else "white")
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xticks(range(len(columns)), list(map(word, columns)))
        axes.set_yticks(range(len(rows)), list(map(word, rows)))
        axes.tick_params(length=0)
        return _svg(picture)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, accuracy), those that no other beats in one without losing in the other; the cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cost, accuracy))
    return front


def _chart(x: str, y: str) -> tuple[Figure, Axes]:
    picture = Figure(figsize=_SIZE, layout="constrained")
    axes = picture.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return picture, axes


def _kind(group: Group) -> str:
    return word(next(iter(group.varied.values()), group.label))


def _order(value: Any) -> tuple[bool, Any]:
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else str(value)


def _floor(best: float) -> float:
    """Two and a half times the errors of the best. One run at chance would press all others into a line."""
    return max(0.0, 1 - 2.5 * (1 - best))


def _cut(axes: Axes, values: Sequence[float]) -> float:
    """Leaves out what lies below the floor, and returns what is the lowest shown."""
    best = max(values)
    floor = max(_floor(best), min(values))
    margin = 0.08 * (best - floor) or 0.01
    axes.set_ylim(floor - margin, best + margin)
    return floor


def _svg(picture: Figure) -> Markup:
    file = io.StringIO()
    picture.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    whole = file.getvalue()
    drawn = whole[whole.index("<svg") :].replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
    return Markup(drawn.replace(f"'{_FONT}'", "system-ui"))  # noqa: S704
