"""The page's pictures, as SVG that takes the page's colours."""

import io
import re
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

from cnn_experiments.report.leaderboard.groups import Board, Group, word
from cnn_experiments.runs.records import Run
from cnn_experiments.runs.settings import short_names

MOST_CURVES = 8
_MOST_CELLS = 12
_MOST_NUMBERED = 30
_INK, _FAINT = "#010101", "#020202"
"""Stand for the page's own colours, which differ between light and dark."""
_COLOURS = ("#3b82c4", "#e07b39", "#2ca58d", "#d1495b", "#8f6fcf", "#a98600", "#4f9bb0", "#c563a0")
_FONT = "DejaVu Sans"
_SIZE = (4.6, 3.4)  # inches of 72 points, which a phone shows one to one
_LETTERS = 54
"""What a line of a legend has room for."""
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
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def curves(board: Board, figure: str) -> Markup | None:
    """A figure over epochs, the mean over the seeds, of the best groups; None where it was not measured."""
    means = {}
    for group in board.groups[:MOST_CURVES]:
        if of_seeds := [curve for run in group.runs if (curve := _curve(run, figure))]:
            means[group] = [statistics.fmean(at) for at in zip(*of_seeds, strict=False)]
    if not means:
        return None
    with mpl.rc_context(_STYLE):
        picture, axes = _chart("epoch", figure)
        for (group, curve), colour in zip(means.items(), _COLOURS, strict=False):
            label = _cut_off(f"{board.groups.index(group) + 1} {group.label}")
            marker = "o" if len(curve) == 1 else None
            axes.plot(range(1, len(curve) + 1), curve, color=colour, label=label, marker=marker, linewidth=1.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if figure.endswith("/acc"):
            values = [value for curve in means.values() for value in curve]
            _cut(axes, values, _floor([curve[-1] for curve in means.values()]))
        _legend(picture, axes, most=2)
        return _svg(picture, f"{figure} by epoch")


def against_cost(
    board: Board, name: str, cost: Callable[[Group], float | None], link: Callable[[Group], str]
) -> Markup | None:
    """Accuracy against a cost, and the line of the groups that none beats in both; None where no costs differ."""
    points = {group: (x, board.accuracy(group)) for group in board.groups if (x := cost(group))}
    if len({x for x, _ in points.values()}) < 2:
        return None
    front = pareto_front(list(points.values()))
    kinds = list(dict.fromkeys(_kind(group) for group in points))
    colours = {kind: _COLOURS[place % len(_COLOURS)] for place, kind in enumerate(kinds)}
    with mpl.rc_context(_STYLE):
        picture, axes = _chart(f"{name} (log scale)", board.metric)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(NullLocator())
        accuracies = [y for _, y in points.values()]
        floor = _cut(axes, accuracies, _floor(accuracies))
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
                axes.scatter([], [], color=colour, label=_cut_off(kind), s=40)
            _legend(picture, axes, most=4)
        return _svg(picture, f"{board.metric} against {name}")


def heat_map(board: Board) -> Markup | None:
    """The accuracy of every combination of two settings; None where not exactly two vary, or in too many values."""
    values = {key: {word(each := group.varied[key]): each for group in board.groups} for key in board.keys}
    varied = {
        key: sorted(found, key=lambda name: _order(found[name])) for key, found in values.items() if len(found) > 1
    }
    if len(varied) != 2 or max(map(len, varied.values())) > _MOST_CELLS:
        return None
    (row_key, rows), (column_key, columns) = varied.items()
    means = {
        (word(group.varied[row_key]), word(group.varied[column_key])): board.accuracy(group)
        for group in reversed(board.groups)  # of several, the best
    }
    accuracies = list(means.values())
    normalised = Normalize(max(_floor(accuracies), min(accuracies)), max(accuracies), clip=True)
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
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0)
        return _svg(picture, f"{board.metric} of every combination")


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


def _curve(run: Run, figure: str) -> list[float]:
    try:
        return run.curve(figure)
    except ValueError:  # which the report tells
        return []


def _kind(group: Group) -> str:
    return word(next(iter(group.varied.values()), group.label))


def _order(value: Any) -> tuple[bool, Any]:
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else str(value)


def _floor(accuracies: Sequence[float]) -> float:
    """Two and a half times the errors of the best, or half of the groups. One at chance would press the others flat."""
    return min(1 - 2.5 * (1 - max(accuracies)), statistics.median(accuracies))


def _cut(axes: Axes, values: Sequence[float], floor: float) -> float:
    """Leaves out what lies below the floor, and returns what is the lowest shown."""
    floor, top = max(floor, min(values)), max(values)
    margin = 0.08 * (top - floor) or 0.01
    axes.set_ylim(floor - margin, top + margin)
    return floor


def _legend(picture: Figure, axes: Axes, most: int) -> None:
    """In as many columns as its words leave room for."""
    longest = max((len(str(label)) for label in axes.get_legend_handles_labels()[1]), default=1)
    picture.legend(loc="outside lower center", ncols=max(1, min(most, _LETTERS // (longest + 5))))


def _cut_off(label: str) -> str:
    return label if len(label) <= _LETTERS - 6 else f"{label[: _LETTERS - 7]}…"


def _svg(picture: Figure, name: str) -> Markup:
    file = io.StringIO()
    picture.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    whole = file.getvalue()
    drawn = whole[whole.index("<svg") :].replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
    drawn = drawn.replace(f"'{_FONT}'", "system-ui").replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', drawn))
    # Names that stand in every picture of a page would be there several times.
    drawn = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", drawn)
    return Markup(drawn)  # noqa: S704
