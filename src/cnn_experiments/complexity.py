"""What a network costs and what it accepts, measured on tensors without memory where it lets itself be."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from cnn_experiments.errors import in_one_line


def _state(model: nn.Module, device: str) -> dict[str, Tensor]:
    """Parameters and copies of the buffers, so that the network stays as it is; on `meta` without values."""
    state: dict[str, Tensor] = {name: buffer.clone() for name, buffer in model.named_buffers()}
    state |= model.named_parameters()
    if device == "meta":
        return {
            name: torch.empty_like(each, device=device).requires_grad_(each.requires_grad)
            for name, each in state.items()
        }
    return state


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in before.items():
            module.training = was_training


def _look(model: nn.Module, channels: int, size: int, device: str, batch_size: int = 1, training: bool = False) -> Any:
    """What comes of a batch: on `cpu`, where the network is, or on `meta`, of shapes alone."""
    images = torch.zeros(batch_size, channels, size, size, device=device)
    with torch.no_grad(), _mode(model, training):
        return functional_call(model, _state(model, device), images)


def usable_device(model: nn.Module, channels: int, size: int, training: bool = False) -> str:
    """`meta` where the network takes images without values, `cpu` otherwise."""
    trial = model, channels, size, "meta"
    said = training_refusal(*trial, batch_size=2) if training else refusal(*trial)
    return "meta" if said is None else "cpu"


def parameters(model: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def multiply_adds(model: nn.Module, channels: int, size: int, device: str) -> int:
    """Multiply-adds of one forward pass of one image of `size` x `size` pixels: convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        _look(model, channels, size, device)
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class Stage:
    """A part of a network that an image goes through as a whole."""

    name: str
    layers: str
    """`Conv2d, ReLU x 2`."""
    shape: tuple[int, ...]
    """Of what comes out, for one image; empty where that is no tensor."""
    parameters: int
    multiply_adds: int


def stages(model: nn.Module, channels: int, size: int, device: str) -> list[Stage]:
    """The network's children, and the children of those that are sequences, lists or dictionaries, in order of use.

    Left out is what happens between them. What two of them share counts for the first.
    """
    parts = _parts(model)
    found: dict[str, tuple[tuple[int, ...], int]] = {}
    started: list[int] = []
    hooks = []

    def start(*_: Any) -> None:
        started.append(counter.get_total_flops())

    for name, module in parts.items():

        def end(_module: nn.Module, _: Any, output: Any, name: str = name) -> None:
            cost = (counter.get_total_flops() - started.pop()) // 2
            first = output[0] if isinstance(output, tuple) and output else output  # as recurrent layers return it
            shape = tuple(first.shape[1:]) if isinstance(first, Tensor) else ()
            found[name] = shape, cost + (found[name][1] if name in found else 0)

        hooks += [module.register_forward_pre_hook(start), module.register_forward_hook(end)]
    try:
        with FlopCounterMode(display=False) as counter:
            _look(model, channels, size, device)
    finally:
        for hook in hooks:
            hook.remove()

    counted: set[nn.Parameter] = set()
    table = []
    for name, (shape, cost) in found.items():
        own = set(parts[name].parameters()) - counted
        counted |= own
        weights = sum(parameter.numel() for parameter in own if parameter.requires_grad)
        table.append(Stage(name, _layers(parts[name]), shape, weights, cost))
    return table


def _parts(model: nn.Module) -> dict[str, nn.Module]:
    """Each module once, under its first name."""
    parts: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        whole = not isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        inner = [(name, child)] if whole else [(f"{name}.{key}", each) for key, each in child.named_children()]
        parts |= {key: module for key, module in inner if module not in parts.values()}
    return parts


def _layers(module: nn.Module) -> str:
    """The kinds of layers in a sequence, or the kind of one."""

    def flat(module: nn.Module) -> list[str]:
        if isinstance(module, nn.Sequential):
            return [kind for layer in module for kind in flat(layer)]
        return [type(module).__name__]

    runs = [(kind, len(list(run))) for kind, run in groupby(flat(module))]
    return ", ".join(f"{kind} x {count}" if count > 1 else kind for kind, count in runs)


def parameter_bytes(model: nn.Module) -> int:
    """The memory of all parameters."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def activation_bytes(model: nn.Module, channels: int, size: int, device: str, batch_size: int) -> int:
    """The memory of what a training step keeps of a batch for its backward pass, the images included.

    What autograd saves but parameters and statistics; it grows linearly with the batch, and is measured on two and four
    images.
    """
    with _mode(model, training=True):
        two, four = (_saved_bytes(model, torch.zeros(count, channels, size, size, device=device)) for count in (2, 4))
    return two + (four - two) // 2 * (batch_size - 2)


def _saved_bytes(model: nn.Module, images: Tensor) -> int:
    saved: dict[int, UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage
        return tensor

    state = _state(model, images.device.type)
    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        functional_call(model, state, images)
    for tensor in state.values():
        saved.pop(tensor.untyped_storage()._cdata, None)
    return sum(storage.nbytes() for storage in saved.values())


def refusal(model: nn.Module, channels: int, size: int, device: str, classes: int | None = None) -> str | None:
    """What is wrong with one image of that size for the network, or with its scores for it; None where nothing is.

    Without `classes`, anything may come out.
    """
    try:
        scores = _look(model, channels, size, device)
    except Exception as error:  # a network may say no in any way
        return in_one_line(error)
    found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if classes is not None and found != (1, classes):
        return f"one image's scores must be (1, {classes}), not {found}"
    return None


def training_refusal(model: nn.Module, channels: int, size: int, device: str, batch_size: int) -> str | None:
    """What is wrong with a batch of that size for the network in training; None where nothing is."""
    try:
        _look(model, channels, size, device, batch_size, training=True)
    except Exception as error:  # a network may say no in any way
        return in_one_line(error)
    return None


def smallest_size(model: nn.Module, channels: int, largest: int, device: str) -> int | None:
    """The fewest pixels a side that the network accepts, or None where it refuses even `largest`."""
    if refusal(model, channels, largest, device) is not None:
        return None
    refused, accepted = 0, 1
    while refusal(model, channels, accepted, device) is not None:
        refused, accepted = accepted, min(2 * accepted, largest)
    while accepted - refused > 1:
        middle = (refused + accepted) // 2
        if refusal(model, channels, middle, device) is None:
            accepted = middle
        else:
            refused = middle
    return accepted
