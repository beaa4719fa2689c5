"""Tests of the best and the last checkpoint of a run."""

import logging
from pathlib import Path

import pytest

from cnn_experiments.training.callbacks import BestAndLastCheckpoint


def test_best_score_is_restored_if_the_best_checkpoint_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "best.ckpt").touch()
    checkpoints = BestAndLastCheckpoint(tmp_path, "val/acc")
    checkpoints.load_state_dict({"best_score": 0.9})
    assert checkpoints.best_score == 0.9
    assert caplog.records == []


def test_missing_best_checkpoint_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = BestAndLastCheckpoint(tmp_path, "val/acc")
    checkpoints.load_state_dict({"best_score": 0.9})
    assert checkpoints.best_score == float("-inf")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        f"{tmp_path}/best.ckpt not found: the best val/acc so far, 0.9, is ignored, and the best of the epochs that "
        "follow is kept"
    )


def test_nothing_is_reported_before_the_first_epoch_has_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = BestAndLastCheckpoint(tmp_path, "val/acc")
    checkpoints.load_state_dict({"best_score": float("-inf")})
    assert caplog.records == []
