"""The columns, headlines and footnotes of a leaderboard, for a terminal, Markdown and HTML alike."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.report.leaderboard.groups import Board, Group, Leaderboard, format_setting, short_name
from cnn_experiments.report.leaderboard.images import MAX_COMPARED
from cnn_experiments.report.statistics import Sample, measurement
from cnn_experiments.runs.metrics import MetricSpec, Monitor, leaderboard_keys
from cnn_experiments.runs.records import RunRecord as RunRecord
from cnn_experiments.runs.settings import short_names

_MAX_DESCRIPTION = 60
"""Characters of tags and of a note that a table shows."""
_MAX_UNRANKED = 10
"""Groups without a result that are listed; of more, the number is given."""
VERDICTS = {1: "better", 0: "inconclusive", -1: "worse"}
"""What a difference means, by the sign of its confidence interval."""
_SPREAD = (
    "± standard deviation (ddof 1) over the seeds; "
    "[95 % confidence interval of the mean, Student's t, not clipped to [0, 1]]"
)
_INTERVALS = "95 % intervals per comparison, not corrected for multiple comparisons"
_COSTS = "images/s of training, seconds of training and test, peak memory in MiB: medians over the runs"
_RANKING = "runs of a table are ranked by accuracy if their monitors differ, or the settings of these metrics"
IMAGES_COLUMN = "image by image"
IMAGES_LEGEND = (
    f"{IMAGES_COLUMN}: test images that only this run gets right, against those that only the run of the best row gets "
    "right, at the lowest seed that both have; p of McNemar's exact two-sided test, which is about these two runs, not "
    f"about other seeds; the first {MAX_COMPARED} rows"
)


@dataclass(frozen=True)
class Cell:
    """A value of one group as it is displayed and sorted."""

    text: str
    detail: str = ""
    """A second line, such as the confidence interval."""
    sort_value: float | str | None = None
    """None is sorted last."""
    device: int = 0
    """Index of the device of a speed or memory: values are sorted within a device, because devices do not compare."""
    verdict: str = ""
    """One of VERDICTS, for a difference that has one."""


@dataclass(frozen=True)
class Column:
    """One quantity of every group."""

    name: str
    cell: Callable[[Board, Group], Cell]
    is_text: bool = False
    descending: bool = False
    """Whether the highest value is the best, which is sorted first."""
    drop_order: int = 0
    """Order in which columns are dropped on a narrow terminal, from 1; 0 is never dropped."""


def build_columns(leaderboard: Leaderboard) -> list[Column]:
    """Return the columns in the order in which they are displayed."""
    image_columns = [Column(IMAGES_COLUMN, _images, descending=True, drop_order=1)] if _has_images(leaderboard) else []
    return [
        Column("rank", _rank),
        *(Column(name, _setting(key), is_text=True) for key, name in _setting_names(leaderboard).items()),
        *(_metric_column(key, metric, leaderboard) for key, metric in leaderboard.metric_columns.items()),
        Column(
            "difference",
            _difference_to_best,
            descending=all(board.ranking.higher_is_better for board in leaderboard.boards),
            drop_order=6,
        ),
        *image_columns,
        *(Column(name, _description(name), drop_order=1) for name in description_names(leaderboard)),
        Column("runs", _num_runs, descending=True),
        Column("parameters", lambda _, group: _count(group.parameters), drop_order=4),
        Column("multiply-adds", lambda _, group: _count(group.multiply_adds), drop_order=2),
        Column(
            "images/s",
            _by_device(leaderboard, lambda group: group.images_per_second, ",.0f"),
            descending=True,
            drop_order=3,
        ),
        Column("seconds", _by_device(leaderboard, lambda group: group.seconds, ",.1f"), drop_order=5),
        Column("MiB", _by_device(leaderboard, lambda group: group.peak_memory, ",.0f", unit=2**20), drop_order=1),
    ]


def description_names(leaderboard: Leaderboard) -> list[str]:
    """Return which of `tags` and `note` any run has."""
    groups = [*(group for board in leaderboard.boards for group in board.groups), *leaderboard.unranked]
    return [name for name in ("tags", "note") if any(name in group.descriptions for group in groups)]


def legend(leaderboard: Leaderboard) -> tuple[str, ...]:
    """Return what the columns mean."""
    labels = list(dict.fromkeys(f"test {board.label}" for board in leaderboard.boards)) or ["test accuracy"]
    difference = (
        f"difference: {' or '.join(labels)} minus that of the best, over shared seeds; "
        "inconclusive: its interval contains 0, or all differences are equal; 1 seed: too few to tell"
    )
    ranking = [_RANKING] if leaderboard.has_several_monitors else []
    images = [IMAGES_LEGEND] if _has_images(leaderboard) else []
    return (_SPREAD, difference, *ranking, _INTERVALS, _COSTS, *images)


def find_column(leaderboard: Leaderboard, columns: Sequence[Column], name: str, *, key: str) -> Column:
    """Return the column with a name; that of a setting is found by its key, too.

    Args:
        leaderboard: whose columns these are.
        columns: all columns.
        name: as typed.
        key: what was typed before it, which an error names.

    Raises:
        ConfigError: there is no such column.
    """
    by_name = {column.name: column for column in columns}
    column = by_name.get(short_names(leaderboard.keys).get(name, name))
    if column is None:
        problem = f"must be one of {', '.join(by_name)}"
        raise ConfigError(key, name, problem=problem, suggestion=suggest(name, by_name))
    return column


def sort_groups(board: Board, column: Column) -> list[Group]:
    """Return the groups of a board in the order of a column, the best first, those without a value last."""
    cells = {group: column.cell(board, group) for group in board.groups}

    def key(group: Group) -> tuple[bool, int, bool, Any]:
        cell = cells[group]
        if cell.sort_value is None:
            return True, 0, False, 0
        if isinstance(cell.sort_value, str):  # a setting can be a number in one group and a word in another
            return False, cell.device, True, cell.sort_value
        return False, cell.device, False, -cell.sort_value if column.descending else cell.sort_value

    return sorted(board.groups, key=key)


def device_markers(leaderboard: Leaderboard) -> dict[str, str]:
    """Return a letter for each device, which follows its values; nothing if there is one device."""
    if len(leaderboard.devices) < 2:
        return {}
    return {device: ascii_lowercase[i % 26] * (i // 26 + 1) for i, device in enumerate(leaderboard.devices)}


def metric_cell(sample: Sample | None) -> Cell:
    """Return mean and standard deviation, with the confidence interval below."""
    if sample is None:
        return Cell("")
    std = "" if sample.std is None else f" ± {sample.std:.4f}"
    return Cell(f"{sample.mean:.4f}{std}", _format_ci(sample), sample.mean)


def difference_cell(sample: Sample | None, ranking: Monitor) -> Cell:
    """Return a mean difference and whether it is significant, with the confidence interval below.

    Args:
        sample: the differences in a metric.
        ranking: says whether a higher value of the metric is better.
    """
    if sample is None:
        return Cell("no shared seed")
    verdict = _verdict(sample, ranking) if sample.n > 1 else ""
    return Cell(f"{sample.mean:+.4f} {verdict or '1 seed'}", _format_ci(sample), sample.mean, verdict=verdict)


def _verdict(sample: Sample, ranking: Monitor) -> str:
    return VERDICTS[sample.ci_sign if ranking.higher_is_better else -sample.ci_sign]


def headline(board: Board) -> str:
    """Return which group is the best, and whether it differs from the second on the test set."""
    if len(board.groups) == 1:
        return f"nothing to compare with {board.best.label}"
    second = board.groups[1]
    relation = "tied with" if board.mean(board.best) == board.mean(second) else "ahead of"
    ranking = f"best by {board.metric}: {_with_counts(board.best)}, {relation} {_with_counts(second)}"
    sample = board.test_difference(board.best, second)
    if sample is None:
        return f"{ranking}; they share no seed"
    seeds = "1 shared seed" if sample.n == 1 else f"{sample.n} shared seeds"
    difference = f"{sample.mean:+.4f} {_format_ci(sample)}".strip()
    if sample.ci_sign:
        return f"{ranking}; on the test set it is {_verdict(sample, board.ranking)} by {difference} over {seeds}"
    if sample.n == 1:
        reason = "one seed is too few"
    elif sample.is_constant:
        reason = "all differences are equal"
    else:
        reason = "the interval contains 0"
    return f"{ranking}; on the test set the difference is inconclusive: {difference} over {seeds}, {reason}"


def headline_sentence(board: Board) -> str:
    """Return the headline as a sentence."""
    text = headline(board)
    return f"{text[0].upper()}{text[1:]}."


def footnotes(leaderboard: Leaderboard, damaged: Iterable[str]) -> list[str]:
    """Return what else there is to know: devices, software versions, and runs that are not ranked.

    Args:
        leaderboard: what the footnotes are about.
        damaged: one line for each file that could not be read.
    """
    lines = [f"{marker}: {device}" for device, marker in device_markers(leaderboard).items()]
    if lines:
        lines.append("speed and memory are not comparable across devices")
    elif leaderboard.devices:
        lines.append(f"device: {leaderboard.devices[0]}")
    if leaderboard.software_versions:
        versions = [f"{name} ({', '.join(values)})" for name, values in leaderboard.software_versions.items()]
        lines.append(f"runs differ in {' and in '.join(versions)}")
    lines += [
        f"not compared image by image: {problem}" for board in leaderboard.boards for problem in board.image_problems
    ]
    lines += [f"without a result: {_describe_unranked(group)}" for group in leaderboard.unranked[:_MAX_UNRANKED]]
    if len(leaderboard.unranked) > _MAX_UNRANKED:
        lines.append(f"without a result: {len(leaderboard.unranked) - _MAX_UNRANKED} more groups")
    if leaderboard.superseded:
        directories = [str(run.directory) for run in leaderboard.superseded]
        lines.append(f"superseded by a newer run with the same seed: {join_some(directories)}")
    return [*lines, *damaged]


def join_some(words: Sequence[str], most: int = 3) -> str:
    """Return the first words separated by commas, and how many more there are."""
    text = ", ".join(words[:most])
    return f"{text} and {len(words) - most} more" if len(words) > most else text


def format_counts(runs_by_status: Mapping[str, Sequence[RunRecord]]) -> str:
    """Return how many runs have which status: `1 failed, 2 running`."""
    return ", ".join(f"{len(runs)} {status}" for status, runs in runs_by_status.items())


def _describe_unranked(group: Group) -> str:
    runs = [run for runs in group.not_completed.values() for run in runs]
    reasons = list(dict.fromkeys(str(run.results.error or _progress(run)) for run in runs))
    text = f"{group.label}: {format_counts(group.not_completed)}"
    return f"{text} ({join_some(reasons)})" if reasons else text


def _progress(run: RunRecord) -> str:
    epoch = f"epoch {run.results.epochs}"
    metric = Monitor.from_json(run.results.monitor).key
    value = run.metric(metric)
    return epoch if value is None else f"{epoch}, {metric} {value:.4f}"


def _with_counts(group: Group) -> str:
    """Return a group's label, with the number of runs by status if some are not completed."""
    if not group.not_completed:
        return group.label
    return f"{group.label} ({len(group.completed)} completed, {format_counts(group.not_completed)})"


def _setting_names(leaderboard: Leaderboard) -> dict[str, str]:
    return short_names(leaderboard.keys or ["model"])


def _rank(board: Board, group: Group) -> Cell:
    rank = board.rank(group)
    return Cell("1 best" if rank == 1 and len(board.groups) > 1 else str(rank), sort_value=rank)


def _setting(key: str) -> Callable[[Board, Group], Cell]:
    def cell(_: Board, group: Group) -> Cell:
        value = group.varying[key] if key in group.varying else group.any_run.settings.value(key)
        text = format_setting(value)
        return Cell(short_name(text), sort_value=text if measurement(value) is None else value)

    return cell


def _metric_column(key: str, metric: MetricSpec, leaderboard: Leaderboard) -> Column:
    """Return the column of a metric; those that are neither the accuracy nor rank are dropped before the difference."""
    ranking = [name for board in leaderboard.boards for name in (board.metric, board.test_metric)]
    return Column(
        key,
        lambda _, group: metric_cell(group.sample(key)),
        descending=metric.higher_is_better is not False,
        drop_order=0 if key in (*ranking, *leaderboard_keys()) else 6,
    )


def _num_runs(_: Board, group: Group) -> Cell:
    return Cell(str(len(group.completed)), format_counts(group.not_completed), len(group.completed))


def _description(name: str) -> Callable[[Board, Group], Cell]:
    def cell(_: Board, group: Group) -> Cell:
        text = group.descriptions.get(name, "")
        return Cell(textwrap.shorten(text, _MAX_DESCRIPTION, placeholder="..."), sort_value=text or None)

    return cell


def _difference_to_best(board: Board, group: Group) -> Cell:
    if group is board.best:
        return Cell("", sort_value=0.0)
    return difference_cell(board.test_difference(group, board.best), board.ranking)


def _has_images(leaderboard: Leaderboard) -> bool:
    return any(board.image_comparisons for board in leaderboard.boards)


def _images(board: Board, group: Group) -> Cell:
    comparison = board.image_comparisons.get(group)
    if comparison is None:
        return Cell("")
    only_run, only_best = len(comparison.counts.only_first), len(comparison.counts.only_second)
    detail = f"p {_format_p(comparison.counts.p_value)}, seed {comparison.seed}"
    return Cell(f"{only_run:,} against {only_best:,}", detail, only_run - only_best)


def _format_p(p_value: float) -> str:
    return "< 0.0001" if p_value < 0.0001 else f"= {p_value:.4f}"


def _count(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:,.0f}", sort_value=value)


def _by_device(
    leaderboard: Leaderboard, values: Callable[[Group], dict[str, float]], format_spec: str, unit: float = 1
) -> Callable[[Board, Group], Cell]:
    """Return a column's cells that list one value for each device, and are sorted by the first device."""
    markers = device_markers(leaderboard)

    def cell(_: Board, group: Group) -> Cell:
        in_units = {device: value / unit for device, value in values(group).items()}
        if not in_units:
            return Cell("")
        texts = [f"{value:{format_spec}} {markers.get(device, '')}".strip() for device, value in in_units.items()]
        first_device, first_value = next(iter(in_units.items()))
        return Cell(", ".join(texts), sort_value=first_value, device=leaderboard.devices.index(first_device))

    return cell


def _format_ci(sample: Sample) -> str:
    return "" if sample.ci95 is None else "[{:.4f}, {:.4f}]".format(*sample.ci95)
