"""A picture of the first batch."""

from typing import Any

import lightning.pytorch as pl

from cnn_experiments.training.logger import RunLogger
from cnn_experiments.training.pictures import log_batch


class BatchPicture(pl.Callback):
    """Write the first batch of the training as the network sees it. Nothing is drawn at random for this."""

    def __init__(self, logger: RunLogger) -> None:
        self._logger = logger

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 0 and batch_idx == 0 and trainer.is_global_zero:
            log_batch(self._logger, batch[0])
