"""RandAugment and TrivialAugment: an operation chosen at random for every image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import operations
from cnn_experiments.data.augmentation.checks import check_interpolation


@dataclass(frozen=True)
class OperationSpace:
    """The operations of AutoAugment's successors, with the magnitude of each in the last of the bins.

    Args:
        shear: pixels per pixel.
        translate_x: pixels.
        translate_y: pixels.
        rotate: degrees.
        blend: how far brightness, color, contrast and sharpness differ from those of the image, which have 1.
        posterize: the bits that are lost.
    """

    shear: float
    translate_x: float
    translate_y: float
    rotate: float
    blend: float
    posterize: float

    def operations(self, interpolation: str) -> list[Callable[[Tensor, Tensor], Tensor]]:
        """Return the operations in the order of torchvision."""
        warps = (
            operations.shear_x,
            operations.shear_y,
            operations.translate_x,
            operations.translate_y,
            operations.rotate,
        )
        return [
            operations.identity,
            *(partial(warp, interpolation=interpolation) for warp in warps),
            operations.adjust_brightness,
            operations.adjust_color,
            operations.adjust_contrast,
            operations.adjust_sharpness,
            operations.posterize,
            operations.solarize,
            operations.autocontrast,
            operations.equalize,
        ]

    def magnitudes(self, num_bins: int) -> Tensor:
        """Return the magnitudes of each operation, float32 (14, num_bins)."""
        signed = (self.shear, self.shear, self.translate_x, self.translate_y, self.rotate, *[self.blend] * 4)
        lost_bits = torch.arange(num_bins) / ((num_bins - 1) / self.posterize)
        return torch.stack(
            [
                torch.zeros(num_bins),
                *(torch.linspace(0.0, largest, num_bins) for largest in signed),
                (8 - lost_bits).round(),
                torch.linspace(1.0, 0.0, num_bins),
                torch.zeros(num_bins),
                torch.zeros(num_bins),
            ]
        )


_SIGNED = slice(1, 10)
"""The operations whose magnitudes are negative for half of the images."""


class TrivialAugmentWide:
    """Apply one random operation with a random magnitude to each image (Müller and Hutter, 2021, arXiv 2103.10158).

    Operations and magnitudes are those of the paper's wide space, as in torchvision. An image is shifted by up to 32
    pixels, whatever its size.

    Args:
        num_magnitude_bins: the number of magnitudes of each operation.
        interpolation: nearest or bilinear, of the operations that move pixels.
    """

    SPACE = OperationSpace(shear=0.99, translate_x=32.0, translate_y=32.0, rotate=135.0, blend=0.99, posterize=6)

    def __init__(self, num_magnitude_bins: int, interpolation: str) -> None:
        self.num_magnitude_bins = _check_num_bins(num_magnitude_bins)
        self.interpolation = check_interpolation(interpolation)

    def __call__(self, images: Tensor) -> Tensor:
        bins = torch.randint(self.num_magnitude_bins, (len(images),))
        return _apply_random_operations(images, self.SPACE, bins, self.num_magnitude_bins, self.interpolation)


class RandAugment:
    """Apply random operations of one magnitude to each image, in turn (Cubuk et al., 2019, arXiv 1909.13719).

    Args:
        num_ops: the number of operations.
        magnitude: the bin of the magnitude, from 0.
        num_magnitude_bins: the number of magnitudes of each operation.
        interpolation: nearest or bilinear, of the operations that move pixels.
    """

    def __init__(self, num_ops: int, magnitude: int, num_magnitude_bins: int, interpolation: str) -> None:
        if num_ops < 1:
            raise ArgumentError("num_ops", num_ops, "must be at least 1")
        self.num_magnitude_bins = _check_num_bins(num_magnitude_bins)
        if not 0 <= magnitude < num_magnitude_bins:
            problem = f"must be in 0..{num_magnitude_bins - 1}, as num_magnitude_bins is {num_magnitude_bins}"
            raise ArgumentError("magnitude", magnitude, problem)
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.interpolation = check_interpolation(interpolation)

    @staticmethod
    def space(height: int, width: int) -> OperationSpace:
        """Return the operations for images of so many pixels."""
        return OperationSpace(
            shear=0.3,
            translate_x=150.0 / 331.0 * width,
            translate_y=150.0 / 331.0 * height,
            rotate=30.0,
            blend=0.9,
            posterize=4,
        )

    def __call__(self, images: Tensor) -> Tensor:
        space = self.space(*images.shape[-2:])
        bins = torch.full((len(images),), self.magnitude)
        for _ in range(self.num_ops):
            images = _apply_random_operations(images, space, bins, self.num_magnitude_bins, self.interpolation)
        return images


def _apply_random_operations(
    images: Tensor, space: OperationSpace, bins: Tensor, num_bins: int, interpolation: str
) -> Tensor:
    """Return images, each after one operation with the magnitude of its bin.

    Operations are drawn on the CPU: so is known how many images each gets, without waiting for the device.
    """
    if images.shape[1] not in (1, 3):
        raise ValueError(f"needs images of 1 or 3 channels, not {images.shape[1]}")
    functions = space.operations(interpolation)
    choices = torch.randint(len(functions), (len(images),))
    signs = torch.ones(len(functions), 2)
    signs[_SIGNED, 1] = -1
    magnitudes = space.magnitudes(num_bins)[choices, bins] * signs[choices, torch.randint(2, (len(images),))]
    order = choices.argsort()
    counts = choices.bincount(minlength=len(functions)).tolist()
    grouped_images = images[_to_device(order, images.device)].split(counts)
    grouped_magnitudes = _to_device(magnitudes[order], images.device).split(counts)
    results = [
        function(group, magnitudes)
        for function, group, magnitudes in zip(functions, grouped_images, grouped_magnitudes, strict=True)
        if len(group)
    ]
    return torch.cat(results)[_to_device(order.argsort(), images.device)]


def _to_device(values: Tensor, device: torch.device) -> Tensor:
    """Return a copy on the device, for which the CPU does not wait."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def _check_num_bins(num_magnitude_bins: int) -> int:
    if num_magnitude_bins < 2:
        raise ArgumentError("num_magnitude_bins", num_magnitude_bins, "must be at least 2")
    return num_magnitude_bins
