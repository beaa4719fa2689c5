"""Affine maps of uint8 images with a matrix of its own for every image, with the conventions of torchvision."""

import torch
from torch import Tensor
from torch.nn import functional as F

INTERPOLATIONS = ("nearest", "bilinear")


def warp(images: Tensor, matrices: Tensor, interpolation: str) -> Tensor:
    """Return images whose pixels are taken from other places of the same image; what lies outside is black.

    Args:
        images: uint8 (N, C, H, W).
        matrices: floating-point (N, 2, 3); each maps (x, y, 1), the place of a pixel of the result in pixels from the
            center of the image, to the place from which it is taken.
        interpolation: one of INTERPOLATIONS.
    """
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    (a, b, c), (d, e, f) = matrices.float().permute(1, 2, 0)[..., None, None]
    # Not a matrix product, which a GPU may round to ten bits.
    from_x, from_y = x * a + y * b + c, x * d + y * e + f
    grid = torch.stack([from_x / (width / 2), from_y / (height / 2)], dim=-1)
    return F.grid_sample(images.float(), grid, mode=interpolation, align_corners=False).round_().to(torch.uint8)


def warp_matrices(angles: Tensor, translations: Tensor, scales: Tensor, shears: Tensor) -> Tensor:
    """Return the matrices of affine maps that rotate clockwise, shear along x, scale and shift, float (N, 2, 3).

    The image of torchvision's `affine(image, angle, translate, scale, [shear, 0])` is `warp` with this matrix.

    Args:
        angles: degrees, (N,).
        translations: pixels to the right and down, (2, N).
        scales: factors, (N,).
        shears: degrees, (N,).
    """
    angles, shears = precise(angles).deg2rad(), precise(shears).deg2rad()
    cos, sin, tan = angles.cos(), angles.sin(), shears.tan()
    # The inverse of R(angle) * scale * [[1, -tan(shear)], [0, 1]]
    a, b = (cos - sin * tan) / scales, (sin + cos * tan) / scales
    d, e = -sin / scales, cos / scales
    right, down = translations
    return _stack(a, b, -(a * right + b * down), d, e, -(d * right + e * down))


def rotation_matrices(angles: Tensor) -> Tensor:
    """Return the matrices of rotations by so many degrees (N,) counterclockwise, float (N, 2, 3)."""
    angles = precise(angles).deg2rad()
    return _stack(angles.cos(), -angles.sin(), 0, angles.sin(), angles.cos(), 0)


def translation_matrices(right: Tensor | float, down: Tensor | float) -> Tensor:
    """Return the matrices of shifts by so many pixels, of which one is (N,), float (N, 2, 3)."""
    return _stack(1, 0, -right, 0, 1, -down)


def shear_matrices(along_x: Tensor | float, along_y: Tensor | float, height: int, width: int) -> Tensor:
    """Return the matrices of shears by so many pixels per pixel, of which one is (N,), float (N, 2, 3).

    The top left corner of the image stays where it is.
    """
    return _stack(1, along_x, along_x * (height / 2), along_y, 1, along_y * (width / 2))


def precise(values: Tensor) -> Tensor:
    """Return float64, so that places are rounded once, or float32 where the device has nothing else."""
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def _stack(*entries: Tensor | float) -> Tensor:
    (like, *_) = (entry for entry in entries if isinstance(entry, Tensor))
    columns = [entry if isinstance(entry, Tensor) else torch.full_like(like, entry) for entry in entries]
    return torch.stack(columns, dim=-1).unflatten(-1, (2, 3))
