"""What a leaderboard shows of a group, cell by cell: in a terminal, in Markdown and on the page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from cnn_experiments.report.leaderboard.groups import Board, Group, Leaderboard, word
from cnn_experiments.report.statistics import Sample
from cnn_experiments.runs.records import Run, number
from cnn_experiments.runs.settings import short_names

_APART = 1e9
"""Orders the figures of one device before those of the next."""
_MOST_TOLD = 10
VERDICTS = {1: "better", 0: "open", -1: "worse"}
"""By the sign that an interval has."""
LEGEND = (
    "± standard deviation (ddof 1) over the seeds; [95 % interval of the mean, Student's t, 0 and 1 being no limits]",
    "difference: test accuracy less the best's, over shared seeds; open: 0 in its interval, or all equal",
    "each interval holds in 95 % of cases by itself: of twenty differences that are none, one looks like one",
    "images/s in training, seconds of training and test, MiB at the peak: medians over the runs",
)


@dataclass(frozen=True)
class Cell:
    """What stands there, what stands below it, and what it is sorted by."""

    text: str
    below: str = ""
    order: Any = None
    """A number or a text; None is last."""


@dataclass(frozen=True)
class Column:
    """One figure of every group."""

    name: str
    cell: Callable[[Board, Group], Cell]
    is_text: bool = False
    high_first: bool = False
    leaves: int = 0
    """The place in which it makes room on a narrow terminal, from 1 on; 0 where it stays."""


def columns(made: Leaderboard) -> list[Column]:
    """In the order that they are shown in."""
    return [
        Column("rank", _rank),
        *(Column(name, _setting(key), is_text=True) for key, name in _names(made).items()),
        Column("val/acc", lambda _, group: accuracy(group.val), high_first=True),
        Column("test/acc", lambda _, group: accuracy(group.test), high_first=True),
        Column("difference", _to_the_best, high_first=True, leaves=6),
        Column("runs", _runs, high_first=True),
        Column("parameters", lambda _, group: _count(group.parameters), leaves=4),
        Column("multiply-adds", lambda _, group: _count(group.multiply_adds), leaves=2),
        Column(
            "images/s",
            _cost(made, lambda group: group.images_per_second, ",.0f", high_first=True),
            high_first=True,
            leaves=3,
        ),
        Column("seconds", _cost(made, lambda group: group.seconds, ",.1f"), leaves=5),
        Column("MiB", _cost(made, lambda group: group.peak_memory, ",.0f", unit=2**20), leaves=1),
    ]


def in_order(board: Board, column: Column) -> list[Group]:
    """A board's groups by a column, the best of it first; what has no figure there is last."""
    cells = {group: column.cell(board, group).order for group in board.groups}
    known = [group for group in board.groups if cells[group] is not None]
    # Of a setting that is a number in one place and a word in another, the numbers are first.
    ordered = sorted(known, key=lambda group: (isinstance(cells[group], str), cells[group]), reverse=column.high_first)
    return ordered + [group for group in board.groups if cells[group] is None]


def letters(made: Leaderboard) -> dict[str, str]:
    """What stands for a device behind its figures, where there are several: those of different ones do not compare."""
    if len(made.devices) < 2:
        return {}
    return {device: ascii_lowercase[number % 26] * (number // 26 + 1) for number, device in enumerate(made.devices)}


def accuracy(sample: Sample | None) -> Cell:
    """Mean and deviation above the interval."""
    if sample is None:
        return Cell("")
    spread = "" if sample.deviation is None else f" ± {sample.deviation:.4f}"
    return Cell(f"{sample.mean:.4f}{spread}", _interval(sample), sample.mean)


def difference(sample: Sample | None) -> Cell:
    """How much, whether that is more than chance, and the interval."""
    if sample is None:
        return Cell("no shared seed")
    verdict = VERDICTS[sample.sign] if sample.count > 1 else "1 seed"
    return Cell(f"{sample.mean:+.4f} {verdict}", _interval(sample), sample.mean)


def answer(board: Board) -> str:
    """What the first two places mean."""
    best, metric = board.best, board.metric
    if len(board.groups) == 1:
        return f"nothing to compare {best.label} with"
    second = board.groups[1]
    said = f"best by {metric}: {_with_counts(best)}, before {_with_counts(second)}"
    sample = board.difference(best, second)
    if sample is None:
        return f"{said}; they share no seed"
    seeds = f"over {sample.count} shared seed{'s' * (sample.count > 1)}"
    figure = f"{sample.mean:+.4f} {_interval(sample)}".strip()
    if sample.sign == 0:
        why = "0 lies in that interval" if sample.varies else "all equal" if sample.interval else "one is too few"
        return f"{said}; on the test set they can't be told apart: {figure} {seeds}, {why}"
    return f"{said}; on the test set it is {VERDICTS[sample.sign]} by {figure} {seeds}"


def sentence(board: Board) -> str:
    """The same where it stands in a text."""
    said = answer(board)
    return f"{said[0].upper()}{said[1:]}."


def remarks(made: Leaderboard, damaged: Iterable[str]) -> list[str]:
    """What else there is to know of the runs."""
    lines = [f"{letter}: {device}" for device, letter in letters(made).items()]
    if lines:
        lines.append("speed and memory of different devices do not compare")
    elif made.devices:
        lines.append(f"on {made.devices[0]}")
    if made.makers:
        lines.append(f"not all of one make: {'; '.join(made.makers)}")
    without = []
    for group in made.without_result:
        runs = [(status, run) for status, runs in group.others.items() for run in runs]
        reasons = dict.fromkeys(str(run.results.get("error") or _so_far(run)) for _, run in runs)
        without.append(f"{group.label}: {_told(group.others)}{_listed(reasons)}")
    lines += [f"without a result: {line}" for line in without[:_MOST_TOLD]]
    if len(without) > _MOST_TOLD:
        lines.append(f"without a result: {len(without) - _MOST_TOLD} more groups")
    if made.repeated:
        newer = [str(run.folder) for run in made.repeated]
        lines.append(f"not counted, there is a newer run with the seed: {_few(newer)}")
    return [*lines, *damaged]


def _so_far(run: Run) -> str:
    accuracy = run.metric("val/acc")
    return f"epoch {run.results.get('epochs', 0)}{'' if accuracy is None else f', val/acc {accuracy:.4f}'}"


def _names(made: Leaderboard) -> dict[str, str]:
    return short_names(made.keys or ["model"])


def _rank(board: Board, group: Group) -> Cell:
    rank = board.groups.index(group) + 1
    return Cell(f"{rank} best" if rank == 1 and len(board.groups) > 1 else str(rank), order=rank)


def _setting(key: str) -> Callable[[Board, Group], Cell]:
    def cell(_: Board, group: Group) -> Cell:
        value = group.varied[key] if key in group.varied else group.anyone.setup.value(key)
        return Cell(word(value), order=value if number(value) is not None else word(value))

    return cell


def _runs(_: Board, group: Group) -> Cell:
    return Cell(str(len(group.runs)), _told(group.others), len(group.runs))


def _told(others: Mapping[str, Sequence[Any]]) -> str:
    return ", ".join(f"{len(runs)} {status}" for status, runs in others.items())


def _with_counts(group: Group) -> str:
    """Its name, and how many of its runs count where others do not."""
    return f"{group.label} ({len(group.runs)} completed, {_told(group.others)})" if group.others else group.label


def _to_the_best(board: Board, group: Group) -> Cell:
    return Cell("", order=0.0) if group is board.best else difference(board.difference(group, board.best))


def _count(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:,.0f}", order=value)


def _cost(
    made: Leaderboard, figure: Callable[[Group], dict[str, float]], form: str, unit: float = 1, high_first: bool = False
) -> Callable[[Board, Group], Cell]:
    letter = letters(made)

    def cell(_: Board, group: Group) -> Cell:
        measured = figure(group)
        told = [f"{format(value / unit, form)} {letter.get(device, '')}".strip() for device, value in measured.items()]
        apart = -_APART if high_first else _APART
        order = [value / unit + apart * made.devices.index(device) for device, value in measured.items()]
        return Cell(", ".join(told), order=order[0] if order else None)

    return cell


def _interval(sample: Sample) -> str:
    return "" if sample.interval is None else "[{:.4f}, {:.4f}]".format(*sample.interval)


def _listed(reasons: Iterable[str]) -> str:
    reasons = list(reasons)
    return f" ({_few(reasons)})" if reasons else ""


def _few(words: Sequence[str], most: int = 3) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
