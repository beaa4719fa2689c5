"""Tests of the search of a learning rate."""

import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cnn_experiments.training.build import build_data, build_model
from cnn_experiments.training.learning_rate_search import (
    LearningRateCurve,
    record_learning_rate_curve,
    smoothing_window,
)
from tests.conftest import compose_settings

FALL = [1.0] * 6 + [0.95, 0.8, 0.4, 0.3, 0.28, 0.27, 0.26, 0.25, 0.5, 0.2 + 0.3, 0.9, 0.3, 0.8, 0.9]


def curve_of(losses: list[float], num_steps: int = 20) -> LearningRateCurve:
    rates = [10.0**step for step in range(len(losses))]
    return LearningRateCurve(rates, losses, num_steps)


def test_step_is_that_around_which_the_loss_falls_most() -> None:
    assert smoothing_window(20) == 1
    assert curve_of(FALL).steepest_step() == 7  # from 0.95 to 0.4; the falls after the lowest loss are chance


def test_suggestion_is_not_later_than_the_fall() -> None:
    losses = [2.0] * 140 + [2.0 - 0.05 * step for step in range(1, 21)] + [1.0 - 0.001 * step for step in range(140)]
    curve = curve_of(losses, num_steps=300)
    assert smoothing_window(300) == 15
    assert curve.smoothed_losses[150] == pytest.approx(losses[150])  # in the middle of a straight line
    assert curve.smoothed_losses[0] == 2.0
    assert curve.steepest_step() == 149  # the loss falls from step 139 to step 159


def test_beginning_is_left_out() -> None:
    assert curve_of([9.0, 5.0, *FALL[2:]]).steepest_step() == 7


@pytest.mark.parametrize("losses", [[], [1.0, 0.5], [1.0 + 0.1 * step for step in range(20)]])
def test_loss_that_does_not_fall_suggests_nothing(losses: list[float]) -> None:
    assert curve_of(losses).steepest_step() is None


def settings_of(*overrides: str) -> dict[str, Any]:
    return compose_settings("data=digits", "trainer=cpu", "optimizer=sgd", "data.batch_size=40", *overrides)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_losses_are_those_of_a_training_with_a_growing_rate(accumulated: int) -> None:
    num_steps, settings = 14, settings_of(f"trainer.accumulate_grad_batches={accumulated}")
    pl.seed_everything(0, verbose=False)
    curve = record_learning_rate_curve(settings, num_steps, min_lr=1e-3, max_lr=0.1)
    assert curve.rates == pytest.approx(np.geomspace(1e-3, 0.1, num_steps))
    assert not curve.has_diverged

    pl.seed_everything(0, verbose=False)
    data, network = build_data(settings), build_model(settings)
    data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.setup("fit")
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    losses: list[float] = []
    batches = iter(data.train_dataloader())  # an epoch has 32
    for rate in curve.rates:
        optimizer.zero_grad()
        loss = torch.zeros(())
        for _ in range(accumulated):
            images, labels = data.on_after_batch_transfer(next(batches), 0)
            loss = loss + F.cross_entropy(network(images), labels) / accumulated
        loss.backward()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        losses.append(loss.item())
    assert curve.losses == pytest.approx(losses, rel=1e-4)


def test_loss_that_diverges_ends_the_training() -> None:
    pl.seed_everything(0, verbose=False)
    curve = record_learning_rate_curve(settings_of("model=lenet_bn"), 40, min_lr=1e-2, max_lr=1e6)
    assert curve.has_diverged
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed_losses) < 40
    assert all(map(math.isfinite, curve.smoothed_losses))
