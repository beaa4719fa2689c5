"""Tests of signals that arrive while a run trains."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runtime.signals import Interrupted, interruptible, pending_signal
from cnn_experiments.training.callbacks import BestAndLastCheckpoint, StopOnSignal, stop_on_signal
from tests.signal_sender import SignalBeforeLine, lines_that_raise

TRAINER: Any = SimpleNamespace(world_size=1)
MODULE: Any = None


@pytest.fixture
def callback(tmp_path: Path) -> StopOnSignal:
    return StopOnSignal(BestAndLastCheckpoint(tmp_path, None))


def test_signal_is_not_lost_at_any_line_of_the_end_of_training(callback: StopOnSignal) -> None:
    def end_training(line_of_signal: int) -> SignalBeforeLine:
        callback.on_train_start(TRAINER, MODULE)
        with SignalBeforeLine(stop_on_signal, line_of_signal) as sender:
            callback.on_train_end(TRAINER, MODULE)
        return sender

    assert lines_that_raise(end_training) >= 1


def test_pending_signal_takes_precedence_over_a_failure(callback: StopOnSignal) -> None:
    with interruptible():
        callback.on_train_start(TRAINER, MODULE)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as interrupted:
            callback.on_exception(TRAINER, MODULE, RunFailedError("the loss became NaN"))
    assert interrupted.value.signal == "SIGTERM"


def test_interrupted_run_is_not_interrupted_twice(callback: StopOnSignal) -> None:
    with interruptible():
        callback.on_train_start(TRAINER, MODULE)
        os.kill(os.getpid(), signal.SIGTERM)
        callback.on_exception(TRAINER, MODULE, Interrupted(signal.SIGTERM))
        assert pending_signal() is None


def test_signals_raise_at_once_after_a_failure(callback: StopOnSignal) -> None:
    with interruptible():
        callback.on_train_start(TRAINER, MODULE)
        callback.on_exception(TRAINER, MODULE, RunFailedError("the loss became NaN"))
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
