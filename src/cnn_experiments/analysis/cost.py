"""The cost of a network: parameters, multiply-adds and memory, of the whole network and of each stage."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from cnn_experiments.analysis.probe import ImageSpec, copy_state, run_forward, training_mode


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_multiply_adds(model: nn.Module, image: ImageSpec) -> int:
    """Return the multiply-adds of one image's forward pass, of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        run_forward(model, image)
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage of a network."""

    name: str
    layers: str
    """The class names of its layers, such as `Conv2d, ReLU x 2`."""
    shape: tuple[int, ...]
    """The shape of its output for one image, or () if the output is not a tensor."""
    parameters: int
    multiply_adds: int


def stage_costs(model: nn.Module, image: ImageSpec) -> list[StageCost]:
    """Return the cost of each stage, in the order of execution.

    The stages are the model's children; a child that is a Sequential, ModuleList or ModuleDict is replaced by its own
    children. Operations between the stages are not counted. A parameter that two stages share is counted for the first.
    """
    stages = _stages(model)
    outputs: dict[str, tuple[tuple[int, ...], int]] = {}
    flops_before: list[int] = []
    hooks = []

    def before_forward(*_: Any) -> None:
        flops_before.append(counter.get_total_flops())

    for name, module in stages.items():

        def after_forward(_module: nn.Module, _: Any, output: Any, name: str = name) -> None:
            multiply_adds = (counter.get_total_flops() - flops_before.pop()) // 2
            tensor = output[0] if isinstance(output, tuple) and output else output  # recurrent layers return a tuple
            shape = tuple(tensor.shape[1:]) if isinstance(tensor, Tensor) else ()
            _, previous_multiply_adds = outputs.get(name, ((), 0))  # of a stage that is used more than once
            outputs[name] = shape, previous_multiply_adds + multiply_adds

        hooks += [module.register_forward_pre_hook(before_forward), module.register_forward_hook(after_forward)]
    try:
        with FlopCounterMode(display=False) as counter:
            run_forward(model, image)
    finally:
        for hook in hooks:
            hook.remove()

    counted: set[nn.Parameter] = set()
    costs = []
    for name, (shape, multiply_adds) in outputs.items():
        uncounted = set(stages[name].parameters()) - counted
        counted |= uncounted
        num_parameters = sum(parameter.numel() for parameter in uncounted if parameter.requires_grad)
        costs.append(StageCost(name, _layer_names(stages[name]), shape, num_parameters, multiply_adds))
    return costs


def all_stage_costs(model: nn.Module, image: ImageSpec) -> list[StageCost]:
    """Return the cost of each stage and, if there is one, what is counted in no stage, so that the sum is the whole.

    The latter has the name `between stages`.
    """
    stages = stage_costs(model, image)
    parameters = count_parameters(model) - sum(stage.parameters for stage in stages)
    multiply_adds = count_multiply_adds(model, image) - sum(stage.multiply_adds for stage in stages)
    if parameters or multiply_adds:
        stages.append(StageCost("between stages", "", (), parameters, multiply_adds))
    return stages


def _stages(model: nn.Module) -> dict[str, nn.Module]:
    """Return each stage once, under its first name."""
    stages: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            candidates = [(f"{name}.{key}", grandchild) for key, grandchild in child.named_children()]
        else:
            candidates = [(name, child)]
        stages |= {key: module for key, module in candidates if module not in stages.values()}
    return stages


def _layer_names(module: nn.Module) -> str:
    """Return the class names of a Sequential's layers, or the class name of a single module."""

    def class_names(module: nn.Module) -> list[str]:
        if isinstance(module, nn.Sequential):
            return [name for layer in module for name in class_names(layer)]
        return [type(module).__name__]

    counts = [(name, len(list(group))) for name, group in groupby(class_names(module))]
    return ", ".join(f"{name} x {count}" if count > 1 else name for name, count in counts)


def parameter_bytes(model: nn.Module) -> int:
    """Return the memory of all parameters in bytes."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def activation_bytes(model: nn.Module, image: ImageSpec, batch_size: int) -> int:
    """Return the memory in bytes that a training step keeps for the backward pass, including the images.

    These are the tensors that autograd saves, without parameters and buffers. They grow linearly with the batch size,
    and are measured with two and with four images.
    """
    with training_mode(model, training=True):
        two, four = (_saved_bytes(model, image.zeros(num_images)) for num_images in (2, 4))
    return two + (four - two) // 2 * (batch_size - 2)


def saved_bytes(model: nn.Module, image: ImageSpec, batch_size: int) -> int:
    """Return the memory in bytes that a training step of just these images keeps for the backward pass."""
    with training_mode(model, training=True):
        return _saved_bytes(model, image.zeros(batch_size))


def _saved_bytes(model: nn.Module, images: Tensor) -> int:
    """Return the memory in bytes of the tensors that autograd saves in a forward pass of these images."""
    saved: dict[int, UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage
        return tensor

    state = copy_state(model, images.device.type)
    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        functional_call(model, state, images)
    for tensor in state.values():
        saved.pop(tensor.untyped_storage()._cdata, None)
    return sum(storage.nbytes() for storage in saved.values())


def format_bytes(count: int) -> str:
    """Return three digits or a little more: 174 KiB, 491 MiB, 13.2 GiB."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
