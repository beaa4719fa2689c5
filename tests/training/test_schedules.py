"""Tests of the learning rate of each schedule at every step."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cnn_experiments.training import schedules


def rates_of(schedule: Callable[..., LRScheduler], num_steps: int, **settings: object) -> list[float]:
    """Return the learning rate at each step of an optimizer with a rate of 0.1."""
    optimizer: Optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.5)
    scheduler = schedule(optimizer, num_steps, **settings)
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["momentum"] == 0.5
    return rates


def test_constant_keeps_the_rate() -> None:
    assert rates_of(schedules.constant, 4) == [0.1] * 4


def test_cosine_is_half_a_cosine() -> None:
    expected = [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert rates_of(schedules.cosine, 8) == pytest.approx(expected)


def test_onecycle_rises_to_the_peak_and_falls() -> None:
    rates = rates_of(schedules.onecycle, 20, warmup=0.25)
    assert rates[0] == pytest.approx(0.1 / 25)
    assert rates[4] == pytest.approx(0.1)  # a quarter of 20 steps, counted from the first
    assert rates[19] == pytest.approx(0.1 / 25 / 1e4)
    assert rates[:5] == sorted(rates[:5])
    assert rates[4:] == sorted(rates[4:], reverse=True)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_onecycle_works_for_very_short_runs(num_steps: int) -> None:
    rates = rates_of(schedules.onecycle, num_steps, warmup=0.5)
    assert all(0 < rate <= 0.1 + 1e-9 for rate in rates)


def test_step_multiplies_the_rate_at_each_milestone() -> None:
    rates = rates_of(schedules.step, 8, milestones=[0.5, 0.75], gamma=0.1)
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)


def test_cosine_restarts_fills_the_run_with_cycles_of_growing_length() -> None:
    cycles = [0.05 * (1 + math.cos(math.pi * step / length)) for length in (2, 4, 8) for step in range(length)]
    assert rates_of(schedules.cosine_restarts, 14, cycles=3, length_factor=2) == pytest.approx(cycles)
    one_cycle = rates_of(schedules.cosine_restarts, 14, cycles=1, length_factor=2)
    assert one_cycle == pytest.approx(rates_of(schedules.cosine, 14))


@pytest.mark.parametrize(
    ("schedule", "settings", "message"),
    [
        (schedules.onecycle, {"warmup": 1.5}, "warmup=1.5: must be a fraction of the steps in [0, 1]"),
        (
            schedules.step,
            {"milestones": [0.5, 30], "gamma": 0.1},
            "milestones=[0.5, 30]: must be fractions of the steps in (0, 1)",
        ),
        (schedules.step, {"milestones": [0.5], "gamma": 0.0}, "gamma=0.0: must be above 0"),
        (schedules.cosine_restarts, {"cycles": 0, "length_factor": 2}, "cycles=0: must be an integer >= 1"),
        (schedules.cosine_restarts, {"cycles": 2, "length_factor": 0}, "length_factor=0: must be an integer >= 1"),
    ],
)
def test_invalid_settings_are_rejected(
    schedule: Callable[..., LRScheduler], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rates_of(schedule, 8, **settings)
