"""Tests of complete runs with augmentation, on the digits."""

import logging
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cnn_experiments.config.sources import CONF, find_options
from tests.conftest import read_epochs, read_results, runs_in
from tests.tasks.test_train_with_callbacks import assert_same_runs, train_interrupted

Train = Callable[..., Path]

OPTIONS = sorted(set(find_options("augment", [CONF])) - {"none"})
QUICK = (
    "optimizer.lr=0.01",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=6",
    "trainer.limit_val_batches=2",
    "trainer.limit_test_batches=2",
)
MIXED = "images are mixed: train/acc is measured against the class with the largest share of each"


def invert_some(images: Tensor) -> Tensor:
    """Draw from all generators that checkpoints hold."""
    if random.random() < 0.5:  # noqa: S311
        return images
    is_inverted = torch.from_numpy(np.random.random(len(images))) < torch.rand(len(images))  # noqa: NPY002
    return torch.where(is_inverted[:, None, None, None], 255 - images, images)


OWN = (f"++augment.own._target_={__name__}.invert_some", "++augment.own._partial_=true")


class BatchRecorder(pl.Callback):
    """Keeps the targets of every batch, and the network's logits before its step."""

    logits: ClassVar[list[Tensor]] = []
    targets: ClassVar[list[Tensor]] = []

    def on_train_batch_start(self, _: pl.Trainer, pl_module: pl.LightningModule, batch: Any, __: int) -> None:
        with torch.no_grad():
            self.logits.append(pl_module(batch[0]))
        self.targets.append(batch[1])


@pytest.mark.parametrize(
    "overrides", [*((f"augment={option}",) for option in OPTIONS), ("augment=[cutmix,crop,mixup]",), OWN], ids=str
)
def test_run_with_every_option_resumes_exactly_within_an_epoch(train: Train, overrides: tuple[str, ...]) -> None:
    uninterrupted = train("uninterrupted", *QUICK, *overrides)
    assert_same_runs(train_interrupted(train, "interrupted", *QUICK, *overrides, steps=(3,)), uninterrupted)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_images_are_trained_on_shares_and_measured_against_the_largest(
    train: Train, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, mix: str, loss: str
) -> None:
    monkeypatch.setattr(BatchRecorder, "logits", [])
    monkeypatch.setattr(BatchRecorder, "targets", [])
    recorder = f"++callbacks.recorder._target_={__name__}.BatchRecorder"
    gamma = ("loss.gamma=0",) if loss == "focal" else ()  # which is cross-entropy
    with caplog.at_level(logging.INFO):
        run = train("run", *QUICK, f"augment={mix}", f"loss={loss}", *gamma, recorder)
    assert caplog.messages.count(MIXED) == 1
    logits, targets = torch.cat(BatchRecorder.logits), torch.cat(BatchRecorder.targets)
    assert targets.shape == (6 * 16, 10)
    torch.testing.assert_close(targets.sum(1), torch.ones(96))
    assert ((targets > 0).sum(1) == 2).float().mean() > 0.4
    (epoch,) = read_epochs(run)
    assert float(epoch["train/loss"]) == pytest.approx(float(F.cross_entropy(logits, targets)), rel=1e-5)
    accuracy = (logits.argmax(1) == targets.argmax(1)).float().mean()
    assert float(epoch["train/acc"]) == pytest.approx(float(accuracy), abs=1e-6)


@pytest.mark.parametrize("overrides", [(), ("augment=[crop,flip,rand_augment]",)])
def test_nothing_is_said_of_images_that_are_not_mixed(
    train: Train, caplog: pytest.LogCaptureFixture, overrides: tuple[str, ...]
) -> None:
    with caplog.at_level(logging.INFO):
        train("run", *QUICK, *overrides)
    assert "lenet on digits" in caplog.text
    assert "mixed" not in caplog.text


def test_sweep_over_lists_names_its_runs_and_its_rows(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    sweep = ("-m", "augment=[flip],[crop,flip],none", "data=digits", "trainer=cpu", "sweep=lists", *QUICK)
    completed = command(*sweep)
    assert completed.returncode == 0, completed.stderr
    runs = runs_in(tmp_path / "outputs" / "lists")
    assert [run.name.rpartition("-")[0] for run in runs] == ["lenet-crop_flip", "lenet-flip", "lenet-none"]
    assert [read_results(run)["options"]["augment"] for run in runs] == ["crop,flip", "flip", "none"]
    leaderboard = (tmp_path / "outputs" / "lists" / "leaderboard.md").read_text()
    header, _, *rows = [line.split("|") for line in leaderboard.splitlines() if line.startswith("|")]
    column = [cell.strip() for cell in header].index("augment")
    assert sorted(row[column].strip() for row in rows[:3]) == ["crop,flip", "flip", "none"]
