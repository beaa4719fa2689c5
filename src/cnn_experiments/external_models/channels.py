"""Gray images for networks that are made for color images."""

from typing import Any

from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError

COLOR_CHANNELS = 3


def check_repeat_channels(repeat_channels: bool, in_channels: int) -> None:
    """Check that there is one channel to repeat, or that there are three already.

    Raises:
        ArgumentError: the images have another number of channels.
    """
    if repeat_channels and in_channels not in (1, COLOR_CHANNELS):
        problem = f"must be false for images of {in_channels} channels: only gray ones can be repeated"
        raise ArgumentError("repeat_channels", repeat_channels, problem)


def repeat_gray_channel(network: nn.Module) -> None:
    """Let a network repeat the channel of gray images: (N, 1, H, W) to (N, 3, H, W)."""
    network.register_forward_pre_hook(_repeat)


def _repeat(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
    (images,) = inputs
    return (images.expand(-1, COLOR_CHANNELS, -1, -1),)


def set_in_channels(network: nn.Module, in_channels: int) -> None:
    """Change the first convolution, which takes three channels, so that it takes another number of them.

    Its weights are averaged over the channels, and scaled so that gray images have the features that they would have if
    their channel was repeated.
    """
    conv = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    weight = conv.weight.detach().sum(1, keepdim=True) / in_channels
    conv.weight = nn.Parameter(weight.repeat(1, in_channels, 1, 1))
    conv.in_channels = in_channels
