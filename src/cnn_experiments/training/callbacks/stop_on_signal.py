"""Stops a run between two steps, where it can go on exactly."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from cnn_experiments.runtime import signals
from cnn_experiments.training.callbacks.checkpoint import BestAndLast

_ASK_EVERY = 10  # steps, where several processes have to agree


class StopOnSignal(Checkpoint):
    """Writes `last.ckpt` behind the step in which a signal came, and raises Interrupted.

    In the last step of an epoch, or in the validation behind it, it raises when the epoch's own checkpoint is written.
    Of several processes that train together, one signal to one of them stops all.

    A `Checkpoint`, because Lightning calls these last, and in their order.
    """

    def __init__(self, checkpoints: BestAndLast) -> None:
        self._checkpoints = checkpoints

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Several processes can wait for each other forever.
        signals.defer_signals(start_grace_period_on_signal=trainer.world_size > 1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, within = divmod(batch_idx + 1, trainer.accumulate_grad_batches)
        if within or trainer.is_last_batch or (trainer.world_size > 1 and step % _ASK_EVERY):
            return
        if signum := _noted(trainer):
            self._checkpoints.save_last(trainer)
            signals.raise_interrupted(signum)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if signum := _noted(trainer):
            signals.raise_interrupted(signum)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if signum := signals.stop_deferring():
            signals.raise_interrupted(signum)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        signals.stop_deferring()


def _noted(trainer: pl.Trainer) -> int:
    """The number of the signal that came to any of the processes, or 0."""
    signum = signals.pending_signal() or 0
    if trainer.world_size > 1:
        each = torch.tensor(signum, device=trainer.strategy.root_device)
        signum = int(trainer.strategy.reduce(each, reduce_op="max"))
    return signum
