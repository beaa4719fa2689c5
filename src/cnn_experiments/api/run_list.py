"""Several runs from Python."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from cnn_experiments.api.ranking import Ranking, rank
from cnn_experiments.api.run import LoadedRun
from cnn_experiments.api.tables import Column, Table
from cnn_experiments.errors import ConfigError, format_value
from cnn_experiments.runs.fingerprint import SEED_KEYS
from cnn_experiments.runs.metrics import MetricSpec, leaderboard_keys, metric_keys, metrics_of
from cnn_experiments.runs.records import RunRecord, find_runs
from cnn_experiments.runs.results import monitors_of
from cnn_experiments.runs.settings import short_names, varying_keys

if TYPE_CHECKING:
    import torch
    from pandas import DataFrame


def runs(*paths: str | Path, config_dir: str | Path | None = None, device: "str | torch.device" = "cpu") -> "RunList":
    """Return all runs at and below some directories, whether they are completed or not, ordered by path.

    Args:
        paths: run directories, or directories with runs below them, such as that of a sweep.
        config_dir: the directory of your own options if the runs were trained with some, as that of `--config-dir`.
        device: where the networks compute that are asked for, such as `cuda`.

    Raises:
        ConfigError: there is no run at or below a path, or none can be read.
    """
    if not paths:
        raise ConfigError("paths", problem="must be given: the directory of a run, or one with runs below it")
    records, damaged = find_runs([Path(path) for path in paths])
    if not records:
        raise ConfigError(str(paths[0]), problem=f"no run can be read; {damaged[0]}")
    loaded = [LoadedRun(run.directory.absolute(), run.results, config_dir=config_dir, device=device) for run in records]
    return RunList(records, loaded, damaged)


class RunList(Sequence[LoadedRun]):
    """Some runs, ordered by path. Their networks are built when they are asked for.

    Args:
        records: what the runs' directories hold.
        loaded: the same runs, as items of this sequence.
        damaged: one line for each run that could not be read.
    """

    def __init__(self, records: Sequence[RunRecord], loaded: Sequence[LoadedRun], damaged: Sequence[str]) -> None:
        self._records = records
        self._loaded = loaded
        self.damaged = damaged

    @overload
    def __getitem__(self, index: int) -> LoadedRun: ...

    @overload
    def __getitem__(self, index: slice) -> "RunList": ...

    def __getitem__(self, index: int | slice) -> "LoadedRun | RunList":
        if isinstance(index, slice):
            return RunList(self._records[index], self._loaded[index], self.damaged)
        return self._loaded[index]

    def __len__(self) -> int:
        return len(self._loaded)

    def leaderboard(self, sort: str = "rank") -> Ranking:
        """Return the leaderboard of these runs, with mean and spread over the seeds.

        Args:
            sort: the column that orders the tables, the best first: `val/acc`, `seconds`, a setting such as `lr`.

        Raises:
            ConfigError: there is no such column.
        """
        return rank(self._records, self.damaged, sort)

    def to_frame(self) -> "DataFrame":
        """Return the runs as a DataFrame of pandas: status, tags, note, options, settings, metrics and costs.

        Raises:
            ConfigError: pandas is not installed.
        """
        settings = dict.fromkeys(key for record in self._records for key in record.settings.settings)
        options = dict.fromkeys(key for record in self._records for key in record.settings.choices)
        columns = [
            Column("directory", [str(record.directory) for record in self._records]),
            Column("status", self._statuses),
            Column("tags", [", ".join(record.results.tags) for record in self._records]),
            Column("note", [record.results.note for record in self._records]),
            *(self._setting_column(key, key) for key in (*options, *settings)),
            *(self._metric_column(key) for key in metric_keys(self._metrics)),
            self._results_column("epochs", lambda run: run.results.epochs),
            self._results_column("tested_epoch", lambda run: run.results.tested_epoch),
            self._results_column("seconds", lambda run: run.results.total_seconds),
            self._results_column("parameters", lambda run: run.results.parameters),
            self._results_column("multiply_adds", lambda run: run.results.multiply_adds),
        ]
        return Table("", columns).to_frame()

    def __repr__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    @property
    def _metrics(self) -> list[MetricSpec]:
        return metrics_of(record.results.metric_info for record in self._records)

    @property
    def _statuses(self) -> list[str]:
        return [str(run.status) for run in self._loaded]

    def _table(self) -> Table:
        keys = varying_keys([record.settings for record in self._records]) or ["model"]
        seeds, data_seeds = ([_value(run, key) for run in self._records] for key in SEED_KEYS)
        if len(set(seeds)) > 1:
            keys.append("seed")
        if len(set(data_seeds)) > 1 and data_seeds != seeds:
            keys.append("data.seed")
        monitors = monitors_of([record.results for record in self._records])
        columns = [
            Column("run", self._names(), is_text=True),
            *(self._short_setting_column(key, name) for key, name in short_names(keys).items()),
            Column("status", self._statuses, is_text=True),
            *(self._metric_column(key) for key in leaderboard_keys(self._metrics, monitors)),
            self._results_column("epochs", lambda run: run.results.epochs),
            self._results_column("seconds", lambda run: run.results.total_seconds, "{:,.1f}".format),
        ]
        notes = [f"damaged, skipped: {line}" for line in self.damaged]
        title = "1 run" if len(self) == 1 else f"{len(self)} runs"
        return Table(title, columns, notes)

    def _names(self) -> list[str]:
        """Return the directories relative to the one that holds all."""
        parents = [str(record.directory.absolute().parent) for record in self._records]
        top = os.path.commonpath(parents) if parents else ""
        return [os.path.relpath(record.directory.absolute(), top) for record in self._records]

    def _setting_column(self, key: str, name: str) -> Column:
        values = [_value(record, key) for record in self._records]
        return Column(name, values, format_value, is_text=any(isinstance(value, str) for value in values))

    def _short_setting_column(self, key: str, name: str) -> Column:
        """Return the column of a setting with the last parts of the names of classes, as in a leaderboard."""
        column = self._setting_column(key, name)
        if not key.endswith("._target_"):
            return column
        class_names = short_names({value for value in column.values if value is not None})
        return replace(column, values=[class_names.get(value) for value in column.values])

    def _metric_column(self, key: str) -> Column:
        return Column(key, [record.metric(key) for record in self._records], "{:.4f}".format)

    def _results_column(
        self, name: str, value: Callable[[RunRecord], Any], display: Callable[[Any], str] = str
    ) -> Column:
        return Column(name, [value(record) for record in self._records], display)


def _value(record: RunRecord, key: str) -> Any:
    value = record.settings.value(key)
    return str(value) if isinstance(value, list) else value
