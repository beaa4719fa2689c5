"""What the page of a run and its summary on the terminal say."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnn_experiments.errors import ConfigError, format_value
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.of_run import directory_of_predictions, evaluation_overrides
from cnn_experiments.report.predictions import load_predictions
from cnn_experiments.report.statistics import measured_curve
from cnn_experiments.runs.directory import METRICS_FILE, PREDICTIONS_FILE
from cnn_experiments.runs.metrics import SPLITS, MetricSpec, curve_metrics, metrics_of
from cnn_experiments.runs.records import read_curves
from cnn_experiments.runs.results import RESULTS_FILE, RunResults, finite_number
from cnn_experiments.runs.settings import split_override
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status


@dataclass(frozen=True)
class StoredRun:
    """A run as its directory shows it."""

    directory: Path
    status: Status
    results: RunResults

    @classmethod
    def read(cls, directory: Path) -> "StoredRun":
        """Read a run's results.json.

        Raises:
            ConfigError: it is damaged, or there is none.
        """
        state = RunState.read(directory)
        if state.results is None:
            problem = f"{RESULTS_FILE} can't be read: {state.problem or 'there is none'}"
            raise ConfigError(str(directory), problem=problem)
        return cls(directory, state.status, state.results)

    @property
    def subtitle(self) -> str:
        """Return which network was trained on which data, from which seed, and how that ended."""
        results = self.results
        size = f" at {results.image_size} pixels" if results.image_size else ""
        return f"{results.model} on {results.data}{size}, seed {results.seed}: {self.status}"

    @property
    def description(self) -> str | None:
        """Return the note and the tags of the run, if it has any."""
        tags = f"tags: {', '.join(self.results.tags)}" if self.results.tags else None
        return "\n".join(filter(None, (self.results.note, tags))) or None

    @property
    def problem(self) -> str | None:
        """Return in one sentence why a run is not completed or was trained for fewer epochs; None if neither is so."""
        results = self.results
        epochs = f"{results.epochs} epoch{'' if results.epochs == 1 else 's'}"
        if self.status == Status.COMPLETED:
            return None if results.stopped_early is None else f"Stopped early after {epochs}: {results.stopped_early}."
        if results.pruned_after_epoch is not None:
            return f"A search stopped the run after epoch {results.pruned_after_epoch}."
        if self.status == Status.RUNNING:
            return f"The run is in progress; {epochs} trained so far."
        reason = results.error or (f"stopped by {results.signal}" if results.signal else "its process ended early")
        ending = "failed" if self.status == Status.FAILED else f"was {self.status}"
        return f"The run {ending} after {epochs}: {reason}."

    @cached_property
    def curves(self) -> dict[str, dict[int, float]]:
        """Return all metrics of metrics.csv that are drawn, by epoch."""
        readable = {name: measured_curve(curve) for name, curve in self._curves.items() if isinstance(curve, dict)}
        return {name: curve for name, curve in readable.items() if curve}

    @property
    def curve_problem(self) -> str | None:
        """Return in one sentence what is wrong with metrics.csv, or None if every curve in it can be read."""
        problem = next((curve for curve in self._curves.values() if isinstance(curve, str)), None)
        if problem is not None:
            return f"{METRICS_FILE} is damaged ({problem})."
        if not self.curves:
            return f"{METRICS_FILE} has no epoch, or is missing."
        return None

    @cached_property
    def _curves(self) -> dict[str, dict[int, float] | str]:
        drawn = [key for metric in curve_metrics(self.metrics) for key in metric.keys(SPLITS)]
        return read_curves(self.directory, drawn)

    @cached_property
    def metrics(self) -> list[MetricSpec]:
        """Return the metrics of the run."""
        return metrics_of([self.results.metric_info])

    @cached_property
    def predictions(self) -> Predictions | str:
        """Return the predictions, or in one sentence why there are none."""
        try:
            return load_predictions(directory_of_predictions(self.directory, self.results))
        except FileNotFoundError:
            return f"There is no {PREDICTIONS_FILE}, which the test of a run writes."
        except ValueError as error:
            return f"{PREDICTIONS_FILE} can't be read: {error}."

    @property
    def advice(self) -> str | None:
        """Return the command that shows what the network of a run without predictions gets wrong, if there is one."""
        overrides = evaluation_overrides(self.directory)
        if isinstance(self.predictions, Predictions) or overrides is None or self.status == Status.RUNNING:
            return None
        return shlex.join(["python", "-m", "cnn_experiments", *overrides])

    @property
    def facts(self) -> dict[str, str]:
        """Return the main figures of the run, as far as they are known."""
        results = self.results
        metrics = {name: finite_number(results.metrics.get(name)) for name in _main_metrics(self.metrics)}
        epochs = f"{results.epochs:,}"
        if results.tested_epoch is not None and results.tested_epoch != results.epochs:
            epochs = f"{epochs}, tested {results.tested_epoch}"
        seconds, speed = results.seconds.get("fit"), results.images_per_second.get("train")
        memory = results.peak_memory_bytes
        facts = {
            **{name: None if value is None else f"{value:.4f}" for name, value in metrics.items()},
            "epochs": epochs,
            "parameters": _grouped(results.parameters),
            "multiply-adds": _grouped(results.multiply_adds),
            "training": None if seconds is None else _duration(seconds),
            "images/s": None if speed is None else f"{speed:,.0f}",
            "peak memory": None if memory is None else f"{memory / 2**20:,.0f} MiB",
        }
        return {name: text for name, text in facts.items() if text is not None}

    @property
    def environment(self) -> dict[str, str]:
        """Return where the run ran."""
        results = self.results
        facts = {
            "device": results.device,
            "processes": _grouped(results.processes),
            "precision": results.precision,
            "started": results.started,
            "commit": results.git_commit,
            "weights from": _origin(results.initialized_from),
            **results.versions,
        }
        return {name: text for name, text in facts.items() if text is not None}

    @property
    def changed_settings(self) -> dict[str, str] | None:
        """Return the options and settings that differ from the defaults; None of a run of an earlier version."""
        changed = self.results.changed_settings
        return None if changed is None else {key: format_value(value) for key, value in changed.items()}

    @property
    def typed_settings(self) -> dict[str, str]:
        """Return the overrides of the run: its recipe, and the settings that differ from that or from the defaults."""
        return dict(map(split_override, self.results.overrides))

    @property
    def all_settings(self) -> dict[str, str]:
        """Return the options of all groups, and all settings that change the result."""
        settings = self.results.options | self.results.settings
        return {key: format_value(value) for key, value in settings.items()}

    @property
    def command(self) -> str:
        """Return the command that trains the same network again, quoted for a shell."""
        return shlex.join(["python", "-m", "cnn_experiments", *self.results.overrides])


def _main_metrics(metrics: Sequence[MetricSpec]) -> list[str]:
    """Return the keys of metrics, those of the test first, and losses last."""
    metrics = sorted(metrics, key=lambda metric: metric.higher_is_better is False)
    return [key for split in reversed(SPLITS) for metric in metrics for key in metric.keys((split,))]


def _grouped(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _duration(seconds: float) -> str:
    """Return a time in one or two units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _origin(initialized_from: dict[str, Any] | None) -> str | None:
    if initialized_from is None:
        return None
    return f"{initialized_from.get('path')}, epoch {initialized_from.get('epoch')}"
