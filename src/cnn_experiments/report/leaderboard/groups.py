"""Runs in groups that differ by the seed alone, ranked among the groups that may be compared."""

import json
import os
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnn_experiments.console import shorten
from cnn_experiments.errors import format_value
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.report.leaderboard.images import MAX_COMPARED, ImageComparison, NotComparedError, compare_images
from cnn_experiments.report.statistics import Sample, measurement, paired_difference
from cnn_experiments.runs.directory import PREDICTIONS_FILE
from cnn_experiments.runs.fingerprint import PERFORMANCE_KEYS, SEED_KEYS, normalize_value
from cnn_experiments.runs.metrics import DEFAULT_MONITOR, MetricSpec, Monitor, leaderboard_keys, metrics_of
from cnn_experiments.runs.records import RunRecord
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.settings import short_names, varying_keys
from cnn_experiments.runs.status import Status

SeedPair = tuple[int, int]
"""The seed of training, and that of the data split."""

_TARGET = "._target_"
_MAX_SEED_DIGITS = 19
_MAX_CHARACTERS = 100
"""Characters of a name that tables show; leaderboard.csv has all."""

_TRAINING_LOSS_KEYS = ("loss.label_smoothing", "loss.class_weights")
"""Settings of a loss that do not change its value in an evaluation."""

_EVALUATION_LIMITS = ("trainer.limit_val_batches", "trainer.limit_test_batches")
"""Settings that leave images out of the evaluation; an integer counts batches, so that the batch size matters too."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that share everything but the seed."""

    varying: Mapping[str, Any]
    """The settings that distinguish it from other groups, by key."""
    completed: Sequence[RunRecord]
    """The completed runs, one for each pair of seeds: of training, and of the data split."""
    not_completed: Mapping[str, Sequence[RunRecord]]
    """Runs with other statuses, by status or `pruned`, of pairs of seeds that have no completed run."""
    label_suffix: str
    """What distinguishes its label from that of a group with the same settings."""

    @cached_property
    def label(self) -> str:
        """Return the values that identify it: `densenet adam lr=0.1`."""
        choices = self.any_run.settings.choices
        names = short_names(self.varying)
        parts = []
        for key, value in self.varying.items():
            text = short_name(format_setting(value))
            parts.append(text if key in choices or key.endswith(_TARGET) else f"{names[key]}={text}")
        return " ".join(parts or [short_name(choices["model"])]) + self.label_suffix

    @property
    def any_run(self) -> RunRecord:
        """Return one of its runs, completed if possible."""
        return next(run for runs in (self.completed, *self.not_completed.values()) for run in runs)

    @property
    def seeds(self) -> list[int]:
        """Return the training seeds of the completed runs."""
        return sorted(run.results.seed for run in self.completed)

    def by_seed_pair(self, metric: str) -> dict[SeedPair, float]:
        """Return a metric such as `val/acc` of every completed run that has it."""
        values = {_seed_pair(run): measurement(run.metric(metric)) for run in self.completed}
        return {seed: value for seed, value in values.items() if value is not None}

    def sample(self, metric: str) -> Sample | None:
        """Return a metric such as `val/acc` over the seeds; None if no run has it."""
        values = tuple(self.by_seed_pair(metric).values())
        return Sample(values) if values else None

    @cached_property
    def descriptions(self) -> dict[str, str]:
        """Return the tags and the notes of the runs, as far as there are any."""
        runs = [run.results for runs in (self.completed, *self.not_completed.values()) for run in runs]
        tags = dict.fromkeys(tag for results in runs for tag in results.tags)
        notes = dict.fromkeys(results.note for results in runs if results.note)
        texts = {"tags": ", ".join(tags), "note": "; ".join(notes)}
        return {name: text for name, text in texts.items() if text}

    @cached_property
    def parameters(self) -> int | None:
        """Return the number of parameters of the network."""
        return next((run.results.parameters for run in self.completed if run.results.parameters), None)

    @cached_property
    def multiply_adds(self) -> int | None:
        """Return the multiply-adds of a forward pass of one image."""
        return next((run.results.multiply_adds for run in self.completed if run.results.multiply_adds), None)

    @cached_property
    def images_per_second(self) -> dict[str, float]:
        """Return the training throughput by device, the median over the runs."""
        return self._median_by_device(lambda results: results.images_per_second.get("train"))

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Return the seconds of training and test by device, the median over the runs."""
        return self._median_by_device(lambda results: results.total_seconds)

    @cached_property
    def peak_memory(self) -> dict[str, float]:
        """Return the peak memory in bytes by device, the median over the runs."""
        return self._median_by_device(lambda results: results.peak_memory_bytes)

    def _median_by_device(self, measure: Callable[[RunResults], float | None]) -> dict[str, float]:
        values: dict[str, list[float]] = {}
        for run in self.completed:
            value = measurement(measure(run.results))
            if value is not None:
                values.setdefault(format_device(run), []).append(value)
        return {device: statistics.median(of_device) for device, of_device in sorted(values.items())}


@dataclass(frozen=True, eq=False)
class Board:
    """Groups that may be compared: the same images, protocol and image size. The best group is the first."""

    title: str
    ranking: Monitor
    """The metric that ranks, and which of its values is the best: the monitor if all groups share one, else validation
    accuracy; test accuracy if nothing was held out for validation."""
    label: str
    """What axes and columns call the metric that ranks."""
    groups: Sequence[Group]
    keys: Sequence[str]
    """Keys of the settings that vary in the whole leaderboard."""

    @property
    def metric(self) -> str:
        """Return the key of the metric that ranks: `val/acc`."""
        return self.ranking.key

    @property
    def test_metric(self) -> str:
        """Return the key of the same metric of the test split, in which groups differ: `test/acc`."""
        return f"test/{self.ranking.name}"

    @property
    def best(self) -> Group:
        """Return the group with the best mean."""
        return self.groups[0]

    def rank(self, group: Group) -> int:
        """Return the place of a group, from 1."""
        return self.groups.index(group) + 1

    def mean(self, group: Group) -> float:
        """Return a group's mean of the metric that ranks."""
        return _mean(group, self.metric)

    @cached_property
    def image_comparisons(self) -> Mapping[Group, ImageComparison]:
        """Return comparisons image by image with the best group, of the first groups that have predictions."""
        return {group: result for group, result in self._image_results.items() if isinstance(result, ImageComparison)}

    @property
    def image_problems(self) -> list[str]:
        """Return a line for each comparison image by image that is not possible although there are predictions."""
        problems = [str(result) for result in self._image_results.values() if isinstance(result, NotComparedError)]
        return list(dict.fromkeys(problems))

    @cached_property
    def _image_results(self) -> dict[Group, ImageComparison | NotComparedError]:
        """Return the comparison with the best group at the lowest seed for which both have predictions."""
        loaded: dict[Path, Predictions] = {}
        results: dict[Group, ImageComparison | NotComparedError] = {}
        best = _runs_with_predictions(self.best) if len(self.groups) > 1 else {}
        for group in self.groups[1:MAX_COMPARED] if best else ():
            runs = _runs_with_predictions(group)
            shared = min(runs.keys() & best.keys(), default=None)
            if shared is None:
                continue
            try:
                results[group] = compare_images(shared[0], runs[shared], best[shared], loaded)
            except NotComparedError as error:
                results[group] = error
        return results

    def test_difference(self, group: Group, other: Group) -> Sample | None:
        """Return a group's test metric minus that of another group, over the seeds they share."""
        return paired_difference(group.by_seed_pair(self.test_metric), other.by_seed_pair(self.test_metric))


@dataclass(frozen=True)
class Leaderboard:
    """All groups of some runs: one board for each set of comparable groups."""

    boards: Sequence[Board]
    unranked: Sequence[Group]
    """Groups without a completed run that has a result."""
    superseded: Sequence[RunRecord]
    """Completed runs whose seed has a newer completed run in the same group; they are not counted."""
    keys: Sequence[str]
    """Keys of the settings that vary, the network first."""
    metrics: Sequence[MetricSpec]
    """The metrics of all runs."""

    @cached_property
    def metric_columns(self) -> dict[str, MetricSpec]:
        """Return the metrics that have columns, by key: the accuracy, what ranks, and those of the configurations."""
        keys = leaderboard_keys(self.metrics, [board.ranking for board in self.boards])
        always = leaderboard_keys()
        return {
            key: metric
            for key, metric in keys.items()
            if key in always or any(group.by_seed_pair(key) for group in self._ranked_groups)
        }

    @cached_property
    def devices(self) -> list[str]:
        """Return the devices of all completed runs in boards."""
        return sorted({format_device(run) for run in self._ranked_runs})

    @cached_property
    def software_versions(self) -> dict[str, list[str]]:
        """Return the commits and the torch versions of the runs in boards, each only if the runs differ in it."""
        hashes = {str(run.results.git_commit) for run in self._ranked_runs if run.results.git_commit}
        torch_versions = {run.results.versions.get("torch") for run in self._ranked_runs}
        versions = {
            "commit": sorted({commit[:7] + commit[40:] for commit in hashes}),  # a suffix -dirty stays
            "torch version": sorted(str(version) for version in torch_versions if version),
        }
        return {name: values for name, values in versions.items() if len(values) > 1}

    @cached_property
    def status_counts(self) -> Counter[str]:
        """Return the number of runs that count, by status: at most one for each pair of seeds."""
        counts: Counter[str] = Counter()
        for group in [*self._ranked_groups, *self.unranked]:
            counts["completed"] += len(group.completed)
            counts.update({status: len(runs) for status, runs in group.not_completed.items()})
        return +counts

    @cached_property
    def has_several_monitors(self) -> bool:
        """Return whether the monitors of one board differ, or the settings that they are measured with."""
        holdout = (board for board in self.boards if board.groups[0].any_run.results.protocol == "holdout")
        return any(len({_monitor(group.any_run) for group in board.groups}) > 1 for board in holdout)

    @cached_property
    def _ranked_groups(self) -> list[Group]:
        return [group for board in self.boards for group in board.groups]

    @cached_property
    def _ranked_runs(self) -> list[RunRecord]:
        return [run for group in self._ranked_groups for run in group.completed]


def build_leaderboard(runs: Sequence[RunRecord]) -> Leaderboard:
    """Sort runs into groups, and groups into boards."""
    networks = _networks(runs)
    keys = varying_keys([members[0].settings for members, _ in networks])
    groups, superseded = _group(networks, keys)
    metrics = metrics_of(run.results.metric_info for run in runs)
    monitors = _shared_monitors(groups)
    boards: dict[tuple[str, Monitor], list[Group]] = {}
    unranked = []
    for group in groups:
        title = _comparison_title(group.any_run)
        ranking = _ranking(group, monitors.get(title, DEFAULT_MONITOR))
        if ranking is None:
            unranked.append(group)
        else:
            boards.setdefault((title, ranking), []).append(group)
    labels = {metric.name: metric.label for metric in metrics}
    return Leaderboard(
        boards=[
            Board(
                title, ranking, labels.get(ranking.name, ranking.name), _ranked(boards[title, ranking], ranking), keys
            )
            for title, ranking in sorted(boards, key=lambda board: (board[0], board[1].key))
        ],
        unranked=unranked,
        superseded=superseded,
        keys=keys,
        metrics=metrics,
    )


def _ranked(groups: Sequence[Group], ranking: Monitor) -> list[Group]:
    """Return groups in the order of a metric, the best first."""
    sign = -1 if ranking.higher_is_better else 1
    return sorted(groups, key=lambda group: sign * _mean(group, ranking.key))


def _networks(runs: Sequence[RunRecord]) -> list[tuple[list[RunRecord], str]]:
    """Return the runs of each group, and what distinguishes its label from that of a group with the same settings."""
    by_configuration: dict[str, list[RunRecord]] = {}
    for run in runs:
        by_configuration.setdefault(_configuration_key(run), []).append(run)
    networks = []
    for same_configuration in by_configuration.values():
        by_parameters = _split_by_parameters(same_configuration)
        for parameters, members in by_parameters.items():
            networks.append((members, f" ({parameters:,} parameters)" if len(by_parameters) > 1 else ""))
    return networks


def _group(networks: Sequence[tuple[list[RunRecord], str]], keys: Sequence[str]) -> tuple[list[Group], list[RunRecord]]:
    """Return the groups, and the completed runs that newer ones supersede."""
    class_names = {
        key: short_names({value for members, _ in networks if isinstance(value := members[0].settings.value(key), str)})
        for key in keys
        if key.endswith(_TARGET)
    }
    groups, superseded = [], []
    for members, suffix in networks:
        completed, not_completed, older = _newest_per_seed(members)
        values = {key: members[0].settings.value(key) for key in keys}
        values |= {key: names.get(str(values[key]), values[key]) for key, names in class_names.items()}
        groups.append(Group(values, completed, not_completed, suffix))
        superseded += older
    return groups, superseded


def _configuration_key(run: RunRecord) -> str:
    """Return a key that is equal for runs whose settings differ in the seed alone.

    Runs that differ in a setting for speed have different keys too, because their speeds are not averaged.
    """
    results, settings = run.results, run.settings
    configuration: Any = results.configuration
    if configuration is None:  # written by an earlier version or another program
        overrides = {key: value for key, value in settings.overrides.items() if key not in SEED_KEYS}
        configuration = [dict(settings.choices), overrides, results.protocol, results.precision, results.processes]
    return json.dumps([configuration, *(settings.value(key) for key in PERFORMANCE_KEYS)], sort_keys=True)


def _split_by_parameters(runs: Sequence[RunRecord]) -> dict[int | None, list[RunRecord]]:
    """Separate networks that differ although their settings are the same, because their code was changed.

    Runs that ended before they recorded their number of parameters are put with the first network.
    """
    recorded = (run.results.parameters for run in runs)
    first = next((parameters for parameters in recorded if parameters is not None), None)
    networks: dict[int | None, list[RunRecord]] = {}
    for run in runs:
        parameters = run.results.parameters
        networks.setdefault(first if parameters is None else parameters, []).append(run)
    return networks


def _newest_per_seed(
    runs: Sequence[RunRecord],
) -> tuple[list[RunRecord], dict[str, list[RunRecord]], list[RunRecord]]:
    """Return the completed runs that count, the others by status, and the older completed runs.

    Of each seed the newest completed run counts, or if there is none, the newest run of another status.
    """
    newest_first = sorted(runs, key=lambda run: str(run.results.started), reverse=True)
    by_seed_pair: dict[SeedPair, RunRecord] = {}
    for run in newest_first:
        if run.results.status == Status.COMPLETED:
            by_seed_pair.setdefault(_seed_pair(run), run)
    completed = sorted(by_seed_pair.values(), key=lambda run: run.results.seed)
    counted = {run.directory for run in completed}
    older = [run for run in runs if run.results.status == Status.COMPLETED and run.directory not in counted]
    not_completed: dict[str, list[RunRecord]] = {}
    seen = set(by_seed_pair)
    for run in newest_first:
        if _seed_pair(run) not in seen:
            seen.add(_seed_pair(run))
            not_completed.setdefault(_status(run), []).append(run)
    return completed, not_completed, older


def _shared_monitors(groups: Sequence[Group]) -> dict[str, Monitor]:
    """Return the monitor of the groups that may be compared, by the title of their board, if they share one."""
    monitors: dict[str, set[tuple[Monitor, str]]] = {}
    for group in groups:
        if group.completed and group.any_run.results.protocol == "holdout":
            monitors.setdefault(_comparison_title(group.any_run), set()).add(_monitor(group.any_run))
    return {title: monitor for title, ((monitor, _), *others) in monitors.items() if not others}


def _monitor(run: RunRecord) -> tuple[Monitor, str]:
    """Return the monitor of a run, and the settings on which its values depend, as JSON."""
    monitor = Monitor.from_json(run.results.monitor)
    prefix = "loss." if monitor.name == "loss" else f"metrics.{monitor.name}."
    settings = {key: value for key, value in run.settings.settings.items() if key.startswith(prefix)}
    measuring = {key: normalize_value(key, value) for key, value in settings.items() if key not in _TRAINING_LOSS_KEYS}
    return monitor, json.dumps(measuring, sort_keys=True)


def _ranking(group: Group, monitor: Monitor) -> Monitor | None:
    """Return what ranks a group: the shared monitor, else the accuracy of the validation or the test split."""
    candidates = (monitor, DEFAULT_MONITOR, Monitor(f"test/{DEFAULT_MONITOR.name}", DEFAULT_MONITOR.mode))
    return next((metric for metric in candidates if group.by_seed_pair(metric.key)), None)


def _mean(group: Group, metric: str) -> float:
    return statistics.fmean(group.by_seed_pair(metric).values())


def _runs_with_predictions(group: Group) -> dict[SeedPair, Path]:
    """Return the directories of the completed runs that have a predictions.npz, which may be damaged."""
    return {
        _seed_pair(run): run.directory for run in group.completed if os.path.lexists(run.directory / PREDICTIONS_FILE)
    }


def _seed_pair(run: RunRecord) -> SeedPair:
    """Return the seed of training and that of the data split, which is the same if it is not set."""
    data_seed = str(run.settings.value("data.seed"))
    is_seed = data_seed.isdecimal() and len(data_seed) <= _MAX_SEED_DIGITS
    return run.results.seed, int(data_seed) if is_seed else run.results.seed


def _status(run: RunRecord) -> str:
    return "pruned" if run.results.pruned_after_epoch is not None else str(run.results.status)


def _comparison_title(run: RunRecord) -> str:
    """Return what runs must share to be compared: data, image size, protocol, and limits of the evaluation."""
    results, settings = run.results, run.settings
    size = results.image_size or settings.value("data.resize")
    protocol = str(results.protocol or "unknown protocol")
    val_size = settings.value("data.val_size")
    if protocol == "holdout" and val_size is not None:
        protocol = f"holdout of {val_size}"
    parts = [f"{results.data} at " + (f"{size} pixels" if size else "its own size"), protocol]
    for key in _EVALUATION_LIMITS:
        limit = settings.value(key)
        if limit is None or limit == "null" or (isinstance(limit, float) and limit == 1.0):
            continue
        part = f"{key.rpartition('.')[2]} {limit}"
        if isinstance(limit, int):
            part = f"{part} of {settings.value('data.batch_size')}"
        parts.append(part)
    return ", ".join(parts)


def format_device(run: RunRecord) -> str:
    """Return the kind and model of a run's device, and how many of them trained together: `2 x cuda (NVIDIA H200)`."""
    processes = run.results.processes or 1
    device = short_name(run.results.device or "an unknown device")
    return f"{processes} x {device}" if processes > 1 else device


def short_name(name: str) -> str:
    """Return a name without its end if it is too long for a table."""
    return shorten(name, _MAX_CHARACTERS)


def format_setting(value: Any) -> str:
    """Return the value of a setting in few digits; a float stays recognizable, because 1 batch is not 1.0 of them."""
    if not isinstance(value, float):
        return format_value(value)
    text = f"{value:g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text
