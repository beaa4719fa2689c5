"""TensorBoard's pictures: what the network sees, its first filters, and what it gets wrong."""

import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

from cnn_experiments.predictions.class_table import class_table_markdown
from cnn_experiments.predictions.figures import (
    confusion_matrix_figure,
    coverage_figure,
    mistakes_figure,
    reliability_figure,
    to_png,
)
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.measures import MAX_CLASSES
from cnn_experiments.predictions.pictures import gray_or_rgb
from cnn_experiments.training.logger import RunLogger

_MAX_IMAGES = 36
_MAX_FILTERS = 256
_GRID_PIXELS = 480
"""About the width of a grid; small images are enlarged to it."""
_PADDING = 6
"""Pixels between the images of a grid."""


def log_batch(logger: RunLogger, inputs: Tensor) -> None:
    """Write the first images of a batch as the network sees them: augmented, resized and normalized.

    Args:
        logger: writes them.
        inputs: float (N, C, H, W). The smallest value is drawn black, the largest white.
    """
    logger.log_image("network/inputs", _to_png(image_grid(inputs[:_MAX_IMAGES], each=False)), step=0)


def log_filters(logger: RunLogger, network: nn.Module, step: int) -> None:
    """Write the filters of the first convolution, if there is one; each has its own range from black to white."""
    filters = filter_grid(network)
    if filters is not None:
        logger.log_image("network/first filters", _to_png(filters), step)


def log_predictions(logger: RunLogger, predictions: Predictions, step: int) -> None:
    """Write what the network gets wrong, unless it has too many classes for a confusion matrix."""
    if len(predictions.class_names) > MAX_CLASSES:
        return
    evaluated = predictions.evaluated
    figures = {
        "confusion matrix": confusion_matrix_figure(predictions),
        "mistakes": mistakes_figure(predictions),
        "calibration": reliability_figure(evaluated),
        "coverage": coverage_figure(evaluated),
    }
    for name, figure in figures.items():
        logger.log_image(f"test/{name}", to_png(figure), step)
    logger.log_text("test/classes", class_table_markdown(predictions), step)


def first_filters(network: nn.Module) -> Tensor | None:
    """Return the weights of the first convolution as images, float (N, 3 or 1, H, W), or None if there is none.

    The channels of a filter are colors if there are three, and images of their own otherwise.
    """
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 4:
            is_color = weight.shape[1] == 3
            return weight.detach() if is_color else weight.detach().flatten(0, 1).unsqueeze(1)
    return None


def filter_grid(network: nn.Module) -> NDArray[np.uint8] | None:
    """Return a picture of the filters of the first convolution, at most 256, or None if there is none.

    Each filter has its own range from black to white.

    Returns:
        RGB (height, width, 3).
    """
    filters = first_filters(network)
    return None if filters is None else image_grid(filters[:_MAX_FILTERS], each=True)


def image_grid(images: Tensor, *, each: bool) -> NDArray[np.uint8]:
    """Return images in a square grid, RGB (height, width, 3).

    Args:
        images: float (N, C, H, W).
        each: whether each image has its own range from black to white, instead of one for all.
    """
    images = torch.from_numpy(gray_or_rgb(images.float().cpu().numpy()))
    columns = math.ceil(math.sqrt(len(images)))
    scale = max(1, _GRID_PIXELS // (columns * images.shape[-1]))
    images = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    grid = make_grid(images, nrow=columns, padding=_PADDING, normalize=True, scale_each=each, pad_value=0.5)
    pixels: NDArray[np.uint8] = grid.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels


def _to_png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png", compress_level=1)
    return file.getvalue()
