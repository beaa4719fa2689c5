"""A leaderboard as one self-contained HTML page."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from cnn_experiments.predictions.mistakes import Mistake
from cnn_experiments.report.leaderboard.charts import MAX_CURVES, plot_curves, plot_heat_map, plot_metric_vs_cost
from cnn_experiments.report.leaderboard.columns import build_columns, footnotes, headline_sentence, legend
from cnn_experiments.report.leaderboard.export import PAIRWISE_TITLE, pairwise_caption, pairwise_differences
from cnn_experiments.report.leaderboard.groups import Board, Group, Leaderboard
from cnn_experiments.report.leaderboard.images import ImageComparison
from cnn_experiments.report.page import picture_items, render
from cnn_experiments.runs.directory import RUN_PAGE
from cnn_experiments.runs.metrics import curve_keys

_MAX_ILLUSTRATED = 5
"""Comparisons image by image with pictures, which make the page longer and larger."""
_TRUNCATED_CURVES = ("val/acc", "test/acc")
"""Curves whose first epochs would compress the differences between the last ones; 1 is the best value."""


def render_page(leaderboard: Leaderboard, damaged: Sequence[str], title: str, directory: Path | None = None) -> str:
    """Return HTML with its style, script and charts inside.

    Args:
        leaderboard: what the page shows.
        damaged: one line for each file that could not be read.
        title: the heading, such as the directory of the runs.
        directory: where the page will be, from which it links to the pages of the runs; None links to none.
    """
    columns = build_columns(leaderboard)
    return render(
        "leaderboard/page.html.jinja",
        title=title,
        status_counts=leaderboard.status_counts,
        columns=[column for column in columns if not column.is_text or len(leaderboard.keys) > 1],
        setting_names=" · ".join(column.name for column in columns if column.is_text),
        sections=[
            _section(leaderboard, board, number, directory) for number, board in enumerate(leaderboard.boards, start=1)
        ],
        notes=[*legend(leaderboard), *footnotes(leaderboard, damaged)],
    )


def _section(leaderboard: Leaderboard, board: Board, number: int, directory: Path | None) -> dict[str, Any]:
    """Return what the template needs of one board."""

    def anchor(group: Group) -> str:
        return f"board{number}-{board.rank(group)}"

    return {
        "board": board,
        "anchor": anchor,
        "headline": headline_sentence(board),
        "charts": _charts(leaderboard, board, lambda group: f"#{anchor(group)}"),
        "pairs": pairwise_differences(board),
        "pairwise_heading": f"{PAIRWISE_TITLE}: {pairwise_caption(board)}",
        "run_links": {group: _run_links(group, directory) for group in board.groups} if directory else {},
        "images": [_image_comparison(board, group) for group in list(board.image_comparisons)[:_MAX_ILLUSTRATED]],
    }


def _run_links(group: Group, directory: Path) -> list[tuple[int, str]]:
    """Return the seeds of the completed runs that have a page, and its address relative to a directory."""
    pages = [(run.results.seed, run.directory / RUN_PAGE) for run in group.completed]
    base = os.path.realpath(directory)
    return [(seed, quote(os.path.relpath(os.path.realpath(page), base))) for seed, page in pages if page.is_file()]


def _image_comparison(board: Board, group: Group) -> dict[str, Any]:
    """Return what the template needs of the images that only one of two runs gets right."""
    comparison = board.image_comparisons[group]
    counts = comparison.counts
    run, best = f"{group.label} (rank {board.rank(group)})", f"{board.best.label} (the best)"
    return {
        "heading": f"{run} against {best}, seed {comparison.seed}",
        "sides": [
            _side(run, best, len(counts.only_first), comparison.only_run, comparison),
            _side(best, run, len(counts.only_second), comparison.only_best, comparison),
        ],
    }


def _side(
    right: str, wrong: str, number: int, mistakes: Sequence[Mistake], comparison: ImageComparison
) -> tuple[str, list[dict[str, Any]]]:
    """Return a sentence about the images that only one network gets right, and pictures of them."""
    sentence = f"Only {right} is right about {number:,} of {comparison.counts.num_images:,} images"
    if mistakes:
        which = "" if len(mistakes) == number else f" in the {len(mistakes)} most confident cases"
        sentence = f"{sentence}; {wrong} predicts{which}"
    return sentence, picture_items(mistakes, comparison.class_names)


def _charts(leaderboard: Leaderboard, board: Board, link: Callable[[Group], str]) -> list[tuple[str, Markup]]:
    """Return captions and charts, without those that would show nothing."""
    label = f"{board.label[0].upper()}{board.label[1:]}"
    beyond = "▾ below the axis" if board.ranking.higher_is_better else "▴ above the axis"
    front = f"the line is the Pareto front; axis truncated; numbers are ranks, {beyond}"
    costs = [
        ("parameters", "parameters", lambda group: group.parameters),
        ("compute", "multiply-adds", lambda group: group.multiply_adds),
        *((f"time on {device}", "seconds", _seconds_on(device)) for device in leaderboard.devices),
    ]
    charts = [
        *_curve_charts(leaderboard, board),
        *(
            (f"{label} vs. {title}: {front}", plot_metric_vs_cost(board, axis_label, cost, link))
            for title, axis_label, cost in costs
        ),
        (f"{board.metric} of every combination", plot_heat_map(board)),
    ]
    return [(caption, chart) for caption, chart in charts if chart is not None]


def _curve_charts(leaderboard: Leaderboard, board: Board) -> list[tuple[str, Markup | None]]:
    """Return the curves of the metric that ranks, of others of its split, and of the loss in training."""
    evaluation_split = board.metric.partition("/")[0]
    of_best = f", the best {MAX_CURVES} of {len(board.groups)}" if len(board.groups) > MAX_CURVES else ""
    charts = []
    keys = [key for key in curve_keys(leaderboard.metrics) if key.partition("/")[0] in (evaluation_split, "train")]
    for key in dict.fromkeys([board.metric, *keys]):
        caption = f"{key} by epoch, mean over the seeds{of_best}"
        is_truncated = key in _TRUNCATED_CURVES
        if is_truncated:
            caption = f"{caption}; axis truncated"
        charts.append((caption, plot_curves(board, key, truncate=is_truncated)))
    return charts


def _seconds_on(device: str) -> Callable[[Group], float | None]:
    return lambda group: group.seconds.get(device)
