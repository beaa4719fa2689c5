"""Augmentation that moves the pixels of images: flips, crops, rotations and affine maps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation.checks import (
    check_degrees,
    check_interpolation,
    check_probability,
    check_scale,
)
from cnn_experiments.data.augmentation.warping import rotation_matrices, warp, warp_matrices


class RandomHorizontalFlip:
    """Flip each image left to right with probability `p`."""

    def __init__(self, p: float) -> None:
        self.p = check_probability(p)

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


class RandomRotation:
    """Rotate each image around its center by a random angle; the corners that are left are black.

    Args:
        degrees: the angle is uniform in [-degrees, degrees].
        interpolation: nearest or bilinear.
    """

    def __init__(self, degrees: float, interpolation: str) -> None:
        self.degrees = check_degrees(degrees)
        self.interpolation = check_interpolation(interpolation)

    def __call__(self, images: Tensor) -> Tensor:
        angles = _uniform(-self.degrees, self.degrees, images)
        return warp(images, rotation_matrices(angles), self.interpolation)


class RandomAffine:
    """Rotate, shift, scale and shear each image around its center at random; what is left of it is black.

    Args:
        degrees: the angle is uniform in [-degrees, degrees].
        translate: the largest shifts to the sides, and up and down, as shares of the width and height; in whole pixels.
        scale: the range of the factor by which the image is enlarged.
        shear: the angle of the shear along the width is uniform in [-shear, shear], in degrees.
        interpolation: nearest or bilinear.
    """

    def __init__(
        self, degrees: float, translate: Sequence[float], scale: Sequence[float], shear: float, interpolation: str
    ) -> None:
        self.degrees = check_degrees(degrees)
        if not (len(translate) == 2 and all(0 <= share <= 1 for share in translate)):
            raise ArgumentError("translate", list(translate), "must be two shares in [0, 1], of the width and height")
        self.translate = translate
        self.scale = check_scale(scale)
        if not 0 <= shear < 90:
            raise ArgumentError("shear", shear, "must be the largest angle in degrees, >= 0 and < 90")
        self.shear = shear
        self.interpolation = check_interpolation(interpolation)

    def __call__(self, images: Tensor) -> Tensor:
        sides = zip(self.translate, (images.shape[-1], images.shape[-2]), strict=True)
        matrices = warp_matrices(
            angles=_uniform(-self.degrees, self.degrees, images),
            translations=torch.stack([_uniform(-share * side, share * side, images).round() for share, side in sides]),
            scales=_uniform(self.scale[0], self.scale[1], images),
            shears=_uniform(-self.shear, self.shear, images),
        )
        return warp(images, matrices, self.interpolation)


def _uniform(smallest: float, largest: float, images: Tensor) -> Tensor:
    """Return a random number for each image, (N,), on their device."""
    return torch.empty(len(images), device=images.device).uniform_(smallest, largest)
