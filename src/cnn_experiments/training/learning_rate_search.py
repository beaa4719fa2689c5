"""The learning-rate range test (Smith, 2017, arXiv 1506.01186): a short training with a rate that grows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import lightning.pytorch as pl

from cnn_experiments.training.build import build_classifier, build_data, build_trainer

_WINDOW_SHARE = 0.05
"""The share of the steps over which losses are averaged, and within which they must fall on both sides of a step."""
_DIVERGENCE = 4.0
"""The training ends when a moving average of the loss is so many times its lowest value, as in Lightning and fastai."""
_SKIPPED_SHARE = 0.1
"""The share of the steps at the beginning whose losses are too few to be smoothed."""

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class LearningRateCurve:
    """The loss at each step of a training whose learning rate grows."""

    rates: Sequence[float]
    losses: Sequence[float]
    """Of the batch of each step."""
    num_steps: int
    """Planned; fewer are made if the loss diverges."""

    @cached_property
    def smoothed_losses(self) -> list[float]:
        """The mean of the losses around each step.

        A moving average of the steps before, as in Lightning and fastai, would show the fall at too high a rate: with
        300 steps from 1e-5 to 10, at twice the rate at which the loss falls.
        """
        half = smoothing_window(self.num_steps) // 2
        windows = (self.losses[max(0, step - half) : step + half + 1] for step in range(len(self.losses)))
        return [fmean(window) for window in windows]

    @property
    def has_diverged(self) -> bool:
        """Return whether the training ended because of its loss."""
        return len(self.rates) < self.num_steps

    def steepest_step(self) -> int | None:
        """Return the step around which the smoothed loss falls most over the logarithm of the rate; None if it rises.

        The first tenth of the steps is left out, and all from the lowest loss on, where it falls by chance alone.
        Lightning divides by the difference of the rates themselves, which suggests the lowest of them.
        """
        window, first = smoothing_window(self.num_steps), math.ceil(_SKIPPED_SHARE * self.num_steps)
        losses = self.smoothed_losses
        lowest = min(range(len(losses)), key=losses.__getitem__, default=0)
        falls = {
            step: losses[step - window] - losses[step + window] for step in range(first + window, lowest - window + 1)
        }
        steepest = max(falls, key=falls.__getitem__, default=None)
        return steepest if steepest is not None and falls[steepest] > 0 else None


def smoothing_window(num_steps: int) -> int:
    """Return the number of steps over which losses are averaged."""
    return max(1, round(_WINDOW_SHARE * num_steps))


def record_learning_rate_curve(settings: Settings, num_steps: int, min_lr: float, max_lr: float) -> LearningRateCurve:
    """Train a new network on the run's own data, with its own optimizer, while the learning rate grows exponentially.

    Args:
        settings: all settings of the run; its schedule is not used.
        num_steps: optimizer steps.
        min_lr: the rate of the first step.
        max_lr: the rate of the last step.

    Raises:
        ConfigError: a part does not accept its settings.
    """
    schedule = {
        "_target_": "torch.optim.lr_scheduler.ExponentialLR",
        "_partial_": True,
        "interval": "step",
        "gamma": (max_lr / min_lr) ** (1 / (num_steps - 1)),
    }
    settings = {
        **settings,
        "optimizer": settings["optimizer"] | {"lr": min_lr},
        "scheduler": schedule,
        "trainer": settings["trainer"] | {"max_epochs": num_steps},
    }
    data = build_data(settings)
    recorder = _Recorder(smoothing=1 - 1 / smoothing_window(num_steps))
    trainer = build_trainer(
        settings,
        max_steps=num_steps,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[recorder],
    )
    trainer.fit(build_classifier(settings, data), datamodule=data)
    return LearningRateCurve(recorder.rates, recorder.losses, num_steps)


class _Recorder(pl.Callback):
    """Records the rate and the loss of every optimizer step, and ends the training when the loss diverges.

    Args:
        smoothing: the share of the earlier average in the next one.
    """

    def __init__(self, smoothing: float) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._smoothing = smoothing
        self._average = 0.0
        self._lowest = math.inf
        self._batch_losses: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Lightning divides the loss of every batch by the number of batches of a step.
        self._batch_losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if not (trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0):
            return
        loss = sum(self._batch_losses) / len(self._batch_losses)
        self._batch_losses.clear()
        if not math.isfinite(loss):
            trainer.should_stop = True
            return
        self.rates.append(self._rate)
        self.losses.append(loss)
        self._average = self._smoothing * self._average + (1 - self._smoothing) * loss
        smoothed_loss = self._average / (1 - self._smoothing ** len(self.losses))
        self._lowest = min(self._lowest, smoothed_loss)
        trainer.should_stop = smoothed_loss > _DIVERGENCE * self._lowest
