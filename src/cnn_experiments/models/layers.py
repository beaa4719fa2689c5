"""Layers, heads and checks of arguments that several networks share."""

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models.scratch import BatchNorm


class GlobalStatsBatchNorm(_BatchNorm):
    """Batch normalization by the running statistics in training too, of (N, C) or (N, C, H, W).

    In both modes each channel is normalized by its running mean and its running variance, so that the output for an
    image does not depend on the other images of its batch. In training mode these statistics then move, as those of
    torch's batch normalization: towards the mean and the unbiased variance of the batch by a tenth. The gradient takes
    them as constants: unlike in batch normalization, none flows through them, and the bias of the layer before has one.

    MXNet's `use_global_stats` also normalizes by them, but never moves them: a network that starts with mean 0 and
    variance 1 only gets a scale and a shift from it. The parameters and buffers are those of torch's batch
    normalization, so that each loads the weights of the other.

    Raises:
        ValueError: in training mode, a batch has only one value per channel.
    """

    running_mean: Tensor
    running_var: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Return each channel normalized, scaled by `weight` and shifted by `bias`, in the shape of the input."""
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance = mean.clone(), variance.clone()  # as they were before this batch
            with torch.no_grad():
                F.batch_norm(x, self.running_mean, self.running_var, training=True, momentum=self.momentum)
        return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)


KernelSize = int | tuple[int, int]
"""Rows and columns of a convolution's kernel, or one number for both."""

_NORMS_2D: dict[str, list[Callable[[int], nn.Module]]] = {
    "none": [],
    "batch": [nn.BatchNorm2d],
    "batch_no_affine": [partial(nn.BatchNorm2d, affine=False)],
    "batch_global_stats": [GlobalStatsBatchNorm],
    "scratch": [BatchNorm],
}
_NORMS_1D = _NORMS_2D | {"batch": [nn.BatchNorm1d], "batch_no_affine": [partial(nn.BatchNorm1d, affine=False)]}


def check_choice(name: str, value: str, choices: Collection[str]) -> str:
    """Return the value of an argument that must be one of the choices.

    Raises:
        ArgumentError: it is none of them.
    """
    if value in choices:
        return value
    nearest = get_close_matches(str(value), choices, n=1, cutoff=0.5)
    raise ArgumentError(name, value, f"must be one of {', '.join(choices)}", nearest[0] if nearest else None)


def check_at_least(minimum: int, **values: int) -> None:
    """Check that arguments are not below a minimum.

    Raises:
        ArgumentError: one is smaller.
    """
    for name, value in values.items():
        if value < minimum:
            raise ArgumentError(name, value, f"must be an integer >= {minimum}")


def check_each_at_least(minimum: int, **values: Sequence[int]) -> None:
    """Check that arguments are lists whose numbers are not below a minimum.

    Raises:
        ArgumentError: a number is smaller, a list is empty, or an argument is no list.
    """
    for name, value in values.items():
        if not isinstance(value, Sequence) or not value or min(value) < minimum:
            raise ArgumentError(name, value, f"must be a list of integers >= {minimum}")


def check_fraction(**values: float) -> None:
    """Check that arguments are between 0 and 1.

    Raises:
        ArgumentError: a number is not.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ArgumentError(name, value, "must be a number in [0, 1]")


def check_divisor(dividend: int, **values: int) -> None:
    """Check that arguments divide a number without a remainder.

    Raises:
        ArgumentError: one does not.
    """
    for name, value in values.items():
        if value < 1 or dividend % value:
            raise ArgumentError(name, value, f"must divide {dividend}")


def norm2d(norm: str, channels: int) -> list[nn.Module]:
    """Return the normalization of a convolution's output, as a list of one layer, or of none.

    Args:
        norm: `none`, `batch` (torch's batch normalization), `batch_no_affine` (without its learned scale and shift),
            `batch_global_stats` (by its running statistics in training too) or `scratch` (the one in scratch/).
        channels: channels of the convolution's output.

    Raises:
        ArgumentError: `norm` is none of these.
    """
    return [layer(channels) for layer in _NORMS_2D[check_choice("norm", norm, _NORMS_2D)]]


def norm1d(norm: str, features: int) -> list[nn.Module]:
    """Return the normalization of a linear layer's output, as `norm2d` does for a convolution."""
    return [layer(features) for layer in _NORMS_1D[check_choice("norm", norm, _NORMS_1D)]]


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: KernelSize, stride: int, padding: KernelSize
) -> nn.Sequential:
    """Return a convolution without a bias, batch normalization and ReLU, as in the papers on Inception after GoogLeNet.

    The epsilon of 0.001 is that of the authors, torchvision and timm. The momentum of 0.1 is that of torchvision and
    timm; the authors' is 0.0003.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False),
        nn.BatchNorm2d(out_channels, eps=0.001),
        nn.ReLU(),
    )


def conv_chain(in_channels: int, *convs: tuple[int, KernelSize]) -> nn.Sequential:
    """Return convolutions with normalization and ReLU, one after the other: (N, in_channels, H, W) to (N, C, H, W).

    Args:
        in_channels: channels of the first one's input.
        convs: output channels and kernel size of each; C are the output channels of the last one.
    """
    layers = nn.Sequential()
    for out_channels, kernel_size in convs:
        rows, columns = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        layers.append(conv_norm_relu(in_channels, out_channels, (rows, columns), 1, (rows // 2, columns // 2)))
        in_channels = out_channels
    return layers


class Branches(nn.Module):
    """Parallel branches, whose outputs are concatenated along the channels.

    Shapes: (N, in_channels, H, W) to (N, C, H', W'), where C is the sum of the branches' output channels.
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the branches, concatenated along the channels."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def inception_stem(in_channels: int) -> list[nn.Module]:
    """Return the first layers of Inception v3 and Inception-ResNet v2: 299 x 299 pixels to 192 channels of 35 x 35."""
    return [
        conv_norm_relu(in_channels, 32, 3, stride=2, padding=0),
        conv_norm_relu(32, 32, 3, stride=1, padding=0),
        conv_norm_relu(32, 64, 3, stride=1, padding=1),
        nn.MaxPool2d(3, stride=2),
        conv_norm_relu(64, 80, 1, stride=1, padding=0),
        conv_norm_relu(80, 192, 3, stride=1, padding=0),
        nn.MaxPool2d(3, stride=2),
    ]


def linear_head(channels: int, num_classes: int) -> nn.Sequential:
    """Return global average pooling and one linear layer: (N, channels, H, W) to (N, num_classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def dropout_head(channels: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Return global average pooling, dropout and one linear layer: (N, channels, H, W) to (N, num_classes).

    Raises:
        ArgumentError: `dropout` is not in [0, 1].
    """
    check_fraction(dropout=dropout)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes))


def mlp_head(channels: int, grid: int, hidden: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Return pooling to `grid` x `grid` and two hidden layers with dropout: (N, channels, H, W) to (N, num_classes).

    Features that are `grid` x `grid` already go through the pooling unchanged, bit for bit.

    Raises:
        ArgumentError: `dropout` is not in [0, 1].
    """
    check_fraction(dropout=dropout)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(grid),
        nn.Flatten(),
        nn.Linear(channels * grid**2, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_classes),
    )
