"""A leaderboard as one self-contained HTML page."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cnn_experiments.console import printable
from cnn_experiments.report.leaderboard.charts import MAX_CURVES, plot_accuracy_vs_cost, plot_curves, plot_heat_map
from cnn_experiments.report.leaderboard.columns import LEGEND, build_columns, footnotes, headline_sentence
from cnn_experiments.report.leaderboard.export import PAIRWISE_CAPTION, PAIRWISE_TITLE, pairwise_differences
from cnn_experiments.report.leaderboard.groups import Board, Group, Leaderboard
from cnn_experiments.runs.metrics import curve_keys, leaderboard_metrics


def _finalize(value: Any) -> Any:
    """Replace control characters in what the template shows; a chart is markup, which is ready."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_ENVIRONMENT = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    finalize=_finalize,
)


def render_page(leaderboard: Leaderboard, damaged: Sequence[str], title: str) -> str:
    """Return HTML with its style, script and charts inside.

    Args:
        leaderboard: what the page shows.
        damaged: one line for each file that could not be read.
        title: the heading, such as the directory of the runs.
    """
    columns = build_columns(leaderboard)
    return _ENVIRONMENT.get_template("page.html.jinja").render(
        title=title,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, cnn_experiments {version('cnn_experiments')}",
        status_counts=leaderboard.status_counts,
        columns=[column for column in columns if not column.is_text or len(leaderboard.keys) > 1],
        setting_names=" · ".join(column.name for column in columns if column.is_text),
        sections=[_section(leaderboard, board, number) for number, board in enumerate(leaderboard.boards, start=1)],
        pairwise_heading=f"{PAIRWISE_TITLE}: {PAIRWISE_CAPTION}",
        notes=[*LEGEND, *footnotes(leaderboard, damaged)],
    )


def _section(leaderboard: Leaderboard, board: Board, number: int) -> dict[str, Any]:
    """Return what the template needs of one board."""

    def anchor(group: Group) -> str:
        return f"board{number}-{board.rank(group)}"

    return {
        "board": board,
        "anchor": anchor,
        "headline": headline_sentence(board),
        "charts": _charts(leaderboard, board, lambda group: f"#{anchor(group)}"),
        "pairs": pairwise_differences(board),
    }


def _charts(leaderboard: Leaderboard, board: Board, link: Callable[[Group], str]) -> list[tuple[str, Markup]]:
    """Return captions and charts, without those that would show nothing."""
    accuracy = leaderboard_metrics()[0].label.capitalize()
    front = "the line is the Pareto front; axis truncated; numbers are ranks, ▾ below the axis"
    costs = [
        ("parameters", "parameters", lambda group: group.parameters),
        ("compute", "multiply-adds", lambda group: group.multiply_adds),
        *((f"time on {device}", "seconds", _seconds_on(device)) for device in leaderboard.devices),
    ]
    charts = [
        *_curve_charts(board),
        *(
            (f"{accuracy} vs. {title}: {front}", plot_accuracy_vs_cost(board, axis_label, cost, link))
            for title, axis_label, cost in costs
        ),
        (f"{board.metric} of every combination", plot_heat_map(board)),
    ]
    return [(caption, chart) for caption, chart in charts if chart is not None]


def _curve_charts(board: Board) -> list[tuple[str, Markup | None]]:
    """Return the curves of the split that ranks, and of the losses in training."""
    evaluation_split = board.metric.partition("/")[0]
    of_best = f", the best {MAX_CURVES} of {len(board.groups)}" if len(board.groups) > MAX_CURVES else ""
    charts = []
    for key, metric in curve_keys().items():
        if key.partition("/")[0] in (evaluation_split, "train"):
            caption = f"{key} by epoch, mean over the seeds{of_best}"
            if metric.higher_is_better:
                caption = f"{caption}; axis truncated"
            charts.append((caption, plot_curves(board, key, truncate=metric.higher_is_better)))
    return charts


def _seconds_on(device: str) -> Callable[[Group], float | None]:
    return lambda group: group.seconds.get(device)
