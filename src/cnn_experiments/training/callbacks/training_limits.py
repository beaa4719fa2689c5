"""The end of training after a number of steps or some time, and the epochs that are evaluated."""

from typing import Any

import lightning.pytorch as pl

from cnn_experiments.training.callbacks.history import History
from cnn_experiments.training.limits import Limits


class TrainingLimits(pl.Callback):
    """End training when its steps or its time are used up, and evaluate every n-th epoch and the last one.

    The epoch in which training ends is evaluated, recorded and saved as any other, although it may be shorter.
    Lightning's own `max_steps` would leave its evaluation out, and so would its `check_val_every_n_epoch`. Whatever
    else has ended the training by `Trainer.should_stop` stays.

    Args:
        limits: of the run. `max_epochs` is left to Lightning.
        history: of the run; it knows the time of all its parts.
    """

    def __init__(self, limits: Limits, history: History) -> None:
        self.reason: str | None = None
        """The setting that ended the training, or None."""
        self._limits = limits
        self._history = history
        self._stops_after_step = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epochs = self._history.epochs
        is_between_epochs = bool(epochs) and epochs[-1]["step"] == trainer.global_step
        if is_between_epochs:
            self._stop_if_used_up(trainer, len(epochs))  # if the run was interrupted after its last epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # An epoch without a step has no metrics: it gets one.
        self._stops_after_step, trainer.should_stop = trainer.should_stop, False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0:  # after an optimizer step
            num_epochs = trainer.current_epoch + trainer.is_last_batch  # that are complete
            self._stop_if_used_up(trainer, num_epochs)
            trainer.should_stop = trainer.should_stop or self._stops_after_step
        is_last_epoch = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if is_last_epoch else self._limits.eval_every_n_epochs

    def _stop_if_used_up(self, trainer: pl.Trainer, num_epochs: int) -> None:
        max_steps = self._limits.max_steps
        if max_steps is not None and trainer.global_step >= max_steps:
            self.reason = f"trainer.max_steps={max_steps} is reached"
        elif self._is_time_used_up(trainer, num_epochs):
            self.reason = "trainer.max_time is over"
        if self.reason is not None:
            trainer.should_stop = True

    def _is_time_used_up(self, trainer: pl.Trainer, num_epochs: int) -> bool:
        max_seconds = self._limits.max_seconds
        if max_seconds is None:
            return False
        is_used_up = self._history.fit_seconds >= max_seconds and num_epochs >= self._limits.min_epochs
        return bool(trainer.strategy.broadcast(is_used_up)) if trainer.world_size > 1 else is_used_up
