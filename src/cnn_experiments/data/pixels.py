"""Batches of uint8 images (N, C, H, W) into network inputs, on whatever device they are."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms


def flip(images: Tensor) -> Tensor:
    """Mirrors every other image, chosen at random, left to right."""
    chosen = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def crop(images: Tensor, padding: int = 4) -> Tensor:
    """Moves every image by up to `padding` pixels in both directions; black comes in at the edges."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [padding] * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # N, C, 2 * padding + 1, 2 * padding + 1, H, W
    rows, columns = torch.randint(2 * padding + 1, (2, count), device=images.device)
    return windows[torch.arange(count, device=images.device), :, rows, columns]


def crop_flip(images: Tensor) -> Tensor:
    """Both, in the usual order."""
    return flip(crop(images))


def unchanged(images: Tensor) -> Tensor:
    """The images themselves."""
    return images


AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": unchanged,
    "flip": flip,
    "crop_flip": crop_flip,
}


def resize(images: Tensor, size: int) -> Tensor:
    """Bilinear with antialias, uint8 to uint8: when enlarging on a CPU, PIL's resize to the bit."""
    if images.shape[-2:] == (size, size):
        return images
    return transforms.resize(images, [size, size], antialias=True)


def scale(images: Tensor) -> Tensor:
    """Bytes to float32 in 0..1, as torchvision's ToTensor."""
    return images.to(torch.float32).div_(255)
