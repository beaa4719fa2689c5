"""Tests of the learning rate in runs, and of runs that are interrupted at each point of a schedule."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.runs.fingerprint import run_id
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.training.callbacks import History
from tests.conftest import read_epochs

QUICK = ("model=lenet_bn", "optimizer.lr=0.01", "trainer.max_epochs=3", "trainer.limit_train_batches=10")
PLATEAU = ("scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=10")  # no accuracy is 11 times the first
SCHEDULES = {
    "plateau": (*PLATEAU, "scheduler.warmup_ratio=0.2"),
    "plateau_of_every_second_epoch": (*PLATEAU, "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=5"),
    "cosine_with_warm_up": ("scheduler=cosine", "scheduler.warmup_ratio=0.4"),
    "cosine_restarts": ("scheduler=cosine_restarts", "optimizer=nadam", "optimizer.decay_norm_and_bias=false"),
    "multistep": ("scheduler=multistep", "scheduler.milestones=[1,2]", "optimizer=rmsprop", "optimizer.lr=0.001"),
    "exponential": ("scheduler=exponential", "scheduler.warmup_ratio=0.2", "optimizer=radam"),
}

Train = Callable[..., Path]


def checkpoint_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def rates_of(run: Path) -> list[float]:
    return [float(row["lr"]) for row in read_epochs(run)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_run_resumes_exactly_at_each_point_of_its_schedule(
    train: Train, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    overrides = (*QUICK, *SCHEDULES[schedule])
    whole = train("whole", *overrides)
    for step in (4, 10, 17, 20):  # in the first epoch, at the end of one, in the second epoch, at the end of another

        def send_signal(_: History, trainer: pl.Trainer, *__: Any, step: int = step) -> None:
            if trainer.global_step == step:
                os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patched, interruptible():
            patched.setattr(History, "on_train_batch_end", send_signal)
            with pytest.raises(Interrupted):
                train(f"stopped{step}", *overrides)
        resumed = train(f"stopped{step}", *overrides)
        first, second = checkpoint_of(whole), checkpoint_of(resumed)
        assert all(torch.equal(first["state_dict"][name], second["state_dict"][name]) for name in first["state_dict"])
        assert first["lr_schedulers"] == second["lr_schedulers"]
        groups = [content["optimizer_states"][0]["param_groups"] for content in (first, second)]
        assert groups[0] == groups[1]
        assert rates_of(resumed) == rates_of(whole)


def test_plateau_lowers_the_rate_after_evaluations_alone(train: Train) -> None:
    run = train("run", *QUICK, *SCHEDULES["plateau_of_every_second_epoch"])
    assert [bool(row["val/acc"]) for row in read_epochs(run)] == [False, True, False, True, True]
    assert rates_of(run) == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.001])


def test_decay_is_that_of_torch_for_the_weights_alone(train: Train) -> None:
    overrides = (
        *QUICK,
        "optimizer=sgd",
        "optimizer.weight_decay=1.0",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=1",
    )
    before = checkpoint_of(train("without", *overrides[:-3], "trainer.max_epochs=1", "trainer.limit_train_batches=1"))
    all_decay = checkpoint_of(train("all", *overrides))
    weights_decay = checkpoint_of(train("weights", *overrides, "optimizer.decay_norm_and_bias=false"))
    for name, value in weights_decay["state_dict"].items():
        is_vector = value.ndim <= 1
        expected = (before if is_vector else all_decay)["state_dict"][name]
        assert torch.equal(value, expected), name


def test_settings_at_their_added_defaults_are_no_part_of_the_identity() -> None:
    settings = ComposedConfig.from_overrides("optimizer=sgd", "scheduler=cosine").settings
    earlier = {key: dict(value) if isinstance(value, dict) else value for key, value in settings.items()}
    del earlier["optimizer"]["decay_norm_and_bias"], earlier["scheduler"]["warmup_ratio"]
    assert run_id(settings) == run_id(earlier)
