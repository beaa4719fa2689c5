"""Tests of measuring images per second."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cnn_experiments.training.callbacks import Throughput, throughput

MODULE: Any = SimpleNamespace(log=lambda *_, **__: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock with one element, the time in seconds, that the test sets."""
    time = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: time[0])
    return time


def make_trainer(world_size: int = 1, device: str = "cpu") -> Any:
    return SimpleNamespace(world_size=world_size, strategy=SimpleNamespace(root_device=torch.device(device)))


def train_epoch(callback: Throughput, clock: list[float], seconds: float, world_size: int = 1) -> None:
    """Train on three batches of ten images, with a validation of 100 seconds in the middle and one at the end."""
    trainer = make_trainer(world_size)
    batch = (torch.zeros(10, 1), torch.zeros(10))
    callback.on_train_epoch_start(trainer, MODULE)
    for batch_idx in range(3):
        callback.on_train_batch_start(trainer, MODULE, batch, batch_idx)
        clock[0] += seconds / 3
        callback.on_train_batch_end(trainer, MODULE, {}, batch, batch_idx)
        if batch_idx > 0:
            callback.on_validation_start(trainer, MODULE)
            clock[0] += 100
    callback.on_train_epoch_end(trainer, MODULE)
    clock[0] += 50  # checkpoints


def train_epochs(callback: Throughput, clock: list[float], *seconds: float) -> None:
    for seconds_of_epoch in seconds:
        train_epoch(callback, clock, seconds_of_epoch)


def resume(state: dict[str, Any]) -> Throughput:
    callback = Throughput()
    callback.load_state_dict(state)
    return callback


def test_validation_and_checkpoints_are_not_measured(clock: list[float]) -> None:
    callback = Throughput()
    train_epoch(callback, clock, seconds=6)
    assert callback.train == [pytest.approx(5)]
    assert callback.median_train == pytest.approx(5)


def test_first_epoch_is_not_in_the_median(clock: list[float]) -> None:
    callback = Throughput()
    train_epochs(callback, clock, 30, 6, 3, 5)
    assert callback.median_train == pytest.approx(6)


def test_resumed_run_has_the_median_of_all_its_epochs_but_the_first(clock: list[float]) -> None:
    callback = Throughput()
    train_epochs(callback, clock, 30, 6)
    callback = resume(callback.state_dict())
    train_epochs(callback, clock, 3, 5)
    assert callback.train == [pytest.approx(speed) for speed in (1, 5, 10, 6)]
    assert callback.median_train == pytest.approx(6)


def test_images_of_all_processes_are_counted(clock: list[float]) -> None:
    callback = Throughput()
    train_epoch(callback, clock, seconds=6, world_size=2)
    assert callback.train == [pytest.approx(10)]


def test_speed_is_none_before_the_first_epoch() -> None:
    assert Throughput().median_train is None


@pytest.mark.parametrize(("device", "synchronized"), [("cpu", []), ("cuda:1", [torch.device("cuda:1")] * 2)])
def test_only_the_device_of_the_run_is_synchronized(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], device: str, synchronized: list[torch.device]
) -> None:
    calls: list[torch.device | None] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: calls.append(device))
    callback = Throughput()
    callback.on_test_start(make_trainer(device=device), MODULE)
    clock[0] += 1
    callback.on_test_end(make_trainer(device=device), MODULE)
    assert calls == synchronized
