"""Why a training ended before its last epoch."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import Checkpoint, LearningRateMonitor

from cnn_experiments.training.callbacks.device_stats import DeviceStats
from cnn_experiments.training.callbacks.early_stopping import describe_reason
from cnn_experiments.training.callbacks.profiler import Profiler
from cnn_experiments.training.callbacks.training_limits import TrainingLimits
from cnn_experiments.training.callbacks.weight_average import WeightAverage

_NEVER_STOPPING = (lightning_callbacks.EarlyStopping, WeightAverage, DeviceStats, Profiler, LearningRateMonitor)
"""Those that never end a training without a reason that is known."""


class StopReason(Checkpoint):
    """Record why the training ended early, so that a run that is resumed before its test does not train on.

    It is a `Checkpoint` because Lightning calls these last, when all others have decided.

    Args:
        limits: ends the training when its steps or its time are used up.
        callbacks: those of the configuration, by name.
    """

    state_key = "StopReason"

    def __init__(self, limits: TrainingLimits, callbacks: Mapping[str, pl.Callback]) -> None:
        self.reason: str | None = None
        """Names what ended the training; None if all epochs were trained."""
        self._limits = limits
        self._callbacks = callbacks
        self._is_by_callback = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_by_callback:
            trainer.should_stop = True
        if not trainer.should_stop:  # a run that continues with higher limits
            self.reason = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        is_complete = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if is_complete or not trainer.should_stop:
            return
        self._is_by_callback = self._limits.reason is None
        self.reason = self._limits.reason or self._reason_of_callbacks()

    def _reason_of_callbacks(self) -> str:
        for name, callback in self._callbacks.items():
            if isinstance(callback, lightning_callbacks.EarlyStopping) and (reason := describe_reason(callback)):
                return f"{name}: {reason}"
        names = [
            f"callbacks.{name}"
            for name, callback in self._callbacks.items()
            if not isinstance(callback, _NEVER_STOPPING)
        ]
        return f"{' or '.join(names) or 'a part of the run'} set trainer.should_stop"

    def state_dict(self) -> dict[str, Any]:
        if self.reason is None:
            return {}
        return {"reason": self.reason, "is_by_callback": self._is_by_callback}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reason, self._is_by_callback = state_dict["reason"], state_dict["is_by_callback"]
