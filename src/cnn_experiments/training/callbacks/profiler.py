"""Where the time of some training steps goes."""

import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.profiler import ProfilerActivity, profile

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.runs.directory import PROFILE_FILE, PROFILE_TRACE_FILE

_NUM_ROWS = 40


class Profiler(pl.Callback):
    """Write a table and a trace of some batches of the training into the run's directory, by torch.profiler.

    The first process of several is profiled. A run that is resumed before they were written tries again.

    Args:
        skip: how many batches of the training come before: the first ones allocate memory and choose algorithms.
        num_batches: how many batches are profiled, fewer if their epoch ends.
    """

    def __init__(self, skip: int, num_batches: int) -> None:
        if skip < 0:
            raise ArgumentError("skip", skip, "must be an integer >= 0")
        if num_batches < 1:
            raise ArgumentError("num_batches", num_batches, "must be an integer >= 1")
        self._skip = skip
        self._num_batches = num_batches
        self._num_profiled = 0
        self._profile: profile | None = None
        self._is_done = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._directory = Path(trainer.default_root_dir)
        self._is_done = not trainer.is_global_zero or (self._directory / PROFILE_FILE).exists()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._is_done or self._profile is not None or trainer.fit_loop.total_batch_idx < self._skip:
            return
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else it prints lines of its own, errors without a GPU too
        self._profile = profile(activities=activities)
        self._profile.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._profile is None:
            return
        self._num_profiled += 1
        if self._num_profiled == self._num_batches or trainer.is_last_batch:
            self._write()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._profile is not None:
            self._profile.stop()

    def _write(self) -> None:
        if self._profile is None:
            return
        self._profile.stop()
        averages = self._profile.key_averages()
        order = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        self._profile.export_chrome_trace(str(self._directory / PROFILE_TRACE_FILE))
        heading = f"{self._num_profiled} batches of the training\n"
        (self._directory / PROFILE_FILE).write_text(heading + averages.table(sort_by=order, row_limit=_NUM_ROWS))
        self._profile, self._is_done = None, True
