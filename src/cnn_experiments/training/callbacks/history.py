"""The history of a run: metrics.csv, results.json and one line an epoch."""

import csv
import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only

from cnn_experiments.runs.directory import RunFolder, rewritten, rounded
from cnn_experiments.runs.hparams import BEST
from cnn_experiments.runtime.signals import Interrupted

log = logging.getLogger(__name__)

_METRICS = tuple(f"{stage}/{figure}" for stage in ("train", "val", "test") for figure in ("loss", "acc", "f1"))


class Recorder(Checkpoint):
    """Writes down every epoch as it ends. The history is in every checkpoint, so a resumed run has all of it.

    A `Checkpoint`, because Lightning calls these last, when the epoch's metrics are complete.
    """

    def __init__(self, folder: RunFolder, monitor: str | None, settings: dict[str, Any]) -> None:
        self.epochs: list[dict[str, float]] = []
        self._folder = folder
        self._monitor = monitor
        self._settings = settings

    @classmethod
    def history_in(cls, checkpoint: Path) -> tuple[dict[str, Any], int]:
        """The settings of the run that wrote a checkpoint, and how many epochs it had trained.

        Raises:
            KeyError: it is a checkpoint of something else.
        """
        state = torch.load(checkpoint, map_location="meta", weights_only=True)["callbacks"][cls.__qualname__]
        return state["settings"], len(state["epochs"])

    @property
    def tested_epoch(self) -> int:
        """The epoch of the best checkpoint, from 1 on: the first with the highest `monitor`, or the last of all."""
        return int(self._tested_row["epoch"])

    @property
    def tested_metrics(self) -> dict[str, float]:
        """Training figures of that epoch, and those measured after it."""
        return {name: value for name, value in self._tested_row.items() if name in _METRICS}

    @property
    def _tested_row(self) -> dict[str, float]:
        if self._monitor is None:
            return self.epochs[-1]
        monitor = self._monitor
        return max(self.epochs, key=lambda row: row[monitor])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic()
        self._epochs_before = len(self.epochs)
        self._write()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: rounded(value.item()) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": trainer.current_epoch + 1, "step": trainer.global_step} | metrics)
        self._write()
        if self._monitor is not None:
            for logger in trainer.loggers:
                logger.log_metrics({BEST: self._tested_row[self._monitor]}, step=trainer.global_step)
        if trainer.is_global_zero:
            log.info(self._line(trainer))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, Interrupted):  # at once: several processes may hang in what Lightning does next
            self._folder.record(status="interrupted", error=exception.signal)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "settings": self._settings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]

    @rank_zero_only
    def _write(self) -> None:
        if not self.epochs:
            return
        with rewritten(self._folder.path / "metrics.csv") as file:
            writer = csv.DictWriter(file, list(self.epochs[-1]))
            writer.writeheader()
            writer.writerows(self.epochs)
        self._folder.record(epochs=len(self.epochs), metrics=self.tested_metrics)

    def _line(self, trainer: pl.Trainer) -> str:
        row = self.epochs[-1]
        done = len(self.epochs) - self._epochs_before
        left = (time.monotonic() - self._started) / done * ((trainer.max_epochs or 0) - len(self.epochs))
        shown = "  ".join(f"{name} {row[name]:.4g}" for name in _METRICS if name in row)
        speed = f"{row['train/images_per_second']:,.0f} images/s"
        return f"epoch {row['epoch']}/{trainer.max_epochs}  {shown}  {speed}  {timedelta(seconds=round(left))} left"
