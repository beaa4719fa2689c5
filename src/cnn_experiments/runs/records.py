"""Finished and unfinished runs, as their directories show them, and their learning curves."""

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import METRICS_FILE
from cnn_experiments.runs.fingerprint import NO_EFFECT_KEYS
from cnn_experiments.runs.metrics import Monitor, curve_keys, metrics_of
from cnn_experiments.runs.regular_file import read_text, reading_problem
from cnn_experiments.runs.results import RESULTS_FILE, RunResults, finite_number
from cnn_experiments.runs.settings import RunSettings, split_override

_MAX_BYTES = 100_000_000
"""The longest metrics.csv that is read; 1,000 epochs have some hundred thousand bytes."""


@dataclass(frozen=True)
class RunRecord:
    """A run's directory and its results."""

    directory: Path
    results: RunResults

    @cached_property
    def settings(self) -> RunSettings:
        """Return the options, overrides and settings of the run."""
        typed = map(split_override, self.results.overrides)
        return RunSettings(
            choices={"model": self.results.model, "data": self.results.data} | self.results.options,
            overrides={key: value for key, value in typed if key not in NO_EFFECT_KEYS},
            settings=self.results.settings,
        )

    def metric(self, name: str) -> float | None:
        """Return a metric such as test/acc; None if it was not measured or is not finite."""
        return finite_number(self.results.metrics.get(name))

    def curve(self, name: str) -> dict[int, float]:
        """Return a metric by epoch, from 1, after every epoch in which it was measured and finite.

        Raises:
            ValueError: metrics.csv has something else than numbers in its column or in that of the epochs.
        """
        curve = self._curves.get(name, {})
        if isinstance(curve, str):
            raise ValueError(curve)
        return curve

    @cached_property
    def _curves(self) -> dict[str, dict[int, float] | str]:
        drawn = [*curve_keys(metrics_of([self.results.metric_info])), Monitor.from_json(self.results.monitor).key]
        return read_curves(self.directory, dict.fromkeys(drawn))


def read_curves(directory: Path, names: Iterable[str]) -> dict[str, dict[int, float] | str]:
    """Return the curves of metrics.csv by metric, each by epoch, or what is wrong with each.

    Args:
        directory: of a run.
        names: the metrics.
    """
    names = list(names)
    try:
        table = _MetricsTable.read(directory)
    except ValueError as error:
        return dict.fromkeys(names, str(error))
    return {} if table is None else {name: table.curve(name) for name in names}


def read_all_curves(directory: Path) -> dict[str, dict[int, float] | str]:
    """Return all curves of metrics.csv, also of what callbacks log, by epoch, or what is wrong with each.

    Raises:
        ValueError: the file can't be read, or has something else than numbers in the column of the epochs.
    """
    table = _MetricsTable.read(directory)
    return {} if table is None else {name: table.curve(name) for name in table.names}


@dataclass(frozen=True)
class _MetricsTable:
    """The content of a metrics.csv."""

    epochs: Sequence[int]
    rows: Sequence[Mapping[str, str | None]]

    @classmethod
    def read(cls, directory: Path) -> "_MetricsTable | None":
        """Return the table of a run, or None if there is none.

        Raises:
            ValueError: it can't be read, or has something else than numbers in the column of the epochs.
        """
        try:
            rows = list(csv.DictReader(io.StringIO(read_text(directory / METRICS_FILE, _MAX_BYTES), newline="")))
            return cls([int(row.get("epoch") or number) for number, row in enumerate(rows, start=1)], rows)
        except FileNotFoundError:
            return None
        except csv.Error as error:
            raise ValueError(str(error)) from error
        except (OSError, ValueError) as error:
            raise ValueError(reading_problem(error)) from error

    @property
    def names(self) -> list[str]:
        """Return the metrics, in the order of the columns."""
        return [name for name in (self.rows[0] if self.rows else ()) if name not in (None, "epoch", "step")]

    def curve(self, name: str) -> dict[int, float] | str:
        """Return a metric by epoch, or what is wrong with it."""
        return _parse_column(self.epochs, [row.get(name) for row in self.rows])


def _parse_column(epochs: Sequence[int], cells: Sequence[str | None]) -> dict[int, float] | str:
    try:
        values = {epoch: float(cell) for epoch, cell in zip(epochs, cells, strict=True) if cell}
    except ValueError as error:
        return str(error)
    return {epoch: value for epoch, value in values.items() if math.isfinite(value)}


def describe_damaged_curves(runs: Iterable[RunRecord]) -> list[str]:
    """Return a line for each run whose metrics.csv cannot be read."""
    lines = []
    for run in runs:
        problems = {name: curve for name, curve in run._curves.items() if isinstance(curve, str)}
        if problems:
            first = next(iter(problems.values()))
            lines.append(f"{run.directory / METRICS_FILE}: {first}; no curve of {', '.join(problems)}")
    return lines


def find_runs(paths: Iterable[Path]) -> tuple[list[RunRecord], list[str]]:
    """Return the runs at and below some paths, each once, ordered by path, and a line for each damaged one.

    Raises:
        ConfigError: there is no results.json at or below a path.
    """
    files: dict[str, Path] = {}
    runs: list[RunRecord] = []
    damaged: list[str] = []
    for path in paths:
        below = sorted(_find_results(path, damaged))
        if not below:
            raise ConfigError(str(path), problem="must be a run's directory or contain some; no results.json found")
        files |= {os.path.realpath(file): file for file in below}
    for file in files.values():
        try:
            runs.append(RunRecord(file.parent, RunResults.load(file.parent)))
        except (OSError, ValueError) as error:
            damaged.append(f"{file}: {reading_problem(error)}")
    return runs, list(dict.fromkeys(damaged))


def holds_one_run(directory: Path) -> bool:
    """Return whether a directory is that of a run, with no other run below it."""
    if not os.path.lexists(directory / RESULTS_FILE):
        return False
    return sum(1 for _ in _find_results(directory, [])) == 1


def _find_results(path: Path, unreadable: list[str]) -> Iterator[Path]:
    """Yield every results.json at and below a path, not following links, and add a line for what cannot be read."""

    def add_line(error: OSError) -> None:
        unreadable.append(f"{error.filename}: {error.strerror}")

    for directory, subdirectories, files in os.walk(path, onerror=add_line):
        if RESULTS_FILE in (*files, *subdirectories):
            yield Path(directory, RESULTS_FILE)
