"""The operations of the course's chapter from scratch: cross-correlation, pooling and batch normalization.

The functions called `*_naive` follow the definitions with loops. The others compute the same on strided views, fast
enough for training.

`BatchNorm` is the paper's and torch's. The course's differs: its running variance is biased and, in early editions,
starts at zero, its statistics are not buffers, and it trains if gradients are enabled.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

PoolMode = Literal["max", "avg"]


def corr2d_naive(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the cross-correlation of (H, W) with a kernel (h, w): (H - h + 1, W - w + 1)."""
    h, w = kernel.shape
    rows = [
        torch.stack([(x[i : i + h, j : j + w] * kernel).sum() for j in range(x.shape[1] - w + 1)])
        for i in range(x.shape[0] - h + 1)
    ]
    return torch.stack(rows)


def corr2d_multi_in_naive(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the sum over input channels: (C, H, W) with a kernel (C, h, w) to (H - h + 1, W - w + 1)."""
    return torch.stack([corr2d_naive(*pair) for pair in zip(x, kernel, strict=True)]).sum(0)


def corr2d_multi_in_out_naive(x: Tensor, kernels: Tensor) -> Tensor:
    """Return an output channel per kernel: (C, H, W) with (O, C, h, w) to (O, H - h + 1, W - w + 1)."""
    return torch.stack([corr2d_multi_in_naive(x, kernel) for kernel in kernels])


def pool2d_naive(x: Tensor, size: tuple[int, int], mode: PoolMode) -> Tensor:
    """Return the maximum or average of every window of `size` = (h, w) in (H, W): (H - h + 1, W - w + 1)."""
    h, w = size
    reduce = torch.max if mode == "max" else torch.mean
    rows = [
        torch.stack([reduce(x[i : i + h, j : j + w]) for j in range(x.shape[1] - w + 1)])
        for i in range(x.shape[0] - h + 1)
    ]
    return torch.stack(rows)


def _windows(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return all windows of `size` = (h, w) as a view: (..., H, W) to (..., H - h + 1, W - w + 1, h, w)."""
    return x.unfold(-2, size[0], 1).unfold(-2, size[1], 1)


def corr2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the cross-correlation of (..., H, W) with a kernel (h, w): (..., H - h + 1, W - w + 1)."""
    h, w = kernel.shape
    return torch.einsum("...hw,hw->...", _windows(x, (h, w)), kernel)


def corr2d_multi_in(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the sum over input channels: (..., C, H, W) with a kernel (C, h, w) to (..., H - h + 1, W - w + 1)."""
    return corr2d_multi_in_out(x, kernel[None]).squeeze(-3)


def corr2d_multi_in_out(x: Tensor, kernels: Tensor) -> Tensor:
    """Return an output channel per kernel: (..., C, H, W) with (O, C, h, w) to (..., O, H - h + 1, W - w + 1)."""
    _, _, h, w = kernels.shape
    return torch.einsum("...cijhw,ochw->...oij", _windows(x, (h, w)), kernels)


def corr2d_multi_in_out_1x1(x: Tensor, kernels: Tensor) -> Tensor:
    """Return a 1 x 1 convolution, computed as a matrix product: (..., C, H, W) with (O, C, 1, 1) to (..., O, H, W)."""
    return (kernels.flatten(1) @ x.flatten(-2)).unflatten(-1, x.shape[-2:])


def pool2d(x: Tensor, size: tuple[int, int], mode: PoolMode) -> Tensor:
    """Return the maximum or average of every window of `size` = (h, w), with a stride of 1.

    Shapes: (..., H, W) to (..., H - h + 1, W - w + 1).
    """
    windows = _windows(x, size).flatten(-2)
    return windows.max(-1).values if mode == "max" else windows.mean(-1)


class Conv2d(nn.Module):
    """A convolution layer on `corr2d_multi_in_out`, with the parameters and initial values of `torch.nn.Conv2d`.

    Shapes: (N, in_channels, H, W) to (N, out_channels, H - h + 1, W - w + 1).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int], bias: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * math.prod(kernel_size))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the output channels, with the bias if there is one."""
        y = corr2d_multi_in_out(x, self.weight)
        return y if self.bias is None else y + self.bias[:, None, None]


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167) of (N, C) or (N, C, H, W).

    In training mode each channel is normalized by the mean and the biased variance of the batch, and the running mean
    and the running unbiased variance move towards those of the batch by a tenth. In evaluation mode the running
    statistics are used. They are buffers: saved, loaded and moved together with the network.

    Raises:
        ValueError: in training mode, a batch has only one value per channel.
    """

    running_mean: Tensor
    running_var: Tensor
    eps = 1e-5
    momentum = 0.1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))  # gamma in the paper
        self.bias = nn.Parameter(torch.zeros(channels))  # beta
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return each channel with mean `bias` and standard deviation `weight`, in the shape of the input."""
        per_channel = (1, -1) + (1,) * (x.dim() - 2)
        values = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision is too coarse for statistics
        if self.training:
            mean, variance = self._update_statistics(values)
        else:
            mean, variance = self.running_mean.to(values.dtype), self.running_var.to(values.dtype)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale.view(per_channel) + shift.view(per_channel)).to(x.dtype)

    def _update_statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the biased variance of the batch, and move the running statistics towards them."""
        count = values.numel() // values.shape[1]
        if count == 1:
            raise ValueError(f"batch normalization needs more than one value per channel, not {tuple(values.shape)}")
        variance, mean = torch.var_mean(values, [0, *range(2, values.dim())], correction=0)
        with torch.no_grad():
            unbiased = variance * (count / (count - 1))
            for running, current in ((self.running_mean, mean), (self.running_var, unbiased)):
                running.copy_(running.to(current.dtype).lerp(current, self.momentum))
        return mean, variance
