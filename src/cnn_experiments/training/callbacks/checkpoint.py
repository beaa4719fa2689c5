"""The two checkpoints of a run's folder."""

import os
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint


class BestAndLast(Checkpoint):
    """Writes `last.ckpt` after every epoch and keeps it as `best.ckpt` where `monitor` is above all epochs before.

    Without a `monitor` the last epoch is the best. Each epoch is serialised once, and each file changes in one step, so
    that a reader never meets half a checkpoint. A run resumed into another folder goes on from the best score so far if
    the best checkpoint has been put there.
    """

    def __init__(self, folder: Path, monitor: str | None) -> None:
        self.best = folder / "best.ckpt"
        self.last = folder / "last.ckpt"
        self.monitor = monitor
        self.best_score = float("-inf")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        improved = True
        if self.monitor is not None:
            score = float(trainer.callback_metrics[self.monitor])
            improved = score > self.best_score
            self.best_score = max(score, self.best_score)
        self._save(trainer, improved)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Writes `last.ckpt` as training stands."""
        self._save(trainer, improved=False)

    def _save(self, trainer: pl.Trainer, improved: bool) -> None:
        fresh = self.last.with_suffix(".writing")
        trainer.save_checkpoint(fresh, weights_only=False)
        if not trainer.is_global_zero:
            return
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        if improved:
            # First: killed between the two, the run does the epoch again, and writes the same once more.
            best = self.best.with_suffix(".best")
            best.unlink(missing_ok=True)
            _link(fresh, best)
            best.replace(self.best)
        fresh.replace(self.last)

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.best.exists():
            self.best_score = state_dict["best_score"]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
