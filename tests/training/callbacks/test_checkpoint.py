"""Tests of the best and the last checkpoint of a run."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import lightning.pytorch as pl
import pytest
import torch

from cnn_experiments.runs.metrics import DEFAULT_MONITOR, Monitor
from cnn_experiments.training.callbacks import BestAndLastCheckpoint


def test_best_score_is_restored_if_the_best_checkpoint_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "best.ckpt").touch()
    checkpoints = BestAndLastCheckpoint(tmp_path, DEFAULT_MONITOR)
    checkpoints.load_state_dict({"best_score": 0.9})
    assert checkpoints.best_score == 0.9
    assert caplog.records == []


def test_missing_best_checkpoint_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = BestAndLastCheckpoint(tmp_path, DEFAULT_MONITOR)
    checkpoints.load_state_dict({"best_score": 0.9})
    assert checkpoints.best_score == float("-inf")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        f"{tmp_path}/best.ckpt not found: the best val/acc so far, 0.9, is ignored, and the best of the epochs that "
        "follow is kept"
    )


def test_nothing_is_reported_before_the_first_epoch_has_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = BestAndLastCheckpoint(tmp_path, DEFAULT_MONITOR)
    checkpoints.load_state_dict({"best_score": float("-inf")})
    assert caplog.records == []


def improved_epochs(monitor: Monitor | None, scores: list[float | None], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the epochs, from 1, that became the best checkpoint; an epoch without a score was not evaluated."""
    checkpoints = BestAndLastCheckpoint(Path("unused"), monitor)
    improvements: list[bool] = []
    monkeypatch.setattr(checkpoints, "_save", lambda _, improved: improvements.append(improved))
    module = cast(pl.LightningModule, None)
    for score in scores:
        values = {"val/acc": torch.tensor(score or 0.0), "val/loss": torch.tensor(score or 0.0)}
        trainer = cast(pl.Trainer, SimpleNamespace(callback_metrics=values))
        if score is not None:
            checkpoints.on_validation_end(trainer, module)
        checkpoints.on_train_epoch_end(trainer, module)
    return [epoch for epoch, improved in enumerate(improvements, start=1) if improved]


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("monitor", "scores", "epochs"),
    [
        (DEFAULT_MONITOR, [0.5, 0.4, 0.6, 0.6], [1, 3]),
        (Monitor("val/loss", "min"), [0.5, 0.4, 0.6, 0.4], [1, 2]),
        (Monitor("val/loss", "min"), [None, None, 0.5, None, 0.4], [1, 2, 3, 5]),
        (Monitor("val/loss", "min"), [NAN, INFINITY, 0.5, NAN, 0.4], [1, 2, 3, 5]),
        (DEFAULT_MONITOR, [-INFINITY, 0.1, NAN], [1, 2]),
        (None, [0.5, 0.4, None], [1, 2, 3]),
    ],
)
def test_best_checkpoint_is_the_first_with_the_best_finite_value(
    monitor: Monitor | None, scores: list[float | None], epochs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert improved_epochs(monitor, scores, monkeypatch) == epochs


def test_score_that_is_minimized_is_restored(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    checkpoints = BestAndLastCheckpoint(tmp_path, Monitor("val/loss", "min"))
    assert checkpoints.state_dict() == {"best_score": INFINITY}
    checkpoints.load_state_dict({"best_score": 0.25})
    assert checkpoints.state_dict() == {"best_score": 0.25}
