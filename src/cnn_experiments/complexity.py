"""What a network costs and what it accepts, measured on tensors without memory."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


def _on_meta(model: nn.Module) -> Callable[[int, int], Tensor]:
    """The network's forward pass in eval mode on shapes alone, given channels and size of a single square image."""
    state = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }

    def forward(channels: int, size: int) -> Tensor:
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                output: Tensor = functional_call(model, state, torch.empty(1, channels, size, size, device="meta"))
        finally:
            model.train(training)
        return output

    return forward


def parameters(model: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def multiply_adds(model: nn.Module, channels: int, size: int) -> int:
    """Multiply-adds of one forward pass of one image of `size` x `size` pixels: convolutions and matrix products."""
    forward = _on_meta(model)
    with FlopCounterMode(display=False) as counter:
        forward(channels, size)
    return counter.get_total_flops() // 2


def smallest_size(model: nn.Module, channels: int, largest: int) -> int | None:
    """The fewest pixels a side that the network accepts, or None where it refuses even `largest`."""
    forward = _on_meta(model)

    def accepts(size: int) -> bool:
        try:
            forward(channels, size)
        except RuntimeError:
            return False
        return True

    if not accepts(largest):
        return None
    refused, accepted = 0, largest
    while accepted - refused > 1:
        middle = (refused + accepted) // 2
        if accepts(middle):
            accepted = middle
        else:
            refused = middle
    return accepted
