"""Gray images from color images, and the reverse."""

from collections.abc import Sequence

import torch
from torch import Tensor

_LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in the luma of ITU-R 601, as PIL has them, in units of 2**-16."""
_CHUNK = 4096
"""Images that are converted at once, as 32-bit integers."""


def convertible_channels(native_channels: int) -> tuple[int, ...]:
    """Return the numbers of channels that images can have which are stored with `native_channels`."""
    return (1, 3) if native_channels in (1, 3) else (native_channels,)


def convert_channels(images: Tensor, channels: int) -> Tensor:
    """Return images with another number of channels.

    Gray images are repeated, without a copy. Color images become gray as in PIL, bit for bit.

    Args:
        images: uint8 (N, C, H, W), C being 1 or 3 unless it is `channels`.
        channels: 1 or 3, or C.

    Returns:
        uint8 (N, channels, H, W).
    """
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    gray = torch.empty_like(images[:, :1], memory_format=torch.contiguous_format)
    for color_chunk, gray_chunk in zip(images.split(_CHUNK), gray.split(_CHUNK), strict=True):
        red, green, blue = color_chunk.int().unbind(1)
        luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue + 2**15
        gray_chunk[:, 0] = luma >> 16
    return gray


def convert_mean(mean: float | Sequence[float], channels: int) -> float | Sequence[float]:
    """Return the mean of the pixels after `convert_channels`, of one number or one for each channel before it."""
    if not isinstance(mean, Sequence) or len(mean) == channels:
        return mean
    if channels == 3:
        return tuple(mean) * 3
    return sum(weight * value for weight, value in zip(_LUMA, mean, strict=True)) / 2**16


def convert_std(std: float | Sequence[float], channels: int) -> float | Sequence[float]:
    """Return the standard deviation of the pixels after `convert_channels`, likewise.

    That of gray pixels is the weighted mean of those of the channels. This is exact if the channels rise and fall
    together, as they almost do in photographs, and an upper bound otherwise.
    """
    return convert_mean(std, channels)
