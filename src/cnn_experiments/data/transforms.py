"""Transforms of whole batches of uint8 images (N, C, H, W) into network inputs, on the device of the batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F


def random_horizontal_flip(images: Tensor) -> Tensor:
    """Flip each image left to right with probability 0.5."""
    flipped = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


def random_crop(images: Tensor, padding: int = 4) -> Tensor:
    """Pad each image with `padding` black pixels on all sides, and crop it to its size at a random position."""
    num_images, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [padding] * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # N, C, 2 * padding + 1, 2 * padding + 1, H, W
    rows, columns = torch.randint(2 * padding + 1, (2, num_images), device=images.device)
    return windows[torch.arange(num_images, device=images.device), :, rows, columns]


def random_erasing(images: Tensor) -> Tensor:
    """Fill a random rectangle of each image with noise, with probability 0.5 (Zhong et al., 2017, arXiv 1708.04896).

    The rectangle covers 2 to 40 % of the image and has an aspect ratio of 0.3 to 1 / 0.3. Unlike in the paper, the
    aspect ratio is log-uniform, as in torchvision, and a rectangle longer than the image is clipped to fit.
    """
    num_images, _, height, width = images.shape
    probability, area_fraction, ratio_position, y, x = torch.rand(5, num_images, 1, device=images.device)
    area = (0.02 + 0.38 * area_fraction) * height * width
    aspect_ratio = 0.3 ** (1 - 2 * ratio_position)
    box_height = (area * aspect_ratio).sqrt().round().clamp(1, height)
    box_width = (area / aspect_ratio).sqrt().round().clamp(1, width)
    top, left = (y * (height - box_height + 1)).floor(), (x * (width - box_width + 1)).floor()
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    in_rows = (rows >= top) & (rows < top + box_height) & (probability < 0.5)
    in_columns = (columns >= left) & (columns < left + box_width)
    erased = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    noise = torch.randint(256, images.shape, dtype=torch.uint8, device=images.device)
    return torch.where(erased, noise, images)


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


AUGMENTATIONS: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "none": (),
    "flip": (random_horizontal_flip,),
    "crop_flip": (random_crop, random_horizontal_flip),
    "crop_flip_erase": (random_crop, random_horizontal_flip, random_erasing),
}
"""The transforms of each option of `data.augment`, in the order in which they are applied."""


def augment(images: Tensor, augmentation: str) -> Tensor:
    """Apply the transforms of one of `AUGMENTATIONS`."""
    for transform in AUGMENTATIONS[augmentation]:
        images = transform(images)
    return images


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
