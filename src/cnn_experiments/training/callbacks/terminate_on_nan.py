"""The end of a run whose loss became NaN or infinite."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cnn_experiments.errors import RunFailedError

_REMEDY = "try a smaller optimizer.lr, trainer.gradient_clip_val=1 or trainer.precision=32-true"
_CHECK_EVERY_N_BATCHES = 50  # a check waits for the device


class TerminateOnNaN(pl.Callback):
    """Raise an error before an epoch is evaluated or saved if the loss of one of its steps is NaN or infinite.

    The first such step is stored on the device. What the last step of an epoch did to the weights shows only in the
    loss of the evaluation after it, which is checked too.

    Raises:
        RunFailedError: names the step, or the split and the step, and what to try.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._first_step = torch.full((), -1, device=pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss: Tensor = outputs["loss"]
        is_known = self._first_step >= 0
        self._first_step = torch.where(torch.isfinite(loss) | is_known, self._first_step, trainer.global_step)
        if (batch_idx + 1) % _CHECK_EVERY_N_BATCHES == 0 or trainer.is_last_batch or trainer.should_stop:
            self._check_steps(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_metric(trainer, f"{pl_module.eval_split}/loss")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_metric(trainer, "test/loss")

    def _check_metric(self, trainer: pl.Trainer, key: str) -> None:
        if not torch.isfinite(trainer.callback_metrics[key]):
            raise RunFailedError(f"{key} is NaN or infinite after step {trainer.global_step}; {_REMEDY}")

    def _check_steps(self, trainer: pl.Trainer) -> None:
        step = int(self._first_step)
        if step >= 0:
            epoch = trainer.current_epoch + 1
            raise RunFailedError(f"the loss became NaN or infinite at step {step} (epoch {epoch}); {_REMEDY}")
