"""Stops a run whose loss is no number any more."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cnn_experiments.errors import RunFailedError

_REMEDY = "try a smaller optimizer.lr, trainer.gradient_clip_val=1 or trainer.precision=32-true"
_LOOK_EVERY = 50  # batches; a look waits for the device


class DivergenceGuard(pl.Callback):
    """Notes on the device the first step whose loss is NaN or infinite, and raises before it is validated or saved.

    The loss of the last step of all shows only in the validation and the test, which are looked at too.

    Raises:
        RunFailedError: names the step and what to try.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._first = torch.full((), -1, device=pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss: Tensor = outputs["loss"]
        self._first = torch.where(torch.isfinite(loss) | (self._first >= 0), self._first, trainer.global_step)
        if batch_idx % _LOOK_EVERY == _LOOK_EVERY - 1 or trainer.is_last_batch:
            self._look(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look_at(trainer, "val/loss" if "val/loss" in trainer.callback_metrics else "test/loss")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look_at(trainer, "test/loss")

    def _look_at(self, trainer: pl.Trainer, name: str) -> None:
        if not torch.isfinite(trainer.callback_metrics[name]):
            raise RunFailedError(f"{name} is not finite after step {trainer.global_step}; {_REMEDY}")

    def _look(self, trainer: pl.Trainer) -> None:
        step = int(self._first)
        if step >= 0:
            epoch = trainer.current_epoch + 1
            raise RunFailedError(f"the loss is not finite since step {step} (epoch {epoch}); {_REMEDY}")
