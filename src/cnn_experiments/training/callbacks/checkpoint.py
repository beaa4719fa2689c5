"""The two checkpoints of a run."""

import io
import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only

from cnn_experiments.console import relative_path
from cnn_experiments.runs.atomic import remove_on_error
from cnn_experiments.runs.directory import (
    BEST_CHECKPOINT,
    LAST_CHECKPOINT,
    TEMPORARY_BEST_CHECKPOINT,
    TEMPORARY_CHECKPOINT,
)
from cnn_experiments.runs.fingerprint import round_to_float32
from cnn_experiments.runs.metrics import Monitor
from cnn_experiments.runs.regular_file import is_regular_file, open_new

log = logging.getLogger(__name__)


class CheckpointFiles(TorchCheckpointIO):
    """Write a checkpoint to its path and to nothing else.

    Lightning writes it into the directory for temporary files first, which may be full or on another disk, and where it
    stays if the process is killed. An incomplete checkpoint is removed, which also makes room on a full disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint in place of what is at the path.

        Raises:
            OSError: it cannot be written.
        """
        content = io.BytesIO()  # torch would raise a RuntimeError without the number of the OSError
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with remove_on_error(Path(path)), open_new(Path(path)) as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())


class BestAndLastCheckpoint(Checkpoint):
    """Write `last.ckpt` after every epoch, and keep it as `best.ckpt` if `monitor` is better than ever before.

    Without a `monitor`, or before it has had a finite value, the last epoch is the best one. Each epoch is serialized
    once, and each file is replaced atomically, so that a reader never sees a partial checkpoint. A run that is resumed
    in another directory keeps the best score so far if `best.ckpt` has been copied there.

    Args:
        directory: where both files are written.
        monitor: the metric that chooses the best checkpoint.
    """

    state_key = "BestAndLast"

    def __init__(self, directory: Path, monitor: Monitor | None) -> None:
        self.best = directory / BEST_CHECKPOINT
        self.last = directory / LAST_CHECKPOINT
        self.monitor = monitor
        self.best_score = -math.inf if monitor is None else monitor.worst
        self._score: float | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.monitor is not None:
            score = round_to_float32(float(trainer.callback_metrics[self.monitor.key]))  # as in metrics.csv
            self._score = score if math.isfinite(score) else None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        score, self._score = self._score, None
        if score is None or self.monitor is None:  # this epoch was not evaluated
            improved = not math.isfinite(self.best_score)
        elif improved := self.monitor.is_better(score, self.best_score):
            self.best_score = score
        self._save(trainer, improved)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write `last.ckpt` with the current state of the training."""
        self._save(trainer, improved=False)

    def _save(self, trainer: pl.Trainer, improved: bool) -> None:
        temporary = self.last.with_name(TEMPORARY_CHECKPOINT)
        trainer.save_checkpoint(temporary, weights_only=False)
        if not trainer.is_global_zero:
            return
        with remove_on_error(temporary):
            if improved:
                # The best one first: a run killed between the two repeats the epoch and writes the same again.
                temporary_best = self.best.with_name(TEMPORARY_BEST_CHECKPOINT)
                with remove_on_error(temporary_best):
                    temporary_best.unlink(missing_ok=True)
                    _link(temporary, temporary_best)
                    temporary_best.replace(self.best)
            temporary.replace(self.last)

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best_score = round_to_float32(state_dict["best_score"])
        if is_regular_file(self.best):
            self.best_score = best_score
        elif self.monitor is not None and math.isfinite(best_score):
            rank_zero_only(log.warning)(
                "%s not found: the best %s so far, %.4g, is ignored, and the best of the epochs that follow is kept",
                relative_path(self.best),
                self.monitor.key,
                best_score,
            )


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
