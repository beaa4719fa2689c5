"""The callback by which Lightning's Trainer, that of this program and that of the script, moves the clock."""

from typing import Any

import lightning.pytorch as pl
from step_clock import StepClock


class StepTimer(pl.Callback):
    """Print how long the first steps of a training take, and end it."""

    def __init__(self, num_warmup_steps: int, num_steps: int) -> None:
        self.clock = StepClock(num_warmup_steps, num_steps)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        self.clock.step_done()
        trainer.should_stop = trainer.should_stop or self.clock.is_finished

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.clock.print_measurement()
