"""The optimizer and the learning-rate schedule of a run, built from its settings."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cnn_experiments.config.instantiate import (
    attribute_errors_to,
    find_target,
    instantiate_partial,
    target_parameters,
)
from cnn_experiments.config.rules import BELOW_ONE, BOOL, one_of
from cnn_experiments.errors import ConfigError
from cnn_experiments.training.metrics import monitor_mode
from cnn_experiments.training.schedules import Interval, RunSchedule, constant

Settings = Mapping[str, Any]
"""All settings of a run, nested and in plain values."""


def build_optimizer(settings: Settings, module: nn.Module) -> Optimizer:
    """Return the optimizer of those parameters of a module that require a gradient.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("optimizer", settings["optimizer"]):
        return optimizer_factory(settings)(module)


def build_scheduler(settings: Settings, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
    """Return the learning-rate schedule over so many steps of the optimizer.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("scheduler", settings["scheduler"]):
        return schedule_factory(settings)(optimizer, total_steps, steps_per_epoch)


def probe_optimizer(settings: Settings) -> int:
    """Return how many numbers the optimizer stores for each value of a parameter, after two steps of a small one.

    Raises:
        ConfigError: it raises an error in a step.
    """
    layer = nn.Linear(2, 2, bias=False, device="meta").to_empty(device="cpu")  # without drawing weights at random
    weight = layer.weight
    nn.init.ones_(weight)
    optimizer = build_optimizer(settings, layer)
    with attribute_errors_to("optimizer", settings["optimizer"]):
        for _ in range(2):
            weight.grad = torch.full_like(weight, 1e-3)
            optimizer.step(lambda: 0.0)
        states = [value for state in optimizer.state.values() for value in state.values()]
    return sum(isinstance(value, torch.Tensor) and value.shape == weight.shape for value in states)


def optimizer_factory(settings: Settings) -> Callable[[nn.Module], Optimizer]:
    """Return what makes the optimizer of a module.

    Raises:
        ConfigError: there is no such optimizer.
    """
    own, arguments = _split_settings(settings, "optimizer", ("decay_norm_and_bias",), Optimizer)
    make = instantiate_partial("optimizer", arguments, Optimizer)
    decay_norm_and_bias = own.get("decay_norm_and_bias", True)
    BOOL.check("optimizer.decay_norm_and_bias", decay_norm_and_bias)

    def build(module: nn.Module) -> Optimizer:
        optimizer: Optimizer = make(parameter_groups(module, decay_norm_and_bias))
        if not decay_norm_and_bias and "weight_decay" not in optimizer.defaults:
            problem = "must be true for an optimizer without weight_decay"
            raise ConfigError("optimizer.decay_norm_and_bias", decay_norm_and_bias, problem=problem)
        return optimizer

    return build


def parameter_groups(module: nn.Module, decay_norm_and_bias: bool) -> list[nn.Parameter] | list[dict[str, Any]]:
    """Return what an optimizer gets: the parameters of a module that require a gradient.

    Weights of convolutions and linear layers decay. Vectors, whatever layer they are of, and everything in layers that
    have "Norm" in the name of their class are neither.

    Args:
        module: a network, or one with its loss.
        decay_norm_and_bias: whether all parameters are in one group; otherwise biases and the parameters of
            normalization layers are in a second one, which has no weight decay.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if decay_norm_and_bias:
        return trained
    without_decay = {
        parameter
        for layer in module.modules()
        for name, parameter in layer.named_parameters(recurse=False)
        if parameter.ndim <= 1 or name == "bias" or "Norm" in type(layer).__name__
    }
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if parameter not in without_decay]},
        {"params": [parameter for parameter in trained if parameter in without_decay], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def schedule_factory(settings: Settings) -> Callable[[Optimizer, int, int], LRScheduler]:
    """Return what makes the schedule of an optimizer, given the steps of the whole run and those of an epoch.

    Raises:
        ConfigError: there is no such schedule, or a setting that this program applies itself is not allowed.
    """
    own, arguments = _split_settings(settings, "scheduler", ("interval", "warmup_ratio"), LRScheduler)
    make = instantiate_partial("scheduler", arguments, LRScheduler)
    if is_plateau(settings):
        make = partial(make, mode=_plateau_mode(settings, own, arguments))
    interval = _interval(settings, own)
    warmup_ratio = own.get("warmup_ratio", 0.0)
    BELOW_ONE.check("scheduler.warmup_ratio", warmup_ratio)
    steps_parameter = _steps_parameter(settings)

    def build(optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
        warmup_steps = min(round(warmup_ratio * total_steps), total_steps - 1)
        num_steps = total_steps - warmup_steps
        if interval == "epoch":  # those that end after the warm-up
            num_steps = ceil(total_steps / steps_per_epoch) - warmup_steps // steps_per_epoch
        schedule: LRScheduler = make(optimizer, **({steps_parameter: num_steps} if steps_parameter else {}))
        if interval == "step" and not warmup_ratio:
            return schedule
        return RunSchedule(optimizer, schedule, warmup_steps, interval)

    return build


def is_plateau(settings: Settings) -> bool:
    """Return whether the schedule lowers the learning rate when the monitored metric stops improving.

    Raises:
        ConfigError: there is no such schedule.
    """
    target_parameters("scheduler", settings["scheduler"], LRScheduler)
    target = find_target(settings["scheduler"]["_target_"])
    return isinstance(target, type) and issubclass(target, ReduceLROnPlateau)


def depends_on_num_steps(settings: Settings) -> bool:
    """Return whether the schedule depends on the number of steps of the whole run.

    Raises:
        ConfigError: there is no such schedule.
    """
    own, _ = _split_settings(settings, "scheduler", ("warmup_ratio",), LRScheduler)
    is_constant = find_target(settings["scheduler"]["_target_"]) is constant
    return bool(own.get("warmup_ratio")) or not (is_constant or _steps_parameter(settings) is None)


def _plateau_mode(settings: Settings, own: Settings, arguments: Settings) -> str:
    """Return the direction in which the monitored metric improves, which a schedule's file may repeat."""
    if "interval" in own:
        problem = "must be left out: this schedule is stepped after every evaluation"
        raise ConfigError("scheduler.interval", own["interval"], problem=problem)
    mode = monitor_mode(settings)
    if arguments.get("mode", mode) != mode:
        problem = f"must be left out, or {mode} as for monitor={settings['monitor']}"
        raise ConfigError("scheduler.mode", arguments["mode"], problem=problem)
    return mode


def _interval(settings: Settings, own: Settings) -> Interval:
    """Return after what a schedule is stepped; one that knows the steps of the whole run counts steps."""
    if is_plateau(settings):
        return "evaluation"
    if "interval" not in own and _steps_parameter(settings) is None:
        problem = "must be given: step or epoch, after which this schedule is stepped"
        raise ConfigError("scheduler.interval", problem=problem)
    interval: Interval = own.get("interval", "step")
    one_of("step", "epoch").check("scheduler.interval", interval)
    return interval


def _split_settings(
    settings: Settings, group: str, names: Iterable[str], kind: type
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a group that this program applies itself, and those of its class or function.

    One that has a parameter of the same name gets the setting.
    """
    parameters = target_parameters(group, settings[group], kind)
    own = {name: settings[group][name] for name in names if name in settings[group] and name not in parameters}
    return own, {name: value for name, value in settings[group].items() if name not in own}


def _steps_parameter(settings: Settings) -> str | None:
    """Return the parameter of a schedule that is the number of its steps in the whole run, or None.

    It is `total_steps`, or the second parameter of a schedule that is not torch's.
    """
    scheduler = settings["scheduler"]
    parameters = target_parameters("scheduler", scheduler, LRScheduler)
    if "total_steps" in parameters:
        return None if "total_steps" in scheduler else "total_steps"
    target = find_target(scheduler["_target_"])
    if str(getattr(target, "__module__", "")).startswith("torch.") or len(parameters) < 2:
        return None
    second = list(parameters.values())[1]
    is_open = second.kind is second.POSITIONAL_OR_KEYWORD and second.default is second.empty
    return second.name if is_open and second.name not in scheduler else None
