"""Tests of restoring random number generators from a checkpoint."""

import io
import logging
import random
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from cnn_experiments.training.callbacks import RNGState


def draw() -> tuple[list[float], list[float], list[float]]:
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)]  # noqa: NPY002, S311


def start_training(callback: RNGState, device: str = "cpu") -> None:
    trainer: Any = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device(device)), global_rank=0, global_step=0
    )
    callback.setup(trainer, pl.LightningModule(), "fit")
    callback.on_train_start(trainer, pl.LightningModule())


def cuda_states(count: int) -> list[torch.Tensor]:
    return [torch.full((16,), gpu, dtype=torch.uint8) for gpu in range(count)]


@pytest.fixture
def restored_states(monkeypatch: pytest.MonkeyPatch) -> list[list[torch.Tensor]]:
    """Pretend that there are two GPUs, and return a list of the states that their generators are set to."""
    calls: list[list[torch.Tensor]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: cuda_states(2))
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", calls.append)
    return calls


def test_all_generators_continue_where_they_were_saved() -> None:
    pl.seed_everything(5, verbose=False)
    draw()
    file = io.BytesIO()
    torch.save(RNGState().state_dict(), file)
    expected = draw()
    pl.seed_everything(6, verbose=False)
    file.seek(0)
    restored = RNGState()
    restored.load_state_dict(torch.load(file, weights_only=True))
    start_training(restored)
    assert draw() == expected


def test_new_run_keeps_its_seed() -> None:
    pl.seed_everything(5, verbose=False)
    expected = draw()
    pl.seed_everything(5, verbose=False)
    start_training(RNGState())
    assert draw() == expected


def test_cuda_generators_are_restored_on_as_many_gpus(
    restored_states: list[list[torch.Tensor]], caplog: pytest.LogCaptureFixture
) -> None:
    restored = RNGState()
    restored.load_state_dict(RNGState().state_dict() | {"cuda": cuda_states(2)})
    start_training(restored, "cuda")
    ((first, second),) = restored_states
    assert torch.equal(first, cuda_states(2)[0])
    assert torch.equal(second, cuda_states(2)[1])
    assert caplog.records == []
    assert len(restored.state_dict()["cuda"]) == 2


@pytest.mark.parametrize(("num_saved", "device", "num_gpus"), [(1, "cuda", 2), (0, "cuda", 2), (2, "cpu", 0)])
def test_cuda_generators_that_are_not_restored_are_reported(
    restored_states: list[list[torch.Tensor]],
    caplog: pytest.LogCaptureFixture,
    num_saved: int,
    device: str,
    num_gpus: int,
) -> None:
    restored = RNGState()
    restored.load_state_dict(RNGState().state_dict() | {"cuda": cuda_states(num_saved)})
    start_training(restored, device)
    assert restored_states == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        "the CUDA random number generators are not restored, so this run will not be bit-identical to an uninterrupted "
        f"one: the checkpoint has the states of {num_saved} GPUs, this run has {num_gpus}"
    )


def test_run_on_the_cpu_leaves_visible_gpus_alone(
    restored_states: list[list[torch.Tensor]], caplog: pytest.LogCaptureFixture
) -> None:
    callback = RNGState()
    start_training(callback)
    state = callback.state_dict()
    assert state["cuda"] == []
    resumed = RNGState()
    resumed.load_state_dict(state)
    start_training(resumed)
    assert caplog.records == []
