"""Which callbacks a run accepts, and why others are rejected."""

import io
from collections.abc import Mapping

import lightning.pytorch as pl
import torch
from lightning.pytorch import callbacks as lightning_callbacks

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.training.callbacks import (
    BestAndLastCheckpoint,
    DeviceStats,
    History,
    RNGState,
    StopReason,
    Throughput,
    WeightAverage,
)

_CHANGES_SETTINGS = "it replaces a setting, so that results.json would not say what was used"

_UNSUPPORTED: Mapping[type[pl.Callback], str] = {
    lightning_callbacks.ProgressBar: "there is a progress bar if the output is a terminal",
    lightning_callbacks.StochasticWeightAveraging: "its average is neither in best.ckpt nor tested; use callbacks=swa",
    lightning_callbacks.BatchSizeFinder: _CHANGES_SETTINGS,
    lightning_callbacks.LearningRateFinder: _CHANGES_SETTINGS,
}
"""Why some callbacks of Lightning break what a run promises."""

_NEEDS_LOGGER = (
    DeviceStats,
    lightning_callbacks.DeviceStatsMonitor,
    lightning_callbacks.LearningRateMonitor,
)

RESERVED_STATE_KEYS = tuple(
    callback.state_key for callback in (BestAndLastCheckpoint, History, RNGState, StopReason, Throughput)
)
"""The keys in checkpoints of the callbacks that every run has."""

READY_CALLBACKS = (f"{__package__.partition('.')[0]}.", "lightning.")
"""What the dotted paths of callbacks begin with that log only what this program knows."""


def check_callback(callback: pl.Callback, trainer: pl.Trainer, *, has_logger: bool) -> None:
    """Check that a callback suits a run with this Trainer.

    Raises:
        ArgumentError: it doesn't.
    """
    target = f"{type(callback).__module__}.{type(callback).__qualname__}"
    for kind, reason in _UNSUPPORTED.items():
        if isinstance(callback, kind):
            raise ArgumentError("_target_", target, f"{kind.__name__} is not supported: {reason}")
    if isinstance(callback, _NEEDS_LOGGER) and not has_logger:
        raise ArgumentError("_target_", target, "needs a logger, such as logger=tensorboard")
    if isinstance(callback, WeightAverage | DeviceStats):
        callback.check(trainer)
    state, content = callback.state_dict(), io.BytesIO()
    try:
        torch.save(state, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception as error:  # torch and pickle raise anything
        problem = "its state_dict() must have only tensors and plain values, else no run resumes from its checkpoints"
        raise ArgumentError("_target_", target, problem) from error


def callback_state_key(callback: pl.Callback) -> str | None:
    """Return the key of a callback's state in checkpoints; None if it has no state."""
    if isinstance(callback, WeightAverage):
        return WeightAverage.__name__
    has_state = type(callback).state_dict is not pl.Callback.state_dict
    return callback.state_key if has_state else None
