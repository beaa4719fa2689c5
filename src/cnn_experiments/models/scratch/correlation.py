"""Cross-correlation, which deep learning calls convolution: by its definition, on windows, and as matrix products."""

import math

import torch
from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models.scratch.windows import Pair, unfold2d, windows, windows_naive


def corr2d_naive(x: Tensor, kernel: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return the cross-correlation of (H, W) with a kernel (h, w): (H', W'), as `corr2d` does."""
    h, w = kernel.shape
    rows = windows_naive(x, (h, w), stride, padding)
    return torch.stack([torch.stack([(window * kernel).sum() for window in row]) for row in rows])


def corr2d_multi_in_naive(x: Tensor, kernel: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return the sum over input channels: (C, H, W) with a kernel (C, h, w) to (H', W')."""
    _check_channels(x, kernel, "kernel")
    return torch.stack([corr2d_naive(*pair, stride, padding) for pair in zip(x, kernel, strict=True)]).sum(0)


def corr2d_multi_in_out_naive(x: Tensor, kernels: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return an output channel per kernel: (C, H, W) with (O, C, h, w) to (O, H', W')."""
    _check_channels(x, kernels, "kernels")
    return torch.stack([corr2d_multi_in_naive(x, kernel, stride, padding) for kernel in kernels])


def corr2d(x: Tensor, kernel: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return the cross-correlation of (..., H, W) with a kernel (h, w): (..., H', W').

    H' is (H + 2 * padding - h) // stride + 1, and W' likewise.

    Args:
        x: images.
        kernel: weights of the pixels of a window.
        stride: rows and columns from one window to the next.
        padding: rows of zeros above and below the image, and columns of zeros on its left and right.

    Raises:
        ValueError: the kernel is larger than the padded image.
    """
    h, w = kernel.shape
    return torch.einsum("...hw,hw->...", windows(x, (h, w), stride, padding), kernel)


def corr2d_multi_in(x: Tensor, kernel: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return the sum over input channels: (..., C, H, W) with a kernel (C, h, w) to (..., H', W').

    Raises:
        ArgumentError: the kernel has another number of channels.
        ValueError: it is larger than the padded image.
    """
    _check_channels(x, kernel, "kernel")
    return corr2d_multi_in_out(x, kernel[None], stride, padding).squeeze(-3)


def corr2d_multi_in_out(x: Tensor, kernels: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return an output channel per kernel: (..., C, H, W) with (O, C, h, w) to (..., O, H', W').

    Raises:
        ArgumentError: the kernels have another number of channels.
        ValueError: they are larger than the padded image.
    """
    _check_channels(x, kernels, "kernels")
    _, _, h, w = kernels.shape
    return torch.einsum("...cijhw,ochw->...oij", windows(x, (h, w), stride, padding), kernels)


def corr2d_multi_in_out_1x1(x: Tensor, kernels: Tensor) -> Tensor:
    """Return a 1 x 1 convolution, computed as a matrix product: (..., C, H, W) with (O, C, 1, 1) to (..., O, H, W).

    Raises:
        ArgumentError: the kernels are of another size, or have another number of channels.
    """
    if kernels.shape[2:] != (1, 1):
        raise ArgumentError("kernels", tuple(kernels.shape), "must be of 1 x 1: (O, C, 1, 1)")
    _check_channels(x, kernels, "kernels")
    return (kernels.flatten(1) @ x.flatten(-2)).unflatten(-1, x.shape[-2:])


def corr2d_as_matrix_product(x: Tensor, kernels: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return what `corr2d_multi_in_out` does, as one matrix product of the kernels with the unfolded windows.

    Each kernel is a row of the left matrix, (O, C * h * w), and each window a column of the right one.
    """
    _check_channels(x, kernels, "kernels")
    _, _, h, w = kernels.shape
    products = kernels.flatten(1) @ unfold2d(x, (h, w), stride, padding)  # (..., O, H' * W')
    num_rows = (x.shape[-2] + 2 * padding[0] - h) // stride[0] + 1
    return products.unflatten(-1, (num_rows, -1))


def _check_channels(x: Tensor, kernels: Tensor, name: str) -> None:
    """Check that kernels (..., C, h, w) have the channels of images: a single one would be repeated for all others."""
    if kernels.shape[-3:-2] != x.shape[-3:-2]:
        problem = f"must have the channels of the images, {tuple(x.shape)}"
        raise ArgumentError(name, tuple(kernels.shape), problem)


def corr2d_matrix(kernel: Tensor, height: int, width: int) -> Tensor:
    """Return the matrix of the linear map that is the cross-correlation of (height, width) with a kernel (h, w).

    Its shape is ((height - h + 1) * (width - w + 1), height * width), and its product with the pixels of an image, row
    by row, is `corr2d` of the image, row by row. Each row has the weights of the kernel at the pixels of one window,
    and zeros elsewhere.
    """
    pixels = torch.eye(height * width, dtype=kernel.dtype, device=kernel.device).unflatten(1, (height, width))
    return corr2d(pixels, kernel).flatten(1).T  # column j is the response to an image of zeros with a one at pixel j


def corr2d_linear(kernel: Tensor, height: int, width: int) -> nn.Linear:
    """Return the cross-correlation of (height, width) with a kernel (h, w) as a linear layer without bias.

    Its weight is `corr2d_matrix`. Shapes: (N, height * width) to (N, (height - h + 1) * (width - w + 1)).
    """
    matrix = corr2d_matrix(kernel.detach(), height, width)
    num_outputs, num_inputs = matrix.shape
    layer = nn.Linear(num_inputs, num_outputs, bias=False, device="meta")  # draws no random weights
    layer.weight = nn.Parameter(matrix.contiguous())
    return layer


class Conv2d(nn.Module):
    """A convolution layer on `corr2d_multi_in_out`, with the parameters and initial values of `torch.nn.Conv2d`.

    Shapes: (N, in_channels, H, W) to (N, out_channels, H', W').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        bias: bool,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * math.prod(kernel_size))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Return the output channels, with the bias if there is one."""
        y = corr2d_multi_in_out(x, self.weight, self.stride, self.padding)
        return y if self.bias is None else y + self.bias[:, None, None]
