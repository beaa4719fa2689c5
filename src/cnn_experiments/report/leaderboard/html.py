"""A leaderboard as one page that needs nothing beside it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cnn_experiments.report.leaderboard.charts import MOST_CURVES, against_cost, curves, heat_map
from cnn_experiments.report.leaderboard.columns import LEGEND, columns, remarks, sentence
from cnn_experiments.report.leaderboard.export import MOST_COMPARED, pairs
from cnn_experiments.report.leaderboard.groups import Board, Group, Leaderboard


def page(made: Leaderboard, damaged: Sequence[str], title: str) -> str:
    """HTML with its style, its script and its pictures in it.

    Args:
        made: what to show.
        damaged: a line on each run that could not be read.
        title: whose runs these are.
    """
    environment = Environment(
        loader=PackageLoader(__package__, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.jinja").render(
        title=title,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, cnn_experiments {version('cnn_experiments')}",
        statuses=made.statuses,
        columns=[column for column in columns(made) if not column.is_text or len(made.keys) > 1],
        names=" · ".join(column.name for column in columns(made) if column.is_text),
        boards=[
            {
                "board": board,
                "number": number,
                "answer": sentence(board),
                "pictures": _pictures(made, board, number),
                "pairs": pairs(board) if 2 < len(board.groups) <= MOST_COMPARED else [],
            }
            for number, board in enumerate(made.boards, start=1)
        ],
        anchor=_anchor,
        notes=[*LEGEND, *remarks(made, damaged)],
    )


def _anchor(number: int, rank: int) -> str:
    """Where a board has a group."""
    return f"board{number}-{rank}"


def _pictures(made: Leaderboard, board: Board, number: int) -> list[tuple[str, Markup]]:
    def link(group: Group) -> str:
        return f"#{_anchor(number, board.groups.index(group) + 1)}"

    few = f", the best {MOST_CURVES} of {len(board.groups)}" if len(board.groups) > MOST_CURVES else ""
    line = "the line joins those that none beats in both; numbers are ranks, ▾ lies lower"
    drawn = [
        (f"{board.metric} by epoch, mean over the seeds{few}; what lies lower is cut off", curves(board, board.metric)),
        (f"train/loss by epoch, mean over the seeds{few}", curves(board, "train/loss")),
        (f"Accuracy and size: {line}", against_cost(board, "parameters", lambda group: group.parameters, link)),
        (
            f"Accuracy and work: {line}",
            against_cost(board, "multiply-adds", lambda group: group.multiply_adds, link),
        ),
        *(
            (
                f"Accuracy and time on {device}: {line}",
                against_cost(board, "seconds", lambda group, on=device: group.seconds.get(on), link),  # type: ignore[misc]
            )
            for device in made.devices
        ),
        (f"{board.metric} of every combination", heat_map(board)),
    ]
    return [(title, picture) for title, picture in drawn if picture is not None]
