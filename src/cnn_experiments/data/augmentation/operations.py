"""The operations on images of AutoAugment and its successors, with a magnitude of its own for every image.

Each maps uint8 images (N, C, H, W) of one or three channels and magnitudes (N,) to images. For a single image they
equal those of torchvision, except that a gray level may be rounded in the other direction, and so may the place of a
pixel of `nearest` that is halfway between two.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as v2

from cnn_experiments.data.augmentation.warping import (
    precise,
    rotation_matrices,
    shear_matrices,
    translation_matrices,
    warp,
)


def shear_x(images: Tensor, magnitudes: Tensor, interpolation: str) -> Tensor:
    """Shear along the width by so many pixels per row; the top left corner stays where it is."""
    return warp(images, shear_matrices(precise(magnitudes), 0, *images.shape[-2:]), interpolation)


def shear_y(images: Tensor, magnitudes: Tensor, interpolation: str) -> Tensor:
    """Shear along the height by so many pixels per column; the top left corner stays where it is."""
    return warp(images, shear_matrices(0, precise(magnitudes), *images.shape[-2:]), interpolation)


def translate_x(images: Tensor, magnitudes: Tensor, interpolation: str) -> Tensor:
    """Shift to the right by so many pixels, without their fraction."""
    return warp(images, translation_matrices(magnitudes.trunc(), 0), interpolation)


def translate_y(images: Tensor, magnitudes: Tensor, interpolation: str) -> Tensor:
    """Shift down by so many pixels, without their fraction."""
    return warp(images, translation_matrices(0, magnitudes.trunc()), interpolation)


def rotate(images: Tensor, magnitudes: Tensor, interpolation: str) -> Tensor:
    """Rotate counterclockwise by so many degrees."""
    return warp(images, rotation_matrices(magnitudes), interpolation)


def adjust_brightness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Multiply pixels by 1 + magnitude."""
    return (images * (1 + _by_image(magnitudes))).clamp_(0, 255).to(torch.uint8)


def adjust_color(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Move pixels away from the gray of their brightness; gray images stay as they are."""
    if images.shape[1] == 1:
        return images
    return _move_away_from(v2.rgb_to_grayscale(images), images, magnitudes)


def adjust_contrast(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Move pixels away from the mean brightness of their image."""
    means = v2.rgb_to_grayscale(images).float().mean(dim=(1, 2, 3), keepdim=True)
    return _move_away_from(means, images, magnitudes)


def adjust_sharpness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Move pixels away from a blurred image; those at the edge, and images of one or two pixels a side, stay."""
    if min(images.shape[-2:]) <= 2:
        return images
    inside = images[..., 1:-1, 1:-1]
    # Weights 1 of the neighbors and 5 of the pixel. A convolution may be rounded to ten bits on a GPU.
    blurred = ((9 * F.avg_pool2d(images.float(), 3, stride=1) + 4 * inside.float()) / 13).round_()
    result = images.clone()
    result[..., 1:-1, 1:-1] = _move_away_from(blurred, inside, magnitudes)
    return result


def posterize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Keep as many bits of each pixel as the magnitude, the highest ones."""
    step = 2 ** (8 - _by_image(magnitudes))
    return images & (256 - step).to(torch.uint8)


def solarize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Invert the pixels that are at least as bright as the magnitude times 255."""
    return torch.where(images >= 255 * _by_image(magnitudes), ~images, images)


def autocontrast(images: Tensor, _magnitudes: Tensor) -> Tensor:
    """Stretch the pixels of each channel to 0..255."""
    return v2.autocontrast(images)


def equalize(images: Tensor, _magnitudes: Tensor) -> Tensor:
    """Make the histogram of each channel uniform."""
    return v2.equalize(images)


def identity(images: Tensor, _magnitudes: Tensor) -> Tensor:
    """Return the images."""
    return images


def _by_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _move_away_from(others: Tensor, images: Tensor, magnitudes: Tensor) -> Tensor:
    """Return (1 + magnitude) * images - magnitude * others, uint8."""
    magnitudes = _by_image(magnitudes)
    return (images * (1 + magnitudes) - others * magnitudes).clamp_(0, 255).to(torch.uint8)
