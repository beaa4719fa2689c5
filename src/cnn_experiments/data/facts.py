"""What a data set states of itself, and what a checkpoint keeps of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cnn_experiments.data.validation import facts_problem

_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True)
class DataFacts:
    """Everything that a trained network needs of its data set without the images."""

    class_names: Sequence[str]
    native_size: int
    num_train_images: int
    num_test_images: int
    mean: float | Sequence[float]
    """Of the training pixels in 0..1, with the channels that reach the network."""
    std: float | Sequence[float]
    background: int | None

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        state = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in state.items()}

    @classmethod
    def from_state(cls, state: Any, channels: int, classes: int) -> "DataFacts":
        """Return what a checkpoint has kept.

        Args:
            state: should be what `state_dict` returned.
            channels: of the images that reach the network.
            classes: the number of classes.

        Raises:
            ValueError: it is something else.
        """
        names = cls.__dataclass_fields__.keys()
        if not isinstance(state, Mapping) or state.keys() != names:
            raise ValueError(f"must have {', '.join(names)}")
        if problem := facts_problem(state, channels, classes):
            raise ValueError(problem)
        if isinstance(state["mean"], str) or isinstance(state["std"], str):
            raise ValueError("mean and std must be numbers")
        background = state["background"]
        if background is not None and (type(background) is not int or not 0 <= background <= 255):
            raise ValueError("background must be an integer in 0..255")
        return cls(**state)


def measure_pixels(images: Tensor, index: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of all pixels in 0..1, one of each for every channel.

    Both are exact but for the rounding at the end. The standard deviation of pixels that are all equal is given as 1.

    Args:
        images: uint8 (M, C, H, W).
        index: int64 (N,), of the images that count.
    """
    num_channels = images.shape[1]
    counts = torch.zeros(num_channels, 256, dtype=torch.int64)
    for chunk in index.split(_IMAGES_AT_ONCE):
        for channel, pixels in enumerate(images[chunk].unbind(1)):
            counts[channel] += torch.bincount(pixels.flatten(), minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(dim=1, keepdim=True).double()
    mean = (share * values).sum(dim=1)
    std = (share * (values - mean[:, None]) ** 2).sum(dim=1).sqrt()
    return tuple(mean.tolist()), tuple(value or 1.0 for value in std.tolist())
