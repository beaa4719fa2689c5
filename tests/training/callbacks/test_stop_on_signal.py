"""Tests of signals that arrive while a run trains."""

import os
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runtime.signals import Interrupted, interruptible, pending_signal
from cnn_experiments.training.callbacks import BestAndLastCheckpoint, StopOnSignal, stop_on_signal

TRAINER: Any = SimpleNamespace(world_size=1)
MODULE: Any = None


@pytest.fixture
def callback(tmp_path: Path) -> StopOnSignal:
    return StopOnSignal(BestAndLastCheckpoint(tmp_path, None))


def test_signal_is_not_lost_at_any_line_of_the_end_of_training(callback: StopOnSignal) -> None:
    def end_training(line_of_signal: int) -> bool:
        """End the training, send a signal before the given line of the callback's code, return whether it was sent."""
        lines_left = line_of_signal

        def send_signal(frame: FrameType, event: str, _: object) -> Any:
            nonlocal lines_left
            if frame.f_code.co_filename == stop_on_signal.__file__ and event == "line":
                lines_left -= 1
                if lines_left == 0:
                    os.kill(os.getpid(), signal.SIGTERM)
            return send_signal

        callback.on_train_start(TRAINER, MODULE)
        tracer = sys.gettrace()
        sys.settrace(send_signal)
        try:
            callback.on_train_end(TRAINER, MODULE)
        finally:
            sys.settrace(tracer)
        return lines_left <= 0

    with interruptible():
        for line in count(1):
            try:
                was_sent = end_training(line)
            except Interrupted:
                continue
            assert not was_sent
            break
        assert line > 1


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
