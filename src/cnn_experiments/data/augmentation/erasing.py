"""Random rectangles of images filled with noise."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation.checks import check_probability
from cnn_experiments.data.augmentation.rectangles import rectangle_mask


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
        self.p = check_probability(p)
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
        is_erased = (probability < self.p)[..., None, None]
        erased = rectangle_mask(top, top + box_height, left, left + box_width, height, width) & is_erased
        noise = torch.randint(256, images.shape, dtype=torch.uint8, device=images.device)
        return torch.where(erased, noise, images)
