"""Augmentation of whole batches on their device: uint8 images (N, C, H, W) in, uint8 images of the same shape out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError

Augmentation = Callable[[Tensor], Tensor]


class RandomHorizontalFlip:
    """Flip each image left to right with probability `p`."""

    def __init__(self, p: float) -> None:
        self.p = _check_probability(p)

    def __call__(self, images: Tensor) -> Tensor:
        flipped = torch.rand(len(images), device=images.device) < self.p
        return torch.where(flipped[:, None, None, None], images.flip(-1), images)


class RandomCrop:
    """Pad each image with `padding` black pixels on all sides, and crop it to its size at a random position."""

    def __init__(self, padding: int) -> None:
        if padding < 1:
            raise ArgumentError("padding", padding, "must be at least 1")
        self.padding = padding

    def __call__(self, images: Tensor) -> Tensor:
        num_images, _, height, width = images.shape
        padded = torch.nn.functional.pad(images, [self.padding] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # N, C, 2 * padding + 1, 2 * padding + 1, H, W
        rows, columns = torch.randint(2 * self.padding + 1, (2, num_images), device=images.device)
        return windows[torch.arange(num_images, device=images.device), :, rows, columns]


class RandomErasing:
    """Fill a random rectangle of each image with noise, with probability `p` (Zhong et al., 2017, arXiv 1708.04896).

    Unlike in the paper, the aspect ratio is log-uniform, as in torchvision, and a rectangle longer than the image is
    clipped to fit.

    Args:
        p: the probability.
        scale: the range of the rectangle's share of the image.
        ratio: the smallest aspect ratio of the rectangle; the largest is 1 / ratio.
    """

    def __init__(self, p: float, scale: Sequence[float], ratio: float) -> None:
        self.p = _check_probability(p)
        if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
            raise ArgumentError("scale", list(scale), "must be two shares in (0, 1], the smaller one first")
        if not 0 < ratio <= 1:
            raise ArgumentError("ratio", ratio, "must be in (0, 1]")
        self.scale = scale
        self.ratio = ratio

    def __call__(self, images: Tensor) -> Tensor:
        num_images, _, height, width = images.shape
        probability, area_fraction, ratio_position, y, x = torch.rand(5, num_images, 1, device=images.device)
        smallest, largest = self.scale
        area = (smallest + (largest - smallest) * area_fraction) * height * width
        aspect_ratio = self.ratio ** (1 - 2 * ratio_position)
        box_height = (area * aspect_ratio).sqrt().round().clamp(1, height)
        box_width = (area / aspect_ratio).sqrt().round().clamp(1, width)
        top, left = (y * (height - box_height + 1)).floor(), (x * (width - box_width + 1)).floor()
        rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        in_rows = (rows >= top) & (rows < top + box_height) & (probability < self.p)
        in_columns = (columns >= left) & (columns < left + box_width)
        erased = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        noise = torch.randint(256, images.shape, dtype=torch.uint8, device=images.device)
        return torch.where(erased, noise, images)


def _check_probability(p: float) -> float:
    if not 0 <= p <= 1:
        raise ArgumentError("p", p, "must be a probability in [0, 1]")
    return p
