"""The end of training after a number of steps or some time, and the epochs that are evaluated."""

import time
from typing import Any

import lightning.pytorch as pl

from cnn_experiments.training.limits import Limits


class TrainingLimits(pl.Callback):
    """End training when its steps or its time are used up, and evaluate every n-th epoch and the last one.

    The epoch in which training ends is evaluated, recorded and saved as any other, although it may be shorter.
    Lightning's own `max_steps` would leave its evaluation out, and so would its `check_val_every_n_epoch`.

    Args:
        limits: of the run. `max_epochs` is left to Lightning.
    """

    state_key = "TrainingLimits"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._has_ended = False
        self._earlier_seconds = 0.0
        self._start_time = time.monotonic()

    @property
    def _seconds(self) -> float:
        return self._earlier_seconds + time.monotonic() - self._start_time

    def state_dict(self) -> dict[str, Any]:
        return {"has_ended": self._has_ended, "seconds": self._seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._has_ended = state_dict["has_ended"]
        self._earlier_seconds = state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start_time = time.monotonic()
        trainer.should_stop = self._has_ended  # true if the run was interrupted after its last epoch

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0:  # after an optimizer step
            self._has_ended = self._are_steps_used_up(trainer) or self._is_time_used_up(trainer)
        trainer.should_stop = self._has_ended
        is_last_epoch = self._has_ended or trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if is_last_epoch else self._limits.eval_every_n_epochs

    def _are_steps_used_up(self, trainer: pl.Trainer) -> bool:
        return self._limits.max_steps is not None and trainer.global_step >= self._limits.max_steps

    def _is_time_used_up(self, trainer: pl.Trainer) -> bool:
        max_seconds = self._limits.max_seconds
        if max_seconds is None:
            return False
        num_epochs = trainer.current_epoch + trainer.is_last_batch  # that are complete
        is_used_up = self._seconds >= max_seconds and num_epochs >= self._limits.min_epochs
        return bool(trainer.strategy.broadcast(is_used_up)) if trainer.world_size > 1 else is_used_up
