"""Learning-rate schedules over a run of known length, stepped after every optimizer step."""

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from cnn_experiments.arguments import ArgumentError


def constant(optimizer: Optimizer, total_steps: int) -> LRScheduler:  # noqa: ARG001
    """Keep the optimizer's learning rate."""
    return LambdaLR(optimizer, lambda _: 1.0)


def is_open_ended(target: str) -> bool:
    """Return whether the schedule with this dotted path does not depend on the number of steps."""
    return target.rpartition(".")[2] == constant.__name__


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
