"""Tests of the groups of parameters of an optimizer, and of the learning rate that schedules of any origin give."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, ReduceLROnPlateau

from cnn_experiments.errors import ConfigError
from cnn_experiments.models.scratch import BatchNorm
from cnn_experiments.training.optimization import (
    build_optimizer,
    build_scheduler,
    depends_on_num_steps,
    parameter_groups,
)
from cnn_experiments.training.schedules import RunSchedule
from tests.conftest import compose_settings

TORCH = "torch.optim.lr_scheduler"


class ChannelNorm(nn.Module):
    """A normalization layer whose scale is no vector."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 2, 1, 1))


def make_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), BatchNorm(2), ChannelNorm(), nn.Linear(4, 3), nn.PReLU(2)
    )


def names_of(groups: list[dict[str, Any]], network: nn.Module) -> list[list[str]]:
    names = {parameter: name for name, parameter in network.named_parameters()}
    return [[names[parameter] for parameter in group["params"]] for group in groups]


def test_weights_of_convolutions_and_linear_layers_alone_decay() -> None:
    network = make_network()
    settings = compose_settings("optimizer=adamw", "optimizer.decay_norm_and_bias=false")
    decaying, others = build_optimizer(settings, network).param_groups
    assert names_of([decaying, others], network) == [
        ["0.weight", "4.weight"],
        ["0.bias", "1.weight", "1.bias", "2.weight", "2.bias", "3.scale", "4.bias", "5.weight"],
    ]
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert {key: decaying[key] for key in ("lr", "betas")} == {key: others[key] for key in ("lr", "betas")}


def test_optimizer_has_one_group_of_all_parameters_by_default() -> None:
    network = make_network()
    (group,) = build_optimizer(compose_settings("optimizer=adamw"), network).param_groups
    assert len(group["params"]) == len(list(network.parameters()))
    assert all(one is other for one, other in zip(group["params"], network.parameters(), strict=True))


@pytest.mark.parametrize("decay_norm_and_bias", [True, False])
def test_frozen_parameters_are_not_given_to_the_optimizer(decay_norm_and_bias: bool) -> None:
    network = nn.Linear(2, 3)
    network.bias.requires_grad_(False)
    groups = parameter_groups(network, decay_norm_and_bias)
    parameters = groups if decay_norm_and_bias else [one for group in groups for one in group["params"]]  # type: ignore[index]
    assert len(parameters) == 1
    assert parameters[0] is network.weight


def test_optimizer_without_weight_decay_has_no_groups() -> None:
    settings = compose_settings()
    settings["optimizer"] = {
        "_target_": "torch.optim.Rprop", "_partial_": True, "lr": 0.1, "decay_norm_and_bias": False,
    }  # fmt: skip
    with pytest.raises(ConfigError) as error:
        build_optimizer(settings, make_network())
    assert str(error.value) == (
        "optimizer.decay_norm_and_bias=false: must be true for an optimizer without weight_decay"
    )


def with_scheduler(target: str, **settings: Any) -> dict[str, Any]:
    return compose_settings() | {"scheduler": {"_target_": target, "_partial_": True, **settings}}


def rates_of(settings: dict[str, Any], num_epochs: int, steps_per_epoch: int, metrics: Any = None) -> list[float]:
    """Return the learning rate of every step of a run with a rate of 1.0.

    Args:
        settings: of the run.
        num_epochs: of the run.
        steps_per_epoch: of the run.
        metrics: the monitored one after each epoch; None after one that is not evaluated.
    """
    optimizer: Optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = build_scheduler(settings, optimizer, num_epochs * steps_per_epoch, steps_per_epoch)
    rates = []
    for epoch in range(num_epochs):
        for _ in range(steps_per_epoch):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        if isinstance(schedule, RunSchedule):
            schedule.end_epoch(metrics[epoch] if metrics else None)
    return rates


def test_warm_up_is_linear_and_the_schedule_spans_the_remaining_steps() -> None:
    constant = rates_of(compose_settings("scheduler.warmup_ratio=0.4"), 2, 5)
    assert constant == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1], rel=1e-12)
    cosine = rates_of(compose_settings("scheduler=cosine", "scheduler.warmup_ratio=0.2"), 2, 5)
    rest = [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert cosine == pytest.approx([1 / 3, 2 / 3, *rest], rel=1e-12)
    milestones = rates_of(compose_settings("scheduler=step", "scheduler.warmup_ratio=0.2"), 2, 5)
    assert milestones == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01], rel=1e-12)


def test_without_warm_up_the_schedule_is_the_same_as_before() -> None:
    optimizer = SGD([torch.zeros(1)], lr=1.0)
    assert type(build_scheduler(compose_settings("scheduler=cosine"), optimizer, 10, 5)) is CosineAnnealingLR
    assert type(build_scheduler(compose_settings("scheduler=constant"), optimizer, 10, 5)) is LambdaLR


def test_schedule_by_epoch_is_stepped_at_the_end_of_each_epoch() -> None:
    settings = compose_settings("scheduler=multistep", "scheduler.milestones=[1,3]")
    assert rates_of(settings, 4, 2) == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01], rel=1e-12)
    settings = compose_settings("scheduler=exponential", "scheduler.gamma=0.5")
    assert rates_of(settings, 3, 2) == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25], rel=1e-12)


def test_epochs_that_end_in_the_warm_up_are_not_counted() -> None:
    settings = compose_settings("scheduler=exponential", "scheduler.gamma=0.5", "scheduler.warmup_ratio=0.5")
    rates = rates_of(settings, 4, 2)  # the second epoch ends with the warm-up
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 0.5, 0.5], rel=1e-12)


def test_schedule_by_epoch_that_takes_the_number_of_steps_gets_that_of_epochs() -> None:
    settings = compose_settings("scheduler=cosine")
    settings["scheduler"]["interval"] = "epoch"
    by_epoch = [1, 0.75, 0.25]
    assert rates_of(settings, 3, 2) == pytest.approx([rate for rate in by_epoch for _ in range(2)], rel=1e-12)


def test_plateau_follows_the_evaluations_after_the_warm_up() -> None:
    settings = compose_settings(
        "scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5", "scheduler.warmup_ratio=0.2"
    )
    rates = rates_of(settings, 5, 1, metrics=[0.9, 0.5, 0.6, None, 0.6])
    assert rates == [0.5, 1, 1, 1, 1]
    rates = rates_of(settings, 5, 1, metrics=[0.9, 0.5, 0.5, 0.6, 0.6])
    assert rates == [0.5, 1, 1, 0.5, 0.5]
    rates = rates_of(settings | {"monitor": "val/loss"}, 5, 1, metrics=[0.9, 0.5, 0.4, 0.6, 0.6])
    assert rates == [0.5, 1, 1, 1, 0.5]


@pytest.mark.parametrize(
    ("target", "settings", "rates"),
    [
        ("StepLR", {"interval": "epoch", "step_size": 1, "gamma": 0.5}, [1, 1, 0.5, 0.5]),
        ("StepLR", {"interval": "step", "step_size": 1, "gamma": 0.5}, [1, 0.5, 0.25, 0.125]),
        ("CosineAnnealingWarmRestarts", {"interval": "step", "T_0": 2}, [1, 0.5, 1, 0.5]),
        ("OneCycleLR", {"max_lr": 1.0, "pct_start": 0.5, "anneal_strategy": "linear"}, [0.04, 1, 0.500002, 4e-6]),
    ],
)
def test_schedule_of_torch_is_made_by_its_name(target: str, settings: dict[str, Any], rates: list[float]) -> None:
    assert rates_of(with_scheduler(f"{TORCH}.{target}", **settings), 2, 2) == pytest.approx(rates, rel=1e-6)


def halving(optimizer: Optimizer, num_steps: int) -> LRScheduler:
    return LambdaLR(optimizer, lambda step: 1 - step / (2 * num_steps))


def schedule_with_names_of_its_own(
    optimizer: Optimizer, warmup_ratio: str, interval: int, total_steps: int
) -> LRScheduler:
    assert (warmup_ratio, interval) == ("much", 7)
    return LambdaLR(optimizer, lambda step: step / total_steps)


def test_own_schedule_gets_the_number_of_steps_and_settings_with_names_that_it_has() -> None:
    assert rates_of(with_scheduler(f"{__name__}.halving"), 2, 2) == [1, 0.875, 0.75, 0.625]
    settings = with_scheduler(f"{__name__}.schedule_with_names_of_its_own", warmup_ratio="much", interval=7)
    assert rates_of(settings, 2, 2) == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("target", "settings", "line"),
    [
        ("StepLR", {"step_size": 1}, "scheduler.interval: must be given: step or epoch, after which this schedule is stepped"),
        ("StepLR", {"interval": "epoch"}, "scheduler: TypeError: StepLR.__init__() missing 1 required positional argument: 'step_size'"),
        ("ReduceLROnPlateau", {"interval": "epoch"}, "scheduler.interval=epoch: must be left out: this schedule is stepped after every evaluation"),
        ("ReduceLROnPlateau", {"mode": "min"}, "scheduler.mode=min: must be left out, or max as for monitor=val/acc"),
        ("CosineAnnealingLR", {"interval": "step", "T_max": 5, "eta_maximum": 1}, "scheduler: TypeError: CosineAnnealingLR.__init__() got an unexpected keyword argument 'eta_maximum'"),
    ],
)  # fmt: skip
def test_schedule_that_cannot_work_is_rejected(target: str, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        rates_of(with_scheduler(f"{TORCH}.{target}", **settings), 2, 2)
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("settings", "depends"),
    [
        (compose_settings("scheduler=constant"), False),
        (compose_settings("scheduler=constant", "scheduler.warmup_ratio=0.1"), True),
        (compose_settings("scheduler=cosine"), True),
        (compose_settings("scheduler=cosine_restarts"), True),
        (compose_settings("scheduler=onecycle"), True),
        (compose_settings("scheduler=step"), True),
        (compose_settings("scheduler=multistep"), False),
        (compose_settings("scheduler=exponential"), False),
        (compose_settings("scheduler=plateau"), False),
        (with_scheduler(f"{TORCH}.CosineAnnealingLR", interval="epoch", T_max=5), False),
        (with_scheduler(f"{TORCH}.OneCycleLR", max_lr=1.0), True),
        (with_scheduler(f"{TORCH}.OneCycleLR", max_lr=1.0, total_steps=10), False),
        (with_scheduler(f"{__name__}.halving"), True),
    ],
)
def test_whether_a_schedule_depends_on_the_number_of_steps(settings: dict[str, Any], depends: bool) -> None:
    assert depends_on_num_steps(settings) is depends


def test_state_of_a_schedule_in_its_warm_up_and_after_it_is_restored() -> None:
    settings = compose_settings("scheduler=plateau", "scheduler.patience=0", "scheduler.warmup_ratio=0.25")
    first, second = (SGD([torch.zeros(1)], lr=1.0) for _ in range(2))
    schedule, restored = (build_scheduler(settings, optimizer, 8, 2) for optimizer in (first, second))
    for epoch in range(4):
        for _ in range(2):
            first.step()
            schedule.step()
            second.load_state_dict(first.state_dict())
            restored.load_state_dict(schedule.state_dict())
            assert restored.state_dict() == schedule.state_dict()
        assert isinstance(schedule, RunSchedule)
        schedule.end_epoch(0.5)
        restored.end_epoch(0.5)  # type: ignore[attr-defined]
        assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"] == [1, 1, 0.1, 0.1 * 0.1][epoch]
    assert isinstance(schedule._schedule, ReduceLROnPlateau)
