"""A network together with its preprocessing, in operations that other programs have too."""

import torch
from torch import Tensor, nn

from cnn_experiments.data.datamodule import ImageDataModule

_MAX_PRECISION = 22
_INT16 = 2**15


class ImageClassifier(nn.Module):
    """Maps uint8 images (N, channels, H, W) of any size to the logits of a network, (N, num_classes).

    The images are resized to the size in which the data set stores its images, then to that of the network's input, and
    are scaled and normalized as in training.

    Args:
        network: maps float32 images (N, channels, size, size) to logits.
        data: the data set that it was trained on.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, data: ImageDataModule) -> None:
        super().__init__()
        self.network = network
        self.native_size = data.native_size
        self.size = data.preprocessing.size
        # One number for all channels, or one for each.
        self.register_buffer("mean", torch.tensor(data.preprocessing.mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(data.preprocessing.std, dtype=torch.float32).reshape(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of uint8 images (N, channels, H, W)."""
        logits: Tensor = self.network(self.preprocess(images))
        return logits

    def preprocess(self, images: Tensor) -> Tensor:
        """Return the network's inputs, float32 (N, channels, size, size), of uint8 images (N, channels, H, W)."""
        pixels = resize_exactly(images.to(torch.float64), self.native_size)
        if self.size != self.native_size:
            pixels = resize_exactly(pixels, self.size)
        return (pixels.to(torch.float32) / 255 - self.mean) / self.std


def resize_exactly(images: Tensor, size: int) -> Tensor:
    """Resize to `size` x `size` pixels with the result of `transforms.resize` on a CPU, bit for bit.

    Resizing is a matrix product along each axis. It rounds as torch does for uint8, where it works with integers: the
    weights to 16 bits, and the pixels after the width and again after the height. The operator of ONNX that resizes
    with antialiasing rounds neither, and its pixels would be up to one gray level off.

    Args:
        images: whole numbers in 0..255 as float64 (N, C, H, W), which holds all sums exactly.
        size: pixels a side.
    """
    resized_width = _resize_last_axis(images, size)
    return _resize_last_axis(resized_width.mT, size).mT


def _resize_last_axis(images: Tensor, size: int) -> Tensor:
    weights = _resize_weights(images.shape[-1], size)
    # Torch takes the largest power of two with which the largest weight fits into 16 bits.
    powers = 2.0 ** torch.arange(1, _MAX_PRECISION + 1, dtype=torch.float64)
    precision = ((weights.max() * powers + 0.5).floor() < _INT16).sum()
    unit = 2.0 ** precision.to(torch.float64)
    integer_weights = (weights * unit + 0.5).floor()
    return ((images @ integer_weights.T) / unit + 0.5).floor().clamp(0, 255)


def _resize_weights(length: int, size: int) -> Tensor:
    """Return the shares of `length` pixels in each of `size` pixels, bilinear with antialiasing: (size, length)."""
    scale = length / size
    centers = (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(length, dtype=torch.float64) + 0.5
    distances = (pixels - centers[:, None]).abs()
    triangles = (1 - torch.minimum(distances, distances / scale)).clamp(min=0)  # two pixels wide, or two of the output
    return triangles / triangles.sum(1, keepdim=True)
