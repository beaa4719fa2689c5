"""Plots the curves of our runs next to the reported ones, one picture for each network."""

import math
from collections.abc import Sequence
from itertools import cycle, zip_longest

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnn_experiments.console import printable
from cnn_experiments.report.published.comparison import PublishedComparison, RecipeResult
from cnn_experiments.report.published.reference import ReportedDistribution, ReportedResult, best_reported
from cnn_experiments.report.published.render import format_accuracy, plot_filename
from cnn_experiments.report.statistics import measured_curve

_MAX_COLUMNS = 4
_OURS_COLOR, _TEST_COLOR, _REPORTED_COLOR, _ERROR_COLOR = "#1f77b4", "#e8710a", "#444444", "#d62728"


def network_figures(comparison: PublishedComparison) -> dict[str, Figure]:
    """Draw each network with runs, by the name of its file."""
    networks = comparison.group_by(lambda result: result.recipe.network)
    return {plot_filename(network): _network_figure(results) for network, results in networks.items()}


def _network_figure(results: Sequence[RecipeResult]) -> Figure:
    """Plot accuracy over epochs, one panel for each recipe and device of a network."""
    num_columns = min(len(results), _MAX_COLUMNS)
    num_rows = math.ceil(len(results) / num_columns)
    figure = Figure(figsize=(3.3 * num_columns, 3.6 * num_rows), dpi=110, layout="constrained")
    panels = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False)
    for panel, result in zip_longest(panels.flat, results):
        if result is None:
            panel.remove()
        else:
            _plot_result(panel, result)
    for panel in panels[:, 0]:
        panel.set_ylabel("accuracy")
    figure.suptitle(results[0].recipe.network)
    return figure


def _plot_result(panel: Axes, result: RecipeResult) -> None:
    recipe = result.recipe
    num_epochs = _plot_runs(panel, result)
    if recipe.band is None:
        best = best_reported(recipe.network)
        label = f"best reported, {format_accuracy(best)}"
        panel.axhline(best, color=_REPORTED_COLOR, linestyle=":", label=label)
    elif recipe.distribution is not None:
        _plot_distribution(panel, recipe.distribution, num_epochs)
    for reported, marker in zip(recipe.reported, cycle("o^s"), strict=False):
        _plot_reported(panel, reported, marker, num_epochs)
    if recipe.band is not None and recipe.distribution is None:
        panel.axhspan(*recipe.band, color=_REPORTED_COLOR, alpha=0.12, label="band")
    panel.set_title(f"{recipe.name}\n{printable(result.device)}", fontsize=9, parse_math=False)
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(alpha=0.3)
    panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2)


def _plot_runs(panel: Axes, result: RecipeResult) -> int:
    """Plot the curve of every run, and return the number of epochs."""
    num_runs = len(result.runs)
    has_validation = result.recipe.band is None  # a book recipe evaluates on the test set after every epoch
    curves = [measured_curve(run.curve("val/acc" if has_validation else "test/acc")) for run in result.runs]
    num_epochs = max((epoch for curve in curves for epoch in curve), default=0)
    label = "ours, validation" if has_validation else "ours"
    label += ", 1 seed" if num_runs == 1 else f", {num_runs} seeds"
    for curve in curves:
        panel.plot(list(curve), list(curve.values()), color=_OURS_COLOR, alpha=0.45, linewidth=1)
    panel.plot([], [], color=_OURS_COLOR, label=label)
    if has_validation:
        x = [num_epochs + 0.5] * num_runs
        panel.plot(x, result.accuracies, "_", color=_TEST_COLOR, markersize=12, label="ours, test")
    return num_epochs


def _plot_distribution(panel: Axes, distribution: ReportedDistribution, num_epochs: int) -> None:
    """Plot the median with the quantiles as an error bar, after the last epoch."""
    panel.errorbar(
        num_epochs + 0.4,
        distribution.median,
        [[distribution.median - distribution.low], [distribution.high - distribution.median]],
        fmt="s",
        color=_REPORTED_COLOR,
        capsize=5,
        label=f"{distribution.num_builds} builds, 5% to 95%",
    )


def _plot_reported(panel: Axes, reported: ReportedResult, marker: str, num_epochs: int) -> None:
    """Plot a reported curve so that it ends at the last epoch."""
    color, label = _REPORTED_COLOR, reported.source
    if reported.known_error:
        color, label = _ERROR_COLOR, f"{label} (known error)"
    epochs = range(num_epochs - len(reported.curve) + 1, num_epochs + 1)
    panel.plot(epochs, reported.curve, marker=marker, markersize=5, linestyle="--", color=color, label=label)
