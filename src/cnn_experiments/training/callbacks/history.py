"""The history of a run: metrics.csv, results.json and one log line per epoch."""

import csv
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import ceil, isfinite, nan
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.directory import METRICS_FILE, RunDirectory
from cnn_experiments.runs.fingerprint import round_to_float32
from cnn_experiments.runs.hparams import best_tag
from cnn_experiments.runs.metrics import EVAL_SPLITS, MetricSpec, Monitor, metric_keys
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.training.limits import Limits

log = logging.getLogger(__name__)

_EVAL_PREFIXES = tuple(f"{split}/" for split in EVAL_SPLITS)


class History(Checkpoint):
    """Record the metrics of every epoch. Every checkpoint holds the history, so that a resumed run has all of it.

    It is a `Checkpoint` because Lightning calls these last, when the metrics of the epoch are complete.

    Args:
        directory: the run directory, where metrics.csv and results.json are written.
        monitor: the metric that chooses the best of the epochs that were evaluated; None chooses the last epoch.
        metrics: the metrics of the run.
        limits: when the training ends.
        settings: the settings of the run, stored in its checkpoints.
    """

    state_key = "Recorder"  # the name in all checkpoints, also in those of version 0.1

    def __init__(
        self,
        directory: RunDirectory,
        monitor: Monitor | None,
        metrics: Sequence[MetricSpec],
        settings: dict[str, Any],
        limits: Limits,
    ) -> None:
        self.epochs: list[dict[str, float]] = []
        self._first_step: int | None = None
        self._directory = directory
        self._monitor = monitor
        self._keys = metric_keys(metrics)
        self._settings = settings
        self._limits = limits
        self._is_evaluated = False
        self._earlier_seconds = 0.0
        self._start_time = time.perf_counter()

    def start_clock(self, earlier_seconds: float) -> None:
        """Start to count the seconds of this part of the run; the earlier parts took `earlier_seconds`."""
        self._earlier_seconds, self._start_time = earlier_seconds, time.perf_counter()

    @property
    def fit_seconds(self) -> float:
        """Return the wall time of the training so far, of all parts of the run."""
        return self._earlier_seconds + time.perf_counter() - self._start_time

    @property
    def _best_row(self) -> dict[str, float]:
        if self._monitor is None:
            return self.epochs[-1]
        key = self._monitor.key
        evaluated = [row for row in self.epochs if isfinite(row.get(key, nan))]
        best = max if self._monitor.higher_is_better else min
        return best(evaluated, key=lambda row: row[key], default=self.epochs[-1])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._train_start_time = time.monotonic()
        self._num_epochs_before_resume = len(self.epochs)
        self._first_step = trainer.global_step
        self._write()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._is_evaluated = True

    def has_trained(self, trainer: pl.Trainer) -> bool:
        """Return whether this process has made a training step."""
        return self._first_step is not None and trainer.global_step > self._first_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {
            key: round_to_float32(value.item())
            for key, value in trainer.callback_metrics.items()
            if self._is_evaluated or not key.startswith(_EVAL_PREFIXES)  # these are of an earlier epoch
        }
        self._is_evaluated = False
        self.epochs.append({"epoch": trainer.current_epoch + 1, "step": trainer.global_step} | metrics)
        self._write()
        if self._monitor is not None and (key := self._monitor.key) in self._best_row:
            for logger in trainer.loggers:
                logger.log_metrics({best_tag(key): self._best_row[key]}, step=trainer.global_step)
        if trainer.is_global_zero:
            log.info(self._format_last_epoch(trainer))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        # Recorded here because Lightning's teardown may hang with several ranks.
        if isinstance(exception, Interrupted):
            self._directory.update_if_possible(
                status=Status.INTERRUPTED, signal=exception.signal, seconds=self.seconds()
            )

    def seconds(self) -> dict[str, float | None]:
        """Return the `seconds` of results.json at this moment of the training."""
        assert self._directory.results is not None
        return self._directory.results.seconds | {"fit": self.fit_seconds}

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "settings": self._settings, "fit_seconds": self.fit_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]

    def _write(self) -> None:
        if not self.epochs or not self._directory.is_writer:
            return
        with atomic_write(self._directory.path / METRICS_FILE) as file:
            writer = csv.DictWriter(
                file, max(self.epochs, key=len)
            )  # cells of epochs that were not evaluated stay empty
            writer.writeheader()
            writer.writerows(self.epochs)
        metrics = self.reported_metrics(self._best_row)
        self._directory.update(epochs=len(self.epochs), metrics=metrics, seconds=self.seconds())

    def _format_last_epoch(self, trainer: pl.Trainer) -> str:
        row = self.epochs[-1]
        num_new_epochs = len(self.epochs) - self._num_epochs_before_resume
        seconds_per_epoch = (time.monotonic() - self._train_start_time) / num_new_epochs
        steps_per_epoch = ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        num_epochs = len(self.epochs) if trainer.should_stop else self._limits.num_epochs(steps_per_epoch)
        seconds_left = round(seconds_per_epoch * (num_epochs - len(self.epochs)))
        metrics = "  ".join(f"{key} {row[key]:.4g}" for key in self._keys if key in row)
        speed = f"{row['train/images_per_second']:,.0f} images/s"
        return f"epoch {row['epoch']}/{num_epochs}  {metrics}  {speed}  {timedelta(seconds=seconds_left)} left"

    def reported_metrics(self, row: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics of an epoch's row: those of its training and of the evaluation after it."""
        return {key: value for key, value in row.items() if key in self._keys}
