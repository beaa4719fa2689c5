"""Runs in groups that differ by the seed alone, and the groups in order, among those that may be compared."""

import json
import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cnn_experiments.report.statistics import Sample, paired
from cnn_experiments.runs.directory import is_pruned
from cnn_experiments.runs.fingerprint import FOR_SPEED, SEEDS
from cnn_experiments.runs.records import Run, number
from cnn_experiments.runs.settings import short_names, varied

_CUT = ("trainer.limit_val_batches", "trainer.limit_test_batches")
"""Settings that leave images out of what is measured; of a number of batches it depends on their size, how many."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that share everything but the seed."""

    varied: Mapping[str, Any]
    """What tells it from the other groups: settings by their keys."""
    runs: Sequence[Run]
    """Those that are complete, one for each seed."""
    others: Mapping[str, Sequence[Run]]
    """By their status, those that are not, of further seeds."""
    beside: str
    """What tells it from a group with the same settings."""

    @cached_property
    def label(self) -> str:
        """The values by which it is known: `densenet adam lr=0.1`."""
        options = self.anyone.setup.options
        names = short_names(self.varied)
        said = [f"{'' if key in options else f'{names[key]}='}{word(value)}" for key, value in self.varied.items()]
        return " ".join(said or [options["model"]]) + self.beside

    @property
    def anyone(self) -> Run:
        """One of its runs."""
        return next(run for runs in (self.runs, *self.others.values()) for run in runs)

    @property
    def seeds(self) -> list[int]:
        """Of the runs that are complete."""
        return sorted(run.results["seed"] for run in self.runs)

    @cached_property
    def val(self) -> Sample | None:
        """Validation accuracies of the tested epochs."""
        return self._sample("val/acc")

    @cached_property
    def test(self) -> Sample | None:
        """Test accuracies."""
        return self._sample("test/acc")

    def by_seed(self, metric: str) -> dict[Hashable, float]:
        """A metric of every run that has it."""
        measured = {_seed(run): run.metric(metric) for run in self.runs}
        return {seed: value for seed, value in measured.items() if value is not None}

    @cached_property
    def parameters(self) -> int | None:
        """Of the network."""
        return next((run.results["parameters"] for run in self.runs if run.results.get("parameters")), None)

    @cached_property
    def multiply_adds(self) -> int | None:
        """Of one image's forward pass."""
        return next((run.results["multiply_adds"] for run in self.runs if run.results.get("multiply_adds")), None)

    @cached_property
    def images_per_second(self) -> dict[str, float]:
        """In training, by device: the median over the runs there."""
        return self._by_device(lambda results: number((results.get("images_per_second") or {}).get("train")))

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Of training and test, by device: the median over the runs there."""
        return self._by_device(_seconds)

    @cached_property
    def peak_memory(self) -> dict[str, float]:
        """Bytes by device: the median over the runs there."""
        return self._by_device(lambda results: number(results.get("peak_memory_bytes")))

    def _sample(self, metric: str) -> Sample | None:
        values = tuple(self.by_seed(metric).values())
        return Sample(values) if values else None

    def _by_device(self, figure: Callable[[dict[str, Any]], float | None]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for run in self.runs:
            value = figure(run.results)
            if value is not None:
                found.setdefault(device_of(run), []).append(value)
        return {device: statistics.median(values) for device, values in sorted(found.items())}


@dataclass(frozen=True, eq=False)
class Board:
    """Groups that may be compared: the same images, the same protocol, the same size. The best is the first."""

    title: str
    metric: str
    """By which they are in order: validation accuracy, or test accuracy where nothing was held out."""
    groups: Sequence[Group]
    keys: Sequence[str]
    """Of the settings that vary, in all of the leaderboard."""

    @property
    def best(self) -> Group:
        """The one with the highest mean."""
        return self.groups[0]

    def accuracy(self, group: Group) -> float:
        """What a group is in its place by, the mean over its seeds."""
        return _mean(group, self.metric)

    @staticmethod
    def difference(one: Group, other: Group) -> Sample | None:
        """How much better one tests than the other, over the seeds they share."""
        return paired(one.by_seed("test/acc"), other.by_seed("test/acc"))


@dataclass(frozen=True)
class Leaderboard:
    """All that some runs tell."""

    boards: Sequence[Board]
    without_result: Sequence[Group]
    """Groups of which no run is complete."""
    repeated: Sequence[Run]
    """Complete runs that have the seed of a newer one of their group; they are not counted."""
    keys: Sequence[str]
    """Of the settings that vary, the network first."""

    @cached_property
    def devices(self) -> list[str]:
        """All on which something was measured."""
        measured = (group for board in self.boards for group in board.groups)
        return sorted({device_of(run) for group in measured for run in group.runs})

    @cached_property
    def makers(self) -> list[str]:
        """The commits and the versions of torch that runs were made with, where there are several."""
        runs = [run for board in self.boards for group in board.groups for run in group.runs]
        hashes = (str(run.results["git_commit"]) for run in runs if run.results.get("git_commit"))
        commits = {f"{each[:7]}{each[40:]}" for each in hashes}  # with -dirty behind it
        torches = {str(torch) for run in runs if (torch := (run.results.get("versions") or {}).get("torch"))}
        found = {"commits": commits, "torch": torches}
        return [f"{name} {', '.join(sorted(each))}" for name, each in found.items() if len(each) > 1]

    @cached_property
    def statuses(self) -> Counter[str]:
        """How many runs there are of each, those repeated left out."""
        counted: Counter[str] = Counter()
        for group in [*(group for board in self.boards for group in board.groups), *self.without_result]:
            counted["completed"] += len(group.runs)
            counted.update({status: len(runs) for status, runs in group.others.items()})
        return +counted


def leaderboard(runs: Sequence[Run]) -> Leaderboard:
    """Sorts runs into groups, and those into boards."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(_configuration(run), []).append(run)
    keys = varied([run.setup for run in runs])
    groups, repeated = [], []
    for group in members.values():
        makes = _of_one_make(group)
        for same in makes:
            counted, others, again = _one_for_each_seed(same)
            setup, beside = same[0].setup, _beside(_make(same[0]), set(map(_make, group)))
            groups.append(Group({key: setup.value(key) for key in keys}, counted, others, beside))
            repeated += again
    boards: dict[tuple[str, str], list[Group]] = {}
    for each in groups:
        if each.test is not None or each.val is not None:
            metric = "val/acc" if each.val is not None else "test/acc"
            boards.setdefault((_title(each.anyone), metric), []).append(each)
    return Leaderboard(
        boards=[
            Board(title, metric, sorted(boards[title, metric], key=lambda group: -_mean(group, metric)), keys)
            for title, metric in sorted(boards)
        ],
        without_result=[each for each in groups if each.test is None and each.val is None],
        repeated=repeated,
        keys=keys,
    )


def _mean(group: Group, metric: str) -> float:
    return statistics.fmean(group.by_seed(metric).values())


def _configuration(run: Run) -> str:
    """Equal for runs that share all but the seed, what is for speed alone included: their speeds are not averaged."""
    results = run.results
    told = run.setup
    shared = results.get("configuration")
    if shared is None:  # written by something else than this program's newest version
        typed = {key: value for key, value in told.typed.items() if key not in SEEDS}
        shared = [dict(told.options), typed, *(results.get(key) for key in ("protocol", "precision"))]
    return json.dumps([shared, *(told.value(key) for key in FOR_SPEED)], sort_keys=True)


def _of_one_make(runs: Sequence[Run]) -> list[list[Run]]:
    """Apart where the network is not the same, because its code was changed, or the number of processes.

    In each process there is a batch of data.batch_size images: of several, the step is another. A run that died before
    it could say is with the first.
    """
    makes: dict[tuple[int, int], list[Run]] = {}
    unknown: list[Run] = []
    for run in runs:
        make = _make(run)
        (unknown if make is None else makes.setdefault(make, [])).append(run)
    first, *others = makes.values() or [[]]
    return [first + unknown, *others]


def _make(run: Run) -> tuple[int, int] | None:
    """Parameters and processes."""
    parameters = run.results.get("parameters")
    return None if parameters is None else (parameters, run.results.get("processes") or 1)


def _beside(make: tuple[int, int] | None, makes: set[tuple[int, int] | None]) -> str:
    """What tells it from the others, in words."""
    if make is None:
        return ""
    parameters, processes = (len(set(each)) > 1 for each in zip(*(makes - {None}), strict=True))
    return f"{f' of {make[0]:,} parameters' if parameters else ''}{f' in {make[1]} processes' if processes else ''}"


def _one_for_each_seed(runs: Sequence[Run]) -> tuple[list[Run], dict[str, list[Run]], list[Run]]:
    """The newest complete run of each seed; by status, of further seeds the newest; and the complete ones left over."""
    newest_first = sorted(runs, key=lambda run: str(run.results.get("started")), reverse=True)
    complete: dict[Hashable, Run] = {}
    for run in newest_first:
        if run.results["status"] == "completed":
            complete.setdefault(_seed(run), run)
    counted = sorted(complete.values(), key=lambda run: run.results["seed"])
    again = [run for run in runs if run.results["status"] == "completed" and run not in counted]
    others: dict[str, list[Run]] = {}
    seen = set(complete)
    for run in newest_first:
        if _seed(run) not in seen:
            seen.add(_seed(run))
            others.setdefault(_status(run), []).append(run)
    return counted, others, again


def _seed(run: Run) -> Hashable:
    of_data = str(run.setup.value("data.seed"))
    return run.results["seed"], int(of_data) if of_data.isdigit() else run.results["seed"]


def _status(run: Run) -> str:
    """That of its results.json; of one that a search gave up, that."""
    return "pruned" if is_pruned(run.results) else str(run.results["status"])


def _title(run: Run) -> str:
    """What runs have to share to be compared."""
    results, told = run.results, run.setup
    size = results.get("image_size") or told.value("data.resize")
    parts = [f"{results.get('data')} at {size} pixels" if size else f"{results.get('data')} at its own size"]
    held_out = told.value("data.val_size")
    protocol = str(results.get("protocol") or "unknown protocol")
    parts.append(f"{protocol} of {held_out}" if protocol == "holdout" and held_out is not None else protocol)
    for key in _CUT:
        limit = told.value(key)
        if limit is not None and limit != "null" and not (isinstance(limit, float) and limit == 1.0):
            batches = f" of {told.value('data.batch_size')}" if isinstance(limit, int) else ""
            parts.append(f"{key.rpartition('.')[2]} {limit}{batches}")
    return ", ".join(parts)


def device_of(run: Run) -> str:
    """Its device's kind and model, and how many of them worked together."""
    processes = number(run.results.get("processes")) or 1
    return f"{f'{processes} x ' if processes > 1 else ''}{run.results.get('device') or 'an unknown device'}"


def word(value: Any) -> str:
    """A setting's value, as short as it can be told."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return f"{short}.0" if short.lstrip("-").isdigit() else short  # 1 batch is not 1.0 of them
    return str(value)


def _seconds(results: dict[str, Any]) -> float | None:
    spent = [number(value) for value in (results.get("seconds") or {}).values()]
    return None if not spent or None in spent else sum(each for each in spent if each is not None)
