"""How fast a run trains and tests."""

import statistics
import time
from typing import Any

import lightning.pytorch as pl
import torch


class _Clock:
    """Wall time of several stretches, with the device's work finished at both ends of each."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started: float | None = None

    def start(self) -> None:
        if self._started is None:
            self._started = _now()

    def stop(self) -> None:
        if self._started is not None:
            self.seconds += _now() - self._started
            self._started = None


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Throughput(pl.Callback):
    """Images per second: of each epoch's training loop, without validation and checkpoints, and of the test.

    Under several processes it counts the images of all.
    """

    def __init__(self) -> None:
        self.train: list[float] = []
        """One figure for each epoch."""
        self.test: float | None = None

    @property
    def median_train(self) -> float | None:
        """Of all epochs but the first, which warms up, where there are several; None where none was trained."""
        return statistics.median(self.train[1:] or self.train) if self.train else None

    def state_dict(self) -> dict[str, Any]:
        return {"train": self.train}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.train = state_dict["train"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()  # a run resumed within an epoch sees no start of it

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._clock.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch[1])

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._clock.stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.train.append(self._end(trainer))
        pl_module.log("train/images_per_second", self.train[-1], sync_dist=True)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._images += len(batch[1])

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.test = self._end(trainer)

    def _begin(self) -> None:
        self._images = 0
        self._clock = _Clock()
        self._clock.start()

    def _end(self, trainer: pl.Trainer) -> float:
        self._clock.stop()
        return self._images * trainer.world_size / self._clock.seconds
