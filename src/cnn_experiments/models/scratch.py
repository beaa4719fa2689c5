"""The course chapter's operations written out: cross-correlation, pooling and batch normalisation.

Everything up to `pool2d_by_definition` says in loops what the operation is; the functions behind it compute the same
on strided views, fast enough to train with.

Where the course differs: its running variance is biased (and starts at zero in early editions), its statistics are no
buffers, and it reads train or eval from whether gradients are on. `BatchNorm` is torch's and the paper's.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

PoolMode = Literal["max", "avg"]


def corr2d_by_definition(x: Tensor, kernel: Tensor) -> Tensor:
    """Cross-correlation of (H, W) with a kernel (h, w): (H - h + 1, W - w + 1)."""
    h, w = kernel.shape
    rows = [
        torch.stack([(x[i : i + h, j : j + w] * kernel).sum() for j in range(x.shape[1] - w + 1)])
        for i in range(x.shape[0] - h + 1)
    ]
    return torch.stack(rows)


def corr2d_multi_in_by_definition(x: Tensor, kernel: Tensor) -> Tensor:
    """The sum over input channels: (C, H, W) with a kernel (C, h, w) to (H - h + 1, W - w + 1)."""
    return torch.stack([corr2d_by_definition(*pair) for pair in zip(x, kernel, strict=True)]).sum(0)


def corr2d_multi_in_out_by_definition(x: Tensor, kernel: Tensor) -> Tensor:
    """One kernel for each output channel: (C, H, W) with (O, C, h, w) to (O, H - h + 1, W - w + 1)."""
    return torch.stack([corr2d_multi_in_by_definition(x, each) for each in kernel])


def pool2d_by_definition(x: Tensor, size: tuple[int, int], mode: PoolMode) -> Tensor:
    """The maximum or average of every window of `size` = (h, w) in (H, W): (H - h + 1, W - w + 1)."""
    h, w = size
    of_window = torch.max if mode == "max" else torch.mean
    rows = [
        torch.stack([of_window(x[i : i + h, j : j + w]) for j in range(x.shape[1] - w + 1)])
        for i in range(x.shape[0] - h + 1)
    ]
    return torch.stack(rows)


def _windows(x: Tensor, size: tuple[int, int]) -> Tensor:
    """All windows as a view: (..., H, W) to (..., H - h + 1, W - w + 1, h, w)."""
    return x.unfold(-2, size[0], 1).unfold(-2, size[1], 1)


def corr2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Cross-correlation of (..., H, W) with a kernel (h, w): (..., H - h + 1, W - w + 1)."""
    h, w = kernel.shape
    return torch.einsum("...hw,hw->...", _windows(x, (h, w)), kernel)


def corr2d_multi_in(x: Tensor, kernel: Tensor) -> Tensor:
    """The sum over input channels: (..., C, H, W) with a kernel (C, h, w) to (..., H - h + 1, W - w + 1)."""
    return corr2d_multi_in_out(x, kernel[None]).squeeze(-3)


def corr2d_multi_in_out(x: Tensor, kernel: Tensor) -> Tensor:
    """One kernel for each output channel: (..., C, H, W) with (O, C, h, w) to (..., O, H - h + 1, W - w + 1)."""
    _, _, h, w = kernel.shape
    return torch.einsum("...cijhw,ochw->...oij", _windows(x, (h, w)), kernel)


def corr2d_multi_in_out_1x1(x: Tensor, kernel: Tensor) -> Tensor:
    """A 1 x 1 convolution as a matrix product over channels: (..., C, H, W) with (O, C, 1, 1) to (..., O, H, W)."""
    return (kernel.flatten(1) @ x.flatten(-2)).unflatten(-1, x.shape[-2:])


def pool2d(x: Tensor, size: tuple[int, int], mode: PoolMode) -> Tensor:
    """The maximum or average of every window of `size` = (h, w), one pixel apart.

    Shapes: (..., H, W) to (..., H - h + 1, W - w + 1).
    """
    windows = _windows(x, size).flatten(-2)
    return windows.max(-1).values if mode == "max" else windows.mean(-1)


class Conv2d(nn.Module):
    """A convolution layer on `corr2d`: (N, in_channels, H, W) to (N, out_channels, H - h + 1, W - w + 1).

    Weights and their initial values are those of `torch.nn.Conv2d`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int], bias: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels * math.prod(kernel_size))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Every output channel, with its bias where there is one."""
        y = corr2d_multi_in_out(x, self.weight)
        return y if self.bias is None else y + self.bias[:, None, None]


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167) of (N, C) or (N, C, H, W).

    In training every channel is normalised by its batch's mean and biased variance; the running mean and the running
    unbiased variance move towards the batch's by a tenth. In eval mode the running ones take their place. They are
    buffers: saved, loaded and moved with the network.

    Raises:
        ValueError: in training, a batch has one value in a channel.
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
        """Every channel with mean `bias` and standard deviation `weight`; the shape stays."""
        channelwise = (1, -1) + (1,) * (x.dim() - 2)
        values = x.to(torch.promote_types(x.dtype, torch.float32))  # halves are too coarse for statistics
        if self.training:
            mean, variance = self._of_batch(values)
        else:
            mean, variance = self.running_mean.to(values.dtype), self.running_var.to(values.dtype)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale.view(channelwise) + shift.view(channelwise)).to(x.dtype)

    def _of_batch(self, values: Tensor) -> tuple[Tensor, Tensor]:
        count = values.numel() // values.shape[1]
        if count == 1:
            raise ValueError(f"batch normalisation needs more than one value per channel, not {tuple(values.shape)}")
        variance, mean = torch.var_mean(values, [0, *range(2, values.dim())], correction=0)
        with torch.no_grad():
            unbiased = variance * (count / (count - 1))
            for running, current in ((self.running_mean, mean), (self.running_var, unbiased)):
                running.copy_(running.to(current.dtype).lerp(current, self.momentum))
        return mean, variance
