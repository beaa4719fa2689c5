"""How images of any number of channels are shown: three are RGB, all others are averaged to gray."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def gray_or_rgb(image: NDArray[Any]) -> NDArray[Any]:
    """Return images whose channels are RGB, or else one gray channel, the mean: (..., C, H, W) to (..., 3 or 1, H, W).

    The type of the values stays; a mean of integers is rounded.
    """
    if image.shape[-3] in (1, 3):
        return image
    mean = image.mean(axis=-3, keepdims=True)
    return (mean.round() if np.issubdtype(image.dtype, np.integer) else mean).astype(image.dtype)


def to_pil(image: NDArray[np.uint8]) -> Image.Image:
    """Return an image (C, H, W) as one of PIL, pixel by pixel."""
    channels = gray_or_rgb(image)
    return Image.fromarray(np.moveaxis(channels, 0, -1) if len(channels) == 3 else channels[0])


def to_picture(image: NDArray[np.uint8], pixels: int) -> Image.Image:
    """Return an image as it is shown: its longer side has so many pixels.

    A small image is enlarged by repeating its pixels, which are data and not to be smoothed.

    Args:
        image: (C, H, W).
        pixels: the longer side of the result.
    """
    channels, height, width = image.shape
    if min(channels, height, width) < 1:
        return Image.new("L", (pixels, pixels))
    scale = pixels / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return to_pil(image).resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)
