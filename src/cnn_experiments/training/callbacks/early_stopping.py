"""The end of a run whose metric no longer improves."""

from typing import Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import early_stopping

from cnn_experiments.arguments import ArgumentError

_Reason = early_stopping.EarlyStoppingReason


class EarlyStopping(early_stopping.EarlyStopping):
    """Lightning's EarlyStopping, which compares only epochs that were evaluated.

    Args:
        monitor: the metric. One of the training, such as `train/loss`, is compared after every epoch.
        mode: whether higher or lower values are better.
        patience: how many evaluations in a row may bring no improvement.
        min_delta: an improvement is greater than this.
        stopping_threshold: a better value than this ends the training; None is no threshold.
        divergence_threshold: a worse value than this ends the training; None is no threshold.
    """

    def __init__(
        self,
        monitor: str,
        mode: Literal["min", "max"],
        patience: int,
        min_delta: float,
        stopping_threshold: float | None,
        divergence_threshold: float | None,
    ) -> None:
        if patience < 1:
            raise ArgumentError("patience", patience, "must be an integer >= 1")
        if min_delta < 0:
            raise ArgumentError("min_delta", min_delta, "must be a number >= 0")
        super().__init__(
            monitor=monitor,
            mode=mode,
            patience=patience,
            min_delta=min_delta,
            stopping_threshold=stopping_threshold,
            divergence_threshold=divergence_threshold,
            check_on_train_epoch_end=True,
        )
        self._is_evaluated = False

    @property
    def state_key(self) -> str:
        """Return the key in checkpoints, which has the metric so that there may be several."""
        return f"EarlyStopping {self.monitor}"

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._is_evaluated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        is_evaluated, self._is_evaluated = self._is_evaluated, False
        if is_evaluated or self.monitor.startswith("train/"):
            super().on_train_epoch_end(trainer, pl_module)


def describe_reason(callback: early_stopping.EarlyStopping) -> str | None:
    """Return why a callback of this class, or of Lightning's own, has ended the training; None if it has not."""
    monitor, reason = callback.monitor, callback.stopping_reason
    if reason == _Reason.PATIENCE_EXHAUSTED:
        count = callback.wait_count
        checks = ("epoch" if monitor.startswith("train/") else "evaluation") + ("s" if count > 1 else "")
        return f"{monitor} did not improve in {count} {checks}, best {float(callback.best_score):.4g}"
    if reason == _Reason.STOPPING_THRESHOLD:
        return f"{monitor} is better than stopping_threshold={callback.stopping_threshold:g}"
    if reason == _Reason.DIVERGENCE_THRESHOLD:
        return f"{monitor} is worse than divergence_threshold={callback.divergence_threshold:g}"
    if reason == _Reason.NON_FINITE_METRIC:
        return f"{monitor} is NaN or infinite"
    return None
