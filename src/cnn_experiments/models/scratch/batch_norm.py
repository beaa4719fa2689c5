"""Batch normalization, the paper's and torch's.

The course's differs: its running variance is biased and, in early editions, starts at zero, its statistics are not
buffers, and it trains if gradients are enabled.
"""

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167) of (N, C) or (N, C, H, W).

    In training mode each channel is normalized by the mean and the biased variance of the batch, and the running mean
    and the running unbiased variance move towards those of the batch by a tenth. In evaluation mode the running
    statistics are used. They are buffers: saved, loaded and moved together with the network.

    Raises:
        ValueError: a batch has another number of channels, or, in training mode, only one value per channel.
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
        if x.shape[1:2] != self.weight.shape:  # a single channel would be repeated
            raise ValueError(f"batch normalization of {len(self.weight)} channels got {tuple(x.shape)}")
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
