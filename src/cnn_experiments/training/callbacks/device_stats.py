"""What the device does while a network trains."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.accelerators import CPUAccelerator
from lightning_utilities.core.imports import RequirementCache

from cnn_experiments.arguments import ArgumentError

_PREFIX = "device/"


class DeviceStats(pl.Callback):
    """Log the statistics of the device, such as its memory, to all loggers: those of Lightning's accelerator.

    Lightning's DeviceStatsMonitor logs them twice in every step and in every batch that is evaluated.

    Args:
        every_n_steps: the number of optimizer steps from one time to the next.
    """

    def __init__(self, every_n_steps: int) -> None:
        if every_n_steps < 1:
            raise ArgumentError("every_n_steps", every_n_steps, "must be an integer >= 1")
        self._every_n_steps = every_n_steps

    def check(self, trainer: pl.Trainer) -> None:
        """Check that the package is installed that asks a CPU.

        Raises:
            ArgumentError: it is not.
        """
        if isinstance(trainer.accelerator, CPUAccelerator) and not RequirementCache("psutil"):
            raise ArgumentError(
                "_target_", type(self).__name__, "needs the package psutil on a CPU: pip install psutil"
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self._every_n_steps or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        stats = trainer.accelerator.get_device_stats(trainer.strategy.root_device)
        for logger in trainer.loggers:
            logger.log_metrics({f"{_PREFIX}{name}": value for name, value in stats.items()}, trainer.global_step)
