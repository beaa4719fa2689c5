"""Transforms of whole batches of uint8 images (N, C, H, W) into network inputs, on the device of the batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True)
class Preprocessing:
    """What turns images, as stored or augmented, into the inputs of a network: resizing, scaling and normalizing."""

    size: int
    """Pixels a side of the inputs."""
    mean: float | Sequence[float]
    """Subtracted from pixels in 0..1; one number for all channels, or one for each."""
    std: float | Sequence[float]
    """Divides the difference; likewise."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 (N, C, size, size) of uint8 images (N, C, H, W)."""
        inputs = to_float(resize(images, self.size))
        return inputs if self.mean == 0 and self.std == 1 else normalize_(inputs, self.mean, self.std)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize to `size` x `size` pixels, bilinear with antialiasing.

    When enlarging uint8 images on a CPU, the result equals PIL's bit for bit.
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.resize(images, [size, size], antialias=True)


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 to float32 in 0..1, as torchvision's ToTensor does."""
    return images.to(torch.float32).div_(255)


def normalize_(images: Tensor, mean: float | Sequence[float], std: float | Sequence[float]) -> Tensor:
    """Normalize float images in place.

    Args:
        images: (N, C, H, W).
        mean: subtracted from the pixels; one number for all channels, or one for each.
        std: divides the difference; likewise.
    """
    num_channels = images.shape[1]
    means, stds = (value if isinstance(value, Sequence) else [value] * num_channels for value in (mean, std))
    # Python numbers, because a tensor would be copied to the device for every batch.
    for channel, channel_mean, channel_std in zip(range(num_channels), means, stds, strict=True):
        images[:, channel].sub_(channel_mean).div_(channel_std)
    return images
