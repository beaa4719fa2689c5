"""When training ends, and which of its epochs are evaluated."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.loader import count_batches
from cnn_experiments.runs.fingerprint import LIMIT_DEFAULTS
from cnn_experiments.runtime.distributed import num_processes

LIMIT_KEYS = tuple(key.partition(".")[2] for key in LIMIT_DEFAULTS)
"""The settings of the trainer that this program applies itself, with Lightning's names and meanings."""

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """The limits of a training, of which the one that is reached first ends it."""

    max_epochs: int
    max_steps: int | None
    """The number of optimizer steps; None is no limit."""
    max_seconds: float | None
    min_epochs: int
    """The number of epochs that `max_seconds` does not cut off."""
    eval_every_n_epochs: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Limits":
        """Return the limits in all settings of a run; those that a trainer's file leaves out have their defaults."""
        trainer = {key.partition(".")[2]: value for key, value in LIMIT_DEFAULTS.items()} | settings["trainer"]
        return cls(
            max_epochs=trainer["max_epochs"],
            max_steps=None if trainer["max_steps"] == -1 else trainer["max_steps"],
            max_seconds=None if trainer["max_time"] is None else parse_time(trainer["max_time"]),
            min_epochs=trainer["min_epochs"] or 0,
            eval_every_n_epochs=trainer["check_val_every_n_epoch"],
        )

    def num_steps(self, steps_per_epoch: int) -> int:
        """Return the number of optimizer steps of the whole run, if its time suffices."""
        num_steps = self.max_epochs * steps_per_epoch
        return num_steps if self.max_steps is None else min(num_steps, self.max_steps)

    def num_epochs(self, steps_per_epoch: int) -> int:
        """Return the number of epochs of the whole run, if its time suffices; steps may run out within the last one."""
        return ceil(self.num_steps(steps_per_epoch) / steps_per_epoch)

    def num_evaluations(self, num_epochs: int) -> int:
        """Return how many of these epochs are evaluated: every n-th, and the last one."""
        return ceil(num_epochs / self.eval_every_n_epochs)


def parse_time(text: str) -> float:
    """Return the seconds of a time written as DD:HH:MM:SS.

    Raises:
        ValueError: it is written in another way.
    """
    if not re.fullmatch(r"\d+(:\d\d){3}", text):
        raise ValueError(f"{text!r} is not a time DD:HH:MM:SS")
    days, hours, minutes, seconds = map(int, text.split(":"))
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def count_limited_batches(settings: Settings, data: ImageDataModule, split: str, num_images: int) -> int:
    """Return the number of batches of a split in an epoch and in one process, as `limit_..._batches` limits it."""
    num_batches = count_batches(num_images, data.batch_size, num_processes(settings["trainer"]))
    limit = settings["trainer"].get(f"limit_{split}_batches")
    if limit is None:
        return num_batches
    return int(num_batches * limit) if isinstance(limit, float) else min(num_batches, limit)


def count_steps_per_epoch(settings: Settings, data: ImageDataModule) -> int:
    """Return the number of optimizer steps of an epoch."""
    num_batches = count_limited_batches(settings, data, "train", data.num_images_per_epoch)
    return max(1, ceil(num_batches / settings["trainer"].get("accumulate_grad_batches", 1)))
