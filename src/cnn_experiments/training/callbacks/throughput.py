"""The speed of training and test in images per second."""

import statistics
import time
from typing import Any

import lightning.pytorch as pl
import torch


class _Stopwatch:
    """Sum up the wall time between starts and stops, at which the device has finished its work."""

    def __init__(self, device: torch.device) -> None:
        self.seconds = 0.0
        self._device = device
        self._start_time: float | None = None

    def start(self) -> None:
        if self._start_time is None:
            self._start_time = _now(self._device)

    def stop(self) -> None:
        if self._start_time is not None:
            self.seconds += _now(self._device) - self._start_time
            self._start_time = None


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Throughput(pl.Callback):
    """Measure the images per second of the training loop of each epoch, and of the test.

    Evaluation and checkpoints are left out. The images of all processes are counted.
    """

    state_key = "Throughput"

    def __init__(self) -> None:
        self.train: list[float] = []
        """Images per second of each epoch."""
        self.test: float | None = None

    @property
    def median_train(self) -> float | None:
        """Return the median over all epochs of the run but the first, which warms up; None if there are no epochs."""
        measured = self.train[1:] or self.train
        return statistics.median(measured) if measured else None

    def state_dict(self) -> dict[str, Any]:
        return {"train": self.train}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.train = state_dict["train"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer)  # a run that is resumed within an epoch has no on_train_epoch_start

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._stopwatch.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._num_images += len(batch[1])

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stopwatch.stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.train.append(self._stop(trainer))
        pl_module.log("train/images_per_second", self.train[-1], sync_dist=True)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._num_images += len(batch[1])

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.test = self._stop(trainer)

    def _start(self, trainer: pl.Trainer) -> None:
        self._num_images = 0
        self._stopwatch = _Stopwatch(trainer.strategy.root_device)
        self._stopwatch.start()

    def _stop(self, trainer: pl.Trainer) -> float:
        """Return the images per second since the start."""
        self._stopwatch.stop()
        return self._num_images * trainer.world_size / self._stopwatch.seconds
