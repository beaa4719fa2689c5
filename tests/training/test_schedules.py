"""The learning rate at every step."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cnn_experiments.training import schedules


def rates(schedule: Callable[..., LRScheduler], steps: int, **settings: object) -> list[float]:
    """The rate of each of `steps` steps and the one behind the last, starting from 0.1."""
    optimizer: Optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.5)
    scheduler = schedule(optimizer, steps, **settings)
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["momentum"] == 0.5
    return result


def test_constant() -> None:
    assert rates(schedules.constant, 4) == [0.1] * 4


def test_cosine() -> None:
    expected = [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert rates(schedules.cosine, 8) == pytest.approx(expected)


def test_onecycle() -> None:
    result = rates(schedules.onecycle, 20, warmup=0.25)
    assert result[0] == pytest.approx(0.1 / 25)
    assert result[4] == pytest.approx(0.1)  # a quarter of 20 steps, the first of them at the start
    assert result[19] == pytest.approx(0.1 / 25 / 1e4)
    assert result[:5] == sorted(result[:5])
    assert result[4:] == sorted(result[4:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_onecycle_of_a_few_steps(steps: int) -> None:
    result = rates(schedules.onecycle, steps, warmup=0.5)
    assert all(0 < rate <= 0.1 + 1e-9 for rate in result)


def test_step() -> None:
    assert rates(schedules.step, 8, milestones=[0.5, 0.75], gamma=0.1) == pytest.approx(
        [0.1] * 4 + [0.01] * 2 + [0.001] * 2
    )


@pytest.mark.parametrize(
    ("schedule", "settings", "message"),
    [
        (schedules.onecycle, {"warmup": 1.5}, r"warmup=1\.5: must be a share of the steps, from 0 to 1"),
        (
            schedules.step,
            {"milestones": [0.5, 30], "gamma": 0.1},
            r"milestones=\[0\.5, 30\]: must be shares of the steps",
        ),
        (schedules.step, {"milestones": [0.5], "gamma": 0.0}, r"gamma=0\.0: must be above 0"),
    ],
)
def test_impossible_values_are_refused(
    schedule: Callable[..., LRScheduler], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rates(schedule, 8, **settings)
