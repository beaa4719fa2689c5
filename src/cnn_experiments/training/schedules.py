"""Learning-rate schedules, and the warm-up before any of them."""

from collections.abc import Sequence
from math import ceil
from typing import Any, Literal, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
)

from cnn_experiments.arguments import ArgumentError

Interval = Literal["step", "epoch", "evaluation"]
"""After what a schedule is stepped: an optimizer step, an epoch, or an evaluation, whose metric it gets."""


class RunSchedule(LRScheduler):
    """Raise the learning rate linearly, then step another schedule, which starts when the warm-up ends.

    Of W steps, step k (from 1) has k / (W + 1) of the rate with which the schedule starts. An epoch or an evaluation at
    the end of the warm-up or before is not counted.

    Args:
        optimizer: its learning rates are those with which the schedule starts.
        schedule: of this optimizer; not stepped yet.
        warmup_steps: W, optimizer steps.
        interval: after what `schedule` is stepped.
    """

    def __init__(self, optimizer: Optimizer, schedule: LRScheduler, warmup_steps: int, interval: Interval) -> None:
        self.optimizer = optimizer
        self.last_epoch = 0  # torch's name of the number of steps
        self._schedule = schedule
        self._warmup_steps = warmup_steps
        self._interval = interval
        self._start_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._warm_up()

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rates of the next step, after an optimizer step."""
        self.last_epoch += 1
        if self.last_epoch <= self._warmup_steps:
            self._warm_up()
        elif self._interval == "step":
            self._schedule.step()

    def end_epoch(self, metric: float | None) -> None:
        """Set the learning rates of the next epoch.

        Args:
            metric: the monitored one; None if the epoch was not evaluated.
        """
        if self.last_epoch <= self._warmup_steps:
            return
        if self._interval == "epoch":
            self._schedule.step()
        elif self._interval == "evaluation" and metric is not None:
            cast(ReduceLROnPlateau, self._schedule).step(metric)

    def _warm_up(self) -> None:
        share = (self.last_epoch + 1) / (self._warmup_steps + 1)
        for group, lr in zip(self.optimizer.param_groups, self._start_lrs, strict=True):
            group["lr"] = lr * share

    def get_last_lr(self) -> list[Any]:
        """Return the learning rate of each group of parameters."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps and the state of the schedule."""
        return {"last_epoch": self.last_epoch, "schedule": self._schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state; the learning rates are part of that of the optimizer."""
        self.last_epoch = state_dict["last_epoch"]
        self._schedule.load_state_dict(state_dict["schedule"])


def constant(optimizer: Optimizer, total_steps: int) -> LRScheduler:  # noqa: ARG001
    """Keep the optimizer's learning rate."""
    return LambdaLR(optimizer, lambda _: 1.0)


def cosine(optimizer: Optimizer, total_steps: int) -> LRScheduler:
    """Anneal the learning rate to zero along half a cosine (Loshchilov and Hutter, 2017, arXiv 1608.03983)."""
    return CosineAnnealingLR(optimizer, T_max=total_steps)


def onecycle(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    """Run one cycle that peaks at the optimizer's learning rate (Smith and Topin, 2018, arXiv 1708.07120).

    Unlike the paper's, it leaves the optimizer's momentum unchanged.

    Args:
        optimizer: its learning rate is the peak.
        total_steps: the number of steps of the whole run.
        warmup: the fraction of the steps before the peak.

    Raises:
        ArgumentError: `warmup` is not in [0, 1].
    """
    if not 0 <= warmup <= 1:
        raise ArgumentError("warmup", warmup, "must be a fraction of the steps in [0, 1]")
    if warmup * total_steps <= 1:  # torch divides by the number of steps between the first and the peak
        warmup = 0.0
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=peaks, total_steps=total_steps, pct_start=warmup, cycle_momentum=False)


def step(optimizer: Optimizer, total_steps: int, milestones: Sequence[float], gamma: float) -> LRScheduler:
    """Multiply the learning rate by `gamma` at each milestone.

    Args:
        optimizer: its learning rate is the first one.
        total_steps: the number of steps of the whole run.
        milestones: fractions of the steps.
        gamma: the factor.

    Raises:
        ArgumentError: a milestone is not in (0, 1), or `gamma` is not above 0.
    """
    if not all(0 < milestone < 1 for milestone in milestones):
        raise ArgumentError("milestones", list(milestones), "must be fractions of the steps in (0, 1)")
    if gamma <= 0:
        raise ArgumentError("gamma", gamma, "must be above 0")
    return MultiStepLR(optimizer, [round(milestone * total_steps) for milestone in milestones], gamma)


def cosine_restarts(optimizer: Optimizer, total_steps: int, cycles: int, length_factor: int) -> LRScheduler:
    """Anneal to zero along half a cosine, several times in a run (Loshchilov and Hutter, 2017, arXiv 1608.03983).

    Args:
        optimizer: its learning rate is that at the beginning of each cycle.
        total_steps: the number of steps of the whole run.
        cycles: how many cycles fill the run.
        length_factor: how much longer each cycle is than the one before.

    Raises:
        ArgumentError: `cycles` or `length_factor` is below 1.
    """
    for name, value in (("cycles", cycles), ("length_factor", length_factor)):
        if value < 1:
            raise ArgumentError(name, value, "must be an integer >= 1")
    first_cycle = ceil(total_steps / sum(length_factor**cycle for cycle in range(cycles)))
    return CosineAnnealingWarmRestarts(optimizer, T_0=first_cycle, T_mult=length_factor)
