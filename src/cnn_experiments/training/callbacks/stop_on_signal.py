"""The end of a run on a signal, between two steps, where it can be resumed exactly."""

import logging
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from cnn_experiments.runtime.signals import (
    Interrupted,
    defer_signals,
    pending_signal,
    raise_interrupted,
    stop_deferring,
)
from cnn_experiments.training.callbacks.checkpoint import BestAndLastCheckpoint

log = logging.getLogger(__name__)

_SYNC_EVERY_N_STEPS = 10  # several processes have to agree, which takes time


class StopOnSignal(Checkpoint):
    """Save `last.ckpt` after the step in which a signal arrived, and raise Interrupted.

    In the last step of an epoch or of the run, or in the evaluation after it, Interrupted is raised once the epoch's
    own checkpoint is written. If several processes train together, a signal to one of them stops all.
    """

    def __init__(self, checkpoints: BestAndLastCheckpoint) -> None:
        self._checkpoints = checkpoints

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Several processes can wait for each other forever, so their grace period starts with the signal.
        defer_signals(start_grace_period_on_signal=trainer.world_size > 1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, accumulated_batches = divmod(batch_idx + 1, trainer.accumulate_grad_batches)
        if accumulated_batches or trainer.is_last_batch or trainer.should_stop:
            return
        if trainer.world_size > 1 and step % _SYNC_EVERY_N_STEPS:
            return
        if signum := _pending_signal_on_any_rank(trainer):
            try:
                self._checkpoints.save_last(trainer)
            except OSError as error:
                log.warning("could not save a checkpoint (%s); the steps since the last one will be repeated", error)
            raise_interrupted(signum)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if signum := _pending_signal_on_any_rank(trainer):
            raise_interrupted(signum)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if signum := stop_deferring():
            raise_interrupted(signum)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        signum = stop_deferring()
        # The signal takes precedence over a failure: else a sweep would continue with its next run.
        if signum is not None and not isinstance(exception, Interrupted):
            raise_interrupted(signum)


def _pending_signal_on_any_rank(trainer: pl.Trainer) -> int:
    """Return the number of the signal that arrived in any of the processes, or 0."""
    signum = pending_signal() or 0
    if trainer.world_size > 1:
        local_signum = torch.tensor(signum, device=trainer.strategy.root_device)
        signum = int(trainer.strategy.reduce(local_signum, reduce_op="max"))
    return signum
