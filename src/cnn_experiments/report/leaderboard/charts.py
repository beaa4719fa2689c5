"""The charts of the HTML page, as SVG in the page's colors."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from cnn_experiments.console import printable, shorten
from cnn_experiments.report.leaderboard.groups import Board, Group, format_setting
from cnn_experiments.report.statistics import measured_curve
from cnn_experiments.report.svg import COLORS, FOREGROUND, STYLE, new_chart, number_epochs, to_svg
from cnn_experiments.runs.records import RunRecord as RunRecord
from cnn_experiments.runs.settings import short_names

MAX_CURVES = 8
_MAX_HEAT_MAP_VALUES = 12
_MAX_NUMBERED_POINTS = 30
_LEGEND_CHARACTERS = 54
"""Characters that fit in one line of a legend."""


def plot_curves(board: Board, metric: str, *, truncate: bool) -> Markup | None:
    """Plot a metric such as `val/acc` by epoch, averaged over the seeds, of the best groups.

    Args:
        board: the groups.
        metric: a column of metrics.csv.
        truncate: whether the axis shows the upper part of the curves alone.

    Returns:
        None if no group has an epoch in which all of its runs measured the metric.
    """
    means = {}
    for group in board.groups[:MAX_CURVES]:
        if curves := [curve for run in group.completed if (curve := _read_curve(run, metric))]:
            epochs = [epoch for epoch in curves[0] if all(epoch in curve for curve in curves)]
            if epochs:
                means[group] = {epoch: statistics.fmean(curve[epoch] for curve in curves) for epoch in epochs}
    if not means:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = new_chart("epoch", metric)
        for (group, curve), color in zip(means.items(), COLORS, strict=False):
            label = _shorten(f"{board.rank(group)} {group.label}")
            marker = "o" if len(curve) == 1 else None
            axes.plot(list(curve), list(curve.values()), color=color, label=label, marker=marker, linewidth=1.6)
        number_epochs(axes, chain.from_iterable(means.values()))
        if truncate:
            values = [value for curve in means.values() for value in curve.values()]
            last = [curve[max(curve)] for curve in means.values()]
            _truncate_axis(axes, values, last, higher_is_better=True)
        _add_legend(figure, axes, max_columns=2)
        return to_svg(figure, f"{metric} by epoch")


def plot_metric_vs_cost(
    board: Board, cost_name: str, cost: Callable[[Group], float | None], link: Callable[[Group], str]
) -> Markup | None:
    """Plot the metric that ranks against a cost, with the Pareto front.

    Args:
        board: the groups.
        cost_name: the label of the axis.
        cost: returns the cost of a group; a group without a positive one is left out.
        link: returns the target of a click on a group.

    Returns:
        None if all costs are the same.
    """
    points = {group: (x, board.mean(group)) for group in board.groups if (x := cost(group)) and x > 0}
    if len({x for x, _ in points.values()}) < 2:
        return None
    families = list(dict.fromkeys(map(_family, points)))
    colors = {family: COLORS[i % len(COLORS)] for i, family in enumerate(families)}
    with mpl.rc_context(STYLE):
        figure, axes = new_chart(f"{cost_name} (log scale)", board.metric)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(NullLocator())
        _draw_points(axes, board, points, colors, link)
        if len(families) <= len(COLORS):
            for family, color in colors.items():
                axes.scatter([], [], color=color, label=_shorten(family), s=40)
            _add_legend(figure, axes, max_columns=4)
        return to_svg(figure, f"{board.metric} vs. {cost_name}")


def _draw_points(
    axes: Axes,
    board: Board,
    points: Mapping[Group, tuple[float, float]],
    colors: Mapping[str, str],
    link: Callable[[Group], str],
) -> None:
    """Draw groups as linked points numbered by rank, and the Pareto front as a line; bad points at the axis' end."""
    higher_is_better = board.ranking.higher_is_better
    front = pareto_front(list(points.values()), higher_is_better=higher_is_better)
    axes.step(*zip(*front, strict=True), where="post", color=FOREGROUND, alpha=0.6, linewidth=1, zorder=1)
    values = [value for _, value in points.values()]
    worst_shown = _truncate_axis(axes, values, values, higher_is_better=higher_is_better)
    for group, (x, value) in points.items():
        is_in_front = (x, value) in front
        is_numbered = is_in_front or len(points) <= _MAX_NUMBERED_POINTS
        y = max(value, worst_shown) if higher_is_better else min(value, worst_shown)
        point = axes.scatter(
            x,
            y,
            s=110 if is_numbered else 14,
            marker="o" if y == value else "v" if higher_is_better else "^",
            color=colors[_family(group)],
            edgecolors=FOREGROUND if is_in_front else "none",
            zorder=3 if is_in_front else 2,
            clip_on=False,
        )
        point.set_urls([link(group)])
        if is_numbered:
            axes.text(x, y, str(board.rank(group)), color="white", fontsize=8, ha="center", va="center", zorder=4)


def plot_heat_map(board: Board) -> Markup | None:
    """Plot the metric that ranks for every combination of two settings.

    Returns:
        None unless exactly two settings vary, in at most 12 values each.
    """
    values = {key: {format_setting(value := group.varying[key]): value for group in board.groups} for key in board.keys}
    varying = {
        key: sorted(by_text, key=lambda text: _numbers_first(by_text[text]))
        for key, by_text in values.items()
        if len(by_text) > 1
    }
    if len(varying) != 2 or max(map(len, varying.values())) > _MAX_HEAT_MAP_VALUES:
        return None
    (row_key, rows), (column_key, columns) = varying.items()
    means = {
        (format_setting(group.varying[row_key]), format_setting(group.varying[column_key])): board.mean(group)
        for group in reversed(board.groups)  # the best of several groups in one cell is the last
    }
    names = short_names(board.keys)
    with mpl.rc_context(STYLE | {"axes.grid": False, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure, axes = new_chart(_shorten(names[column_key]), _shorten(names[row_key]))
        cells = {(columns.index(column), rows.index(row)): mean for (row, column), mean in means.items()}
        _draw_cells(axes, cells, higher_is_better=board.ranking.higher_is_better)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xticks(range(len(columns)), map(_shorten, columns))
        axes.set_yticks(range(len(rows)), map(_shorten, rows))
        axes.tick_params(length=0)
        return to_svg(figure, f"{board.metric} of every combination")


def _draw_cells(axes: Axes, means: Mapping[tuple[int, int], float], *, higher_is_better: bool) -> None:
    """Draw colored cells with their values, by column and row; the best ones are the brightest."""
    values = list(means.values())
    normalize = Normalize(*_shown_range(values, values, higher_is_better=higher_is_better), clip=True)
    colors = mpl.colormaps["viridis" if higher_is_better else "viridis_r"]
    for (x, y), mean in means.items():
        color = colors(float(normalize(mean)))
        luminance = sum(channel * weight for channel, weight in zip(color, (0.3, 0.6, 0.1), strict=False))
        axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color=color))
        axes.text(x, y, f"{mean:.4f}", ha="center", va="center", color="black" if luminance > 0.5 else "white")


def pareto_front(points: Sequence[tuple[float, float]], *, higher_is_better: bool) -> list[tuple[float, float]]:
    """Return the (cost, metric) points that no other point dominates, the cheapest first."""
    sign = 1 if higher_is_better else -1
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * value > sign * front[-1][1]:
            front.append((cost, value))
    return front


def _read_curve(run: RunRecord, metric: str) -> dict[int, float]:
    try:
        return measured_curve(run.curve(metric))
    except ValueError:  # the footnotes name a damaged metrics.csv
        return {}


def _family(group: Group) -> str:
    """Return the value that colors a group: that of the first setting that varies, which is the network if it does."""
    return format_setting(next(iter(group.varying.values()), group.label))


def _numbers_first(value: Any) -> tuple[bool, Any]:
    """Return a sort key of values of one setting, which can be numbers and words."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else str(value)


def _shown_range(values: Sequence[float], judged: Sequence[float], *, higher_is_better: bool) -> tuple[float, float]:
    """Return the lowest and the highest value to show: all but those far worse than the best of the judged ones.

    These have more than 2.5 times its error, which is the distance from 1 if a higher value is better, else from 0; but
    at least half of the judged ones are shown. One group at chance level would compress the differences of all others.
    Of metrics that can be beyond 1 or 0, all values are shown.
    """
    low, high, median = min(values), max(values), statistics.median(judged)
    if higher_is_better and high <= 1:
        low = max(low, min(1 - 2.5 * (1 - max(judged)), median))
    if not higher_is_better and low >= 0:
        high = min(high, max(2.5 * min(judged), median))
    return low, high


def _truncate_axis(axes: Axes, values: Sequence[float], judged: Sequence[float], *, higher_is_better: bool) -> float:
    """Let the y axis end at the worst value to show, and return it."""
    low, high = _shown_range(values, judged, higher_is_better=higher_is_better)
    margin = 0.08 * (high - low) or 0.01 * max(1, abs(high))
    axes.set_ylim(low - margin, high + margin)
    return low if higher_is_better else high


def _add_legend(figure: Figure, axes: Axes, max_columns: int) -> None:
    """Add a legend below the chart, in as many columns as its labels leave room for."""
    longest = max((len(str(label)) for label in axes.get_legend_handles_labels()[1]), default=1)
    figure.legend(loc="outside lower center", ncols=max(1, min(max_columns, _LEGEND_CHARACTERS // (longest + 5))))


def _shorten(label: str) -> str:
    """Return a label that fits in one line of a legend."""
    text = shorten(printable(label), _LEGEND_CHARACTERS - 6)
    return f" {text}" if text.startswith("_") else text  # matplotlib leaves such labels out of legends
