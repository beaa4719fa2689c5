"""DenseNet (Huang et al., 2017, https://arxiv.org/abs/1608.06993), the course's version.

It leaves out the paper's 1 x 1 bottlenecks and its dropout, and its convolutions keep their biases.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def conv_block(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Normalisation, ReLU and a convolution that keeps the resolution, in the paper's order."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
    )


class DenseBlock(nn.Module):
    """Convolutions that each see the outputs of all before them: (N, C, H, W) to (N, C + depth * growth_rate, H, W)."""

    def __init__(self, in_channels: int, growth_rate: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv_block(in_channels + i * growth_rate, growth_rate, kernel_size=3) for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The input with every layer's output appended along the channels."""
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


class DenseNet(nn.Module):
    """A stem, dense blocks of `depths` convolutions joined by transitions, and a linear head.

    Shapes: (N, in_channels, H, W) to (N, num_classes), with any H and W.
    """

    def __init__(
        self, in_channels: int, num_classes: int, stem_channels: int, growth_rate: int, depths: Sequence[int]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, stem_channels, 7, stride=2, padding=3),
            nn.BatchNorm2d(stem_channels),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
        channels = stem_channels
        for i, depth in enumerate(depths):
            if i > 0:  # a transition halves channels and resolution; ceil_mode admits images under 29 pixels
                transition = conv_block(channels, channels // 2, kernel_size=1)
                layers.append(transition.append(nn.AvgPool2d(2, ceil_mode=True)))
                channels //= 2
            layers.append(DenseBlock(channels, growth_rate, depth))
            channels += depth * growth_rate
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
