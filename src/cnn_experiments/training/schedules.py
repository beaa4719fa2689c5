"""Learning-rate schedules over a run of known length, stepped after every optimizer step."""

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR


def constant(optimizer: Optimizer, total_steps: int) -> LRScheduler:  # noqa: ARG001
    """The optimizer's own learning rate at every step."""
    return LambdaLR(optimizer, lambda _: 1.0)


def cosine(optimizer: Optimizer, total_steps: int) -> LRScheduler:
    """Half a cosine from the optimizer's learning rate to zero (Loshchilov and Hutter, 2017, arXiv 1608.03983)."""
    return CosineAnnealingLR(optimizer, T_max=total_steps)


def onecycle(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    """One cycle that peaks at the optimizer's learning rate (Smith and Topin, 2018, arXiv 1708.07120).

    Unlike the paper's, it leaves the momentum as the optimizer has it.

    Raises:
        ValueError: `warmup`, the share of steps spent going up, is not between 0 and 1.
    """
    if not 0 <= warmup <= 1:
        raise ValueError(f"warmup={warmup}: must be a share of the steps, from 0 to 1")
    if warmup * total_steps <= 1:  # torch divides by the steps between the first and the peak
        warmup = 0.0
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=peaks, total_steps=total_steps, pct_start=warmup, cycle_momentum=False)


def step(optimizer: Optimizer, total_steps: int, milestones: Sequence[float], gamma: float) -> LRScheduler:
    """Multiplies the learning rate by `gamma` at each milestone, given as a share of the steps.

    Raises:
        ValueError: a milestone is not between 0 and 1, or `gamma` is not above 0.
    """
    if not all(0 < milestone < 1 for milestone in milestones):
        raise ValueError(f"milestones={list(milestones)}: must be shares of the steps, between 0 and 1")
    if gamma <= 0:
        raise ValueError(f"gamma={gamma}: must be above 0")
    return MultiStepLR(optimizer, [round(milestone * total_steps) for milestone in milestones], gamma)
