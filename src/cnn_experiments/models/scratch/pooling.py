"""Max and average pooling: by their definition, and on windows."""

import math
from typing import Literal

import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models.scratch.windows import Pair, windows, windows_naive

PoolMode = Literal["max", "avg"]

_FILLS: dict[PoolMode, float] = {"max": -math.inf, "avg": 0.0}


def pool2d_naive(x: Tensor, size: Pair, mode: PoolMode, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return the maximum or average of every window of `size` = (h, w) in (H, W): (H', W'), as `pool2d` does."""
    _check_arguments(size, mode, padding)
    rows = windows_naive(x, size, stride, padding, _FILLS[mode])
    return torch.stack([torch.stack([_reduce(window.flatten(), mode) for window in row]) for row in rows])


def pool2d(x: Tensor, size: Pair, mode: PoolMode, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return the maximum or average of every window of `size` = (h, w): (..., H, W) to (..., H', W').

    H' is (H + 2 * padding - h) // stride + 1, and W' likewise. The padding is never a maximum. An average counts its
    zeros, as torch's does by default. Of equal maxima of a window, the first one gets the gradient.

    Args:
        x: images.
        size: height and width of a window.
        mode: `max` or `avg`.
        stride: rows and columns from one window to the next. torch's default is `size` instead.
        padding: rows added above and below the image, and columns added on its left and right.

    Raises:
        ArgumentError: `mode` is neither, or the padding is more than half of the window.
        ValueError: a window is larger than the padded image.
    """
    _check_arguments(size, mode, padding)
    return _reduce(windows(x, size, stride, padding, _FILLS[mode]).flatten(-2), mode)


def _reduce(values: Tensor, mode: PoolMode) -> Tensor:
    """Return the maximum or average of the last dimension."""
    return values.max(-1).values if mode == "max" else values.mean(-1)


def _check_arguments(size: Pair, mode: PoolMode, padding: Pair) -> None:
    """Check the mode, and that every window has a pixel of the image, as torch's pools do."""
    if mode not in _FILLS:
        raise ArgumentError("mode", mode, f"must be one of {', '.join(_FILLS)}")
    if any(2 * width > length for width, length in zip(padding, size, strict=True)):
        raise ArgumentError("padding", padding, f"must be at most half of the window's size, {size}")
