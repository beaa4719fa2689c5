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


def erase(images: Tensor) -> Tensor:
    """Fills a rectangle of every other image, chosen at random, with noise (Zhong et al., 2017, arXiv 1708.04896).

    It has 2 to 40 % of the image's area and sides in a proportion of 0.3 to 1 / 0.3. Unlike in the paper, that is
    uniform in its logarithm, as in torchvision, and a rectangle that is longer than the image is cut to fit.
    """
    count, _, height, width = images.shape
    chosen, share, shape, down, across = torch.rand(5, count, 1, device=images.device)
    area = (0.02 + 0.38 * share) * height * width
    proportion = 0.3 ** (1 - 2 * shape)
    tall = (area * proportion).sqrt().round().clamp(1, height)
    wide = (area / proportion).sqrt().round().clamp(1, width)
    top, left = (down * (height - tall + 1)).floor(), (across * (width - wide + 1)).floor()
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    in_rows = (rows >= top) & (rows < top + tall) & (chosen < 0.5)
    in_columns = (columns >= left) & (columns < left + wide)
    erased = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    noise = torch.randint(256, images.shape, dtype=torch.uint8, device=images.device)
    return torch.where(erased, noise, images)


def crop_flip(images: Tensor) -> Tensor:
    """Both, in the usual order."""
    return flip(crop(images))


def crop_flip_erase(images: Tensor) -> Tensor:
    """All three, in the usual order."""
    return erase(crop_flip(images))


def unchanged(images: Tensor) -> Tensor:
    """The images themselves."""
    return images


AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": unchanged,
    "flip": flip,
    "crop_flip": crop_flip,
    "crop_flip_erase": crop_flip_erase,
}


def resize(images: Tensor, size: int) -> Tensor:
    """Bilinear with antialias, uint8 to uint8: when enlarging on a CPU, PIL's resize to the bit."""
    if images.shape[-2:] == (size, size):
        return images
    return transforms.resize(images, [size, size], antialias=True)


def scale(images: Tensor) -> Tensor:
    """Bytes to float32 in 0..1, as torchvision's ToTensor."""
    return images.to(torch.float32).div_(255)
