"""Images per second."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cnn_experiments.training.callbacks import Throughput, throughput


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    time = [0.0]
    monkeypatch.setattr(throughput, "_now", lambda: time[0])
    return time


def train_epoch(measured: Throughput, clock: list[float], seconds: float, processes: int = 1) -> None:
    """Three batches of ten images with a validation in between and one at the end, each of 100 seconds."""
    trainer: Any = SimpleNamespace(world_size=processes)
    module: Any = SimpleNamespace(log=lambda *_, **__: None)
    batch = (torch.zeros(10, 1), torch.zeros(10))
    measured.on_train_epoch_start(trainer, module)
    for number in range(3):
        measured.on_train_batch_start(trainer, module, batch, number)
        clock[0] += seconds / 3
        measured.on_train_batch_end(trainer, module, {}, batch, number)
        if number > 0:
            measured.on_validation_start(trainer, module)
            clock[0] += 100
    measured.on_train_epoch_end(trainer, module)
    clock[0] += 50  # checkpoints


def test_leaves_validation_and_checkpoints_out(clock: list[float]) -> None:
    measured = Throughput()
    train_epoch(measured, clock, seconds=6)
    assert measured.train == [pytest.approx(5)]
    assert measured.median_train == pytest.approx(5)


def test_median_leaves_the_first_epoch_out(clock: list[float]) -> None:
    measured = Throughput()
    for seconds in (30, 6, 3, 5):
        train_epoch(measured, clock, seconds)
    assert measured.median_train == pytest.approx(6)


def test_counts_the_images_of_all_processes(clock: list[float]) -> None:
    measured = Throughput()
    train_epoch(measured, clock, seconds=6, processes=2)
    assert measured.train == [pytest.approx(10)]


def test_nothing_trained_has_no_speed() -> None:
    assert Throughput().median_train is None
