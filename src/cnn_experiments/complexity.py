"""What a network costs and what it accepts, measured on tensors without memory where it lets itself be."""

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


def _forward(model: nn.Module, channels: int, size: int, device: str) -> None:
    """One image through the network in eval mode: on `cpu`, where the network is, or on `meta`, on shapes alone."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors} if device == "meta" else {}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            functional_call(model, state, torch.zeros(1, channels, size, size, device=device))
    finally:
        model.train(training)


def parameters(model: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def multiply_adds(model: nn.Module, channels: int, size: int) -> int:
    """Multiply-adds of one forward pass of one image of `size` x `size` pixels: convolutions and matrix products."""
    device = "meta" if refusal(model, channels, size, "meta") is None else "cpu"
    with FlopCounterMode(display=False) as counter:
        _forward(model, channels, size, device)
    return counter.get_total_flops() // 2


def refusal(model: nn.Module, channels: int, size: int, device: str) -> str | None:
    """What the network says to one image of that size that it does not take; None where it takes it."""
    try:
        _forward(model, channels, size, device)
    except Exception as error:  # a network may say no in any way
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


def smallest_size(model: nn.Module, channels: int, largest: int, device: str) -> int | None:
    """The fewest pixels a side that the network accepts, or None where it refuses even `largest`."""
    if refusal(model, channels, largest, device) is not None:
        return None
    refused, accepted = 0, largest
    while accepted - refused > 1:
        middle = (refused + accepted) // 2
        if refusal(model, channels, middle, device) is None:
            accepted = middle
        else:
            refused = middle
    return accepted
